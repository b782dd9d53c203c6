//! What somebody with a stolen key, or with write access, tries.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    testing::{EPOCH, Lab, mark, run, wrapping},
    *,
};
use crate::{
    model::{EntryNumber, Sha256, Timestamp},
    pipeline::sha256,
    repository::{
        ErrorKind, RepositoryError,
        keys::SigningKey,
        layout,
        trust::{Revocation, Role},
    },
    storage::{ObjectStore, Put, PutOptions},
};

/// Puts bytes where an entry belongs, with a signature or without, as anybody with the right to put can.
async fn plant(lab: &Lab, number: EntryNumber, bytes: &[u8], key: Option<&SigningKey>) {
    let place = layout::record(&lab.lineage, number);
    if let Some(key) = key {
        let signature = key.sign(&place, bytes);
        let options = PutOptions::of(signature.as_bytes());
        let at = layout::signature(&lab.lineage, sha256(bytes));
        assert_eq!(lab.store.put_new(&at, Bytes::from(signature), &options).await.unwrap(), Put::Created);
    }
    assert_eq!(lab.store.put_new(&place, Bytes::copy_from_slice(bytes), &PutOptions::of(bytes)).await.unwrap(), Put::Created);
}

async fn reasons(lab: &Lab) -> Vec<VoidReason> {
    lab.load().await.voids().iter().map(|void| void.reason.clone()).collect()
}

#[tokio::test]
async fn squatted_numbers_are_void_and_the_chain_goes_on() {
    let lab = Lab::new().await;
    lab.append(&lab.capture, run("first")).await.unwrap();
    plant(&lab, EntryNumber(2), b"junk", None).await;
    plant(&lab, EntryNumber(3), &vec![b' '; 2 << 20], None).await;
    let fourth = lab.append(&lab.capture, run("fourth")).await.unwrap();
    let record = lab.load().await;
    assert_eq!(fourth.number, EntryNumber(4));
    assert_eq!(reasons(&lab).await, [VoidReason::Unreadable, VoidReason::TooLarge]);
    assert_eq!(record.entry(EntryNumber(4)).unwrap().entry.void.len(), 2);
    // A number far away is neither an entry nor a gap, whoever has put it.
    plant(&lab, EntryNumber(u64::MAX), b"junk", None).await;
    let record = lab.load().await;
    assert_eq!((record.gap(), record.strays()), (None, &[EntryNumber(u64::MAX)][..]));
    lab.append(&lab.capture, run("fifth")).await.unwrap();
}

#[tokio::test]
async fn a_writer_stops_after_64_voids_in_a_row() {
    let lab = Lab::new().await;
    for number in 1..=63 {
        plant(&lab, EntryNumber(number), b"junk", None).await;
    }
    lab.append(&lab.capture, run("after 63")).await.unwrap();
    for number in 65..=128 {
        plant(&lab, EntryNumber(number), b"junk", None).await;
    }
    let error = lab.append(&lab.capture, run("after 64")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck);
}

