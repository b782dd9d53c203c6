//! A control store that has lost the end of a journal: the journal is cut after each of its records.

use std::fs;

use hourglass::{
    model::{Outcome, RunId, StepId},
    orchestrator::{output::Output, state::StepState},
    repository::layout,
};

use super::{
    restore::go_on,
    snapshot::{assert_same, fill, snapshot},
    victim::{Death, Fate, Work, sacrifice},
    world::World,
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
