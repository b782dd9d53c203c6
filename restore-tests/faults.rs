//! Stores that fail as real ones do: nothing is lost, nothing is doubled, and what is restored is equal.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hourglass::{
    model::{Outcome, Timestamp},
    repository::{presence::presence, record::Record, trust::TrustChain},
    storage::{Budget, Fault, Faults, ObjectStore, Operation, OperationKind, Retry},
};

use crate::crash::{
    snapshot::{assert_same, fill, noise},
    world::{Stores, World, tick},
};

/// Retries that do not make a test wait.
fn hasty() -> Budget {
    let total = Duration::from_secs(60);
    let (attempt, longest_wait) = (Duration::from_millis(150), Duration::from_millis(4));
    Budget { attempts: 16, total, attempt, first_wait: Duration::from_millis(1), longest_wait }
}

/// A number that looks random and follows from its arguments.
pub fn dice(seed: u64, number: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&number.to_le_bytes());
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().unwrap())
}

/// Every transient fault there is, by turns, in a quarter of the requests.
pub fn weather(inner: Arc<dyn ObjectStore>, seed: u64, budget: Budget) -> Arc<dyn ObjectStore> {
    let script = move |operation: &Operation| match dice(seed, operation.number) % 32 {
        0 | 1 => Fault::Unavailable,
        2 => Fault::Throttled,
        3 | 4 => Fault::LostAcknowledgement,
        5 => Fault::CutBody,
        6 if operation.number.is_multiple_of(5) => Fault::Silence,
        7 => Fault::Slow(Duration::from_millis(3)),
        8..=15 if operation.kind == OperationKind::List => Fault::StaleList(Timestamp::now() - jiff::SignedDuration::from_millis(200)),
        _ => Fault::None,
    };
    Arc::new(Retry::new(Arc::new(Faults::new(inner, script)), budget, seed))
}

fn change(world: &World, round: u64) {
    tick();
    std::fs::write(world.tree().join("sub/one"), noise(round, 20_000)).unwrap();
    std::fs::write(world.tree().join(format!("new-{round}")), noise(round + 77, 9_000)).unwrap();
    std::fs::write(world.dump(), noise(round / 2, 300_000)).unwrap();
}

