//! What every store does, whatever it is made of.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use hourglass::{
    model::{ByteCount, ObjectKey, Sha256, Timestamp},
    storage::{Budget, Counting, ErrorKind, Fault, Faults, LARGEST_OBJECT, ObjectStore, Put, PutOptions, Retry, list_after, list_all},
};

use super::places::{S3, azure, below, bucket, container, directory, key, s3};

type Store = Arc<dyn ObjectStore>;

pub async fn put(store: &dyn ObjectStore, key: &ObjectKey, body: impl Into<Bytes>) -> Put {
    let body = body.into();
    let options = PutOptions::of(&body);
    store.put_new(key, body, &options).await.unwrap()
}

async fn conforms(store: Store) {
    what_was_put_comes_back(&*store).await;
    a_range_is_exact_or_refused(&*store).await;
    what_is_missing_is_said_to_be(&*store).await;
    the_second_put_changes_nothing(&*store).await;
    of_sixteen_writers_one_wins(&store).await;
    a_wrong_checksum_stores_nothing(&*store).await;
    an_empty_object_is_an_object(&*store).await;
    a_large_object_comes_back(&*store).await;
    too_large_an_object_is_refused(&*store).await;
    a_listing_is_whole_and_in_order(&*store).await;
    a_version_can_be_read_and_removed(&*store).await;
}

async fn what_was_put_comes_back(store: &dyn ObjectStore) {
    let key = key("A.b_c-d@e/1/x.json");
    let body = Bytes::from_static(b"some bytes");
    assert_eq!(put(store, &key, body.clone()).await, Put::Created);
    assert_eq!(store.get(&key, None).await.unwrap(), body);
    let info = store.head(&key).await.unwrap().unwrap();
    assert_eq!((&info.key, info.size, info.retain_until), (&key, ByteCount(10), None));
    assert!(info.sha256.is_none_or(|kept| kept == PutOptions::of(&body).sha256), "{info:?}");
    assert!(Timestamp::now().duration_since(info.modified).abs() < jiff::SignedDuration::from_mins(5), "{info:?}");
    let listed = list_all(store, "A.b_c-d@e/").await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].key, listed[0].size), (&key, ByteCount(10)));
    store.delete(&key).await.unwrap();
    assert_eq!(store.head(&key).await.unwrap(), None);
    assert_eq!(list_all(store, "A.b_c-d@e/").await.unwrap(), []);
}

async fn a_range_is_exact_or_refused(store: &dyn ObjectStore) {
    let key = key("range");
    assert_eq!(put(store, &key, "0123456789").await, Put::Created);
    for (range, bytes) in [(0..1, "0"), (0..10, "0123456789"), (3..7, "3456"), (9..10, "9")] {
        assert_eq!(store.get(&key, Some(range)).await.unwrap(), bytes);
    }
    for bad in [0..11, 9..12, 10..11, 50..60, 3..3] {
        assert_eq!(store.get(&key, Some(bad.clone())).await.unwrap_err().kind(), ErrorKind::Invalid, "{bad:?}");
    }
}

async fn what_is_missing_is_said_to_be(store: &dyn ObjectStore) {
    for name in ["missing", "missing/too", "range/below-an-object"] {
        let key = key(name);
        let error = store.get(&key, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(store.get(&key, Some(0..1)).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(store.head(&key).await.unwrap(), None);
        assert_eq!(store.versions(&key).await.unwrap(), []);
        store.delete(&key).await.unwrap();
    }
    assert_eq!(list_all(store, "missing").await.unwrap(), []);
}

async fn the_second_put_changes_nothing(store: &dyn ObjectStore) {
    let key = key("twice");
    assert_eq!(put(store, &key, "first").await, Put::Created);
    assert_eq!(put(store, &key, "second").await, Put::AlreadyThere);
    assert_eq!(store.get(&key, None).await.unwrap(), "first");
    store.delete(&key).await.unwrap();
    assert_eq!(put(store, &key, "third").await, Put::Created);
    assert_eq!(store.get(&key, None).await.unwrap(), "third");
}

async fn of_sixteen_writers_one_wins(store: &Store) {
    for round in 0..3 {
        let key = key(&format!("races/{round}"));
        let writers = (0..16).map(|n| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move { (n, put(&*store, &key, format!("writer {n}")).await) })
        });
        let done = futures::future::join_all(writers).await.into_iter().map(Result::unwrap);
        let winners: Vec<_> = done.filter(|(_, put)| *put == Put::Created).map(|(n, _)| n).collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(store.get(&key, None).await.unwrap(), format!("writer {}", winners[0]));
    }
}