#[tokio::test]
async fn a_capture_key_cannot_expire_hold_release_prove_or_write_for_another_site() {
    let mut lab = Lab::new().await;
    lab.append(&lab.capture, lab.open(EPOCH, EpochMode::Rolling)).await.unwrap();
    let point = lab.append(&lab.capture, lab.point(EPOCH)).await.unwrap();
    let record = lab.load().await;
    let time: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let named = mark(&record, point.number);
    let proof = |depth| {
        let (point, location) = (named.point.clone(), "primary".to_owned());
        Body::Proof(Proof { of: Proven::Point { point, location, depth, outcome: ProofOutcome::Passed, problems: 0 } })
    };
    let forbidden = [
        Body::Expire(Expire { points: vec![ExpiredPoint { number: point.number, reason: String::new() }], seen: time, delete_after: time }),
        Body::Hold(named.clone()),
        Body::Release(named.clone()),
        Body::Suspect(named.clone()),
        proof(Depth::Restorable),
        proof(Depth::Restored),
        Body::Proof(Proof { of: Proven::Vault { vault: lab.vault.id.clone(), wrapping: wrapping(1) } }),
    ];
    let mut voids = 0;
    for body in forbidden {
        let kind = body.kind();
        let refused = lab.append(&lab.capture, body.clone()).await.unwrap_err();
        assert!(matches!(&refused, RepositoryError::Refused { reason: VoidReason::NotAllowed(..), .. }), "{kind}: {refused:?}");
        let record = lab.load().await;
        let entry = lab.entry(&record, &lab.capture, body);
        plant(&lab, entry.number, &entry.to_bytes(), Some(&lab.capture)).await;
        voids += 1;
        assert_eq!(lab.load().await.voids().len(), voids, "{kind}");
    }
    assert!(reasons(&lab).await.iter().all(|reason| matches!(reason, VoidReason::NotAllowed(..))));
    lab.append(&lab.capture, proof(Depth::Intact)).await.unwrap();
    lab.append(&lab.verify, proof(Depth::Restored)).await.unwrap();
    assert_eq!(lab.append(&lab.verify, Body::Hold(named.clone())).await.unwrap_err().kind(), ErrorKind::NotAllowed);
    assert_eq!(lab.append(&lab.expire, run("x")).await.unwrap_err().kind(), ErrorKind::NotAllowed);
    lab.append(&lab.operator, Body::Hold(named.clone())).await.unwrap();
    let state = lab.load().await.state().clone();
    assert!(state.is_held(&named.point.id, named.point.sha256) && state.verified[&named.point] == Depth::Restored);
    assert!(state.expired.is_empty() && state.suspects.is_empty() && state.proven_vaults.is_empty());
    lab.lineage = "production@ne/1".parse().unwrap();
    assert_eq!(lab.append(&lab.capture, run("other site")).await.unwrap_err().kind(), ErrorKind::NotAllowed);
}

#[tokio::test]
async fn entries_of_another_record_another_repository_or_another_key_are_void() {
    let lab = Lab::new().await;
    let other = Lab::with_repository(&"1f".repeat(16)).await;
    let stranger = SigningKey::generate();
    lab.append(&lab.capture, run("first")).await.unwrap();
    type Change = fn(&mut Entry);
    let plants: [(Change, &SigningKey); 6] = [
        (|entry| entry.lineage = "other@we/1".parse().unwrap(), &lab.capture),
        (|entry| entry.number = EntryNumber(1), &lab.capture),
        (|entry| entry.prev = Sha256([1; 32]), &lab.capture),
        (|entry| entry.void.clear(), &lab.capture),
        (|entry| entry.trust.number = 9, &lab.capture),
        (|_| {}, &stranger),
    ];
    let entry = Entry { repository: other.repository.clone(), ..lab.entry(&lab.load().await, &lab.capture, run("foreign")) };
    plant(&lab, entry.number, &entry.to_bytes(), Some(&lab.capture)).await;
    for (change, key) in plants {
        let mut entry = lab.entry(&lab.load().await, key, run("forged"));
        let number = entry.number;
        change(&mut entry);
        plant(&lab, number, &entry.to_bytes(), Some(key)).await;
    }
    let entry = lab.entry(&lab.load().await, &lab.capture, run("signed by another than it says"));
    plant(&lab, entry.number, &entry.to_bytes(), Some(&stranger)).await;
    let shown: Vec<String> = reasons(&lab).await.iter().map(|reason| format!("{reason:?}").split('(').next().unwrap().to_owned()).collect();
    let wanted = ["OtherRepository", "OtherLineage", "OtherNumber", "WrongPrev", "WrongVoid", "UnknownTrust", "NotAllowed", "BadSignature"];
    assert_eq!(shown, wanted);
    lab.append(&lab.capture, run("second")).await.unwrap();
    assert_eq!(lab.load().await.entries().len(), 2);
}

