//! A small installation of its own in a folder: configuration, keys, repository, control store and the data to protect.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    time::Duration,
};

use hourglass::{
    cli::{Globals, repo::Repo},
    config::{Config, PRIMARY},
    model::{ByteCount, Clock, Context, Destination, EntryNumber, Limits, Lineage, MemberName, Overwrite, Plan, RunId, Timestamp},
    orchestrator::{
        OrchestratorError,
        backup::{BackupEnd, BackupRequest, back_up},
        restore::{RestoreEnd, RestoreTools, resume_restore, run_restore},
        runs::{self, KnownRun},
    },
    repository::{
        keys::{CaptureFile, IdentityFile, OperatorFile, vault},
        record::{Copies, Outline, Point, Record},
        repo::RepoFile,
        trust::TrustChain,
    },
    restore::{
        RestoreError,
        fetch::Location,
        opened::OpenedPoint,
        plan::{Request, plan},
    },
    sources,
    storage::{DirectoryStore, ObjectStore},
};
use tempfile::TempDir;

use super::snapshot::{Snapshot, assert_same, snapshot};

/// Small packs, so that little data makes many of them, and several checkpoints.
pub const PACK: u64 = 32 << 10;

const CONFIG: &str = "\
site: main
locations:
  primary: { url: 'file://ROOT/repository' }
  other: { url: 'file://ROOT/other' }
control: { url: 'file://ROOT/control' }
capture_key_file: ROOT/capture.key
operator_key_file: ROOT/operator.key
state_dir: ROOT/state
sources:
  tree: { files: { path: ROOT/source/tree } }
  dump: { command: { dump: [cat, ROOT/source/dump.bin], load: [dd, of=ROOT/source/loaded.bin] } }
policies:
  daily: { members: { tree: required, dump: required }, epoch: { mode: rolling }, keep: { last: 2 } }
  weekly: { members: { tree: required }, epoch: { mode: rolling } }
  single: { members: { dump: required }, epoch: { mode: single } }
";

/// A clock that is ahead of the machine's, or behind it.
#[derive(Debug)]
pub struct Shifted(pub i64);

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        Timestamp::now() + jiff::SignedDuration::from_secs(self.0)
    }
}

/// What long work is given in these tests, with a clock that is so many seconds ahead.
pub fn context(ahead: i64) -> Context {
    let limits = Limits { pack: ByteCount(PACK), workers: 2, memory: ByteCount(32 << 20), ..Limits::default() };
    Context { clock: Arc::new(Shifted(ahead)), limits, ..Context::default() }
}

/// Two stores that a run works with.
#[derive(Debug, Clone)]
pub struct Stores {
    pub data: Arc<dyn ObjectStore>,
    pub control: Arc<dyn ObjectStore>,
}

/// An installation.
#[derive(Debug)]
pub struct World {
    pub root: PathBuf,
    _folder: Option<TempDir>,
    /// Stores that are not folders below the root.
    pub elsewhere: BTreeMap<String, Arc<dyn ObjectStore>>,
}

