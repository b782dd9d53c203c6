//! Damage in versioned buckets: delete markers, and what was put over objects. Nothing is lost there: it is found and named, restores read
//! the versions below, and who removes what lies over an object has it back.

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use bytes::Bytes;
use hourglass::{
    config::{StoreConfig, StoreUrl},
    model::ObjectKey,
    storage::{ObjectStore, list_all},
};
use serde_json::Value;

use crate::{
    site::{Site, assert_same_tree, change_tree, listing, make_tree, yaml},
    stores::places::{S3, below, bucket, key, s3, s3_client},
};

const LINEAGE: &str = "rolling@we/1";

/// A repository in a versioned bucket, with two points.
struct Versioned {
    service: S3,
    config: StoreConfig,
    site: Site,
    tree: Vec<String>,
    head: u64,
    manifest: Value,
}

impl Versioned {
    async fn new(service: S3) -> Versioned {
        let config = bucket(service, None).await;
        let status = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        s3_client(service).put_bucket_versioning().bucket(name(&config)).versioning_configuration(status).send().await.unwrap();
        let control = bucket(service, None).await;
        let site = Site::new("we", &[("primary", yaml(&below(&config, "data")))], &yaml(&control)).with_s3();
        site.protect_tree_and_stream();
        make_tree(&site.path("tree"), 1 << 20);
        std::fs::write(site.path("stream"), "row\n").unwrap();
        site.run(&["backup", "rolling", "--quiet"], 0);
        change_tree(&site.path("tree"));
        site.run(&["backup", "rolling", "--quiet"], 0);
        let shown = site.output(&["--output", "json", "points", "show", &format!("{LINEAGE}:4")]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        // Who only looks has no operator key, and writes nothing.
        let text = std::fs::read_to_string(site.path("hourglass.yaml")).unwrap();
        std::fs::write(site.path("auditor.yaml"), text.replace("operator_key_file: operator.key\n", "")).unwrap();
        let tree = listing(&site.path("tree"));
        Versioned { service, config: below(&config, "data"), site, tree, head: 4, manifest: shown["data"]["manifest"].clone() }
    }

    fn full(&self, key: &ObjectKey) -> String {
        format!("data/{key}")
    }

    /// An object of each kind that the newest point needs, with what a report may call it.
    async fn objects(&self, store: &dyn ObjectStore) -> Vec<(ObjectKey, Vec<String>)> {
        let epoch = self.manifest["epoch"].as_str().unwrap();
        let first = |field: &str| self.manifest[field][0].as_str().unwrap().to_owned();
        let mut packs = list_all(store, &format!("{LINEAGE}/packs/{epoch}/")).await.unwrap();
        packs.sort_by_key(|pack| std::cmp::Reverse(pack.size));
        let entry = key(&format!("{LINEAGE}/record/{:020}.json", self.head));
        let digest = hex(&store.get(&entry, None).await.unwrap());
        let trust = key("trust/00000000000000000001.json");
        let trust_digest = hex(&store.get(&trust, None).await.unwrap());
        let named = |text: String| (key(&text), vec![text]);
        vec![
            (packs[0].key.clone(), vec![packs[0].key.to_string()]),
            named(format!("{LINEAGE}/packlists/{epoch}/{}.json", self.manifest["pack_lists"][0]["sha256"].as_str().unwrap())),
            named(format!("{LINEAGE}/sealed/{}.age", self.manifest["sealed"].as_str().unwrap())),
            named(format!("{LINEAGE}/index/{epoch}/{}.age", first("index"))),
            named(format!("{LINEAGE}/hints/{epoch}/{}.age", first("hints"))),
            (entry, vec![format!("{LINEAGE} entry {}", self.head)]),
            (key(&format!("{LINEAGE}/signatures/{digest}.minisig")), vec![format!("{LINEAGE} entry {}", self.head)]),
            (trust, vec!["trust object 1".to_owned()]),
            (key(&format!("trust/signatures/{trust_digest}.minisig")), vec!["trust object 1".to_owned()]),
            named(format!("vaults/{}/00000000000000000001.age", self.manifest["vault"].as_str().unwrap())),
            named("repo.json".to_owned()),
        ]
    }

    fn verify(&self, depth: &str, status: i32) -> String {
        self.site.run(&["--config", "auditor.yaml", "verify", "--depth", depth, "--quiet"], status)
    }

    fn restores(&self, case: &str) {
        let to = format!("restored-{}", case.replace(['/', ' '], "-"));
        assert_same_tree(&self.tree, &self.site.restore(LINEAGE, &to).join("files"));
        std::fs::remove_dir_all(self.site.path(&to)).unwrap();
    }

    /// Puts bytes over an object, as only somebody does who is not Hourglass.
    async fn put_over(&self, key: &ObjectKey, body: Bytes) {
        let put = s3_client(self.service).put_object().bucket(name(&self.config)).key(self.full(key));
        put.body(ByteStream::from(body)).send().await.unwrap();
    }

    /// Removes the newest version of an object, a delete marker or what was put over it: the documented way back.
    async fn uncover(&self, store: &dyn ObjectStore, key: &ObjectKey) {
        let versions = store.versions(key).await.unwrap();
        let newest = versions.iter().find(|version| version.is_latest).unwrap();
        store.delete_version(key, &newest.version).await.unwrap();
    }
}

fn name(config: &StoreConfig) -> &str {
    let StoreUrl::S3 { bucket, .. } = &config.url else { unreachable!() };
    bucket
}

fn hex(bytes: &[u8]) -> String {
    ::hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

async fn is_found_named_read_through_and_undone(service: S3) {
    let lab = Versioned::new(service).await;
    let store = s3(&lab.config).await;
    let objects = lab.objects(&*store).await;
    lab.verify("intact", 0);
    for (i, (object, names)) in objects.iter().enumerate() {
        for covered in [false, true] {
            let case = format!("{service:?} {} {object}", if covered { "covered" } else { "deleted" });
            match covered {
                // What another object of this kind, or of the next, says: old, and not damaged in itself.
                true => lab.put_over(object, store.get(&objects[(i + 1) % objects.len()].0, None).await.unwrap()).await,
                false => store.delete(object).await.unwrap(),
            }
            // Which bytes a wrapping should have only they know who can open it.
            let found = match object.as_str().starts_with("vaults/") {
                true => lab.site.run(&["verify", "--depth", "restorable", "--quiet"], 6),
                false => lab.verify("intact", 6),
            };
            assert!(names.iter().any(|name| found.contains(name)), "{case}: {found}");
            lab.restores(&case);
            lab.uncover(&*store, object).await;
        }
    }
    lab.verify("intact", 0);
    lab.site.run(&["verify", "--depth", "restorable", "--quiet"], 0);
    lab.restores("the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_or_covered_in_a_versioned_bucket_is_named_and_read_from_its_versions() {
    is_found_named_read_through_and_undone(S3::SeaweedFs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_or_covered_on_another_s3_server_is_named_and_read_from_its_versions() {
    is_found_named_read_through_and_undone(S3::VersityGw).await;
}

/// The next numbers of record, trust and vault, taken by somebody who can put: found, named, harmless when removed; and no writer is stopped
/// for good by the one in the record.
#[tokio::test(flavor = "multi_thread")]
async fn squatted_numbers_in_a_versioned_bucket_are_named_and_written_past() {
    let lab = Versioned::new(S3::SeaweedFs).await;
    let store = s3(&lab.config).await;
    let trust = key("trust/00000000000000000002.json");
    lab.put_over(&trust, Bytes::from_static(b"{}")).await;
    assert!(lab.verify("intact", 6).contains("trust object 2"));
    lab.uncover(&*store, &trust).await;
    lab.verify("intact", 0);
    let next = key(&format!("{LINEAGE}/record/{:020}.json", lab.head + 1));
    lab.put_over(&next, Bytes::from(vec![b'x'; 2 << 20])).await;
    assert!(lab.verify("intact", 6).contains(&format!("entry {}", lab.head + 1)));
    lab.restores("squatted");
    let said = lab.site.run(&["backup", "rolling", "--quiet"], 0);
    assert!(said.contains("is complete"), "{said}");
    lab.restores("written past");
}

/// Copying back puts what a delete marker hides where it was, and never over what covers an object.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_brings_back_what_a_delete_marker_hides() {
    let lab = Versioned::new(S3::SeaweedFs).await;
    let other = lab.site.path("other");
    std::fs::create_dir(&other).unwrap();
    let text = std::fs::read_to_string(lab.site.path("hourglass.yaml")).unwrap();
    let with = text.replace("control:", &format!("  other: {{ url: {:?} }}\ncontrol:", other.display().to_string()));
    std::fs::write(lab.site.path("hourglass.yaml"), with).unwrap();
    lab.site.run(&["copy", "--to", "other", "--quiet"], 0);
    let store = s3(&lab.config).await;
    for (object, _) in lab.objects(&*store).await {
        store.delete(&object).await.unwrap();
        lab.site.run(&["copy", "--from", "other", "--to", "primary", "--quiet"], 0);
        assert!(store.head(&object).await.unwrap().is_some(), "{object}");
    }
    lab.verify("intact", 0);
    lab.restores("copied back");
}
