//! A site that daemons keep, and the daemons: processes whose log is read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use hourglass::{
    config::StoreConfig,
    daemon::ledger::{
        Entry, Ledger, Place,
        event::{End, Happened},
        state::Balance,
    },
    model::{Lineage, RunId},
    repository::{
        keys::{CaptureFile, IdentityFile},
        record::{Point, Record},
        repo::RepoFile,
        trust::TrustChain,
    },
    storage::{self, ObjectStore},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    site::{Site, yaml},
    stores::places::{access_key, below, fresh_name},
};

/// Nothing here takes so long, however loaded the machine is.
const PATIENCE: Duration = Duration::from_secs(180);

/// A site with the policy `p`, whose dump waits until the file `go` is there.
pub struct Kept {
    pub site: Site,
    stores: Option<StoreConfig>,
}

impl Kept {
    /// With this schedule, and more keys of the policy (as YAML lines).
    pub fn new(schedule: &str, more: &str) -> Kept {
        let kept = Kept { site: Site::in_directories(), stores: None };
        kept.configure(schedule, more);
        kept
    }

    /// The same on an S3 server.
    pub fn on(place: &StoreConfig, schedule: &str, more: &str) -> Kept {
        let stores = below(place, &fresh_name());
        let of = |name: &str| yaml(&below(&stores, name));
        let kept = Kept { site: Site::new("we", &[("primary", of("repository"))], &of("control")).with_s3(), stores: Some(stores) };
        kept.configure(schedule, more);
        kept
    }

    fn configure(&self, schedule: &str, more: &str) {
        self.site.run(&["init", "--write"], 0);
        let wait = "n=0; while ! [ -e go ] && [ $n -lt 3000 ]; do n=$((n + 1)); sleep 0.1; done";
        let script = format!("cd {} && {wait}; cat data", self.site.path("").display());
        self.site.configure(&format!("sources:\n  data: {{ command: {{ dump: [sh, -c, {script:?}], load: [cat] }} }}\n"));
        self.site.configure(&format!("policies:\n  p:\n    members: {{ data: required }}\n    schedule: {schedule:?}\n    rpo: 1h\n{more}"));
        fs::write(self.site.path("data"), "data\n").unwrap();
        self.go();
        self.site.run(&["keys", "prove"], 0);
    }

    /// Lets dumps end.
    pub fn go(&self) {
        fs::write(self.site.path("go"), "").unwrap();
    }

    /// Has dumps wait.
    pub fn halt(&self) {
        fs::remove_file(self.site.path("go")).unwrap();
    }

    pub fn daemon(&self, name: &str) -> Daemon {
        self.daemon_with(name, &[])
    }

    /// One with more arguments.
    pub fn daemon_with(&self, name: &str, more: &[&str]) -> Daemon {
        let log = self.logs(name).find(|log| !log.exists()).unwrap();
        Daemon::start(&self.site, log, more)
    }

    /// The logs of the first, the second, and so on, daemon of a name.
    fn logs(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        (1..).map(move |life| self.site.path(&format!("{name}-{life}.log")))
    }

    pub fn lineage(&self) -> Lineage {
        "p@we/1".parse().unwrap()
    }

    pub fn keys(&self) -> CaptureFile {
        IdentityFile::open_capture(&self.site.path("capture.key")).unwrap()
    }

    pub async fn store(&self, name: &str) -> std::sync::Arc<dyn ObjectStore> {
        match &self.stores {
            Some(stores) => storage::open_with(&below(stores, name), Some(&access_key())).await.unwrap(),
            None => std::sync::Arc::new(storage::DirectoryStore::open(&self.site.path(name)).unwrap()),
        }
    }

    async fn place(&self, name: &str) -> Place {
        let lineage: Lineage = format!("{name}@we/1").parse().unwrap();
        Place::of(&self.store("control").await, &self.keys(), &lineage)
    }

    pub async fn history(&self) -> Vec<Entry> {
        self.history_of("p").await
    }

    /// Of another policy, or of a task.
    pub async fn history_of(&self, name: &str) -> Vec<Entry> {
        self.place(name).await.history(2000).await.unwrap()
    }

    pub async fn balance(&self) -> Balance {
        self.balance_of("p").await
    }

    pub async fn balance_of(&self, name: &str) -> Balance {
        Ledger::open(self.place(name).await).await.unwrap().balance().clone()
    }

