//! The binary on the clouds' protocols: made, backed up twice, restored equal, locked, refused, and recovered from the other location alone.

use std::fs;

use aws_sdk_s3::types::{DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule};
use hourglass::{
    config::{LockMode, StoreConfig, StoreUrl},
    model::Timestamp,
    storage::{ErrorKind, ObjectStore, list_all},
};

use crate::{
    site::{Site, assert_same_tree, change_tree, listing, make_tree, yaml},
    stores::places::{S3, below, bucket, container, key, s3, s3_client},
};

/// Two rolling points on a site, the second after a change, each restored from the binary and compared.
fn two_points_come_back(site: &Site) -> Vec<String> {
    site.protect_tree_and_stream();
    make_tree(&site.path("tree"), 1 << 20);
    fs::write(site.path("stream"), "row 1\n").unwrap();
    let first = listing(&site.path("tree"));
    assert!(site.run(&["backup", "rolling", "--quiet"], 0).contains("rolling@we/1:3 is complete"));
    change_tree(&site.path("tree"));
    fs::write(site.path("stream"), "row 1\nrow 2\n").unwrap();
    let second = listing(&site.path("tree"));
    assert!(site.run(&["backup", "rolling", "--quiet"], 0).contains("rolling@we/1:4 is complete"));
    for (number, tree, stream) in [(3, &first, "row 1\n"), (4, &second, "row 1\nrow 2\n")] {
        let restored = site.restore(&format!("rolling@we/1:{number}"), &format!("restored-{number}"));
        assert_same_tree(tree, &restored.join("files"));
        assert_eq!(fs::read_to_string(restored.join("stream/dump")).unwrap(), stream);
    }
    second
}

/// A site on a bucket or container, with its control store beside the data.
fn site_on(config: &StoreConfig) -> Site {
    Site::new("we", &[("primary", yaml(&below(config, "data")))], &yaml(&below(config, "control")))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_points_come_back_from_an_s3_server() {
    let config = bucket(S3::SeaweedFs, None).await;
    let site = site_on(&config).with_s3();
    two_points_come_back(&site);
    site.run(&["record", "check"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_points_come_back_from_azure() {
    let (_folder, config) = container(None).await;
    let site = site_on(&config);
    two_points_come_back(&site);
    site.run(&["record", "check"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_locked_bucket_every_object_of_an_epoch_is_kept_from_deletion() {
    let (data, control) = (bucket(S3::VersityGw, Some(LockMode::Governance)).await, bucket(S3::VersityGw, None).await);
    let site = Site::new("we", &[("primary", yaml(&data))], &yaml(&control)).with_s3();
    two_points_come_back(&site);
    let (store, day) = (s3(&data).await, std::time::Duration::from_secs(86_400));
    let mut locked = 0;
    for object in list_all(&*store, "rolling@we/1/").await.unwrap() {
        let key = object.key.as_str();
        // Decisions of operators are not part of an epoch: who holds only their key need not be able to lock.
        if key.contains("/record/") || key.contains("/signatures/") {
            continue;
        }
        let info = store.head(&object.key).await.unwrap().unwrap();
        assert!(info.retain_until.is_some_and(|until| until > Timestamp::now() + day), "{key}: {:?}", info.retain_until);
        if locked < 3 {
            let error = store.delete_version(&object.key, &info.version.unwrap()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AccessDenied, "{key}: {error}");
        }
        locked += 1;
    }
    assert!(locked > 8, "{locked} objects are locked");
    for number in 2..=4 {
        let entry = key(&format!("rolling@we/1/record/{number:020}.json"));
        assert!(store.head(&entry).await.unwrap().unwrap().retain_until.is_some(), "entry {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn init_refuses_what_would_not_keep_its_promise() {
    let (_folder, config) = container(None).await;
    let locked = yaml(&StoreConfig { lock: Some(LockMode::Governance), ..below(&config, "data") });
    let site = Site::new("we", &[("primary", locked)], &yaml(&below(&config, "control")));
    // Azurite takes the date and does not keep anybody from deleting: what `init` is there to notice.
    let text = site.run(&["init"], 1);
    assert!(text.contains("retention") && text.contains("version-level immutability"), "{text}");
    assert!(!site.path("root.key").exists(), "a refused init leaves keys behind");

    let control = bucket(S3::SeaweedFs, Some(LockMode::Governance)).await;
    let StoreUrl::S3 { bucket: name, .. } = &control.url else { unreachable!() };
    let default = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(1).build();
    let rule = ObjectLockRule::builder().default_retention(default).build();
    let lock = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule).build();
    s3_client(S3::SeaweedFs).put_object_lock_configuration().bucket(name).object_lock_configuration(lock).send().await.unwrap();
    let data = bucket(S3::SeaweedFs, None).await;
    let site = Site::new("we", &[("primary", yaml(&data))], &yaml(&StoreConfig { lock: None, ..control })).with_s3();
    let text = site.run(&["init"], 1);
    assert!(text.contains("every object under retention"), "{text}");
    assert!(list_all(&*s3(&data).await, "trust").await.unwrap().is_empty(), "a refused init leaves a trust behind");
    assert!(!site.path("root.key").exists(), "a refused init leaves keys behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_from_the_other_location_alone() {
    let (data, control) = (bucket(S3::SeaweedFs, None).await, bucket(S3::SeaweedFs, None).await);
    let (_folder, other) = container(None).await;
    let other = below(&other, "copy");
    let site = Site::new("we", &[("primary", yaml(&data)), ("other", yaml(&other))], &yaml(&control)).with_s3();
    let tree = two_points_come_back(&site);
    site.run(&["copy", "--to", "other", "--quiet"], 0);
    site.run(&["record", "check"], 0);
    let kept = ["operator.key", "hourglass.yaml"].map(|name| (name, fs::read(site.path(name)).unwrap()));
    let root = site.trust_root();
    for config in [&data, &control] {
        let store = s3(config).await;
        for object in list_all(&*store, "").await.unwrap() {
            store.delete(&object.key).await.unwrap();
        }
        let StoreUrl::S3 { bucket, .. } = &config.url else { unreachable!() };
        s3_client(S3::SeaweedFs).delete_bucket().bucket(bucket).send().await.unwrap();
    }
    drop(site);

    // A bare machine with the operator's key and the old configuration.
    let survivor = Site::in_directories().with_s3();
    kept.iter().for_each(|(name, bytes)| fs::write(survivor.path(name), bytes).unwrap());
    fs::set_permissions(survivor.path("operator.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    survivor.run(&["restore", "rolling@we/1:4", "--from", "other", "--to", "named", "--quiet"], 0);
    assert_same_tree(&tree, &survivor.path("named/files"));
    survivor.run(&["restore", "rolling", "--to", "found", "--quiet"], 0);
    assert_same_tree(&tree, &survivor.path("found/files"));

    // And another site, whose own and only location the copy is.
    let ne = Site::new("ne", &[("primary", yaml(&other))], "{ url: \"/nowhere/control\" }");
    ne.configure(&format!("trust_root: {root}\n"));
    fs::copy(survivor.path("operator.key"), ne.path("operator.key")).unwrap();
    let text = ne.run(&["restore", "rolling@we/1:4", "--to", "restored", "--quiet"], 0);
    assert!(text.contains("the control store is out of reach"), "{text}");
    let restored = ne.path("restored");
    assert_same_tree(&tree, &restored.join("files"));
    assert_eq!(fs::read_to_string(restored.join("stream/dump")).unwrap(), "row 1\nrow 2\n");
}