/// Three backups of what lies in `source` go through `stores`; then each point is restored from there, and from the stores as they are.
pub async fn survives(source: &World, world: &World, stores: &Stores, why: &str) {
    let mut expected = Vec::new();
    for round in 0..3 {
        change(source, round);
        let end = world.back_up("daily", stores, i64::try_from(round).unwrap() * 10).await.unwrap();
        assert!(end.outcome.is_success(), "{why}: {:?}", end.outcome);
        expected.push((end.entry.unwrap(), source.present("daily")));
    }
    let points: Vec<_> = world.points("daily").await.into_iter().map(|(number, _)| number).collect();
    assert_eq!(points, expected.iter().map(|(number, _)| *number).collect::<Vec<_>>(), "{why}");
    for (number, snapshot) in &expected {
        assert_same(&world.restored("daily", *number, &stores.data).await, snapshot, why);
        assert_same(&world.restored("daily", *number, &world.stores().data).await, snapshot, why);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_bad_weather_loses_and_doubles_nothing() {
    for seed in 1..=8 {
        let world = World::new();
        fill(&world.tree(), &world.dump(), 24);
        let plain = world.stores();
        let stores = Stores { data: weather(plain.data, seed, hasty()), control: weather(plain.control, seed + 1000, hasty()) };
        survives(&world, &world, &stores, &format!("seed {seed}")).await;
    }
}

/// One fault, without any retry, at the request of this number to data store or control store.
fn once(stores: &Stores, at: u64, fault: Fault, hit: &Arc<AtomicBool>) -> Stores {
    let count = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let wrap = |inner: &Arc<dyn ObjectStore>| -> Arc<dyn ObjectStore> {
        let (count, hit) = (Arc::clone(&count), Arc::clone(hit));
        Arc::new(Faults::new(Arc::clone(inner), move |_| match count.fetch_add(1, Ordering::SeqCst) + 1 == at {
            true => {
                hit.store(true, Ordering::SeqCst);
                fault
            }
            false => Fault::None,
        }))
    };
    Stores { data: wrap(&stores.data), control: wrap(&stores.control) }
}

async fn one_fault_everywhere(fault: Fault) -> u64 {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 8);
    world.point("daily", 0).await;
    let first = world.points("daily").await[0].0;
    let old = world.present("daily");
    change(&world, 1);
    let new = world.present("daily");
    for at in 1.. {
        let copy = world.copy(true);
        let hit = Arc::new(AtomicBool::new(false));
        let failed = copy.back_up("daily", &once(&copy.stores(), at, fault, &hit), 50).await;
        let why = format!("{fault:?} at {at}");
        // What ended well has a point; what did not has none that looks complete and is not.
        let told = failed.as_ref().is_ok_and(|end| end.outcome.is_success());
        let end = copy.back_up("daily", &copy.stores(), 100).await.unwrap();
        assert!(end.outcome.is_success(), "{why}: {:?}", end.outcome);
        let expected = |number| if number == first { old.clone() } else { new.clone() };
        let complete = copy.check("daily", expected, &why).await;
        assert!(complete == 2 || complete == 3, "{why}: {complete}");
        assert!(!told || complete == 3, "{why}: a success that is not there");
        if !hit.load(Ordering::SeqCst) {
            return at - 1;
        }
    }
    unreachable!("a backup makes fewer requests")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_fails_for_good_harms_no_later_run() {
    println!("{} deaths of a request", one_fault_everywhere(Fault::AccessDenied).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_is_lost_for_good_harms_no_later_run() {
    println!("{} deaths of an answer", one_fault_everywhere(Fault::LostAcknowledgement).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_replica_restores_and_refuses_backups_clearly() {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 8);
    let number = world.point("daily", 0).await;
    let expected = world.present("daily");
    let copied = Command::new("cp").args(["-a", "repository/.", "other/"]).current_dir(&world.root).status().unwrap();
    assert!(copied.success());
    let before = std::fs::read_dir(world.root.join("other/daily@main/1/record")).unwrap().count();
    std::fs::remove_dir_all(world.root.join("repository/daily@main")).unwrap();
    let replica: Arc<dyn ObjectStore> = Arc::new(Faults::read_only(world.store("other")));
    assert_same(&world.restored("daily", number, &replica).await, &expected, "from the replica alone");
    change(&world, 3);
    let end = world.back_up("daily", &Stores { data: replica, ..world.stores() }, 20).await.unwrap();
    let Outcome::Failed { problem } = end.outcome else { panic!("{:?}", end.outcome) };
    assert!(problem.what.contains("access denied"), "{problem:?}");
    assert_eq!(std::fs::read_dir(world.root.join("other/daily@main/1/record")).unwrap().count(), before);
}

/// The keys of all objects below a folder, in an order that a replication without order could bring them in.
fn shuffled(root: &Path, seed: u64) -> Vec<PathBuf> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { below(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    below(root, &mut found);
    found.sort_by_key(|path| *blake3::hash(format!("{seed}{}", path.display()).as_bytes()).as_bytes());
    found.into_iter().map(|path| path.strip_prefix(root).unwrap().to_owned()).collect()
}

/// Objects arrive one after the other, in any order: at each moment a point that is offered as complete can be restored from there alone.
async fn arrives(seed: u64) -> (usize, usize) {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 8);
    let mut expected = Vec::new();
    for round in 0..3 {
        change(&world, round);
        expected.push((world.point("daily", 10 * i64::try_from(round).unwrap()).await, world.present("daily")));
    }
    let objects = shuffled(&world.root.join("repository"), seed);
    let (replica, repo) = (world.store("other"), world.repo().await);
    let (mut offered, mut gaps) = (0, 0);
    for (i, object) in objects.iter().enumerate() {
        let to = world.root.join("other").join(object);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(world.root.join("repository").join(object), to).unwrap();
        // A reader that knows the root, and what else it says: from there alone.
        let Ok(trusts) = TrustChain::load(&*replica, &repo.id, &repo.config.trust_root.as_deref().unwrap().parse().unwrap()).await else { continue };
        let record = Record::load(&*replica, &Arc::new(trusts), &world.lineage("daily")).await.unwrap();
        gaps += usize::from(record.gap().is_some());
        for (number, snapshot) in &expected {
            let is_last = i + 1 == objects.len();
            let complete = record.point(*number).is_some() && presence(&*replica, &record, *number).await.unwrap().is_complete();
            assert!(complete || !is_last, "all has arrived");
            if complete {
                assert_same(&world.restored("daily", *number, &replica).await, snapshot, &format!("seed {seed}, after {i} of {}", objects.len()));
                offered += 1;
            }
        }
    }
    (offered, gaps)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_objects_that_arrive_in_random_order_only_complete_points_are_offered() {
    for seed in 0..4 {
        let (offered, gaps) = arrives(seed).await;
        println!("{offered} deaths avoided, {gaps} gaps seen");
        assert!(offered >= 3);
    }
}