async fn a_wrong_checksum_stores_nothing(store: &dyn ObjectStore) {
    let key = key("wrong");
    let options = PutOptions { sha256: Sha256([7; 32]), retain_until: None };
    let error = store.put_new(&key, Bytes::from_static(b"body"), &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChecksumMismatch, "{error}: {:?}", std::error::Error::source(&error));
    assert_eq!(store.head(&key).await.unwrap(), None);
}

async fn an_empty_object_is_an_object(store: &dyn ObjectStore) {
    let key = key("empty");
    assert_eq!(put(store, &key, "").await, Put::Created);
    assert_eq!(put(store, &key, "not empty").await, Put::AlreadyThere);
    assert_eq!(store.get(&key, None).await.unwrap(), "");
    assert_eq!(store.head(&key).await.unwrap().unwrap().size, ByteCount(0));
    assert_eq!(store.get(&key, Some(0..1)).await.unwrap_err().kind(), ErrorKind::Invalid);
}

async fn a_large_object_comes_back(store: &dyn ObjectStore) {
    let key = key("large");
    let body: Bytes = (0..32u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<u8>>().into();
    assert_eq!(put(store, &key, body.clone()).await, Put::Created);
    assert!(store.get(&key, None).await.unwrap() == body);
    let end = body.len() as u64;
    assert!(store.get(&key, Some(end - 100_000..end)).await.unwrap() == body.slice(body.len() - 100_000..));
    store.delete(&key).await.unwrap();
}

async fn too_large_an_object_is_refused(store: &dyn ObjectStore) {
    let body = Bytes::from(vec![0; LARGEST_OBJECT + 1]);
    let options = PutOptions::of(&body);
    assert_eq!(store.put_new(&key("too-large"), body, &options).await.unwrap_err().kind(), ErrorKind::Invalid);
}

async fn a_listing_is_whole_and_in_order(store: &dyn ObjectStore) {
    let mut names: Vec<String> = (0..1500).map(|n| format!("many/{}/{n:04}", n % 3)).collect();
    names.extend(["many/a-b", "many/a.b", "many/a/b", "many/a0", "many/aa", "manya"].map(str::to_owned));
    let puts = stream::iter(names.iter().map(|name| async move { put(store, &key(name), name.clone()).await }));
    assert!(puts.buffer_unordered(16).all(|put| async move { put == Put::Created }).await);
    names.sort_unstable();
    let listed = list_all(store, "many").await.unwrap();
    let strange = listed.iter().zip(&names).find(|(object, name)| object.key.as_str() != **name);
    assert!(listed.len() == names.len() && strange.is_none(), "{} of {}, {strange:?}", listed.len(), names.len());
    assert!(store.list("many", None).await.unwrap().next.is_some(), "a page has an end");
    assert_eq!(list_all(store, "many/a").await.unwrap().len(), 5, "a prefix need not end at a slash");
    assert_eq!(list_all(store, "many/2/").await.unwrap().len(), 500);
    let mut after = Vec::new();
    list_after(store, "many/2/", &key("many/2/1400"), |object| after.push(object.key.to_string())).await.unwrap();
    after.sort_unstable();
    assert_eq!(after, (1401..1500).filter(|n| n % 3 == 2).map(|n| format!("many/2/{n:04}")).collect::<Vec<_>>());
    assert!(store.folders("").await.unwrap().contains("many"));
    let folders = store.folders("many/").await.unwrap();
    assert_eq!(folders.iter().map(String::as_str).collect::<Vec<_>>(), ["0", "1", "2", "a"]);
    assert!(store.folders("missing/").await.unwrap().is_empty());
}

async fn a_version_can_be_read_and_removed(store: &dyn ObjectStore) {
    let (ours, longer) = (key("versioned"), key("versioned-otherwise"));
    assert_eq!(put(store, &ours, "body").await, Put::Created);
    assert_eq!(put(store, &longer, "other").await, Put::Created);
    let versions = store.versions(&ours).await.unwrap();
    assert_eq!(versions.len(), 1, "{versions:?}");
    assert!(versions[0].is_latest && !versions[0].is_delete_marker && versions[0].size == ByteCount(4), "{versions:?}");
    assert_eq!(store.get_version(&ours, &versions[0].version).await.unwrap(), "body");
    store.delete_version(&ours, &versions[0].version).await.unwrap();
    assert_eq!(store.head(&ours).await.unwrap(), None);
    assert_eq!(store.versions(&ours).await.unwrap(), []);
    assert!(store.head(&longer).await.unwrap().is_some());
}

async fn keeps_to_its_prefix(whole: Store, part: Store) {
    assert_eq!(put(&*whole, &key("deep/erx"), "a neighbour").await, Put::Created);
    assert_eq!(put(&*whole, &key("outside"), "a stranger").await, Put::Created);
    assert_eq!(list_all(&*part, "").await.unwrap(), []);
    assert_eq!(put(&*part, &key("outside"), "ours").await, Put::Created);
    assert_eq!(whole.get(&key("deep/er/outside"), None).await.unwrap(), "ours");
    assert_eq!(list_all(&*part, "").await.unwrap().iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), ["outside"]);
    assert_eq!(part.versions(&key("outside")).await.unwrap().len(), 1);
    part.delete(&key("outside")).await.unwrap();
    assert_eq!(whole.get(&key("outside"), None).await.unwrap(), "a stranger");
}

