//! Kubernetes clusters of the lab: two control planes that always run, and what a test starts for itself: a control plane, or a whole region with a
//! node, which it may cut off from power.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use crate::lab::{Lock, Region, require, tool};

/// How long a slow machine may take to start or end something.
const LIMIT: Duration = Duration::from_secs(600);

/// Waits until no other test has this region, and keeps it: a region exists once in a run, because its name is in addresses and links.
pub fn alone_in(region: Region) -> Lock {
    Lock::alone(if region == Region::A { "region-a" } else { "region-b" })
}

/// The kubeconfig, of an administrator, of a control plane without nodes that runs as long as the tests do. Tests share both.
pub fn kubeconfig(region: Region) -> PathBuf {
    require(match region {
        Region::A => "HOURGLASS_LAB_KUBECONFIG_A",
        Region::B => "HOURGLASS_LAB_KUBECONFIG_B",
    })
    .into()
}

/// What kubectl prints, or that it failed and why.
pub fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> Result<String, String> {
    let program = format!("{}/kubectl", require("HOURGLASS_LAB_KUBERNETES"));
    let done = Command::new(program).arg("--kubeconfig").arg(kubeconfig).args(arguments).output().unwrap();
    if done.status.success() { Ok(String::from_utf8(done.stdout).unwrap()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

/// Calls `look` until it says that all is well; fails with what it said last.
pub fn eventually<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(said) => assert!(began.elapsed() < LIMIT, "{said}"),
        }
        pause(began);
    }
}

/// Between two looks: the longer it takes already the longer, because a look costs a process, which what is waited for does without.
pub fn pause(began: Instant) {
    sleep((began.elapsed() / 10).clamp(Duration::from_millis(50), Duration::from_secs(1)));
}

/// A cluster that a test started. It ends with the thread that started it, and when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    process: Child,
    folder: TempDir,
    _only: Option<Lock>,
}

impl Cluster {
    /// A control plane without nodes, empty: nothing schedules or runs pods, and its API answers within seconds.
    pub fn control_plane() -> Self {
        Self::start("control-plane", None, "", None).ready()
    }

    /// A region with a node, registry, DNS and storage; needs root. Waits while another test has the same one.
    pub fn region(region: Region) -> Self {
        Self::start_region(region, "").ready()
    }

    /// A region with what the platform of the tests wants: databases beside the cluster, a pool of nodes, a storage class.
    pub fn region_for_the_platform(region: Region) -> Self {
        Self::start_region(region, "platform").ready()
    }

    /// Both regions, which start at the same time.
    pub fn regions() -> [Self; 2] {
        [Region::A, Region::B].map(|region| Self::start_region(region, "")).map(Self::ready)
    }

    fn start_region(region: Region, with: &str) -> Self {
        let name = if region == Region::A { "a" } else { "b" };
        Self::start("region", Some(name), with, Some(alone_in(region)))
    }

    fn start(script: &str, name: Option<&str>, with: &str, only: Option<Lock>) -> Self {
        let folder = TempDir::with_prefix_in("cluster-", require("HOURGLASS_LAB_DIR")).unwrap();
        let said = fs::File::create(folder.path().join("said")).unwrap();
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(tool(script).get_program())
            .args(name)
            .arg(folder.path())
            .arg(with)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .process_group(0)
            .spawn()
            .unwrap();
        Self { process, folder, _only: only }
    }

    fn ready(mut self) -> Self {
        eventually(|| {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "the cluster ended: {}", self.said());
            if self.kubeconfig().exists() { Ok(()) } else { Err(self.said()) }
        });
        self
    }

    /// What it and its first process printed.
    fn said(&self) -> String {
        ["said", "log/init"].map(|file| fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()).concat()
    }

    /// Where it keeps its data and logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("admin.kubeconfig")
    }

    /// What kubectl prints, or that it failed and why.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        kubectl(&self.kubeconfig(), arguments)
    }

    /// Applies objects, each `---` apart.
    pub fn apply(&self, objects: &str) {
        let file = self.folder.path().join("objects.yaml");
        fs::write(&file, objects).unwrap();
        self.kubectl(&["apply", "--filename", file.to_str().unwrap()]).unwrap();
    }

    /// The address of a region, whose registry listens on port 5000.
    pub fn address(&self) -> String {
        fs::read_to_string(self.folder.path().join("address")).unwrap().trim().to_owned()
    }

    /// A region loses power: its first process is killed, and with it everything. Returns when nothing is left but its folder.
    pub fn lose_power(&mut self) {
        kill_process(self.first().unwrap(), Signal::KILL).unwrap();
        self.process.wait().unwrap();
    }

    /// The first process of a region that has one.
    fn first(&self) -> Option<Pid> {
        Pid::from_raw(fs::read_to_string(self.folder.path().join("pid")).ok()?.trim().parse().ok()?)
    }

    /// What a run of tests that is killed does to it.
    pub fn kill_whoever_watches_it(&mut self) {
        kill_process_group(Pid::from_child(&self.process), Signal::KILL).unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        match (self.process.try_wait(), self.first()) {
            (Ok(None), Some(_)) => self.lose_power(),
            (Ok(None), None) => self.kill_whoever_watches_it(),
            _ => {}
        }
    }
}
