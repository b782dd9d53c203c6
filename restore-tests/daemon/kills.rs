//! kill -9 of the leader, of both daemons, of the source and of the store: whatever happens, the ledger tells the truth and the work goes on.
//!
//! `HOURGLASS_KILL_SECONDS` makes the rounds go on for longer.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hourglass::{config::StoreConfig, daemon::ledger::event::Happened};
use tempfile::TempDir;

use super::{
    watched::free_port,
    world::{Daemon, Kept},
};
use crate::lab::require;

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Processes whose parent is one of these, and theirs.
pub fn descendants(of: &[u32]) -> Vec<u32> {
    let output = Command::new("ps").args(["-eo", "pid=,ppid="]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs: Vec<(u32, u32)> = text
        .lines()
        .filter_map(|line| line.trim().split_once(char::is_whitespace))
        .map(|(a, b)| (a.parse().unwrap(), b.trim().parse().unwrap()))
        .collect();
    let (mut found, mut next) = (Vec::new(), of.to_vec());
    while !next.is_empty() {
        next = pairs.iter().filter(|(_, parent)| next.contains(parent)).map(|(pid, _)| *pid).collect();
        found.extend(next.iter().copied());
    }
    found
}

/// Waits until one of these leads and has taken the ledger over.
async fn leader(kept: &Kept, of: [u32; 2]) {
    let leads = |event: &Happened| if let Happened::Led { process, .. } = event { Some(process.pid) } else { None };
    kept.until("a leader", |history, _| history.iter().rev().find_map(|entry| leads(&entry.event)).is_some_and(|pid| of.contains(&pid))).await;
}

/// What holds the repository and the control store, and goes away.
enum Store {
    /// As a disk that is mounted again.
    Directory,
    /// As a server that is killed and started again.
    Server(S3Server),
}

impl Store {
    async fn is_away_for(&mut self, kept: &Kept, time: Duration) {
        match self {
            Store::Directory => {
                let (here, away) = (kept.site.path("control"), kept.site.path("control-away"));
                fs::rename(&here, &away).unwrap();
                tokio::time::sleep(time).await;
                fs::rename(&away, &here).unwrap();
            }
            Store::Server(server) => {
                server.kill();
                tokio::time::sleep(time).await;
                server.child = S3Server::begin(&server.folder, &server.address);
            }
        }
    }
}

/// An S3 server of one test alone. Dropped, it is killed.
struct S3Server {
    child: Child,
    address: String,
    folder: TempDir,
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl S3Server {
    /// One with this bucket, which is a folder there.
    fn with(bucket: &str) -> S3Server {
        let folder = tempfile::tempdir_in(require("HOURGLASS_LAB_DIR")).unwrap();
        fs::create_dir(folder.path().join(bucket)).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        S3Server { child: S3Server::begin(&folder, &address), address, folder }
    }

    fn begin(folder: &TempDir, address: &str) -> Child {
        let mut command = Command::new(require("HOURGLASS_LAB_VERSITYGW_PROGRAM"));
        command.args(["--port", address, "--region", "us-east-1", "--quiet", "posix"]).arg(folder.path());
        command.env("ROOT_ACCESS_KEY", require("HOURGLASS_LAB_S3_KEY")).env("ROOT_SECRET_KEY", require("HOURGLASS_LAB_S3_SECRET"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "the server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    }

    /// Ends it at once, if it has not ended.
    fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    fn config(&self, bucket: &str) -> StoreConfig {
        let endpoint = Some(format!("http://{}", self.address).parse().unwrap());
        StoreConfig { endpoint, path_style: true, ..StoreConfig::at(format!("s3://{bucket}").parse().unwrap()) }
    }
}

/// Rounds of deaths, for a while. Both daemons are started again whenever they are gone.
async fn rounds(kept: Kept, seed: u64, mut store: Store) {
    let seconds = std::env::var("HOURGLASS_KILL_SECONDS").map_or(45, |text| text.parse().unwrap());
    let (mut dice, began, mut count) = (Dice(seed), Instant::now(), [0; 5]);
    let (mut a, mut b): (Option<Daemon>, Option<Daemon>) = (None, None);
    while began.elapsed() < Duration::from_secs(seconds) {
        let a_now = a.get_or_insert_with(|| kept.daemon("a")).id();
        let b_now = b.get_or_insert_with(|| kept.daemon("b")).id();
        leader(&kept, [a_now, b_now]).await;
        if kept.balance().await.open.is_none() && kept.balance().await.wanted.is_none() {
            kept.order("run");
        }
        if dice.below(2) == 0 {
            kept.go();
        } else if kept.site.path("go").exists() {
            kept.halt();
        }
        tokio::time::sleep(Duration::from_millis(dice.below(2500))).await;
        let what = dice.below(5) as usize;
        match what {
            0 => drop(a.take()),
            1 => drop(b.take()),
            2 => drop((a.take(), b.take())),
            3 => {
                // The source: the commands that dump.
                for pid in descendants(&[a_now, b_now]) {
                    drop(Command::new("kill").args(["-9", &pid.to_string()]).output().unwrap());
                }
            }
            _ => store.is_away_for(&kept, Duration::from_millis(dice.below(1500))).await,
        }
        count[what] += 1;
    }
    kept.go();
    drop((a, b));
    let last = kept.daemon("a");
    last.says("daemon-started", 1);
    let over = |history: &[_], balance: &hourglass::daemon::ledger::state::Balance| {
        !history.is_empty() && balance.open.is_none() && balance.wanted.is_none()
    };
    kept.until("the end of all slots", over).await;
    kept.order("run");
    let done = kept.history().await.len();
    kept.until("one more run", |history, balance| history.len() > done + 2 && over(history, balance)).await;
    drop(last);
    let tally = kept.audit().await;
    let led = kept.history().await.iter().filter(|entry| matches!(entry.event, Happened::Led { .. })).count();
    println!(
        "seed {seed}: deaths of a {}, b {}, both {}, source {}, store {}; {led} leaders; slots {tally:?}",
        count[0], count[1], count[2], count[3], count[4]
    );
    assert!(tally["done"] >= 1 && count.iter().sum::<i32>() > 1, "{tally:?}");
}

#[tokio::test]
async fn rounds_of_deaths_with_a_directory_leave_a_ledger_that_is_true() {
    rounds(Kept::new("* * * * *", "    retries: 20\n"), 0x5eed_0001, Store::Directory).await;
}

#[tokio::test]
async fn rounds_of_deaths_with_s3_leave_a_ledger_that_is_true() {
    let server = S3Server::with("deaths");
    rounds(Kept::on(&server.config("deaths"), "* * * * *", "    retries: 20\n"), 0x5eed_0002, Store::Server(server)).await;
}
