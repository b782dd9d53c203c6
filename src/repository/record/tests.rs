use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use bytes::Bytes;

use super::{
    testing::{DEAD, EPOCH, Lab, Strange, id, mark, open_store, run, wrapping},
    *,
};
use crate::{
    model::{EntryNumber, Timestamp},
    pipeline::sha256,
    repository::{
        ErrorKind,
        catalog::{Catalog, CatalogPoint, Selector},
        layout,
        sample::bucket,
    },
    storage::{Counting, ObjectStore, OperationKind, Put, PutOptions},
};

#[tokio::test]
async fn fifty_entries_are_written_and_read_back_whatever_the_times_of_their_files() {
    let lab = Lab::new().await;
    let mut record = lab.load().await;
    for number in 1..=50 {
        let reason = format!("number {number}");
        assert_eq!(append(&lab.writer(&lab.capture), &mut record, run(&reason)).await.unwrap().number, EntryNumber(number));
    }
    for number in 1..=50 {
        let file = lab.folder.path().join(layout::record(&lab.lineage, EntryNumber(number)).as_str());
        let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(2_000_000_000 - number * 1000);
        fs::File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
    }
    let read = lab.load().await;
    assert_eq!((read.head(), read.entries().len(), read.voids().len(), read.gap()), (record.head(), 50, 0, None));
    let text = fs::read_to_string(lab.folder.path().join(layout::record(&lab.lineage, EntryNumber(1)).as_str())).unwrap();
    assert!(text.starts_with(r#"{"format":1,"repository":"0f0f0f"#) && text.ends_with("}\n") && text.lines().count() == 1, "{text}");
    assert!(text.contains(r#""body":{"kind":"run","run":"20261121T120000Z-0123abcd","outcome":"failed","reason":"number 1"}"#), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_writers_at_once_lose_and_double_nothing() {
    let lab = std::sync::Arc::new(Lab::new().await);
    let writers = (0..8).map(|writer| {
        let lab = lab.clone();
        tokio::spawn(async move {
            let mut record = lab.load().await;
            for turn in 0..10 {
                append(&lab.writer(&lab.capture), &mut record, run(&format!("{writer}/{turn}"))).await.unwrap();
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    let record = lab.load().await;
    let said: BTreeSet<String> = record.entries().iter().map(|valid| format!("{:?}", valid.entry.body)).collect();
    assert_eq!((record.entries().len(), said.len(), record.voids().len(), record.gap()), (80, 80, 0, None));
}

#[tokio::test]
async fn a_lost_acknowledgement_writes_no_entry_twice() {
    let lab = Lab::new().await;
    let store = Strange::new(open_store(lab.folder.path()));
    let mut record = lab.load().await;
    for (number, faults) in [(1, 2), (2, 1), (3, 3), (4, 4), (5, 0)] {
        store.faults.store(faults, Relaxed);
        let body = run(&format!("number {number}"));
        let appended = append(&lab.writer_to(&store, &lab.capture), &mut record, body).await.unwrap();
        assert_eq!(appended.number, EntryNumber(number));
    }
    let read = lab.load().await;
    assert_eq!((read.entries().len(), read.voids().len(), read.head()), (5, 0, record.head()));
    store.faults.store(DEAD, Relaxed);
    assert_eq!(append(&lab.writer_to(&store, &lab.capture), &mut record, run("never")).await.unwrap_err().kind(), ErrorKind::Store);
    assert_eq!(lab.load().await.entries().len(), 5);
}

#[tokio::test]
async fn what_a_delete_marker_hides_or_junk_covers_is_read_from_its_versions() {
    let lab = Lab::new().await;
    for name in ["one", "two", "three", "four"] {
        lab.append(&lab.capture, run(name)).await.unwrap();
    }
    let whole = lab.load().await;
    let store = Strange::new(open_store(lab.folder.path()));
    let entry = |number| layout::record(&lab.lineage, EntryNumber(number));
    store.hidden.lock().unwrap().extend([entry(2), entry(4), layout::signature(&lab.lineage, whole.entries()[0].sha256)]);
    let third = fs::read(lab.folder.path().join(entry(3).as_str())).unwrap();
    fs::write(lab.folder.path().join(entry(3).as_str()), "junk").unwrap();
    store.older.lock().unwrap().insert(entry(3), vec![Bytes::from_static(b"older junk"), Bytes::from(third)]);
    let read = Record::load(&store, &lab.trusts, &lab.lineage).await.unwrap();
    assert_eq!((read.head(), read.entries().len(), read.voids().len()), (whole.head(), 4, 0));
}

#[tokio::test]
async fn who_asks_whether_all_is_there_is_told_of_lost_signatures_and_reads_what_is_due() {
    let (lab, folder) = (Lab::new().await, tempfile::tempdir().unwrap());
    let copies = Copies::of(folder.path(), "file:///repo", &lab.lineage);
    let store = Counting::new(Arc::new(open_store(lab.folder.path())));
    let asked = async |due: &[u16]| {
        let listed = copies.clone().as_listed(&store, &lab.lineage, due.iter().copied().collect()).await.unwrap();
        let before = store.count(OperationKind::Get).requests;
        let read: Record = Record::load_beside(&store, &lab.trusts, &lab.lineage, &listed).await.unwrap();
        // The last is for the number after the head.
        (store.count(OperationKind::Get).requests - before - 1, read)
    };
    for name in ["one", "two", "three", "four"] {
        lab.append(&lab.capture, run(name)).await.unwrap();
    }
    let whole = lab.load().await;
    let (of_two, of_three) = (bucket(&layout::record(&lab.lineage, EntryNumber(2))), bucket(&layout::record(&lab.lineage, EntryNumber(3))));
    let everything: Vec<u16> = (0..256).collect();
    for (due, wanted) in [(&[][..], 8), (&[], 0), (&[of_two], 2), (&everything[..], 8)] {
        let (requests, read) = asked(due).await;
        assert_eq!((requests, read.head(), read.voids().len()), (wanted, whole.head(), 0), "{due:?}");
    }
    let signature = |number| lab.folder.path().join(layout::signature(&lab.lineage, whole.digest_at(EntryNumber(number)).unwrap()).as_str());
    // One that holds something else is found when its turn comes, one that is lost at once.
    fs::write(signature(3), "junk").unwrap();
    assert_eq!(asked(&[]).await.0, 0);
    assert_eq!(asked(&[of_three]).await.1.voids()[0].number, EntryNumber(3));
    assert_eq!(asked(&[]).await.1.voids()[0].number, EntryNumber(3), "what is damaged is told each time");
    fs::remove_file(signature(2)).unwrap();
    let voids: Vec<u64> = asked(&[]).await.1.voids().iter().map(|void| void.number.0).collect();
    assert_eq!(voids, [2, 3, 4]);
}

#[tokio::test]
async fn an_outline_says_what_the_whole_record_says_and_holds_the_manifests_of_open_epochs_alone() {
    let lab = Lab::new().await;
    let single = "20261102T000000Z-00ff00ff";
    let proof = Proof { of: Proven::Vault { vault: lab.vault.id.clone(), wrapping: wrapping(1) } };
    let mut outline: Record<Outline> = Record::load_beside(&lab.store, &lab.trusts, &lab.lineage, &Copies::none()).await.unwrap();
    for body in [lab.open(EPOCH, EpochMode::Rolling), lab.point(EPOCH), lab.open(single, EpochMode::Single), lab.point(single), run("why")] {
        append(&lab.writer(&lab.capture), &mut outline, body).await.unwrap();
    }
    append(&lab.writer(&lab.operator), &mut outline, Body::Proof(proof)).await.unwrap();
    let whole = lab.load().await;
    let read: Record<Outline> = Record::load_beside(&lab.store, &lab.trusts, &lab.lineage, &Copies::none()).await.unwrap();
    for outline in [&outline, &read] {
        assert_eq!(outline.head(), whole.head());
        for number in (1..=7).map(EntryNumber) {
            assert_eq!(outline.digest_at(number), whole.digest_at(number));
            let (of, known) = (CatalogPoint::of(&whole, &[], number), CatalogPoint::of(outline, &[], number));
            assert_eq!(known.as_ref().map(|point| (&point.name, point.is_good())), of.as_ref().map(|point| (&point.name, point.is_good())));
            assert_eq!(known.map(|point| format!("{:?}", point.point)), of.map(|point| format!("{:?}", PointOutline::from(point.point))));
        }
        let manifests =
            |epoch: &str| outline.open_manifests(&id(epoch)).iter().map(|point| Body::Point(Box::new(Point::clone(point)))).collect::<Vec<_>>();
        assert_eq!((manifests(EPOCH), manifests(single)), (vec![lab.point(EPOCH)], Vec::new()));
        let Body::Run(known) = run("why") else { unreachable!() };
        assert!(outline.is_without_point(&known.run) && !outline.is_without_point(&"20261121T120000Z-ffffffff".parse().unwrap()));
    }
    append(&lab.writer(&lab.capture), &mut outline, Body::EpochClose(EpochClose { epoch: id(EPOCH), reason: "full".to_owned() })).await.unwrap();
    assert!(outline.open_manifests(&id(EPOCH)).is_empty() && outline.point(EntryNumber(2)).is_some());
    // Of restores the newest are told.
    let point = outline.point(EntryNumber(2)).unwrap().0;
    for second in 0..12 {
        let (started, ended) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(second).unwrap());
        let run = "20261121T120000Z-0123abcd".parse().unwrap();
        let restore = Restore { run, point: point.clone(), members: Vec::new(), accepted: None, started, ended };
        append(&lab.writer(&lab.operator), &mut outline, Body::Restore(restore)).await.unwrap();
    }
    let told: Vec<i64> = outline.told().map(|body| if let Body::Restore(restore) = body { restore.ended.as_second() } else { -1 }).collect();
    assert_eq!(told, (2..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_read_before_and_is_listed_unchanged_is_not_asked_for_again() {
    let (lab, folder) = (Lab::new().await, tempfile::tempdir().unwrap());
    let copies = Copies::of(folder.path(), "file:///repo", &lab.lineage);
    let store = Counting::new(Arc::new(open_store(lab.folder.path())));
    let asked = async |wanted: u64| {
        let before = store.count(OperationKind::Get).requests;
        let read = Record::load_beside(&store, &lab.trusts, &lab.lineage, &copies).await.unwrap();
        // The last is for the number after the head.
        assert_eq!(store.count(OperationKind::Get).requests - before, wanted + 1);
        let (whole, numbers) = (lab.load().await, |record: &Record| record.entries().iter().map(|valid| valid.sha256).collect::<Vec<_>>());
        assert_eq!((read.head(), numbers(&read), read.voids().len()), (whole.head(), numbers(&whole), whole.voids().len()));
    };
    for name in ["one", "two", "three", "four"] {
        lab.append(&lab.capture, run(name)).await.unwrap();
    }
    for wanted in [8, 0] {
        asked(wanted).await;
    }
    lab.append(&lab.capture, run("five")).await.unwrap();
    for wanted in [2, 0] {
        asked(wanted).await;
    }
    // A copy that says something else, is cut, or is no copy, is none, and is made again.
    let of = |number: u64| walk(folder.path()).into_iter().find(|path| path.ends_with(number.to_string())).unwrap();
    let text = fs::read_to_string(of(2)).unwrap();
    fs::write(of(2), text.replace("two", "owt")).unwrap();
    fs::write(of(3), &text.as_bytes()[..text.len() - 9]).unwrap();
    fs::write(of(4), "").unwrap();
    for wanted in [6, 0] {
        asked(wanted).await;
    }
    // What was put over an entry is seen, of the same size or not.
    let path = lab.folder.path().join(layout::record(&lab.lineage, EntryNumber(5)).as_str());
    let size = fs::metadata(&path).unwrap().len() as usize;
    fs::write(&path, " ".repeat(size)).unwrap();
    asked(1 + 1).await;
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| if path.is_dir() { walk(&path) } else { vec![path] };
    fs::read_dir(folder).unwrap().flat_map(|entry| below(entry.unwrap().path())).collect()
}

#[tokio::test]
async fn two_valid_versions_of_an_entry_are_a_fork() {
    let lab = Lab::new().await;
    let empty = lab.load().await;
    lab.append(&lab.capture, run("one")).await.unwrap();
    lab.append(&lab.capture, run("two")).await.unwrap();
    let (key, other) = (layout::record(&lab.lineage, EntryNumber(1)), lab.entry(&empty, &lab.capture, run("another one")).to_bytes());
    let signature = Bytes::from(lab.capture.sign(&key, &other));
    let put = lab.store.put_new(&layout::signature(&lab.lineage, sha256(&other)), signature.clone(), &PutOptions::of(&signature)).await;
    assert_eq!(put.unwrap(), Put::Created);
    let store = Strange::new(open_store(lab.folder.path()));
    let path = lab.folder.path().join(key.as_str());
    let one = fs::read(&path).unwrap();
    fs::write(&path, &other).unwrap();
    store.older.lock().unwrap().insert(key, vec![Bytes::from(one)]);
    let error = Record::load(&store, &lab.trusts, &lab.lineage).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fork, "{error}");
}

#[tokio::test]
async fn a_point_whose_epoch_was_closed_meanwhile_is_refused_by_its_kind() {
    let lab = Lab::new().await;
    let mut slow = lab.load().await;
    append(&lab.writer(&lab.capture), &mut slow, lab.open(EPOCH, EpochMode::Rolling)).await.unwrap();
    append(&lab.writer(&lab.capture), &mut slow, lab.point(EPOCH)).await.unwrap();
    lab.append(&lab.operator, Body::EpochClose(EpochClose { epoch: id(EPOCH), reason: "rotation".to_owned() })).await.unwrap();
    let error = append(&lab.writer(&lab.capture), &mut slow, lab.point(EPOCH)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EpochClosed);
    assert_eq!((slow.entries().len(), lab.load().await.entries().len()), (3, 3));
    let error = lab.append(&lab.capture, lab.open(EPOCH, EpochMode::Rolling)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAllowed);
    let single = "20261102T000000Z-00ff00ff";
    lab.append(&lab.capture, lab.open(single, EpochMode::Single)).await.unwrap();
    lab.append(&lab.capture, lab.point(single)).await.unwrap();
    assert_eq!(lab.append(&lab.capture, lab.point(single)).await.unwrap_err().kind(), ErrorKind::EpochClosed);
}

#[tokio::test]
async fn the_catalog_chooses_the_newest_point_that_is_complete_proven_unsuspected_and_not_given_up() {
    let lab = Lab::new().await;
    let time: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
    lab.append(&lab.capture, lab.open(EPOCH, EpochMode::Rolling)).await.unwrap();
    for _ in 0..4 {
        lab.append(&lab.capture, lab.point(EPOCH)).await.unwrap();
    }
    let latest =
        |record: &Record| Catalog::new(record, &[]).resolve(&Selector::Latest).map(|point| point.name.id.number.0).map_err(|error| error.kind());
    let record = lab.load().await;
    assert_eq!(latest(&record), Err(ErrorKind::NotFound));
    assert!(Catalog::new(&record, &[]).resolve(&"5".parse().unwrap()).unwrap().unproven);
    lab.append(&lab.operator, Body::Proof(Proof { of: Proven::Vault { vault: lab.vault.id.clone(), wrapping: wrapping(1) } })).await.unwrap();
    assert_eq!(latest(&lab.load().await), Ok(5));
    lab.append(&lab.operator, Body::Suspect(mark(&record, EntryNumber(5)))).await.unwrap();
    assert_eq!(latest(&lab.load().await), Ok(4));
    let points = vec![ExpiredPoint { number: EntryNumber(4), reason: "old".to_owned() }];
    let expire = lab.append(&lab.expire, Body::Expire(Expire { points, seen: time, delete_after: time })).await.unwrap();
    let record = lab.load().await;
    assert_eq!(latest(&record), Ok(3));
    let catalog = Catalog::new(&record, &[]);
    assert_eq!(catalog.candidates().len(), 3);
    assert!(catalog.resolve(&"before 2026-11-21T10:59:59Z".parse().unwrap()).is_err());
    assert_eq!(catalog.resolve(&"before 2026-11-21T11:00:00Z".parse().unwrap()).unwrap().name.id.number, EntryNumber(3));
    let prune = Prune { epoch: id(EPOCH), expire: expire.number, objects: 0, bytes: crate::model::ByteCount(0) };
    assert_eq!(lab.append(&lab.expire, Body::Prune(prune.clone())).await.unwrap_err().kind(), ErrorKind::NotAllowed);
    lab.append(&lab.expire, Body::EpochClose(EpochClose { epoch: id(EPOCH), reason: "age".to_owned() })).await.unwrap();
    lab.append(&lab.expire, Body::Prune(prune)).await.unwrap();
    assert!(Catalog::new(&lab.load().await, &[]).resolve(&"production@we/1:3".parse().unwrap()).is_err());
    // A hold in another lineage's record counts.
    let mut other = Lab::with_repository(lab.repository.as_str()).await;
    other.lineage = "production@ne/1".parse().unwrap();
    other.append(&other.operator, Body::Hold(mark(&record, EntryNumber(2)))).await.unwrap();
    let held = other.load().await;
    assert_eq!(Catalog::new(&record, &[&held]).points().iter().filter(|point| point.held).count(), 1);
}

#[tokio::test]
async fn entries_have_the_form_of_the_format_pages_and_no_other_key() {
    let lab = Lab::new().await;
    let zero = "0".repeat(64);
    let point = serde_json::to_string(&lab.point(EPOCH)).unwrap();
    let wanted = format!(
        r#"{{"kind":"point","run":"20261121T120000Z-0123abcd","epoch":"{EPOCH}","vault":"{}","started":"2026-11-21T11:00:00Z","ended":"2026-11-21T11:00:00Z","complete":true,"members":[{{"name":"portal","required":true,"source":"files","outcome":{{"outcome":"succeeded"}},"consistent_from":"2026-11-21T11:00:00Z","consistent_to":"2026-11-21T11:00:00Z","bytes":123,"items":45,"versions":{{"postgresql":"15.18"}}}}],"skew_ms":12,"pack_lists":[{{"sha256":"{zero}","needed":"0-17,19"}}],"needed_bytes":123,"live_bytes":100,"stored_bytes":50,"index":["{zero}"],"hints":["{zero}"],"sealed":"{zero}","retention":{{"classes":["hourly"]}}}}"#,
        lab.vault.id
    );
    assert_eq!(point, wanted);
    assert_eq!(serde_json::from_str::<Body>(&point).unwrap(), lab.point(EPOCH));
    let open = serde_json::to_string(&lab.open(EPOCH, EpochMode::Rolling)).unwrap();
    assert_eq!(
        open,
        format!(
            r#"{{"kind":"epoch-open","epoch":"{EPOCH}","mode":"rolling","vault":"{}","classes":["hourly"],"retain_until":null,"sealed":"{zero}"}}"#,
            lab.vault.id
        )
    );
    let proof = Body::Proof(Proof { of: Proven::Vault { vault: lab.vault.id.clone(), wrapping: wrapping(2) } });
    let proof = serde_json::to_string(&proof).unwrap();
    assert_eq!(
        proof,
        format!(
            r#"{{"kind":"proof","of":{{"what":"vault","vault":"{}","wrapping":{{"number":2,"sha256":"{}","size":200}}}}}}"#,
            lab.vault.id,
            "07".repeat(32)
        )
    );
    let incomplete: MemberOutcome = serde_json::from_str(r#"{"outcome":"incomplete","missing":3}"#).unwrap();
    assert_eq!(incomplete, MemberOutcome::Incomplete { missing: 3 });
    assert!(serde_json::from_str::<MemberOutcome>(r#"{"outcome":"succeeded","missing":3}"#).is_err());
    for text in [&point, &open, &proof] {
        for at in text.match_indices('{').map(|(at, _)| at).filter(|at| !text[..*at].ends_with("versions\":")) {
            let (head, tail) = text.split_at(at + 1);
            assert!(serde_json::from_str::<Body>(&format!("{head}\"extra\":1,{tail}")).is_err(), "{head}");
        }
    }
}

/// A promotion is a decision of an operator, the first of its record, and continues another lineage of the same policy.
#[tokio::test]
async fn a_promotion_is_valid_as_the_first_entry_alone_and_never_the_captures() {
    let mut lab = Lab::new().await;
    let promotion = |lineage: &str| {
        let parent = HeadRef { lineage: lineage.parse().unwrap(), number: EntryNumber(7), sha256: crate::model::Sha256([7; 32]) };
        Body::Promotion(Promotion { parent, run: None, by: "Berta".to_owned(), reason: "lost".to_owned() })
    };
    let reason = |error: crate::repository::RepositoryError| match error {
        crate::repository::RepositoryError::Refused { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    lab.lineage = "production@we/2".parse().unwrap();
    for signer in [&lab.capture, &lab.expire, &lab.verify] {
        let refused = reason(lab.append(signer, promotion("production@ne/1")).await.unwrap_err());
        assert!(matches!(refused, VoidReason::NotAllowed(_, "promotion")), "{refused}");
    }
    for parent in ["other@ne/1", "production@we/2", "production@we/3"] {
        let refused = reason(lab.append(&lab.operator, promotion(parent)).await.unwrap_err());
        assert!(matches!(refused, VoidReason::OtherParent(_)), "{refused}");
    }
    assert_eq!(Record::opening(&lab.store, &lab.trusts, &lab.lineage).await.unwrap(), None);
    // What an intruder puts before it is passed over.
    let junk = Bytes::from_static(b"junk");
    let put = lab.store.put_new(&layout::record(&lab.lineage, EntryNumber(1)), junk.clone(), &PutOptions::of(&junk)).await.unwrap();
    assert_eq!(put, Put::Created);
    assert_eq!(Record::opening(&lab.store, &lab.trusts, &lab.lineage).await.unwrap(), None);
    assert_eq!(lab.append(&lab.operator, promotion("production@we/1")).await.unwrap().number, EntryNumber(2));
    let opening = Record::opening(&lab.store, &lab.trusts, &lab.lineage).await.unwrap().unwrap();
    assert_eq!((opening.parent.lineage.to_string().as_str(), opening.by.as_str()), ("production@we/1", "Berta"));
    let refused = reason(lab.append(&lab.operator, promotion("production@ne/1")).await.unwrap_err());
    assert_eq!(refused, VoidReason::NotFirst);
    lab.append(&lab.capture, lab.open(EPOCH, EpochMode::Rolling)).await.unwrap();
    // A record that began otherwise never is one that a promotion began.
    lab.lineage = "production@we/4".parse().unwrap();
    lab.append(&lab.capture, lab.open(EPOCH, EpochMode::Rolling)).await.unwrap();
    assert_eq!(reason(lab.append(&lab.operator, promotion("production@ne/1")).await.unwrap_err()), VoidReason::NotFirst);
    assert_eq!(Record::opening(&lab.store, &lab.trusts, &lab.lineage).await.unwrap(), None);
}