    /// Waits until so many slots are over; gives how the last of them ended, and why.
    pub async fn ended(&self, name: &str, times: usize) -> (End, Option<String>) {
        let began = Instant::now();
        loop {
            let history = self.history_of(name).await;
            let mut ends =
                history.iter().filter_map(|entry| if let Happened::Ended { end, why, .. } = &entry.event { Some((*end, why.clone())) } else { None });
            if let Some(end) = ends.nth(times - 1) {
                return end;
            }
            assert!(began.elapsed() < PATIENCE, "{name} does not end {times} times\n{}", self.tell(&history));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until a ledger is as wanted.
    pub async fn until_of(&self, name: &str, what: &str, wanted: impl Fn(&Balance) -> bool) {
        let began = Instant::now();
        while !wanted(&self.balance_of(name).await) {
            assert!(began.elapsed() < PATIENCE, "{what} does not come\n{}", self.tell(&self.history_of(name).await));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// When the first run began.
    pub async fn when_begun(&self, name: &str) -> hourglass::model::Timestamp {
        let history = self.history_of(name).await;
        history.iter().find(|entry| matches!(entry.event, Happened::Begun { .. })).unwrap().written
    }

    /// When the first slot that was begun was over.
    pub async fn when_over(&self, name: &str) -> hourglass::model::Timestamp {
        let history = self.history_of(name).await;
        history.iter().find(|entry| matches!(entry.event, Happened::Ended { .. })).unwrap().written
    }

    /// Waits for a file that holds the number of a process.
    pub async fn file(&self, name: &str) -> String {
        let began = Instant::now();
        loop {
            match fs::read_to_string(self.site.path(name)) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => {}
            }
            assert!(began.elapsed() < PATIENCE, "{name} does not come\n{}", self.tell(&self.history_of("restores").await));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a process is gone.
    pub async fn is_gone(&self, pid: &str) {
        let began = Instant::now();
        while std::path::Path::new("/proc").join(pid).exists() {
            assert!(began.elapsed() < PATIENCE, "process {pid} goes on");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The points of the record, which has to be sound.
    pub async fn record(&self) -> Record {
        let store = self.store("repository").await;
        let id = RepoFile::load(&*store).await.unwrap().unwrap().repository;
        let config = fs::read_to_string(self.site.path("hourglass.yaml")).unwrap();
        let root = config.lines().find_map(|line| line.strip_prefix("trust_root: ")).unwrap().trim().trim_matches('"').parse().unwrap();
        let trusts = std::sync::Arc::new(TrustChain::load(&*store, &id, &root).await.unwrap());
        let record = Record::load(&*store, &trusts, &self.lineage()).await.unwrap();
        assert!(record.voids().is_empty() && record.gap().is_none() && record.strays().is_empty(), "{:?}", record.voids());
        record
    }

    pub async fn points(&self) -> Vec<Point> {
        let record = self.record().await;
        record.state().points.keys().map(|number| record.point(*number).unwrap().1.clone()).collect()
    }

    /// Orders a run.
    pub fn order(&self, what: &str) {
        self.order_of("p", what);
    }

    /// The same of another policy, or of a task.
    pub fn order_of(&self, name: &str, what: &str) {
        self.site.run(&["schedule", what, name, "--who", "Berta", "--reason", "a test"], 0);
    }

    /// Waits until the ledger is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&[Entry], &Balance) -> bool) {
        let began = Instant::now();
        loop {
            let (history, balance) = (self.history().await, self.balance().await);
            if wanted(&history, &balance) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{what} does not come: {balance:?}\n{}", self.tell(&history));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The ledger and all logs, for somebody who wants to know why.
    pub fn tell(&self, history: &[Entry]) -> String {
        let mut text: String = history.iter().map(|entry| format!("{} {} {}\n", entry.number, entry.written, entry.event.sentence())).collect();
        for log in ["a", "b"].iter().flat_map(|name| self.logs(name).take_while(|log| log.exists())) {
            text += &format!("-- {}\n{}", log.file_name().unwrap().display(), fs::read_to_string(&log).unwrap());
        }
        text
    }

    /// Everything that the ledger says is true: each slot once, success only with a complete point, no run twice, none that goes on for ever.
    pub async fn audit(&self) -> BTreeMap<&'static str, u64> {
        let (history, points) = (self.history().await, self.points().await);
        let told = self.tell(&history);
        let complete: BTreeMap<&RunId, bool> = points.iter().map(|point| (&point.run, point.complete)).collect();
        assert_eq!(complete.len(), points.len(), "a run made two points\n{told}");
        let (mut over, mut tally, mut runs) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        for (number, entry) in (1..).zip(&history) {
            assert_eq!(entry.number, number, "{told}");
            match &entry.event {
                Happened::Begun { run, caught_up, .. } => {
                    assert!(runs.insert(run.clone()), "run {run} began twice\n{told}");
                    *tally.entry("caught up").or_default() += caught_up.map_or(0, |slots| slots.count);
                }
                Happened::Ended { slot, run, end, .. } => {
                    assert!(over.insert(*slot), "{slot:?} ended twice\n{told}");
                    let made = run.as_ref().and_then(|run| complete.get(run)).copied();
                    assert_eq!(*end == End::Done, made == Some(true), "{slot:?} is {end:?}, and its run made {made:?}\n{told}");
                    *tally.entry(end.as_str()).or_default() += 1;
                }
                Happened::Missed { slots, .. } => *tally.entry("missed").or_default() += slots.count,
                _ => {}
            }
        }
        // Each slot has one complete point at most, and every complete point belongs to a run that the ledger began.
        let done = tally.get("done").copied().unwrap_or(0);
        assert_eq!(complete.values().filter(|complete| **complete).count() as u64, done, "{told}");
        assert!(points.iter().all(|point| runs.contains(&point.run)), "{told}");
        tally
    }
}

/// A daemon. Dropped, it is killed.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Daemon {
    /// One of a site, with more arguments.
    pub fn start(site: &Site, log: PathBuf, more: &[&str]) -> Daemon {
        let file = File::create_new(&log).unwrap();
        let mut command = site.command(&["daemon", "--quiet"]);
        command.args(more);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Daemon { child, log }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; gives its exit status.
    pub fn end(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(began.elapsed() < PATIENCE, "it does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Its log so far; every line is JSON.
    pub fn said(&self) -> Vec<Value> {
        let text = self.log();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
    }

    /// Waits until it has said an event about something.
    pub fn said_of(&self, event: &str, key: &str, value: &str) {
        let began = Instant::now();
        while !self.said().iter().any(|line| line["event"] == event && line[key] == value) {
            assert!(began.elapsed() < PATIENCE, "{event} of {value} does not come\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Its log so far as text.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has said an event so often.
    pub fn says(&self, event: &str, times: usize) -> Value {
        let began = Instant::now();
        loop {
            let said: Vec<Value> = self.said().into_iter().filter(|line| line["event"] == event).collect();
            if said.len() >= times {
                return said[times - 1].clone();
            }
            assert!(began.elapsed() < PATIENCE, "{event} does not come\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
