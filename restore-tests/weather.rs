//! Bad weather over the clouds: faults around the real clients, and on the wire between them and real servers.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hourglass::{
    config::{StoreConfig, StoreUrl},
    storage::{Budget, ErrorKind, ObjectStore, Put, PutOptions, Retry, StoreError, list_all},
};

use crate::{
    crash::{
        snapshot::{fill, noise},
        world::{Stores, World},
    },
    faults::{dice, survives, weather},
    stores::places::{S3, azure, bucket, container, key, s3},
    wire::{Proxy, Wire},
};

/// As patient with one request as a loaded machine needs, and not with the waits between them.
fn patient() -> Budget {
    let (attempt, longest_wait) = (Duration::from_secs(3), Duration::from_millis(20));
    Budget { attempts: 16, total: Duration::from_secs(300), attempt, first_wait: Duration::from_millis(1), longest_wait }
}

async fn places() -> (tempfile::TempDir, Vec<StoreConfig>) {
    let (folder, azure) = container(None).await;
    (folder, vec![bucket(S3::SeaweedFs, None).await, bucket(S3::VersityGw, None).await, azure])
}

/// The client alone, without retries.
async fn client(config: &StoreConfig) -> Arc<dyn ObjectStore> {
    match config.url {
        StoreUrl::S3 { .. } => s3(config).await,
        _ => azure(config),
    }
}

