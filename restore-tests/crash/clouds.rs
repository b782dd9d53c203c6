//! Deaths on the clouds' protocols: at each kind of request once, before it leaves, and after its effect where it has one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use hourglass::{
    config::StoreConfig,
    model::{EntryNumber, Outcome, Problem, step_id},
    repository::{
        copy::{CopyOptions, copy_points},
        presence::presence,
        record::{Copies, Record},
        trust::TrustChain,
    },
    storage::{Counting, Listed, ObjectStore, OperationKind, PutOptions, list_all, open_with},
};

use super::{
    backup::change_half,
    restore::go_on,
    snapshot::{Snapshot, assert_same, fill},
    tap::{When, tapped},
    victim::{Death, Fate, Work, kind, sacrifice},
    world::{Stores, World, context},
};
use crate::{
    site::yaml,
    stores::places::{S3, access_key, below, bucket, container, fresh_name, key},
};

const STORES: [&str; 3] = ["repository", "other", "control"];

impl World {
    /// A copy whose stores are in a bucket or container, with all that is in them.
    pub async fn lifted(&self, place: &StoreConfig) -> World {
        self.lifted_to(place, place).await
    }

    /// The same with the other location in a place of its own.
    async fn lifted_to(&self, place: &StoreConfig, other: &StoreConfig) -> World {
        let mut lifted = self.copy(true);
        let (config, prefix) = (lifted.root.join("hourglass.yaml"), fresh_name());
        let mut text = fs::read_to_string(&config).unwrap();
        for name in STORES {
            let here = format!("{{ url: 'file://{}/{name}' }}", lifted.root.display());
            assert!(text.contains(&here), "{here}: {text}");
            let place = if name == "other" { other } else { place };
            // A control store may have no lock.
            let lock = place.lock.filter(|_| name != "control");
            text = text.replace(&here, &yaml(&StoreConfig { lock, ..below(place, &format!("{prefix}/{name}")) }));
        }
        fs::write(config, text).unwrap();
        lifted = lifted.reconnected().await;
        for name in STORES {
            let folder = lifted.root.join(name);
            upload(&folder, &*lifted.elsewhere[name]).await;
            fs::remove_dir_all(folder).unwrap();
        }
        lifted
    }

    /// Removes what is in a cloud: the emulator of Azure answers the slower the more it holds.
    pub async fn swept(self) {
        for store in self.elsewhere.values() {
            let listed = list_all(&**store, "").await.unwrap();
            let delete = async |object: Listed| store.delete(&object.key).await.unwrap();
            stream::iter(listed).map(delete).buffer_unordered(16).collect::<()>().await;
        }
    }

    /// Opens the stores that are in a cloud.
    pub async fn reconnected(mut self) -> World {
        let config = self.config();
        for (name, place) in STORES.into_iter().zip([&config.locations["primary"], &config.locations["other"], &config.control]) {
            if !place.url.to_string().starts_with("file:") {
                self.elsewhere.insert(name.to_owned(), open_with(place, Some(&access_key())).await.unwrap());
            }
        }
        self
    }

    /// Brings all complete points of a record to the other location.
    pub async fn copy_to_other(&self, policy: &str, from: &dyn ObjectStore, to: &dyn ObjectStore) -> Outcome {
        let record = Record::load(from, &self.repo().await.trusts, &self.lineage(policy)).await.unwrap();
        let points: Vec<_> = record.state().points.keys().copied().filter(|number| record.point(*number).unwrap().1.complete).collect();
        let options = CopyOptions { lock: false, step: step_id(&["copy"]), read_before: Copies::none() };
        let report = copy_points(from, to, &record, &points, &options, &context(0)).await.unwrap();
        let whole = report.points.iter().all(hourglass::repository::copy::CopiedPoint::is_complete);
        let problem = Problem { subject: policy.to_owned(), what: format!("{report:?}") };
        if whole { Outcome::Succeeded } else { Outcome::Failed { problem } }
    }
}

fn below_folder(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { below_folder(&path, found) } else { found.push(path) }
    }
}

async fn upload(folder: &Path, store: &dyn ObjectStore) {
    let mut files = Vec::new();
    below_folder(folder, &mut files);
    let put = async |path: PathBuf| {
        let (name, body) = (path.strip_prefix(folder).unwrap(), Bytes::from(fs::read(&path).unwrap()));
        let options = PutOptions::of(&body);
        let _created = store.put_new(&key(name.to_str().unwrap()), body, &options).await.unwrap();
    };
    stream::iter(files).map(put).buffer_unordered(16).collect::<()>().await;
}

/// How often each kind of request was made.
type Census = BTreeMap<String, u64>;

