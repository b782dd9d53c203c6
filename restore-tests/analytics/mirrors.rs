//! Snapshot repositories brought to another store, and read there by region B when region A has none any more.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hourglass::storage::{PutOptions, list_all};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{
    fill,
    place::Place,
    world::{World, ask, documents, try_ask, write},
};
use crate::{
    lab::Servers,
    site::yaml,
    stores::places::{S3, key, s3_client},
    wire::{Proxy, Wire},
};

/// A site whose member `events` has a mirror for the location `other`, and whose source `spare` reads the mirror.
fn mirrored(from: &Place, to: &Place) -> World {
    let mirror = format!("objects: {}, mirrors: {{ other: {} }}", yaml(&from.config), yaml(&to.config));
    World::with_repositories(&format!("{{ {}, {mirror} }}", from.repository("5mb")), &format!("{{ {} }}", to.repository("64mb")))
}

/// An index of random bytes, which take more than one chunk.
fn make_noise(world: &World) {
    let noise = |seed: u64| {
        let mut bytes = vec![0; 1 << 16];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        json!({ "noise": hex::encode(bytes) }).to_string()
    };
    ask(&world.a, "PUT", &world.of("noise"), r#"{"settings": {"number_of_replicas": 0}, "mappings": {"properties": {"noise": {"enabled": false}}}}"#);
    write(&world.a, &world.of("noise"), &(0..150).map(noise).collect::<Vec<_>>());
    // A busy cluster may have written it in several small files.
    ask(&world.a, "POST", &format!("{}/_forcemerge?max_num_segments=1", world.of("noise")), "");
}

/// Fills the mirror once more, and says what that was.
fn copied(world: &World) -> Value {
    let said = world.site.run(&["copy", "--to", "other", "--output", "json", "--quiet"], 0);
    let told: Value = serde_json::from_str(&said).unwrap();
    told["data"]["mirrors"][0]["mirror"].clone()
}

/// That a mirror holds everything of a repository but what its cluster wrote to verify it.
fn assert_holds(mirror: &[(String, Vec<u8>)], live: &[(String, Vec<u8>)]) {
    let missing = live.iter().find(|object| !object.0.starts_with("tests-") && !mirror.contains(object));
    assert!(missing.is_none(), "{:?} is not in the mirror, or differs there", missing.map(|(name, _)| name));
}

/// Two points, each copied; then region A's repository is removed, and region B restores both from the mirror.
fn comes_back_from_the_mirror(from: &Place, to: &Place) {
    let (world, runtime) = (mirrored(from, to), Runtime::new().unwrap());
    fill(&world);
    make_noise(&world);
    let names = ["calls", "empty", "stream", "noise"].map(|name| world.of(name));
    let first = names.clone().map(|name| documents(&world.a, &name));
    world.site.run(&["backup", "p"], 0);
    let said = world.site.run(&["copy", "--to", "other", "--quiet"], 0);
    assert!(said.contains("MIRROR OF") && said.contains("events"), "{said}");
    // What changed since is brought, and no more.
    write(&world.a, &world.of("later"), &[r#"{"late": true}"#.to_owned()]);
    world.site.run(&["backup", "p"], 0);
    let before = runtime.block_on(to.objects());
    let told = copied(&world);
    assert_eq!(told["snapshots"], 2, "{told}");
    let bytes = |which: &str| told[which]["bytes"].as_u64().unwrap();
    assert!(bytes("skipped") > 10 * bytes("copied") && bytes("copied") > 0, "{told}");
    let (live, mirror) = runtime.block_on(async { (from.objects().await, to.objects().await) });
    let parts = mirror.iter().filter(|(name, _)| name.contains(".part")).count();
    assert!(parts >= 2, "the repository cuts large files: {parts}");
    assert_holds(&mirror, &live);
    assert!(before.iter().all(|(name, _)| mirror.iter().any(|(other, _)| other == name)), "nothing goes from a mirror");
    let again = copied(&world);
    assert_eq!(again["copied"]["objects"], 0, "{again}");
    // Region A and its repository are gone.
    runtime.block_on(async {
        let store = from.store().await;
        for object in list_all(store.as_ref(), "").await.unwrap() {
            store.delete(&object.key).await.unwrap();
        }
    });
    assert_eq!(runtime.block_on(from.objects()), []);
    to.open();
    let points = world.site.run(&["points", "list", "p"], 0);
    let oldest = points.split_whitespace().filter(|word| word.starts_with("p@we/")).min().unwrap().to_owned();
    world.site.run(&["restore", &oldest, "events", "--into", "spare"], 0);
    assert_eq!(names.clone().map(|name| documents(&world.b, &name)), first);
    assert!(try_ask(&world.b, "GET", &world.of("later"), "").is_err(), "it was made after the first point");
    world.site.run(&["restore", "p", "events", &world.of("later"), "--into", "spare"], 0);
    assert_eq!(documents(&world.b, &world.of("later")).len(), 1);
    let registered = ask(&world.b, "GET", &format!("_snapshot/{}", world.name), "");
    assert_eq!(registered[&world.name]["settings"]["readonly"], "true", "{registered}");
}

#[test]
fn analytics_come_back_from_a_mirror_in_s3_when_the_first_repository_is_gone() {
    let _lab = Servers::Search.alone();
    let (from, to) = Runtime::new().unwrap().block_on(async { (Place::s3(S3::SeaweedFs, "default").await, Place::s3(S3::VersityGw, "other").await) });
    comes_back_from_the_mirror(&from, &to);
}

#[test]
fn analytics_come_back_from_mirrors_in_folders_and_in_azure() {
    let _lab = Servers::Search.alone();
    comes_back_from_the_mirror(&Place::directory(), &Place::directory());
    let (_folder, to) = Runtime::new().unwrap().block_on(Place::azure());
    comes_back_from_the_mirror(&Place::directory(), &to);
}

#[test]
fn analytics_mirrors_that_cannot_be_filled_are_told_and_points_are_copied_all_the_same() {
    let _lab = Servers::Search.together();
    let (from, to, runtime) = (Place::directory(), Place::directory(), Runtime::new().unwrap());
    let world = mirrored(&from, &to);
    fill(&world);
    // Nothing was ever captured: there is no repository yet.
    let said = world.site.run(&["copy", "--to", "other"], 3);
    assert!(said.contains("mirror of events"), "{said}");
    world.site.run(&["backup", "p"], 0);
    // An object that no store takes in one piece, as repositories with large chunks have them.
    let large = from.root().join("indices/large");
    fs::create_dir_all(&large).unwrap();
    fs::File::create(large.join("__large")).unwrap().set_len((64 << 20) + 1).unwrap();
    let said = world.site.run(&["copy", "--to", "other"], 3);
    assert!(said.contains("indices/large/__large") && said.contains("chunk_size: 64mb") && said.contains("p@we/1:"), "{said}");
    assert!(!runtime.block_on(to.objects()).iter().any(|(name, _)| name.starts_with("index")), "the mirror holds no half of a repository");
    fs::remove_dir_all(&large).unwrap();
    world.site.run(&["copy", "--to", "other"], 0);
    // Somebody else has written the mirror.
    runtime.block_on(async {
        let bytes = bytes::Bytes::from_static(b"{\"snapshots\": []}");
        let _put = to.store().await.put_new(&key("index-77"), bytes.clone(), &PutOptions::of(&bytes)).await.unwrap();
    });
    let said = world.site.run(&["copy", "--to", "other"], 3);
    assert!(said.contains("index-77") && said.contains("another repository"), "{said}");
    // These are objects of some other cluster's repository.
    fs::remove_file(to.root().join("index-77")).unwrap();
    let newest =
        fs::read_dir(from.root()).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.to_str().unwrap().contains("/index-")).unwrap();
    fs::write(&newest, r#"{"snapshots": [{"name": "other", "uuid": "other"}]}"#).unwrap();
    let said = world.site.run(&["copy", "--to", "other"], 3);
    assert!(said.contains("does not hold the repository of this cluster"), "{said}");
}

#[test]
fn an_analytics_mirror_is_whole_whatever_snapshots_come_and_go_and_whenever_the_copy_is_killed() {
    let _lab = Servers::Search.together();
    let (from, to) = (Place::directory(), Place::directory());
    let world = mirrored(&from, &to);
    fill(&world);
    world.site.run(&["backup", "p"], 0);
    for round in 0..6 {
        write(&world.a, &world.of(&format!("round-{round}")), &[json!({ "round": round }).to_string()]);
        let mut copying = world.site.command(&["copy", "--to", "other", "--quiet"]).spawn().unwrap();
        // Snapshots of somebody else in the same repository, one of which is removed again.
        let snapshot = format!("_snapshot/{}/other-{round}", world.name);
        ask(&world.a, "PUT", &format!("{snapshot}?wait_for_completion=true"), &json!({ "indices": format!("{}-*", world.name) }).to_string());
        if round % 2 == 1 {
            ask(&world.a, "DELETE", &snapshot, "");
        }
        if round % 3 == 2 {
            copying.kill().unwrap();
        }
        // It may give up when the repository never rests, or be killed, but never leave half of one.
        let ended = copying.wait().unwrap().code();
        assert!(matches!(ended, Some(0 | 3)) || round % 3 == 2, "{ended:?}");
        to.open();
        let name = format!("{}-mirror-{round}", world.name);
        let registration = json!({"type": "fs", "settings": {"location": to.root(), "readonly": true}});
        ask(&world.b, "PUT", &format!("_snapshot/{name}?verify=false"), &registration.to_string());
        let snapshots = ask(&world.b, "GET", &format!("_snapshot/{name}/_all"), "");
        for snapshot in snapshots["snapshots"].as_array().unwrap() {
            let path = format!("_snapshot/{name}/{}/_restore?wait_for_completion=true", snapshot["snapshot"].as_str().unwrap());
            let body = json!({"indices": format!("{}*", world.of("calls")), "rename_pattern": "(.+)", "rename_replacement": "$1-restored", "include_aliases": false});
            let restored = ask(&world.b, "POST", &path, &body.to_string());
            assert_eq!(restored["snapshot"]["shards"]["failed"], 0, "{restored}");
            ask(&world.b, "DELETE", &format!("{}-restored", world.of("calls")), "");
        }
        ask(&world.b, "DELETE", &format!("_snapshot/{name}"), "");
    }
    world.site.run(&["copy", "--to", "other", "--quiet"], 0);
    assert_eq!(fs::read(from.root().join("index.latest")).unwrap(), fs::read(to.root().join("index.latest")).unwrap());
}

/// The name and the content of the newest `index-N`.
fn newest(objects: &[(String, Vec<u8>)]) -> (u64, &[u8]) {
    let indices = objects.iter().filter_map(|(name, bytes)| Some((name.strip_prefix("index-")?.parse().ok()?, bytes.as_slice())));
    indices.max().unwrap()
}

#[test]
fn an_analytics_repository_that_is_written_while_it_is_copied_is_copied_again_and_never_during_a_snapshot() {
    let _lab = Servers::Search.together();
    let runtime = Runtime::new().unwrap();
    let [held, written] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let hold = {
        let (held, written) = (Arc::clone(&held), Arc::clone(&written));
        // In the middle of the objects everything waits until the repository has been written.
        move |request: u64| {
            while request > 8 && !written.load(Ordering::SeqCst) {
                held.store(true, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(20));
            }
            Wire::Pass
        }
    };
    let (mut from, to) = (runtime.block_on(Place::s3(S3::SeaweedFs, "default")), Place::directory());
    from.settings += ", max_snapshot_bytes_per_sec: 2mb";
    let (direct, proxy) = (from.config.clone(), runtime.block_on(Proxy::before(&from.config, hold)));
    from.config = proxy.through(&direct);
    let world = mirrored(&from, &to);
    fill(&world);
    world.site.run(&["backup", "p"], 0);
    let snapshot = |name: &str, index: &str| {
        let body = json!({ "indices": world.of(index), "include_global_state": false }).to_string();
        ask(&world.a, "PUT", &format!("_snapshot/{}/{name}?wait_for_completion={}", world.name, index != "noise"), &body);
    };
    write(&world.a, &world.of("gone"), &["{}".to_owned()]);
    snapshot("gone", "gone");
    let mut copying = world.site.command(&["copy", "--to", "other", "--quiet"]).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(120);
    while !held.load(Ordering::SeqCst) {
        assert!(Instant::now() < end && copying.try_wait().unwrap().is_none(), "the copy does not come to the objects");
        thread::sleep(Duration::from_millis(20));
    }
    ask(&world.a, "DELETE", &format!("_snapshot/{}/gone", world.name), "");
    snapshot("other", "calls");
    written.store(true, Ordering::SeqCst);
    assert_eq!(copying.wait().unwrap().code(), Some(0));
    from.config = direct;
    let both = || runtime.block_on(async { (from.objects().await, to.objects().await) });
    let (live, mirror) = both();
    assert_eq!(newest(&live), newest(&mirror));
    assert_holds(&mirror, &live);
    // One that goes on is waited for: the copy has it.
    make_noise(&world);
    snapshot("slow", "noise");
    let running = ask(&world.a, "GET", &format!("_snapshot/{}/_status", world.name), "");
    assert_eq!(running["snapshots"].as_array().unwrap().len(), 1, "{running}");
    assert_eq!(copied(&world)["snapshots"], 3);
    let (live, mirror) = both();
    assert_eq!(newest(&live), newest(&mirror));
}

#[test]
fn rules_of_the_bucket_that_would_delete_or_lock_analytics_are_told_by_the_backup_and_by_the_restore() {
    use aws_sdk_s3::types::{BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter};
    let _lab = Servers::Search.together();
    let from = Runtime::new().unwrap().block_on(async {
        let place = Place::s3(S3::SeaweedFs, "default").await;
        let url = place.config.url.to_string();
        let bucket = url.strip_prefix("s3://").unwrap().split('/').next().unwrap();
        let rule = |id: &str, prefix: &str| {
            let rule =
                LifecycleRule::builder().id(id).status(ExpirationStatus::Enabled).filter(LifecycleRuleFilter::builder().prefix(prefix).build());
            rule.expiration(LifecycleExpiration::builder().days(30).build()).build().unwrap()
        };
        let rules = BucketLifecycleConfiguration::builder().rules(rule("thirty", "liv")).rules(rule("elsewhere", "logs/")).build().unwrap();
        let client = s3_client(S3::SeaweedFs);
        client.put_bucket_lifecycle_configuration().bucket(bucket).lifecycle_configuration(rules).send().await.unwrap();
        place
    });
    let repository = format!("{{ {}, objects: {} }}", from.repository("64mb"), yaml(&from.config));
    let world = World::with_repository(&repository);
    fill(&world);
    let is_told = |said: &str| said.contains("\"thirty\"") && said.contains("deletes objects after 30 days") && !said.contains("elsewhere");
    let said = world.site.run(&["backup", "p"], 0);
    assert!(is_told(&said), "{said}");
    let said = world.site.run(&["restore", "p", "events", &world.of("calls"), "--into", "spare"], 0);
    assert!(is_told(&said), "the point holds it: {said}");
}
