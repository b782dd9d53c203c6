//! Any sequence of changes, backups, crashes, expiries, prunes, copies and restores equals a simple model: plain looks at the tree at each backup.

mod change;

use std::{collections::BTreeMap, env};

use change::Change;
use hourglass::{
    model::{EntryNumber, SystemClock, Timestamp},
    repository::record::{Body, EpochClose, Expire, ExpiredPoint, Writer, append},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};

use crate::crash::{
    snapshot::{Snapshot, assert_same, fill},
    victim::{Death, Work, sacrifice},
    world::{World, tick},
};

const CASES: u32 = 24;

/// One event of a history.
#[derive(Debug, Clone)]
enum Event {
    Change(Vec<Change>),
    Backup,
    Crash(u64),
    /// Gives up so many of the oldest points.
    Expire(usize),
    /// Ends the sharing of packs with what came before, so that prune has something to do.
    NewEpoch,
    Prune,
    Copy,
    Restore(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => prop::collection::vec(change::any(), 1..4).prop_map(Event::Change),
        4 => Just(Event::Backup),
        3 => (1..70_u64).prop_map(Event::Crash),
        1 => (1..3_usize).prop_map(Event::Expire),
        1 => Just(Event::NewEpoch),
        1 => Just(Event::Prune),
        1 => Just(Event::Copy),
        2 => (0..8_usize).prop_map(Event::Restore),
    ]
}

/// The points that there should be, and what each holds.
type Model = BTreeMap<EntryNumber, Snapshot>;

async fn decide(world: &World, body: Body) {
    let (mut record, key, store) = (world.record("daily").await, world.operator().signing_key, world.store("repository"));
    let writer = Writer { store: &*store, key: &key, clock: &SystemClock, retain_until: None };
    append(&writer, &mut record, body).await.unwrap();
}

/// Takes the points that have come into the model; they hold what is there now.
async fn learn(world: &World, model: &mut Model) -> usize {
    let (before, present) = (model.len(), world.present("daily"));
    for (number, point) in world.points("daily").await {
        assert!(point.complete);
        model.entry(number).or_insert_with(|| present.clone());
    }
    model.len() - before
}

/// Restores a point: it is as the model says, unless it was given up and then pruned.
async fn check(world: &World, number: EntryNumber, expected: &Snapshot, place: &str) {
    let record = world.record("daily").await;
    let (_, epoch) = &record.state().points[&number];
    if record.state().epochs[epoch].pruned.is_some() {
        assert!(record.state().expired.contains_key(&number), "{number} was pruned and never given up");
        return;
    }
    assert_same(&world.restored("daily", number, &world.store(place)).await, expected, &format!("{number} from {place}"));
}

async fn apply(world: &World, model: &mut Model, event: &Event) {
    match event {
        Event::Change(changes) => {
            tick();
            changes.iter().for_each(|change| change.apply(&world.tree(), &world.dump()));
            tick();
        }
        Event::Backup => {
            world.point("daily", 0).await;
            assert_eq!(learn(world, model).await, 1);
        }
        Event::Crash(at) => {
            let death = if at % 2 == 0 { Death::BeforeRequest(*at) } else { Death::AfterWrite(at / 2 + 1) };
            let _fate = sacrifice(&world.root, Work::Backup { policy: "daily".to_owned() }, death, 0);
            assert!(learn(world, model).await <= 1);
        }
        Event::Expire(count) => {
            let oldest = model.keys().take(*count).map(|number| ExpiredPoint { number: *number, reason: "a test".to_owned() });
            let (points, seen) = (oldest.collect(), Timestamp::now());
            decide(world, Body::Expire(Expire { points, seen, delete_after: seen })).await;
        }
        Event::NewEpoch => {
            let open: Vec<_> = world.record("daily").await.state().open_epochs().map(|(epoch, _)| epoch.clone()).collect();
            for epoch in open {
                decide(world, Body::EpochClose(EpochClose { epoch, reason: "a test".to_owned() })).await;
            }
        }
        Event::Prune => drop(world.hourglass(&["prune", "daily", "--quiet"], 0)),
        Event::Copy => {
            world.hourglass(&["copy", "--to", "other", "--quiet"], 0);
            let expired = world.record("daily").await.state().expired.clone();
            if let Some((number, expected)) = model.iter().rev().find(|(number, _)| !expired.contains_key(number)) {
                check(world, *number, expected, "other").await;
            }
        }
        Event::Restore(which) => {
            if let Some((number, expected)) = model.iter().nth(which % model.len().max(1)) {
                check(world, *number, expected, "repository").await;
            }
        }
    }
}

async fn live(events: &[Event]) {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 6);
    let mut model = Model::new();
    for event in events {
        apply(&world, &mut model, event).await;
    }
    world.point("daily", 0).await;
    learn(&world, &mut model).await;
    for (number, expected) in &model {
        check(&world, *number, expected, "repository").await;
    }
}

#[test]
fn any_history_equals_its_model() {
    let seed = env::var("HOURGLASS_TEST_SEED").map_or_else(|_| getrandom::u64().unwrap(), |seed| seed.parse().unwrap());
    println!("HOURGLASS_TEST_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let result = runner.run(&prop::collection::vec(event(), 3..14), |events| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(live(&events))));
        lived.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            TestCaseError::fail(text.unwrap_or_default())
        })
    });
    if let Err(TestError::Fail(why, events)) = result {
        panic!("HOURGLASS_TEST_SEED={seed}: {why}\n{events:#?}");
    }
    result.unwrap();
}