/// Both stores, and what is asked of them from now on.
fn counted(stores: &Stores) -> (Stores, Arc<Mutex<Census>>) {
    let census = Arc::new(Mutex::new(Census::new()));
    let noted = Arc::clone(&census);
    let stores = tapped(
        stores,
        Arc::new(move |when, operation| {
            if when == When::Before {
                *noted.lock().unwrap().entry(kind(&operation)).or_default() += 1;
            }
            Box::pin(std::future::ready(()))
        }),
    );
    (stores, census)
}

/// A death for each kind, in the middle of those requests.
fn deaths(census: &Mutex<Census>) -> Vec<Death> {
    let of = |(kind, count): (&String, &u64)| {
        let writes = kind.starts_with("Put") || kind.starts_with("Delete");
        let at = |after| Death::AtKind { kind: kind.clone(), number: count.div_ceil(2), after };
        [Some(at(false)), writes.then(|| at(true))].into_iter().flatten().collect::<Vec<_>>()
    };
    census.lock().unwrap().iter().flat_map(of).collect()
}

fn is_after(death: &Death) -> bool {
    matches!(death, Death::AtKind { after: true, .. })
}

/// Bytes of all packs of a lineage at a store.
async fn packed(store: &dyn ObjectStore) -> u64 {
    list_all(store, "daily@main/1/packs/").await.unwrap().iter().map(|object| object.size.0).sum()
}

/// Each complete point is equal to what was there when it was made; no run made two, and nothing in the record is void.
async fn check(world: &World, before: &[(EntryNumber, Snapshot)], present: &Snapshot, why: &str) -> usize {
    let expected = |number| before.iter().find(|(old, _)| *old == number).map_or(present.clone(), |(_, then)| then.clone());
    assert_eq!(world.points("daily").await.iter().filter(|(_, point)| !point.complete).count(), 0, "{why}");
    world.check("daily", expected, why).await
}

/// Backups that are killed where `counts` says.
async fn kill_backups(world: &World, place: &StoreConfig, before: &[(EntryNumber, Snapshot)], counts: fn(&Death) -> bool) -> usize {
    let present = world.present("daily");
    let uninterrupted = world.lifted(place).await;
    let (stores, census) = counted(&uninterrupted.stores());
    assert!(uninterrupted.back_up("daily", &stores, 100).await.unwrap().outcome.is_success());
    let mut deaths = deaths(&census);
    deaths.retain(counts);
    for death in &deaths {
        let (copy, why) = (world.lifted(place).await, format!("{death:?}"));
        assert_eq!(sacrifice(&copy.root, Work::Backup { policy: "daily".to_owned() }, death.clone(), 100), Fate::Killed, "{why}");
        let end = copy.back_up("daily", &copy.stores(), 200).await.unwrap();
        assert!(end.outcome.is_success(), "{why}: {:?}", end.outcome);
        let made = check(&copy, before, &present, &why).await - before.len();
        assert!(made == 1 || made == 2, "{why}: {made} new points");
        copy.swept().await;
    }
    uninterrupted.swept().await;
    println!("{} deaths: {:?}", deaths.len(), census.lock().unwrap());
    deaths.len()
}

async fn kill_first_and_later_backups(place: &StoreConfig) {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 8);
    assert!(kill_backups(&world, place, &[], |death| !is_after(death)).await >= 12);
    let number = world.point("daily", 0).await;
    let before = vec![(number, world.present("daily"))];
    change_half(&world);
    // Before a write was the first backup's part.
    let counts = |death: &Death| is_after(death) || matches!(death, Death::AtKind { kind, .. } if !kind.starts_with("Put"));
    assert!(kill_backups(&world, place, &before, counts).await >= 16);
}

async fn kill_restores(place: &StoreConfig) {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 6);
    let number = world.point("daily", 0).await;
    let expected = world.present("daily");
    let uninterrupted = world.lifted(place).await;
    let (stores, census) = counted(&uninterrupted.stores());
    let target = uninterrupted.root.join("target");
    assert!(uninterrupted.restore("daily", number, &target, &stores).await.unwrap().outcome.is_success());
    let deaths = deaths(&census);
    for death in &deaths {
        let copy = world.lifted(place).await;
        let target = copy.root.join("target");
        let work = Work::Restore { policy: "daily".to_owned(), number, target: target.clone() };
        assert_eq!(sacrifice(&copy.root, work, death.clone(), 0), Fate::Killed, "{death:?}");
        go_on(&copy, number, &target, &expected, &format!("{death:?}")).await;
        copy.swept().await;
    }
    uninterrupted.swept().await;
    println!("{} deaths: {:?}", deaths.len(), census.lock().unwrap());
    assert!(deaths.len() >= 6);
}

