//! A restore that is killed anywhere.

use std::path::Path;

use hourglass::model::EntryNumber;

use super::{
    snapshot::{Snapshot, assert_same, fill, snapshot},
    victim::{Death, Fate, Work, sacrifice},
    world::World,
};

/// Resumes the restore of a killed process, if it had begun; else restores anew.
pub async fn go_on(world: &World, number: EntryNumber, target: &Path, expected: &Snapshot, why: &str) {
    let stores = world.stores();
    let restores = |run: &hourglass::orchestrator::runs::KnownRun| run.state.plan.what.starts_with("restore");
    let known = world.runs("daily").await.into_iter().find(restores);
    let end = match known {
        None => Some(world.restore("daily", number, target, &stores).await.unwrap()),
        Some(known) if known.phase() == "interrupted" => Some(world.resume("daily", known, number, &stores).await.unwrap()),
        Some(known) => {
            assert_eq!(known.phase(), "succeeded", "{why}");
            None
        }
    };
    assert!(end.as_ref().is_none_or(|end| end.outcome.is_success()), "{why}: {:?}", end.map(|end| end.outcome));
    assert_same(&snapshot(target), expected, why);
}

async fn kill_everywhere(death: fn(u64) -> Death) -> u64 {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 12);
    let number = world.point("daily", 0).await;
    let expected = world.present("daily");
    for at in 1.. {
        let copy = world.copy(true);
        let target = copy.root.join("target");
        let work = Work::Restore { policy: "daily".to_owned(), number, target: target.clone() };
        let fate = sacrifice(&copy.root, work, death(at), 0);
        go_on(&copy, number, &target, &expected, &format!("{:?}", death(at))).await;
        if fate == Fate::Survived {
            return at - 1;
        }
    }
    unreachable!("a restore makes fewer requests")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_killed_before_any_request_is_resumed_and_ends_equal() {
    println!("{} deaths", kill_everywhere(Death::BeforeRequest).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_killed_after_any_write_is_resumed_and_ends_equal() {
    println!("{} deaths", kill_everywhere(Death::AfterWrite).await);
}