#[tokio::test]
async fn a_revoked_signer_keeps_what_was_accepted_and_loses_the_rest() {
    let mut lab = Lab::new().await;
    for name in ["one", "two", "three"] {
        lab.append(&lab.capture, run(name)).await.unwrap();
    }
    let state = lab.folder.path().join("heads.json");
    let mut heads = Heads::open(&state).unwrap();
    heads.remember("primary", &lab.load().await).unwrap();
    let thief = std::mem::replace(&mut lab.capture, SigningKey::generate());
    let last_accepted = BTreeMap::from([(lab.lineage.clone(), EntryNumber(2))]);
    let revoked = Revocation { key: thief.public().clone(), last_accepted, reason: "stolen".to_owned() };
    // The root may even list the old key again: what it takes back it takes back.
    let again = super::testing::signer("old", Role::Capture, thief.public());
    lab.trust(|content| {
        content.revoked.push(revoked);
        content.signers.push(again);
    })
    .await
    .unwrap();
    let record = lab.load().await;
    assert_eq!(record.entries().len(), 2);
    assert_eq!(reasons(&lab).await, [VoidReason::Revoked(thief.public().clone())]);
    assert_eq!(heads.check("primary", &record).unwrap(), Standing::Current);
    assert_eq!(lab.append(&thief, run("again")).await.unwrap_err().kind(), ErrorKind::NotAllowed);
    lab.append(&lab.capture, run("new key")).await.unwrap();
    assert_eq!(lab.load().await.entries().len(), 3);
}

#[tokio::test]
async fn an_older_trust_is_not_named_after_a_newer_one() {
    let mut lab = Lab::new().await;
    let old = lab.trusts.head().unwrap();
    let thief = lab.capture.clone();
    lab.append(&lab.capture, run("one")).await.unwrap();
    lab.capture = SigningKey::generate();
    lab.trust(|_| {}).await.unwrap();
    lab.append(&lab.capture, run("two")).await.unwrap();
    let entry = Entry { trust: old, ..lab.entry(&lab.load().await, &thief, run("three")) };
    plant(&lab, entry.number, &entry.to_bytes(), Some(&thief)).await;
    assert_eq!(reasons(&lab).await, [VoidReason::OldTrust(1)]);
}

#[tokio::test]
async fn a_rolled_back_or_rewritten_head_is_noticed() {
    let lab = Lab::new().await;
    let path = lab.folder.path().join("heads.json");
    for name in ["one", "two"] {
        lab.append(&lab.capture, run(name)).await.unwrap();
    }
    let mut heads = Heads::open(&path).unwrap();
    heads.remember("primary", &lab.load().await).unwrap();
    lab.store.delete(&layout::record(&lab.lineage, EntryNumber(2))).await.unwrap();
    let heads = Heads::open(&path).unwrap();
    assert_eq!(heads.check("primary", &lab.load().await).unwrap(), Standing::Behind { remembered: EntryNumber(2) });
    assert!(matches!(heads.require_current("primary", &lab.load().await), Err(RepositoryError::Behind { .. })));
    assert_eq!(heads.check("other", &lab.load().await).unwrap(), Standing::Current);
    lab.append(&lab.capture, run("instead")).await.unwrap();
    let error = heads.check("primary", &lab.load().await).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fork, "{error}");
}

#[tokio::test]
async fn a_missing_entry_below_signed_ones_is_a_gap_that_stops_writers() {
    let lab = Lab::new().await;
    for name in ["one", "two", "three", "four"] {
        lab.append(&lab.capture, run(name)).await.unwrap();
    }
    lab.store.delete(&layout::record(&lab.lineage, EntryNumber(2))).await.unwrap();
    let record = lab.load().await;
    assert_eq!(record.gap(), Some(Gap { number: EntryNumber(2), highest: EntryNumber(4), above: 2 }));
    assert_eq!(record.entries().len(), 1);
    assert_eq!(lab.append(&lab.capture, run("five")).await.unwrap_err().kind(), ErrorKind::Damage);
}
