//! Many runs of one daemon that capture databases: what they leave in the servers, and what the daemon holds.
//!
//! `HOURGLASS_STEADY_RUNS` makes it go on for longer.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Platform;
use crate::{
    analytics::world::{ask, write},
    cassandra::world::answers,
    daemon::{
        steady::{assert_steady, held},
        world::Daemon,
    },
    lab::{CassandraCluster, Region, Servers, SqlServer},
    mysql::world::sql,
};

const PATIENCE: Duration = Duration::from_secs(120);

impl Platform {
    /// Waits until so many runs are done.
    fn done(&self, runs: u64) {
        let began = Instant::now();
        loop {
            let status: Value = serde_json::from_str(&self.site.run(&["status", "--output", "json"], 0)).unwrap();
            let slots = &status["data"]["policies"][0]["slots"];
            assert!(slots["failed"] == 0 && slots["incomplete"] == 0, "{status}");
            if slots["done"] == runs {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "run {runs} does not end: {status}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Sessions and transactions that others than this test have in the servers.
    fn sessions(&self) -> (u64, u64, usize) {
        let number = |query: &str| sql(&SqlServer::MariaDbA.get(), query).trim().parse::<u64>().unwrap();
        let sessions = number(
            "select count(*) from information_schema.processlist where id <> connection_id() and user not in ('system user', 'event_scheduler')",
        );
        let transactions = number("select count(*) from information_schema.innodb_trx where trx_mysql_thread_id <> connection_id()");
        let clients = answers(CassandraCluster::Three, &["SELECT driver_name FROM system_views.clients"]);
        (sessions, transactions, clients.iter().flatten().filter(|row| row.contains("scylla")).count())
    }

    fn assert_nothing_is_left(&self, runs: u64) {
        let began = Instant::now();
        while self.sessions() != (0, 0, 0) {
            assert!(began.elapsed() < PATIENCE, "sessions, transactions and clients are left: {:?}", self.sessions());
            std::thread::sleep(Duration::from_millis(200));
        }
        let search = Region::A.search();
        let snapshots = ask(&search, "GET", &format!("_snapshot/{}/_all", self.name), "");
        assert_eq!(snapshots["snapshots"].as_array().unwrap().len() as u64, runs, "a point has one each: {snapshots}");
        let running = ask(&search, "GET", "_snapshot/_status", "");
        assert_eq!(running["snapshots"].as_array().unwrap().len(), 0, "{running}");
    }
}

#[test]
fn runs_of_a_daemon_leave_no_session_transaction_or_snapshot_and_it_holds_what_it_held() {
    let runs = std::env::var("HOURGLASS_STEADY_RUNS").map_or(8, |text| text.parse().unwrap());
    let _lab = [Servers::MariaDb, Servers::Cassandra, Servers::Search].map(Servers::alone);
    let platform = Platform::new();
    platform.fill();
    write(&Region::A.search(), &platform.name, &["{\"call\": 1}".to_owned()]);
    platform.site.configure("policies:\n  api: { members: { orders: required, kps: required, events: required }, schedule: \"0 0 1 1 *\" }\n");
    platform.site.run(&["keys", "prove"], 0);
    let daemon = Daemon::start(&platform.site, platform.site.path("daemon.log"), &[]);
    let mut seen = Vec::new();
    for count in 1..=runs {
        platform.site.run(&["schedule", "run", "api", "--who", "Berta", "--reason", "a test"], 0);
        platform.done(count);
        platform.assert_nothing_is_left(count);
        // Threads that may block end when they have idled for a second.
        std::thread::sleep(Duration::from_secs(2));
        seen.push(held(daemon.id()));
        println!("after {count} runs: {:?}", seen[seen.len() - 1]);
    }
    assert_steady(&seen);
}
