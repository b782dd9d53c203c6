//! Many runs and tasks of one daemon under a real store: memory, files, connections, tasks and processes stay what they were.
//!
//! `HOURGLASS_STEADY_RUNS` makes it go on for longer: `restore-tests/bench daemon` does.

use std::fs;

use super::{kills::descendants, world::Kept};
use crate::stores::places::{S3, bucket};

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Memory of its own: pages of its program, which it shares with its file, come one after the other and say nothing.
    memory_kib: u64,
    threads: u64,
    files: usize,
    sockets: usize,
    children: usize,
}

/// What a process holds now.
pub fn held(pid: u32) -> Held {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let links: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect();
    let sockets = links.iter().filter(|link| link.to_string_lossy().starts_with("socket:")).count();
    Held { memory_kib: number("RssAnon:"), threads: number("Threads:"), files: links.len(), sockets, children: descendants(&[pid]).len() }
}

/// That what a daemon held after each of its runs, in order, does not grow with them. What is kept for a while, like a connection, comes and
/// goes; what is lost does not go, so the least that is held late tells it.
pub fn assert_steady(seen: &[Held]) {
    let quarter = seen.len() / 4;
    let (early, late) = (&seen[quarter..2 * quarter], &seen[seen.len() - quarter..]);
    for (name, slack, what) in [
        ("memory", 3 << 10, (|held| held.memory_kib) as fn(&Held) -> u64),
        ("threads", 4, |held| held.threads),
        ("files", 6, |held| held.files as u64),
        ("sockets", 6, |held| held.sockets as u64),
    ] {
        let (before, after) = (early.iter().map(what).max().unwrap(), late.iter().map(what).min().unwrap());
        assert!(after <= before + slack, "{name} grew from {before} to {after}: {seen:?}");
    }
    assert!(seen.iter().all(|held| held.files < 200), "{seen:?}");
    assert_eq!(seen[seen.len() - 1].children, 0, "{seen:?}");
}

#[tokio::test]
async fn memory_connections_files_and_processes_of_a_daemon_do_not_grow_with_its_runs() {
    let runs = std::env::var("HOURGLASS_STEADY_RUNS").map_or(16, |text| text.parse().unwrap());
    let kept = Kept::on(&bucket(S3::SeaweedFs, None).await, "* * * * *", "    keep: { last: 5 }\n");
    kept.site.configure("tasks:\n  reads: { verify: { depth: intact, within: 1h }, schedule: \"* * * * *\" }\n");
    let daemon = kept.daemon("a");
    daemon.says("leads", 1);
    let mut seen = Vec::new();
    for count in 1..=runs {
        kept.order("run");
        kept.order_of("reads", "run");
        for (name, what) in [("p", "the runs"), ("reads", "the checks")] {
            kept.until_of(name, what, |balance| balance.open.is_none() && balance.wanted.is_none() && balance.orders >= count as u64).await;
        }
        seen.push(held(daemon.id()));
        println!("after {count} runs: {:?}", seen[seen.len() - 1]);
    }
    assert_steady(&seen);
    kept.audit().await;
}
