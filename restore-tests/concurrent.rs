//! Several writers at once, and decisions that fall at the worst moment.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::future::BoxFuture;
use hourglass::{
    model::{EntryNumber, Outcome, SystemClock, Timestamp},
    repository::record::{Body, EpochClose, Expire, ExpiredPoint, Record, Writer, append},
    storage::Operation,
};

use tokio::{runtime::Handle, task::block_in_place};

use crate::crash::{
    snapshot::{Snapshot, assert_same, fill, noise, snapshot},
    tap::{When, tapped},
    victim::{Death, Fate, Work, sacrifice},
    world::{World, tick},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_at_once_make_eight_points_of_one_lineage() {
    let world = Arc::new(World::new());
    fill(&world.tree(), &world.dump(), 24);
    for round in 0..3 {
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::task::spawn_blocking(move || Handle::current().block_on(world.back_up("weekly", &world.stores(), 60 * round)).unwrap())
            })
            .collect();
        for writer in writers {
            let end = writer.await.unwrap();
            assert!(end.outcome.is_success(), "{:?}", end.outcome);
        }
    }
    let expected = world.present("weekly");
    assert_eq!(world.check("weekly", |_| expected.clone(), "eight writers").await, 24);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_that_find_one_killed_run_all_go_on() {
    let world = Arc::new(World::new());
    fill(&world.tree(), &world.dump(), 40);
    for round in 0..4 {
        fs::write(world.dump(), noise(round, 300_000)).unwrap();
        let ahead = 100 * i64::try_from(round).unwrap();
        assert_eq!(sacrifice(&world.root, Work::Backup { policy: "daily".to_owned() }, Death::AfterWrite(9), ahead + 50), Fate::Killed);
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::task::spawn_blocking(move || Handle::current().block_on(world.back_up("daily", &world.stores(), ahead + 90)))
            })
            .collect();
        for writer in writers {
            let end = writer.await.unwrap().unwrap();
            assert!(end.outcome.is_success(), "{:?}", end.outcome);
        }
        let runs = world.runs("daily").await;
        let open: Vec<_> =
            runs.iter().filter(|run| run.state.ended.is_none() || run.broken.is_some()).map(|run| (run.phase(), &run.broken)).collect();
        assert!(open.is_empty(), "{open:?}");
    }
    assert_eq!(world.points("daily").await.len(), 32);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_several_lineages_do_not_disturb_each_other() {
    let world = Arc::new(World::new());
    fill(&world.tree(), &world.dump(), 24);
    let policies = ["daily", "weekly", "single"];
    let writers: Vec<_> = (0..9)
        .map(|i| {
            let world = Arc::clone(&world);
            tokio::task::spawn_blocking(move || Handle::current().block_on(world.back_up(policies[i % 3], &world.stores(), 0)).unwrap())
        })
        .collect();
    for writer in writers {
        let end = writer.await.unwrap();
        assert!(end.outcome.is_success(), "{:?}", end.outcome);
    }
    for policy in policies {
        let expected = world.present(policy);
        assert_eq!(world.check(policy, |_| expected.clone(), policy).await, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_at_once_share_a_machine() {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 24);
    let policies = ["daily", "weekly"];
    let processes: Vec<_> = (0..8).map(|i| world.command(&["backup", policies[i % 2], "--quiet"]).spawn().unwrap()).collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    for policy in policies {
        let expected = world.present(policy);
        assert_eq!(world.check(policy, |_| expected.clone(), policy).await, 4);
    }
    // What each of them has seen is remembered, whoever wrote the file last.
    let heads: serde_json::Value = serde_json::from_slice(&std::fs::read(world.root.join("state/heads.json")).unwrap()).unwrap();
    let place = format!("file://{}/repository", world.root.display());
    for policy in policies {
        let head = world.record(policy).await.head().unwrap().number;
        let seen = heads["heads"][&place][format!("{policy}@main/1")]["number"].clone();
        assert_eq!(serde_json::from_value::<EntryNumber>(seen).unwrap(), head, "{policy}");
    }
}

/// What another process does in the middle of a backup.
#[derive(Debug, Clone, Copy)]
enum Meddling {
    CloseEpochs,
    ExpireAll,
    AnotherBackup,
    ExpireAndPrune,
}

async fn meddle(world: &World, meddling: Meddling) {
    if matches!(meddling, Meddling::ExpireAndPrune) {
        Box::pin(meddle(world, Meddling::CloseEpochs)).await;
    }
    let mut record = world.record("daily").await;
    let key = world.operator().signing_key;
    let store = world.store("repository");
    let writer = Writer { store: &*store, key: &key, clock: &SystemClock, retain_until: None };
    match meddling {
        Meddling::CloseEpochs => {
            let open: Vec<_> = record.state().open_epochs().map(|(epoch, _)| epoch.clone()).collect();
            for epoch in open {
                // Another process may have been faster.
                let _closed = append(&writer, &mut record, Body::EpochClose(EpochClose { epoch, reason: "a test".to_owned() })).await;
            }
        }
        Meddling::ExpireAll | Meddling::ExpireAndPrune => {
            let points = expired(&record);
            let seen = Timestamp::now();
            append(&writer, &mut record, Body::Expire(Expire { points, seen, delete_after: seen })).await.unwrap();
            if matches!(meddling, Meddling::ExpireAndPrune) {
                let said = world.hourglass(&["prune", "daily"], 0);
                assert!(said.contains(": deleted "), "{said}");
            }
        }
        Meddling::AnotherBackup => drop(world.point("daily", 70).await),
    }
}

fn expired(record: &Record) -> Vec<ExpiredPoint> {
    let expired = |number: &EntryNumber| ExpiredPoint { number: *number, reason: "a test".to_owned() };
    record.state().points.keys().map(expired).collect()
}

/// Meddles before every request of a backup in turn: all interleavings of its requests with what another process does.
async fn at_every_request(meddling: Meddling) -> u64 {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 6);
    let first = world.point("daily", 0).await;
    let old = world.present("daily");
    tick();
    std::fs::write(world.tree().join("sub/one"), noise(5, 30_000)).unwrap();
    let new = world.present("daily");
    for at in 1.. {
        let copy = Arc::new(world.copy(true));
        let requests = Arc::new(AtomicU64::new(0));
        let (copied, counted) = (Arc::clone(&copy), Arc::clone(&requests));
        let stores = tapped(
            &copy.stores(),
            Arc::new(move |when, operation| {
                counted.fetch_max(operation.number, Ordering::SeqCst);
                if when == When::Before && operation.number == at {
                    block_in_place(|| Handle::current().block_on(meddle(&copied, meddling)));
                }
                Box::pin(std::future::ready(()))
            }),
        );
        let end = copy.back_up("daily", &stores, 50).await.unwrap();
        let why = format!("{meddling:?} before {at}");
        match &end.outcome {
            Outcome::Succeeded => {}
            Outcome::Failed { problem } if problem.what.contains("closed") => {}
            Outcome::Failed { problem } if matches!(meddling, Meddling::ExpireAndPrune) && problem.what.contains("not found") => {}
            other => panic!("{why}: {other:?}"),
        }
        let after = copy.point("daily", 100).await;
        let expected = |number| if number == first { old.clone() } else { new.clone() };
        let made = 1 + usize::from(end.outcome.is_success());
        if matches!(meddling, Meddling::ExpireAndPrune) {
            let kept = check_unpruned(&copy, expected, &why).await;
            // The last point at least; others unless they were there to be expired.
            assert!(kept >= 1 && kept <= 1 + made, "{why}: {kept}");
        } else {
            let others = usize::from(matches!(meddling, Meddling::AnotherBackup) && at <= requests.load(Ordering::SeqCst));
            assert_eq!(copy.check("daily", expected, &why).await, 1 + made + others, "{why}");
        }
        assert_eq!(copy.record("daily").await.head().unwrap().number, after, "{why}");
        if at > requests.load(Ordering::SeqCst) {
            return at - 1;
        }
    }
    unreachable!("a backup makes fewer requests")
}

/// Every point whose epoch is not pruned is whole; one that is pruned was expired.
async fn check_unpruned(world: &World, expected: impl Fn(EntryNumber) -> Snapshot, why: &str) -> usize {
    let record = world.record("daily").await;
    let mut kept = 0;
    for (number, (_, epoch)) in &record.state().points {
        if record.state().epochs[epoch].pruned.is_some() {
            assert!(record.state().expired.contains_key(number), "{why}: point {number} was pruned and never expired");
            continue;
        }
        assert_same(&world.restored("daily", *number, &world.stores().data).await, &expected(*number), &format!("{why}: point {number}"));
        kept += 1;
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn points_pruned_at_any_moment_of_a_backup_harm_nothing_else() {
    println!("{} deaths of packs", at_every_request(Meddling::ExpireAndPrune).await);
}

/// A restore of a point that is pruned meanwhile tells so, or had everything already; that of another is not disturbed.
#[tokio::test(flavor = "multi_thread")]
async fn a_prune_at_any_moment_of_a_restore_is_never_taken_for_success() {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 6);
    let first = world.point("daily", 0).await;
    let expected = world.present("daily");
    let (mut equal, mut told) = (0, 0);
    for at in 1.. {
        let copy = Arc::new(world.copy(true));
        let requests = Arc::new(AtomicU64::new(0));
        let (copied, counted) = (Arc::clone(&copy), Arc::clone(&requests));
        let hook = move |when, operation: Operation| -> BoxFuture<'static, ()> {
            counted.fetch_max(operation.number, Ordering::SeqCst);
            if when == When::Before && operation.number == at {
                block_in_place(|| Handle::current().block_on(meddle(&copied, Meddling::ExpireAndPrune)));
            }
            Box::pin(std::future::ready(()))
        };
        let target = copy.root.join("target");
        // Before its parts are open there is no run yet that could end.
        let opened = copy.try_open("daily", first, &tapped(&copy.stores(), Arc::new(hook))).await;
        let Ok((opened, stores)) = opened else {
            told += 1;
            continue;
        };
        let end = copy.restore_opened(opened, &target, &stores).await.unwrap();
        match end.outcome {
            Outcome::Succeeded => {
                assert_same(&snapshot(&target), &expected, &format!("before {at}"));
                equal += 1;
            }
            Outcome::Failed { problem } => {
                assert!(problem.what.contains("not found"), "{problem:?}");
                told += 1;
            }
            other => panic!("before {at}: {other:?}"),
        }
        if at > requests.load(Ordering::SeqCst) {
            break;
        }
    }
    println!("{equal} deaths too late to matter, {told} told of");
    // In the last round nothing was pruned; how much of a pack was read ahead before differs from run to run.
    assert!(equal >= 1 && told > 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_closed_at_any_moment_of_a_backup_harms_nothing() {
    println!("{} deaths of an epoch", at_every_request(Meddling::CloseEpochs).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn points_expired_at_any_moment_of_a_backup_harm_nothing() {
    println!("{} deaths of points", at_every_request(Meddling::ExpireAll).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_begins_and_ends_at_any_moment_of_another_harms_nothing() {
    println!("{} deaths of nobody", at_every_request(Meddling::AnotherBackup).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_a_day_either_way_loses_nothing() {
    const DAY: i64 = 86_400;
    let world = World::new();
    fill(&world.tree(), &world.dump(), 12);
    let mut expected = Vec::new();
    for (round, ahead) in [0, DAY, 0, -DAY, DAY, -DAY, 0].into_iter().enumerate() {
        tick();
        std::fs::write(world.tree().join("sub/one"), noise(round as u64, 500)).unwrap();
        expected.push((world.point("daily", ahead).await, world.present("daily")));
        // The same again with nothing changed.
        expected.push((world.point("daily", -ahead).await, world.present("daily")));
    }
    let snapshot = |number| expected.iter().find(|(known, _)| *known == number).unwrap().1.clone();
    assert_eq!(world.check("daily", snapshot, "jumps").await, 14);
}