/// In memory where there is room: nothing here outlives the test.
fn temporary() -> TempDir {
    let memory = Path::new("/dev/shm");
    let has_room = rustix::fs::statvfs(memory).is_ok_and(|stat| stat.f_bavail * stat.f_frsize > 2 << 30);
    if has_room { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// An installation that `init` has just made, to be copied.
fn pristine() -> &'static World {
    static PRISTINE: OnceLock<World> = OnceLock::new();
    PRISTINE.get_or_init(|| {
        let folder = temporary();
        let world = World { root: folder.path().to_owned(), _folder: Some(folder), elsewhere: BTreeMap::new() };
        for name in ["repository", "other", "control", "source/tree"] {
            fs::create_dir_all(world.root.join(name)).unwrap();
        }
        fs::write(world.root.join("hourglass.yaml"), CONFIG.replace("ROOT", world.root.to_str().unwrap())).unwrap();
        world.hourglass(&["init", "--write"], 0);
        world
    })
}

impl World {
    /// A fresh installation with no data.
    pub fn new() -> World {
        pristine().copy(false)
    }

    /// One that lies in a folder already.
    pub fn at(root: &Path) -> World {
        World { root: root.to_owned(), _folder: None, elsewhere: BTreeMap::new() }
    }

    /// The same in another folder; with `shares` it reads this one's data.
    pub fn copy(&self, shares: bool) -> World {
        let folder = temporary();
        let (old, new) = (self.root.to_str().unwrap().to_owned(), folder.path().to_str().unwrap().to_owned());
        for entry in fs::read_dir(&self.root).unwrap() {
            let entry = entry.unwrap();
            if shares && entry.file_name() == "source" {
                continue;
            }
            let copied = Command::new("cp").arg("-a").arg(entry.path()).arg(folder.path()).status().unwrap();
            assert!(copied.success());
        }
        let config = folder.path().join("hourglass.yaml");
        let mut text = fs::read_to_string(&config).unwrap().replace(&old, &new);
        if shares {
            let source = |root: &str| format!("{root}/source");
            text = text.replace(&source(&new), &source(&old));
        }
        fs::write(config, text).unwrap();
        World { root: folder.path().to_owned(), _folder: Some(folder), elsewhere: BTreeMap::new() }
    }

    /// Runs the binary here; fails when its exit status is another.
    pub fn hourglass(&self, arguments: &[&str], status: i32) -> String {
        let output = self.command(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        text
    }

    /// The binary, to be run here with nothing of the tester's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hourglass"));
        let path = std::env::var_os("PATH").unwrap();
        command.args(arguments).current_dir(&self.root).env_clear().env("HOME", &self.root).env("PATH", path);
        command
    }

    pub fn tree(&self) -> PathBuf {
        self.root.join("source/tree")
    }

    pub fn dump(&self) -> PathBuf {
        self.root.join("source/dump.bin")
    }

    /// The stores as they are.
    pub fn stores(&self) -> Stores {
        Stores { data: self.store("repository"), control: self.store("control") }
    }

    pub fn store(&self, name: &str) -> Arc<dyn ObjectStore> {
        self.elsewhere.get(name).cloned().unwrap_or_else(|| Arc::new(DirectoryStore::open(&self.root.join(name)).unwrap()))
    }

    pub fn config(&self) -> Config {
        Globals { config: Some(self.root.join("hourglass.yaml")), ..Globals::default() }.load_config().unwrap()
    }

    pub async fn repo(&self) -> Repo {
        let (config, store) = (self.config(), self.store("repository"));
        let id = RepoFile::load(&*store).await.unwrap().unwrap().repository;
        let trusts = TrustChain::load(&*store, &id, &config.trust_root.as_deref().unwrap().parse().unwrap()).await.unwrap();
        Repo { config, configured: std::collections::BTreeMap::new(), location: PRIMARY.to_owned(), store, id, trusts: Arc::new(trusts) }
    }

    pub fn capture(&self) -> CaptureFile {
        IdentityFile::open_capture(&self.root.join("capture.key")).unwrap()
    }

    pub fn operator(&self) -> OperatorFile {
        IdentityFile::open_operator(&self.root.join("operator.key")).unwrap()
    }

    pub async fn record(&self, policy: &str) -> Record {
        let repo = self.repo().await;
        Record::load(&*repo.store, &repo.trusts, &repo.lineage(policy).unwrap()).await.unwrap()
    }

    /// What a backup of `policy` needs, with its record as `stores` show it.
    pub async fn request(&self, policy: &str, stores: &Stores) -> Result<BackupRequest, OrchestratorError> {
        let repo = self.repo().await;
        let record = Record::load_beside(&*stores.data, &repo.trusts, &self.lineage(policy), &Copies::none()).await?;
        Ok(request(&repo.config, repo.id.clone(), self.capture(), record, stores))
    }

    pub async fn back_up(&self, policy: &str, stores: &Stores, ahead: i64) -> Result<BackupEnd, OrchestratorError> {
        back_up(self.request(policy, stores).await?, &context(ahead)).await
    }

    /// A backup that has to succeed; gives the number of its point.
    pub async fn point(&self, policy: &str, ahead: i64) -> EntryNumber {
        let end = self.back_up(policy, &self.stores(), ahead).await.unwrap();
        assert!(end.outcome.is_success(), "{:?}", end.outcome);
        end.entry.unwrap()
    }

    /// Opens a point with the operator's keys, to be read from `data`.
    pub async fn open(&self, policy: &str, number: EntryNumber, data: &Arc<dyn ObjectStore>) -> OpenedPoint {
        let stores = Stores { data: Arc::clone(data), control: self.store("control") };
        self.try_open(policy, number, &stores).await.unwrap().0
    }

    /// The same, of a point whose parts may be gone.
    pub async fn try_open(&self, policy: &str, number: EntryNumber, stores: &Stores) -> Result<(OpenedPoint, Stores), RestoreError> {
        let (repo, data) = (self.repo().await, &stores.data);
        let record = Record::load(&**data, &repo.trusts, &self.lineage(policy)).await.unwrap();
        let (name, manifest) = record.point(number).unwrap();
        let unlocked = vault::unlock(&**data, &repo.trusts, &manifest.vault, &self.operator().identities).await.unwrap();
        let locations = vec![Location { name: "primary".to_owned(), store: Arc::clone(data) }];
        let opened = OpenedPoint::open(name, manifest.clone(), Arc::new(unlocked.identity), locations, &context(0)).await?;
        Ok((opened, stores.clone()))
    }

    /// Restores all members of a point below `target`.
    pub async fn restore(&self, policy: &str, number: EntryNumber, target: &Path, stores: &Stores) -> Result<RestoreEnd, OrchestratorError> {
        self.restore_opened(self.open(policy, number, &stores.data).await, target, stores).await
    }

    /// The same of a point that is open.
    pub async fn restore_opened(&self, opened: OpenedPoint, target: &Path, stores: &Stores) -> Result<RestoreEnd, OrchestratorError> {
        let (plan, ctx) = (restore_plan(&opened, target), context(0));
        run_restore(plan, self.tools(opened, stores), &ctx).await
    }

    /// Goes on with a restore that was interrupted.
    pub async fn resume(&self, policy: &str, known: KnownRun, number: EntryNumber, stores: &Stores) -> Result<RestoreEnd, OrchestratorError> {
        let opened = self.open(policy, number, &stores.data).await;
        resume_restore(known, self.tools(opened, stores), None, &context(0)).await
    }

    fn tools(&self, point: OpenedPoint, stores: &Stores) -> RestoreTools {
        let key = runs::operator_key(&self.operator().signing_key);
        RestoreTools { point, sources: Default::default(), control: Arc::clone(&stores.control), key }
    }

    /// Every run that the control store knows.
    pub async fn runs(&self, policy: &str) -> Vec<KnownRun> {
        let control = self.store("control");
        let keys = [runs::operator_key(&self.operator().signing_key), runs::capture_key(&self.capture(), &self.lineage(policy))];
        let mut found = Vec::new();
        for run in runs::ids(&*control).await.unwrap() {
            found.extend(runs::load(&*control, &run, &keys).await.unwrap().map(|(known, _)| known));
        }
        found
    }

    pub fn lineage(&self, policy: &str) -> Lineage {
        format!("{policy}@main/1").parse().unwrap()
    }

    /// The points of a record that is as it should be: nothing void, nothing missing, no run twice.
    pub async fn points(&self, policy: &str) -> Vec<(EntryNumber, Point)> {
        let record = self.record(policy).await;
        assert!(record.voids().is_empty() && record.strays().is_empty() && record.gap().is_none(), "{:?} {:?}", record.voids(), record.strays());
        let points: Vec<_> = record.state().points.keys().map(|number| (*number, record.point(*number).unwrap().1.clone())).collect();
        let mut runs: Vec<_> = points.iter().map(|(_, point)| point.run.clone()).collect();
        runs.sort();
        runs.dedup();
        assert_eq!(runs.len(), points.len(), "a run has made two points");
        points
    }

    /// What a restore of a point yields.
    pub async fn restored(&self, policy: &str, number: EntryNumber, data: &Arc<dyn ObjectStore>) -> Snapshot {
        let target = temporary();
        let stores = Stores { data: Arc::clone(data), control: self.store("control") };
        let end = self.restore(policy, number, &target.path().join("all"), &stores).await.unwrap();
        assert!(end.outcome.is_success(), "point {number}: {:?}", end.outcome);
        snapshot(&target.path().join("all"))
    }

    /// Restores every point that is complete, and compares it with what it should be; gives their number.
    pub async fn check(&self, policy: &str, expected: impl Fn(EntryNumber) -> Snapshot, why: &str) -> usize {
        let complete = self.points(policy).await.into_iter().filter(|(_, point)| point.complete);
        let mut count = 0;
        for (number, _) in complete {
            assert_same(&self.restored(policy, number, &self.stores().data).await, &expected(number), &format!("{why}: point {number}"));
            count += 1;
        }
        count
    }

    /// What is there to be saved now, as [`World::restored`] shows it.
    pub fn present(&self, policy: &str) -> Snapshot {
        let folder = temporary();
        let all = folder.path().join("all");
        fs::create_dir(&all).unwrap();
        if policy != "single" {
            assert!(Command::new("cp").args(["-a", self.tree().to_str().unwrap()]).arg(&all).status().unwrap().success());
        }
        if policy != "weekly" {
            fs::create_dir(all.join("dump")).unwrap();
            fs::copy(self.dump(), all.join("dump/dump")).unwrap();
        }
        snapshot(&all)
    }
}

fn request(
    config: &Config,
    repository: hourglass::model::RepositoryId,
    keys: CaptureFile,
    record: Record<Outline>,
    stores: &Stores,
) -> BackupRequest {
    let lineage = record.lineage().clone();
    let policy = config.policies[&lineage.policy].clone();
    let member = |(name, need): (&MemberName, &hourglass::config::Need)| {
        let source = &config.sources[name];
        let required = *need == hourglass::config::Need::Required;
        hourglass::backup::job::JobMember {
            name: name.clone(),
            required,
            source: sources::open(source),
            description: sources::describe(source),
            objects: None,
        }
    };
    BackupRequest {
        run: None,
        repository,
        lineage,
        members: policy.members.iter().map(member).collect(),
        selected: Vec::new(),
        policy,
        store: Arc::clone(&stores.data),
        locks: false,
        control: Arc::clone(&stores.control),
        record,
        keys,
    }
}

fn restore_plan(opened: &OpenedPoint, target: &Path) -> Plan {
    let directory = |name: &MemberName| Destination::Directory(target.join(name.as_str()));
    let members = opened.sealed.members.iter().map(|member| (member.name.clone(), directory(&member.name))).collect();
    let request = Request { members, select: Vec::new(), overwrite: Overwrite::Refuse, accepted: None };
    plan(&RunId::new(Timestamp::now(), runs::random()), opened, &request).unwrap()
}

/// Bytes of all packs of a lineage.
pub fn packed(root: &Path, lineage: &Lineage) -> u64 {
    fn size(folder: &Path) -> u64 {
        let Ok(entries) = fs::read_dir(folder) else { return 0 };
        let one = |entry: fs::DirEntry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() };
        entries.map(|entry| one(entry.unwrap())).sum()
    }
    size(&root.join("repository").join(lineage.to_string()).join("packs"))
}

/// Waits a little, so that files which are changed now have another time than those of before.
pub fn tick() {
    std::thread::sleep(Duration::from_millis(12));
}