async fn backs_up_in_weather(place: &StoreConfig, seed: u64) {
    let source = World::new();
    fill(&source.tree(), &source.dump(), 16);
    let world = source.lifted(place).await;
    let plain = world.stores();
    let stores = Stores { data: weather(plain.data, seed, patient()), control: weather(plain.control, seed + 1000, patient()) };
    survives(&source, &world, &stores, &format!("{} seed {seed}", place.url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clouds_in_bad_weather_lose_and_double_nothing() {
    let (_folder, places) = places().await;
    futures::future::join_all((1..).zip(&places).map(|(seed, place)| backs_up_in_weather(place, seed))).await;
}

/// A store of `config` whose first request has this fault, and whether it came to that.
async fn once(config: &StoreConfig, wire: Wire) -> (Proxy, Arc<dyn ObjectStore>) {
    let is_due = AtomicBool::new(true);
    let proxy = Proxy::before(config, move |_| if is_due.swap(false, Ordering::SeqCst) { wire } else { Wire::Pass }).await;
    let store = client(&proxy.through(config)).await;
    (proxy, store)
}

async fn put(store: &dyn ObjectStore, name: &str, body: &Bytes) -> Result<Put, StoreError> {
    store.put_new(&key(name), body.clone(), &PutOptions::of(body)).await
}

const WIRES: [(Wire, ErrorKind); 7] = [
    (Wire::Status(503), ErrorKind::Unavailable),
    (Wire::Status(500), ErrorKind::Unavailable),
    (Wire::Status(429), ErrorKind::Throttled),
    (Wire::CutRequest, ErrorKind::Unavailable),
    (Wire::CutAnswer, ErrorKind::Unavailable),
    (Wire::LostAnswer, ErrorKind::Unavailable),
    (Wire::BlackHole, ErrorKind::Unavailable),
];

/// A fault that is not tried again is told as what it was, and a put that took effect is there; tried again, everything is as it should be.
async fn one_fault(config: &StoreConfig, wire: Wire, kind: ErrorKind) {
    let (body, why) = (Bytes::from(noise(7, 300_000)), format!("{wire:?} before {}", config.url));
    let plain = client(config).await;
    let impatient = Budget { attempt: Duration::from_secs(if wire == Wire::BlackHole { 2 } else { 60 }), ..patient() };
    let hurried = Budget { attempts: 1, ..impatient };
    let name = |what: &str| format!("{what}-{wire:?}").replace(['(', ')'], "-");

    let (_proxy, store) = once(config, wire).await;
    let told = put(&Retry::new(store, hurried, 1), &name("told"), &body).await;
    // The answer to a put has no body that could break off.
    assert!(matches!((&told, wire), (Err(error), _) if error.kind() == kind) || wire == Wire::CutAnswer, "{why}: {told:?}");
    let is_there = plain.head(&key(&name("told"))).await.unwrap().is_some();
    assert_eq!(is_there, matches!(wire, Wire::LostAnswer | Wire::CutAnswer), "{why}");

    let (_proxy, store) = once(config, wire).await;
    let retry = Retry::new(store, impatient, 1);
    assert_eq!(put(&retry, &name("retried"), &body).await.unwrap(), Put::Created, "{why}");
    assert_eq!(put(&retry, &name("retried"), &Bytes::from_static(b"another")).await.unwrap(), Put::AlreadyThere, "{why}");

    let (_proxy, store) = once(config, wire).await;
    let error = Retry::new(store, hurried, 1).get(&key(&name("retried")), None).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{why}: {error}");
    for range in [None, Some(1_000..290_000)] {
        let (_proxy, store) = once(config, wire).await;
        let expected = range.clone().map_or(body.clone(), |range: std::ops::Range<u64>| body.slice(range.start as usize..range.end as usize));
        assert!(Retry::new(store, impatient, 1).get(&key(&name("retried")), range).await.unwrap() == expected, "{why}");
    }
    let (_proxy, store) = once(config, wire).await;
    let listed = list_all(&Retry::new(store, impatient, 1), &name("retried")).await.unwrap();
    assert_eq!(listed.len(), 1, "{why}");
    let (_proxy, store) = once(config, wire).await;
    assert_eq!(Retry::new(store, impatient, 1).head(&key(&name("retried"))).await.unwrap().unwrap().size.0, 300_000, "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fault_on_the_wire_is_told_as_what_it_was_and_mended_by_asking_again() {
    let (_folder, places) = places().await;
    let all = places.iter().flat_map(|place| WIRES.iter().map(move |(wire, kind)| one_fault(place, *wire, *kind)));
    futures::future::join_all(all).await;
}

/// Left to itself, the next attempt would follow within milliseconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_asks_to_be_left_alone_for_a_second_is() {
    let (_folder, places) = places().await;
    let budget = Budget { longest_wait: Duration::from_secs(2), ..patient() };
    for place in &places {
        for status in [429, 503] {
            let (_proxy, store) = once(place, Wire::Status(status)).await;
            let began = Instant::now();
            assert!(Retry::new(store, budget, 1).head(&key("nothing")).await.unwrap().is_none());
            assert!(began.elapsed() >= Duration::from_secs(1), "{status} before {}", place.url);
        }
    }
}

/// All of them by turns, in a sixth of the requests.
fn storm(seed: u64) -> impl Fn(u64) -> Wire + Send + Sync + 'static {
    move |number| match dice(seed, number) % 48 {
        0 => Wire::Status(503),
        1 => Wire::Status(429),
        2 => Wire::CutRequest,
        3 => Wire::CutAnswer,
        4 | 5 => Wire::LostAnswer,
        6 | 7 => Wire::Slow(Duration::from_millis(20)),
        8 if number.is_multiple_of(4) => Wire::BlackHole,
        _ => Wire::Pass,
    }
}

async fn backs_up_in_a_storm(place: &StoreConfig, seed: u64) {
    let source = World::new();
    fill(&source.tree(), &source.dump(), 16);
    let proxy = Proxy::before(place, storm(seed)).await;
    let world = source.lifted(place).await;
    let config = world.config();
    let stormy = async |config: &StoreConfig| Arc::new(Retry::new(client(&proxy.through(config)).await, patient(), seed));
    let stores = Stores { data: stormy(&config.locations["primary"]).await, control: stormy(&config.control).await };
    survives(&source, &world, &stores, &format!("{} seed {seed}", place.url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_and_restores_come_through_a_storm_on_the_wire() {
    let (_folder, places) = places().await;
    futures::future::join_all((1..).zip(&places).map(|(seed, place)| backs_up_in_a_storm(place, seed))).await;
}

/// What a server that is overloaded sees of us: fewer and fewer requests, and an end.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_patience_all_the_time_is_asked_at_growing_intervals_and_given_up() {
    let (_folder, places) = places().await;
    for place in &places {
        let (seen, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        let (noted, counted) = (Arc::clone(&seen), Arc::clone(&count));
        let proxy = Proxy::before(place, move |_| {
            noted.lock().unwrap().push(Instant::now());
            Wire::Status(if counted.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { 503 } else { 429 })
        })
        .await;
        let waits = Budget { attempts: 6, first_wait: Duration::from_millis(20), longest_wait: Duration::from_millis(500), ..patient() };
        let error = Retry::new(client(&proxy.through(place)).await, waits, 3).get(&key("a"), None).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Unavailable), "{error}");
        assert!(error.to_string().contains("gave up after 6 attempts"), "{error}");
        // The clients themselves try nothing again: 6 attempts are 6 requests.
        assert_eq!(seen.lock().unwrap().len(), 6, "{}", place.url);
    }
}

/// A server that is away for a while, connections refused and all, is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_nobody_can_connect_to_is_unavailable_and_waited_for() {
    let (_folder, places) = places().await;
    for place in &places {
        let plain = client(place).await;
        let body = Bytes::from_static(b"here");
        assert_eq!(put(&*plain, "waited-for", &body).await.unwrap(), Put::Created);
        let proxy = Proxy::before(place, |_| Wire::Pass).await;
        let config = proxy.through(place);
        drop(proxy);
        let store = client(&config).await;
        let error = store.get(&key("waited-for"), None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.is_transient());
    }
}
