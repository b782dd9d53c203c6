//! Every fault does what its name says, and retries settle what can be settled.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hourglass::{
    model::Timestamp,
    storage::{Budget, Counting, DirectoryStore, ErrorKind, Fault, Faults, ObjectStore, Operation, OperationKind, Put, PutOptions, Retry, list_all},
};

use super::{
    conformance::{hasty, put},
    places::{directory, key},
};

/// One fault at the first request of a kind.
fn once(store: Arc<DirectoryStore>, kind: OperationKind, fault: Fault) -> Arc<Faults> {
    let left = std::sync::atomic::AtomicBool::new(true);
    let script = move |operation: &Operation| match operation.kind == kind && left.swap(false, std::sync::atomic::Ordering::SeqCst) {
        true => fault,
        false => Fault::None,
    };
    Arc::new(Faults::new(store, script))
}

#[tokio::test]
async fn each_fault_shows_its_kind_and_takes_effect_or_not() {
    let cases = [
        (Fault::Unavailable, ErrorKind::Unavailable, false),
        (Fault::Throttled, ErrorKind::Throttled, false),
        (Fault::AccessDenied, ErrorKind::AccessDenied, false),
        (Fault::LostAcknowledgement, ErrorKind::Unavailable, true),
        (Fault::Crash, ErrorKind::Other, false),
        (Fault::CrashAfter, ErrorKind::Other, true),
    ];
    for (fault, kind, has_effect) in cases {
        let (_root, store) = directory();
        let faulty = once(store.clone(), OperationKind::Put, fault);
        let body = Bytes::from_static(b"body");
        let error = faulty.put_new(&key("a"), body.clone(), &PutOptions::of(&body)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fault:?}");
        assert_eq!(store.head(&key("a")).await.unwrap().is_some(), has_effect, "{fault:?}");
        let is_dead = faulty.head(&key("a")).await.is_err();
        assert_eq!(is_dead, matches!(fault, Fault::Crash | Fault::CrashAfter), "{fault:?}");
    }
}

#[tokio::test]
async fn faults_of_reading_cut_damage_delay_and_hide() {
    let (_root, store) = directory();
    assert_eq!(put(&*store, &key("old"), "0123456789").await, Put::Created);
    let cut = once(store.clone(), OperationKind::Get, Fault::CutBody);
    assert_eq!(cut.get(&key("old"), None).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let flipped = once(store.clone(), OperationKind::Get, Fault::FlippedBit);
    assert_eq!(flipped.get(&key("old"), None).await.unwrap(), "0123446789");
    assert_eq!(flipped.get(&key("old"), None).await.unwrap(), "0123456789");
    let slow = once(store.clone(), OperationKind::Get, Fault::Slow(Duration::from_millis(50)));
    let began = Instant::now();
    assert_eq!(slow.get(&key("old"), None).await.unwrap(), "0123456789");
    assert!(began.elapsed() >= Duration::from_millis(50));
    tokio::time::sleep(Duration::from_millis(20)).await;
    let stale = once(store.clone(), OperationKind::List, Fault::StaleList(Timestamp::now()));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(put(&*stale, &key("new"), "x").await, Put::Created);
    assert_eq!(list_all(&*stale, "").await.unwrap().len(), 1);
    assert_eq!(list_all(&*stale, "").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_read_only_store_refuses_every_change() {
    let (_root, store) = directory();
    assert_eq!(put(&*store, &key("a"), "x").await, Put::Created);
    let store = Faults::read_only(store);
    let body = Bytes::from_static(b"x");
    assert_eq!(store.put_new(&key("b"), body.clone(), &PutOptions::of(&body)).await.unwrap_err().kind(), ErrorKind::AccessDenied);
    assert_eq!(store.delete(&key("a")).await.unwrap_err().kind(), ErrorKind::AccessDenied);
    assert_eq!(store.delete_version(&key("a"), "null").await.unwrap_err().kind(), ErrorKind::AccessDenied);
    assert_eq!(store.get(&key("a"), None).await.unwrap(), "x");
}

#[tokio::test]
async fn a_lost_acknowledgement_is_settled_by_reading_back() {
    let (_root, store) = directory();
    let faulty = once(store.clone(), OperationKind::Put, Fault::LostAcknowledgement);
    let retry = Retry::new(faulty, hasty(), 1);
    assert_eq!(put(&retry, &key("a"), "mine").await, Put::Created);
    assert_eq!(put(&retry, &key("a"), "mine").await, Put::AlreadyThere, "nothing was lost this time");
}

#[tokio::test]
async fn another_writers_object_is_not_taken_for_ours_after_a_lost_acknowledgement() {
    for theirs in ["them", "longer than ours"] {
        let (_root, store) = directory();
        assert_eq!(put(&*store, &key("a"), theirs).await, Put::Created);
        let faulty = once(store.clone(), OperationKind::Put, Fault::LostAcknowledgement);
        assert_eq!(put(&Retry::new(faulty, hasty(), 1), &key("a"), "mine").await, Put::AlreadyThere);
    }
}

#[tokio::test]
async fn a_spent_budget_says_how_often_and_how_long() {
    let (_root, store) = directory();
    let counting = Arc::new(Counting::new(Arc::new(Faults::new(store, |_| Fault::Throttled))));
    let retry = Retry::new(counting.clone(), Budget { attempts: 4, ..hasty() }, 1);
    let error = retry.get(&key("a"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert!(error.to_string().contains("gave up after 4 attempts in "), "{error}");
    assert!(error.source().is_none() || !error.to_string().contains(&error.source().unwrap().to_string()));
    assert_eq!(counting.count(OperationKind::Get).failures, 4);
    let hurried = Budget { total: Duration::ZERO, ..Budget::default() };
    assert!(Retry::new(counting, hurried, 1).head(&key("a")).await.unwrap_err().to_string().contains("gave up after 1 attempts"));
}

#[tokio::test]
async fn what_is_not_transient_is_not_tried_again() {
    let (_root, store) = directory();
    let counting = Arc::new(Counting::new(store));
    let retry = Retry::new(counting.clone(), hasty(), 1);
    assert_eq!(retry.get(&key("missing"), None).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(counting.requests(), 1);
    assert!(retry.describe().starts_with("retry(counting(file:///"), "{}", retry.describe());
}

#[tokio::test]
async fn a_silent_store_is_given_up_and_asked_again() {
    let (_root, store) = directory();
    assert_eq!(put(&*store, &key("a"), "x").await, Put::Created);
    let faulty = once(store, OperationKind::Get, Fault::Silence);
    let retry = Retry::new(faulty.clone(), Budget { attempt: Duration::from_millis(100), ..hasty() }, 1);
    assert_eq!(retry.get(&key("a"), None).await.unwrap(), "x");
    assert_eq!(faulty.operations(), 2);
}

#[tokio::test]
async fn counts_tell_requests_failures_and_bytes() {
    let (_root, store) = directory();
    let counting = Counting::new(store);
    assert_eq!(put(&counting, &key("a"), "12345").await, Put::Created);
    assert_eq!(put(&counting, &key("a"), "12345").await, Put::AlreadyThere);
    assert_eq!(counting.get(&key("a"), Some(1..3)).await.unwrap(), "23");
    assert!(counting.get(&key("b"), None).await.is_err());
    let (puts, gets) = (counting.count(OperationKind::Put), counting.count(OperationKind::Get));
    assert_eq!((puts.requests, puts.failures, puts.bytes.0), (2, 0, 5));
    assert_eq!((gets.requests, gets.failures, gets.bytes.0), (2, 1, 2));
}
