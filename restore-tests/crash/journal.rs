//! A control store that has lost the end of a journal: the journal is cut after each of its records.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use hourglass::{
    model::{Outcome, RunId, StepId},
    orchestrator::{output::Output, state::StepState},
    repository::layout,
    storage::{Fault, Faults, OperationKind},
};

use super::{
    restore::go_on,
    snapshot::{assert_same, fill, snapshot},
    victim::{Death, Fate, Work, sacrifice},
    world::{Stores, World},
};

/// Removes the records of a journal above `kept`.
fn cut(world: &World, run: &RunId, kept: u64) {
    let control = world.root.join("control");
    for number in kept + 1.. {
        if fs::remove_file(control.join(layout::journal(run, number).as_str())).is_err() {
            return;
        }
    }
}

/// How many records the journal of a run has.
fn records(world: &World, run: &RunId) -> u64 {
    fs::read_dir(world.root.join("control").join(layout::journal_prefix(run))).unwrap().count() as u64
}

/// The number of writes that `work` makes when nobody disturbs it.
fn last_write(world: &World, work: impl Fn(&World) -> Work) -> u64 {
    let survives = |at: u64| {
        let copy = world.copy(true);
        sacrifice(&copy.root, work(&copy), Death::AfterWrite(at), 100) == Fate::Survived
    };
    let (mut low, mut high) = (0, 512);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if survives(middle) { high = middle } else { low = middle }
    }
    low
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_on_after_any_record_of_a_cut_journal() {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 48);
    let expected = world.present("daily");
    let work = |_: &World| Work::Backup { policy: "daily".to_owned() };
    let last = last_write(&world, work);
    // The last two records tell of the end of the commit and of the run: with and without its point in the record.
    for at in [last - 3, last - 2, last] {
        let killed = world.copy(true);
        let _fate = sacrifice(&killed.root, work(&killed), Death::AfterWrite(at), 100);
        let run = killed.runs("daily").await.pop().unwrap().run;
        for kept in 0..records(&killed, &run) {
            let copy = killed.copy(true);
            cut(&copy, &run, kept);
            let number = copy.point("daily", 200).await;
            let points = copy.points("daily").await;
            assert!(points.len() <= 2 && points.last().unwrap().0 == number);
            for (number, _) in points {
                assert_same(&copy.restored("daily", number, &copy.stores().data).await, &expected, &format!("{kept} records of {at}"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_resumed_after_any_record_of_a_cut_journal() {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 24);
    let number = world.point("daily", 0).await;
    let expected = world.present("daily");
    let work = |world: &World| Work::Restore { policy: "daily".to_owned(), number, target: world.root.join("target") };
    let last = last_write(&world, work);
    for kept in 1..last {
        let copy = world.copy(true);
        assert_eq!(sacrifice(&copy.root, work(&copy), Death::AfterWrite(last - 1), 100), Fate::Killed);
        let run = copy.runs("daily").await.into_iter().find(|run| run.state.plan.what.starts_with("restore")).unwrap().run;
        cut(&copy, &run, kept);
        let known = copy.runs("daily").await.into_iter().find(|known| known.run == run).unwrap();
        let admitted = |step: &StepId| known.state.checkpoints.iter().any(|(of, output)| of == step && matches!(output, Output::Written { .. }));
        let forgotten = known.state.steps.iter().any(|(id, step)| !matches!(step, StepState::Ended(..)) && !admitted(id));
        let target = copy.root.join("target");
        if forgotten {
            // The journal does not say that the run has written there: it refuses to touch what it finds.
            let before = snapshot(&target);
            let end = copy.resume("daily", known, number, &copy.stores()).await.unwrap();
            assert!(matches!(end.outcome, Outcome::Failed { ref problem } if problem.what.contains("is not empty")), "{:?}", end.outcome);
            assert_eq!(snapshot(&target).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
        } else {
            go_on(&copy, number, &target, &expected, &format!("{kept} records")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn journals_of_captures_that_ended_long_ago_go_with_the_next_backup_of_their_policy() {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 24);
    let run_of = async |policy: &str| world.runs(policy).await.pop().unwrap().run;
    let folder = |run: &RunId| world.root.join("control").join(layout::journal_prefix(run));
    world.point("daily", 0).await;
    let open = run_of("daily").await;
    world.point("daily", 10).await;
    let ended = run_of("daily").await;
    world.point("weekly", 20).await;
    let other = run_of("weekly").await;
    let number = world.point("daily", 30).await;
    let late = run_of("daily").await;
    world.restored("daily", number, &world.stores().data).await;
    let restore = world.runs("daily").await.into_iter().map(|known| known.run).find(|run| ![&open, &ended, &late].contains(&run)).unwrap();
    // One that nobody has ended, and what is left of a run's folder besides its records.
    cut(&world, &open, records(&world, &open) - 1);
    let part = "parts/tree/00001/plan.json";
    fs::create_dir_all(folder(&ended).join(part).parent().unwrap()).unwrap();
    fs::write(folder(&ended).join(part), "{}").unwrap();

    let (days, recent) = (90 * 86_400, [&open, &ended, &other, &late, &restore]);
    world.point("daily", days - 60).await;
    assert!(recent.iter().all(|run| records(&world, run) > 2), "ninety days are not over");
    // The process dies while it removes: what is left still shows that the run is over.
    let deletions = Mutex::new(0);
    let dying = Faults::new(world.store("control"), move |operation| {
        let mut deletions = deletions.lock().unwrap();
        *deletions += u64::from(operation.kind == OperationKind::Delete);
        if *deletions == 4 { Fault::Crash } else { Fault::None }
    });
    let stores = Stores { control: Arc::new(dying), ..world.stores() };
    let end = world.back_up("daily", &stores, days + 3600).await.unwrap();
    assert!(end.outcome.is_success(), "{:?}", end.outcome);
    let left = [&ended, &late].iter().filter(|run| folder(run).join(format!("{:020}.json", 1)).exists()).count();
    assert_eq!(left, 1, "one was begun");
    world.point("daily", days + 3700).await;
    let is_there = recent.map(|run| folder(run).exists() && records(&world, run) > 0);
    assert_eq!(is_there, [true, false, true, false, true], "open, ended, of another policy, late, a restore");
    world.point("weekly", days + 3800).await;
    assert!(!folder(&other).exists() || records(&world, &other) == 0);
    world.check("daily", |_| world.present("daily"), "after journals were removed").await;
}