pub fn hasty() -> Budget {
    Budget { attempts: 30, first_wait: Duration::from_micros(100), longest_wait: Duration::from_millis(2), ..Budget::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_conforms() {
    let (_root, store) = directory();
    conforms(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seaweedfs_conforms() {
    let config = bucket(S3::SeaweedFs, None).await;
    conforms(s3(&config).await).await;
    keeps_to_its_prefix(s3(&config).await, s3(&below(&config, "deep/er")).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versitygw_conforms() {
    let config = bucket(S3::VersityGw, None).await;
    conforms(s3(&config).await).await;
    keeps_to_its_prefix(s3(&config).await, s3(&below(&config, "deep/er")).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azurite_conforms() {
    let (_folder, config) = container(None).await;
    conforms(azure(&config)).await;
    keeps_to_its_prefix(azure(&config), azure(&below(&config, "deep/er"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_conforms() {
    let (_root, store) = directory();
    let counting = Arc::new(Counting::new(store));
    conforms(counting.clone()).await;
    assert!(counting.requests() > 1500);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_without_a_fault_conform() {
    let (_root, store) = directory();
    conforms(Arc::new(Faults::new(store, |_| Fault::None))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_over_a_store_that_often_fails_conform() {
    let (_root, store) = directory();
    let seed = getrandom::u64().unwrap();
    println!("seed {seed}");
    let counting = Arc::new(Counting::new(Arc::new(Faults::seeded(store, seed, 0.3))));
    conforms(Arc::new(Retry::new(counting.clone(), hasty(), seed))).await;
    let failures = counting.count(hourglass::storage::OperationKind::Put).failures;
    assert!(failures > 100, "only {failures} puts failed");
}
