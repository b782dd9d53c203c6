use bytes::Bytes;
use oci_client::Reference;
use serde_json::{Value, json};

use super::{
    catalog::digest_of,
    manifest::{Manifest, hex},
};
use crate::config::Destination;

fn digest(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

fn parse(manifest: &Value) -> Result<Manifest, String> {
    let image: Reference = "registry.example:5000/a/b:1".parse().unwrap();
    Manifest::parse(&image, Bytes::from(manifest.to_string())).map_err(|error| error.to_string())
}

#[test]
fn a_manifest_names_each_blob_once_and_none_that_lies_elsewhere() {
    let layer = json!({"digest": digest('a'), "size": 7});
    let elsewhere = json!({"digest": digest('b'), "size": 9, "urls": ["https://example.com/windows"]});
    let config = json!({"digest": digest('c'), "size": 2});
    let read = parse(&json!({"schemaVersion": 2, "config": config, "layers": [layer, elsewhere, layer]})).unwrap();
    assert_eq!(read.blobs.iter().map(|blob| (blob.digest.clone(), blob.size)).collect::<Vec<_>>(), [(digest('c'), 2), (digest('a'), 7)]);
    assert_eq!(read.media_type, "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(parse(&json!({"schemaVersion": 2, "manifests": []})).unwrap().media_type, "application/vnd.oci.image.index.v1+json");
}

#[test]
fn manifests_that_name_nothing_by_sha_256_are_refused() {
    assert!(parse(&json!({"schemaVersion": 1, "fsLayers": []})).unwrap_err().contains("schema 1"));
    for odd in ["sha256:../../x", "sha512:00", "", &digest('A'), &digest('a')[..70]] {
        assert_eq!(hex(odd), None);
        let refused = parse(&json!({"schemaVersion": 2, "layers": [{"digest": odd, "size": 1}]})).unwrap_err();
        assert!(refused.contains("is no SHA-256") && refused.contains("registry.example:5000/a/b:1"), "{refused}");
    }
    assert_eq!(digest_of(&format!("blobs/sha256/{}", "a".repeat(64))), Some(digest('a')));
    assert_eq!(digest_of("blobs/sha256/a"), None);
    assert_eq!(digest_of("index.json"), None);
}

#[test]
fn a_platform_is_known_by_system_architecture_and_variant() {
    let child = json!({"digest": digest('a'), "size": 1, "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}});
    let list = parse(&json!({"schemaVersion": 2, "manifests": [child]})).unwrap();
    let platform = list.manifests[0].platform.as_ref().unwrap();
    assert!(platform.is("linux/arm/v7") && platform.is("linux/arm"));
    assert!(!platform.is("linux/arm/v6") && !platform.is("linux/arm64"));
}

#[test]
fn an_image_keeps_its_repository_and_tag_in_the_target() {
    let place = |prefix: &str, image: &str| {
        let destination = Destination { host: "other:5000".to_owned(), prefix: prefix.to_owned() };
        destination.place(&image.parse().unwrap()).to_string()
    };
    assert_eq!(place("", "busybox"), "other:5000/library/busybox:latest");
    assert_eq!(place("from/west", "registry.example:5000/a/b:1"), "other:5000/from/west/a/b:1");
    let pinned = format!("quay.io/a@{}", digest('d'));
    assert_eq!(place("", &pinned), format!("other:5000/a@{}", digest('d')));
}