/// What the other location offers as complete can be restored from there alone; gives the number of such points.
async fn offered(world: &World, expected: &[(EntryNumber, Snapshot)], why: &str) -> usize {
    let (repo, other) = (world.repo().await, world.store("other"));
    let root = repo.config.trust_root.as_deref().unwrap().parse().unwrap();
    let Ok(trusts) = TrustChain::load(&*other, &repo.id, &root).await else { return 0 };
    let record = Record::load(&*other, &Arc::new(trusts), &world.lineage("daily")).await.unwrap();
    assert!(record.voids().is_empty() && record.gap().is_none(), "{why}: {:?}", record.voids());
    let mut complete = 0;
    for (number, snapshot) in expected {
        if record.point(*number).is_some() && presence(&*other, &record, *number).await.unwrap().is_complete() {
            assert_same(&world.restored("daily", *number, &other).await, snapshot, &format!("{why}: point {number}"));
            complete += 1;
        }
    }
    complete
}

/// Copies from one place to another, killed at the requests that `counts` picks.
async fn kill_copies(from: &StoreConfig, to: &StoreConfig, counts: fn(&Death) -> bool) -> usize {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 6);
    let mut expected = vec![(world.point("daily", 0).await, world.present("daily"))];
    change_half(&world);
    expected.push((world.point("daily", 50).await, world.present("daily")));
    let uninterrupted = world.lifted_to(from, to).await;
    let reading = Arc::new(Counting::new(uninterrupted.store("repository")));
    let (stores, census) = counted(&Stores { data: reading.clone(), control: uninterrupted.store("other") });
    assert!(uninterrupted.copy_to_other("daily", &*stores.data, &*stores.control).await.is_success());
    let read = reading.count(OperationKind::Get).bytes.0;
    let mut deaths = deaths(&census);
    deaths.retain(counts);
    for death in &deaths {
        let (copy, why) = (world.lifted_to(from, to).await, format!("{death:?}"));
        assert_eq!(sacrifice(&copy.root, Work::Copy { policy: "daily".to_owned() }, death.clone(), 0), Fate::Killed, "{why}");
        offered(&copy, &expected, &why).await;
        let (arrived, from) = (packed(&*copy.store("other")).await, Counting::new(copy.store("repository")));
        let end = copy.copy_to_other("daily", &from, &*copy.store("other")).await;
        assert!(end.is_success(), "{why}: {end:?}");
        assert_eq!(offered(&copy, &expected, &why).await, 2, "{why}");
        let again = from.count(OperationKind::Get).bytes.0;
        assert!(again <= read - arrived + read / 20, "{why}: {again} of {read} bytes were read again, and {arrived} had arrived");
        copy.swept().await;
    }
    uninterrupted.swept().await;
    println!("{} deaths: {:?}", deaths.len(), census.lock().unwrap());
    deaths.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_to_an_s3_server_killed_at_any_kind_of_request_is_gone_on_with() {
    kill_first_and_later_backups(&bucket(S3::SeaweedFs, None).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_to_azure_killed_at_any_kind_of_request_is_gone_on_with() {
    let (_folder, place) = container(None).await;
    kill_first_and_later_backups(&place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_from_a_cloud_killed_at_any_kind_of_request_is_resumed_and_ends_equal() {
    let (_folder, azure) = container(None).await;
    for place in [bucket(S3::VersityGw, None).await, azure] {
        kill_restores(&place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_between_clouds_killed_at_any_kind_of_request_is_gone_on_with_and_offers_only_what_is_whole() {
    let (_folder, azure) = container(None).await;
    assert!(kill_copies(&bucket(S3::SeaweedFs, None).await, &azure, |death| !is_after(death)).await >= 20);
    assert!(kill_copies(&azure, &bucket(S3::VersityGw, None).await, is_after).await >= 8);
}

/// Near the end, when most is stored: what is put again does not grow with the backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_backup_to_a_cloud_killed_near_its_end_puts_little_again() {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 1000);
    let (_folder, azure) = container(None).await;
    for place in [bucket(S3::SeaweedFs, None).await, azure] {
        let copy = world.lifted(&place).await;
        let store = copy.store("repository");
        let stored = async || list_all(&*store, "weekly@main/1/packs/").await.unwrap().iter().map(|object| object.size.0).sum::<u64>();
        assert_eq!(sacrifice(&copy.root, Work::Backup { policy: "weekly".to_owned() }, Death::AfterWrite(390), 100), Fate::Killed);
        let before = stored().await;
        let end = copy.back_up("weekly", &copy.stores(), 200).await.unwrap();
        assert!(end.outcome.is_success() && end.adopted.len() == 1, "{:?}", end.outcome);
        let record = copy.record("weekly").await;
        let needed: u64 = record.point(end.entry.unwrap()).unwrap().1.needed_bytes.0;
        let again = stored().await - needed;
        println!("{again} bytes again of {needed}, when {before} were stored: {:.1} %", 100.0 * again as f64 / needed as f64);
        assert!(before > needed / 2 && again <= needed / 20, "{again} of {needed}");
        copy.swept().await;
    }
}
