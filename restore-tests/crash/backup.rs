//! A backup that is killed anywhere.

use std::{fs, sync::Arc, time::Duration};

use hourglass::{
    model::{EntryNumber, Outcome},
    orchestrator::backup::back_up,
    storage::{Counting, OperationKind},
};

use super::{
    snapshot::{Snapshot, assert_same, fill, noise},
    victim::{Death, Fate, Work, sacrifice, sacrifice_after},
    world::{PACK, Stores, World, context, packed, tick},
};

/// What one killed backup, and the one after it, came to.
#[derive(Debug, Default)]
struct Sum {
    deaths: u64,
    most_again: u64,
}

/// Packs that a crash may make a run put again, per member: seven that wait for a checkpoint, three on their way, one data and one map pack open;
/// a pack may exceed its target by the largest chunk there is in these tests.
fn span(members: u64, largest_chunk: u64) -> u64 {
    members * 12 * (PACK + largest_chunk)
}

/// Kills backups of copies of `world` at every place that `death` names, one after the other, until one survives. After each, everything must hold.
async fn kill_everywhere(world: &World, policy: &'static str, death: fn(u64) -> Death, before: &[(EntryNumber, Snapshot)], whole: u64) -> Sum {
    let mut sum = Sum::default();
    let present = world.present(policy);
    for at in 1.. {
        let copy = world.copy(true);
        let fate = sacrifice(&copy.root, Work::Backup { policy: policy.to_owned() }, death(at), 100);
        check_runs(&copy, policy, fate).await;
        let lineage = copy.lineage(policy);
        let stored = packed(&copy.root, &lineage);
        let counting = Arc::new(Counting::new(copy.stores().data));
        let stores = Stores { data: counting.clone(), ..copy.stores() };
        let end = copy.back_up(policy, &stores, 200).await.unwrap();
        assert!(end.outcome.is_success(), "{:?}: {:?}", death(at), end.outcome);
        let open = copy.runs(policy).await.into_iter().filter(|run| run.state.ended.is_none()).count();
        assert_eq!(open, 0, "{:?}: the next run ends what is left", death(at));
        let again = packed(&copy.root, &lineage).saturating_sub(packed(&world.root, &lineage)).saturating_sub(whole);
        let points = copy.points(policy).await;
        let made = points.len() - before.len();
        assert!(made == 1 || made == 2, "{:?}: {made} new points", death(at));
        for (number, point) in &points {
            assert!(point.complete);
            let expected = before.iter().find(|(old, _)| old == number).map_or(&present, |(_, snapshot)| snapshot);
            assert_same(&copy.restored(policy, *number, &stores.data).await, expected, &format!("{:?}: point {number}", death(at)));
        }
        assert!(counting.count(OperationKind::Put).failures == 0);
        if fate == Fate::Survived {
            println!("{policy}: {} deaths; at most {} bytes of {whole} were put again", sum.deaths, sum.most_again);
            return sum;
        }
        assert!(again <= whole / 20 + span(2, 160 << 10), "{:?}: {again} bytes again, {stored} were stored of {whole}", death(at));
        sum.deaths += 1;
        sum.most_again = sum.most_again.max(again);
    }
    unreachable!("a backup makes fewer requests")
}

/// A run that was killed shows as interrupted, unless it died before it began or after its end.
async fn check_runs(world: &World, policy: &str, fate: Fate) {
    let runs = world.runs(policy).await;
    let killed = runs.iter().filter(|run| run.phase() == "interrupted").count();
    let ended = runs.iter().filter(|run| matches!(run.state.ended, Some(Outcome::Succeeded))).count();
    assert!(runs.iter().all(|run| run.broken.is_none()));
    assert_eq!(killed + ended, runs.len(), "{:?}", runs.iter().map(|run| run.phase()).collect::<Vec<_>>());
    assert!(killed <= 1 && (fate == Fate::Killed || killed == 0));
}

async fn first_backup(death: fn(u64) -> Death) -> Sum {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 48);
    let uninterrupted = world.copy(true);
    uninterrupted.point("daily", 0).await;
    let whole = packed(&uninterrupted.root, &world.lineage("daily"));
    kill_everywhere(&world, "daily", death, &[], whole).await
}

