use bytes::Bytes;
use jiff::ToSpan;

use super::*;
use crate::{
    repository::record::{
        Body, EpochClose, Expire, ExpiredPoint, Mark, Prune,
        testing::{EPOCH, Lab, id, mark},
    },
    storage::PutOptions,
};

const OTHER: &str = "20261115T000000Z-00ff00ff";

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

async fn expire(lab: &Lab, number: u64, delete_after: Timestamp) {
    let points = vec![ExpiredPoint { number: EntryNumber(number), reason: "retention".to_owned() }];
    lab.append(&lab.expire, Body::Expire(Expire { points, seen: now(), delete_after })).await.unwrap();
}

/// Two rolling epochs with a point each: entries 1 to 4.
async fn lab() -> Lab {
    let lab = Lab::new().await;
    for epoch in [EPOCH, OTHER] {
        lab.append(&lab.capture, lab.open(epoch, EpochMode::Rolling)).await.unwrap();
        lab.append(&lab.capture, lab.point(epoch)).await.unwrap();
    }
    lab
}

fn why(plan: &PrunePlan, epoch: &str) -> String {
    plan.keep.iter().find(|kept| kept.epoch == id(epoch)).map(|kept| kept.why.clone()).unwrap_or_default()
}

#[tokio::test]
async fn an_epoch_goes_only_when_it_is_closed_given_up_waited_for_and_held_by_nobody() {
    let lab = lab().await;
    let later = now() + 8.hours();
    let at = async |time| plan(&lab.load().await, &[], time).unwrap();
    assert!(why(&at(now()).await, EPOCH).contains("less than two days"));
    assert!(why(&at(now() + 1000.hours()).await, OTHER).contains("newest"));
    assert_eq!(at(now() + 49.hours()).await.close.len(), 1, "a stale epoch is closed, with its live point");
    expire(&lab, 2, later).await;
    assert_eq!(at(now()).await.close[0].epoch, id(EPOCH));
    lab.append(&lab.capture, Body::EpochClose(EpochClose { epoch: id(EPOCH), reason: "prune".to_owned() })).await.unwrap();
    assert!(why(&at(now()).await, EPOCH).contains("may be deleted after"));
    assert_eq!(at(later).await.delete[0].expire, EntryNumber(5));
    let record = lab.load().await;
    lab.append(&lab.operator, Body::Hold(mark(&record, EntryNumber(2)))).await.unwrap();
    assert!(why(&at(later).await, EPOCH).contains("held in the record of production@we/1"));
    lab.append(&lab.operator, Body::Release(mark(&record, EntryNumber(2)))).await.unwrap();
    assert_eq!(at(later).await.delete.len(), 1);
}

#[tokio::test]
async fn what_another_lineage_holds_is_kept_and_a_record_with_a_gap_stops_everything() {
    let mut lab = lab().await;
    expire(&lab, 2, now()).await;
    lab.append(&lab.capture, Body::EpochClose(EpochClose { epoch: id(EPOCH), reason: "prune".to_owned() })).await.unwrap();
    let record = lab.load().await;
    let held: Mark = mark(&record, EntryNumber(2));
    lab.lineage = "standby@ne/1".parse().unwrap();
    lab.append(&lab.operator, Body::Hold(held)).await.unwrap();
    let other = lab.load().await;
    assert_eq!(plan(&record, &[], now()).unwrap().delete.len(), 1);
    assert!(why(&plan(&record, &[&other], now()).unwrap(), EPOCH).contains("standby@ne/1"));
    lab.lineage = record.lineage().clone();
    lab.store.delete(&layout::record(&lab.lineage, EntryNumber(3))).await.unwrap();
    assert!(matches!(plan(&lab.load().await, &[], now()), Err(RepositoryError::Gap { .. })));
}

#[tokio::test]
async fn an_interrupted_deletion_is_finished_by_the_next_and_touches_no_other_epoch() {
    let lab = lab().await;
    expire(&lab, 2, now()).await;
    lab.append(&lab.capture, Body::EpochClose(EpochClose { epoch: id(EPOCH), reason: "prune".to_owned() })).await.unwrap();
    let digest = Sha256([7; 32]);
    for epoch in [EPOCH, OTHER] {
        for key in [layout::pack(&lab.lineage, &id(epoch), digest), layout::packlist(&lab.lineage, &id(epoch), digest)] {
            let _put = lab.store.put_new(&key, Bytes::from_static(b"x"), &PutOptions::of(b"x")).await.unwrap();
        }
    }
    let record = lab.load().await;
    let deletion = plan(&record, &[], now()).unwrap().delete.remove(0);
    assert!(deletion.sealed.is_empty(), "both epochs of this lab name the same sealed part");
    let stopped = Context::default();
    stopped.cancel.raise();
    let first = delete_epoch(&lab.store, &record, &deletion, &stopped).await.unwrap();
    assert!(first.cancelled && !first.is_finished());
    let second = delete_epoch(&lab.store, &record, &deletion, &Context::default()).await.unwrap();
    assert!(second.is_finished());
    assert_eq!(first.objects + second.objects, 2);
    let left = list_all(&lab.store, &format!("{}/packs/", lab.lineage)).await.unwrap();
    assert_eq!(left.iter().map(|object| object.key.clone()).collect::<Vec<_>>(), [layout::pack(&lab.lineage, &id(OTHER), digest)]);
    let body = Prune { epoch: id(EPOCH), expire: deletion.expire, objects: 2, bytes: ByteCount(2) };
    lab.append(&lab.expire, Body::Prune(body)).await.unwrap();
    assert!(plan(&lab.load().await, &[], now()).unwrap().delete.is_empty());
    assert_eq!(leftovers(&lab.load().await).len(), 1);
}
