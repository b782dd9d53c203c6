//! kill -9 of the leader, of both daemons, of the source, and stores that go away: whatever happens, the ledger tells the truth and the work goes on.
//!
//! `HOURGLASS_KILL_SECONDS` makes the rounds go on for longer.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use hourglass::daemon::ledger::event::Happened;

use super::world::{Daemon, Kept};
use crate::stores::places::{S3, bucket};

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

/// Rounds of deaths, for a while. Both daemons are started again whenever they are gone.
async fn rounds(kept: Kept, seed: u64, directory: bool) {
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
            _ if directory => {
                // The store is away for a while, as a disk that is mounted again.
                let (here, away) = (kept.site.path("control"), kept.site.path("control-away"));
                fs::rename(&here, &away).unwrap();
                tokio::time::sleep(Duration::from_millis(dice.below(1500))).await;
                fs::rename(&away, &here).unwrap();
            }
            _ => continue,
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
    rounds(Kept::new("* * * * *", "    retries: 20\n"), 0x5eed_0001, true).await;
}

#[tokio::test]
async fn rounds_of_deaths_with_s3_leave_a_ledger_that_is_true() {
    rounds(Kept::on(&bucket(S3::SeaweedFs, None).await, "* * * * *", "    retries: 20\n"), 0x5eed_0002, false).await;
}