/// Every second file is another, and one is gone.
pub fn change_half(world: &World) {
    tick();
    let mut names: Vec<_> = fs::read_dir(world.tree()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    names.sort();
    for (i, name) in names.iter().enumerate().filter(|(i, _)| i % 2 == 0) {
        fs::write(name, noise(1000 + i as u64, 12 << 10)).unwrap();
    }
    fs::remove_file(&names[1]).unwrap();
}

async fn second_backup(death: fn(u64) -> Death) -> Sum {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 40);
    let number = world.point("daily", 0).await;
    let before = vec![(number, world.present("daily"))];
    change_half(&world);
    let uninterrupted = world.copy(true);
    uninterrupted.point("daily", 50).await;
    let lineage = world.lineage("daily");
    let whole = packed(&uninterrupted.root, &lineage) - packed(&world.root, &lineage);
    kill_everywhere(&world, "daily", death, &before, whole).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_backup_killed_before_any_request_is_gone_on_with() {
    assert!(first_backup(Death::BeforeRequest).await.deaths > 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_backup_killed_after_any_write_is_gone_on_with() {
    assert!(first_backup(Death::AfterWrite).await.deaths > 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_backup_killed_before_any_request_is_gone_on_with() {
    assert!(second_backup(Death::BeforeRequest).await.deaths > 35);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_backup_killed_after_any_write_is_gone_on_with() {
    assert!(second_backup(Death::AfterWrite).await.deaths > 20);
}

/// The run that takes over what a killed one has stored may need nothing of it itself. The one after it must not rely on packs that no list names.
#[tokio::test(flavor = "multi_thread")]
async fn packs_of_a_killed_run_that_the_next_point_does_not_need_harm_no_later_one() {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 8);
    world.point("daily", 0).await;
    fs::write(world.dump(), noise(9, 400 << 10)).unwrap();
    let mut took_over = 0;
    for at in 3.. {
        let copy = world.copy(true);
        if sacrifice(&copy.root, Work::Backup { policy: "daily".to_owned() }, Death::AfterWrite(at), 100) == Fate::Survived {
            break;
        }
        let mut request = copy.request("daily", &copy.stores()).await.unwrap();
        request.selected = vec!["tree".parse().unwrap()];
        let end = back_up(request, &context(200)).await.unwrap();
        took_over += usize::from(!end.adopted.is_empty());
        assert!(matches!(end.outcome, Outcome::Incomplete { .. }), "{at}: {:?}", end.outcome);
        copy.point("daily", 300).await;
    }
    assert!(took_over > 5, "{took_over}");
}

/// Near the end, when most is stored and little is left: what is put again does not grow with the backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_backup_killed_near_its_end_puts_little_again() {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 1000);
    let uninterrupted = world.copy(true);
    uninterrupted.point("weekly", 0).await;
    let whole = packed(&uninterrupted.root, &world.lineage("weekly"));
    for at in [200, 300, 390] {
        let copy = world.copy(true);
        assert_eq!(sacrifice(&copy.root, Work::Backup { policy: "weekly".to_owned() }, Death::AfterWrite(at), 100), Fate::Killed);
        let stored = packed(&copy.root, &world.lineage("weekly"));
        copy.point("weekly", 200).await;
        let again = packed(&copy.root, &world.lineage("weekly")).saturating_sub(whole);
        println!("{again} bytes again of {whole}, when {stored} were stored: {:.1} %", 100.0 * again as f64 / whole as f64);
        assert!(again <= whole / 20, "{again} of {whole}");
    }
}

/// Between requests and inside them, wherever the moment falls.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_killed_at_any_moment_is_gone_on_with() {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 200);
    let expected = world.present("daily");
    let mut killed = 0;
    for i in 0..24_i64 {
        let moment = Duration::from_millis(5 + 4 * u64::try_from(i).unwrap());
        killed += usize::from(sacrifice_after(&world.root, Work::Backup { policy: "daily".to_owned() }, moment, i) == Fate::Killed);
        if i % 6 == 5 {
            world.point("daily", i).await;
        }
    }
    let complete = world.check("daily", |_| expected.clone(), "killed at any moment").await;
    assert!(complete >= 4 && killed >= 4, "{complete} {killed}");
    println!("{killed} deaths at any moment, {complete} points");
}
