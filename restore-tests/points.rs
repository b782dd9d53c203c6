//! Recovery points of several databases: captured together, restored together, and true to what holds across them.

mod steady;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    analytics::world::{ask, documents, try_ask, write},
    cassandra::world::{answers, cql, drop_keyspaces},
    lab::{CassandraCluster, Region, Servers, SqlServer, tls},
    mysql::world::{sql, try_sql},
    site::{Site, find},
    stores::places::fresh_name,
};

/// What all accounts hold together, in MariaDB and in Cassandra.
const TOTAL: u64 = 1_000_000;

/// A site that protects a database, a keyspace and indices of one name, and knows where region B has the like. Removed at the end.
struct Platform {
    site: Site,
    name: String,
}

impl Platform {
    fn new() -> Platform {
        let (site, name) = (Site::in_directories(), fresh_name());
        site.run(&["init", "--write"], 0);
        let made = Platform { site, name };
        let sources = [
            made.mysql("orders", SqlServer::MariaDbA),
            made.mysql("orders-dr", SqlServer::MariaDbB),
            made.cassandra("kps", CassandraCluster::Three),
            made.cassandra("kps-dr", CassandraCluster::Dr),
            made.analytics("events", Region::A),
            made.analytics("events-dr", Region::B),
        ];
        made.site.configure(&format!("sources:\n{}", sources.concat()));
        made
    }

    fn secret(&self, name: &str, value: &str) -> PathBuf {
        let path = self.site.path(name);
        fs::write(&path, value).unwrap();
        path
    }

    fn mysql(&self, source: &str, server: SqlServer) -> String {
        let (server, ca) = (server.get(), tls("ca.crt"));
        let password = self.secret(&format!("{source}.password"), &server.password);
        format!(
            "  {source}: {{ mysql: {{ host: {}, port: {}, user: {}, password_file: {password:?}, tls: {{ ca_file: {ca:?} }}, databases: [{}] }} }}\n",
            server.host, server.port, server.user, self.name
        )
    }

    fn cassandra(&self, source: &str, cluster: CassandraCluster) -> String {
        let (cluster, restore) =
            (cluster.get(), "restore: { replication: { \"*\": { class: NetworkTopologyStrategy, dr1: \"1\" } }, skip_roles: true }");
        let password = self.secret(&format!("{source}.password"), &cluster.password);
        let points: Vec<String> = cluster.addresses.iter().map(ToString::to_string).collect();
        let [ca, cert, key] = ["ca.crt", "client.crt", "client.key"].map(tls);
        format!(
            "  {source}: {{ cassandra: {{ contact_points: {points:?}, port: {}, user: {}, password_file: {password:?}, keyspaces: {{ include: [{}] }}, {restore}, \
             tls: {{ ca_file: {ca:?}, cert_file: {cert:?}, key_file: {key:?} }} }} }}\n",
            cluster.port, cluster.user, self.name
        )
    }

    fn analytics(&self, source: &str, region: Region) -> String {
        let (cluster, ca) = (region.search(), tls("ca.crt"));
        let (password, place) = (self.secret(&format!("{source}.password"), &cluster.password), cluster.repositories.join(&self.name));
        format!(
            "  {source}: {{ analytics: {{ url: {:?}, ca_file: {ca:?}, user: {}, password_file: {password:?}, indices: [{}], \
             repository: {{ name: {}, type: fs, settings: {{ location: {place:?} }} }} }} }}\n",
            cluster.url, cluster.user, self.name, self.name
        )
    }

    /// A database and a keyspace whose accounts hold the total.
    fn fill(&self) {
        let name = &self.name;
        sql(
            &SqlServer::MariaDbA.get(),
            &format!("create database {name}; create table {name}.a (id int primary key, held bigint); insert into {name}.a values (1, {TOTAL})"),
        );
        let replication = "{'class': 'NetworkTopologyStrategy', 'dc1': 3}";
        let statements =
            [format!("CREATE KEYSPACE {name} WITH replication = {replication}"), format!("CREATE TABLE {name}.a (id int PRIMARY KEY, held bigint)")];
        cql(CassandraCluster::Three, &statements);
        cql(
            CassandraCluster::Three,
            &(0..200).map(|id| format!("INSERT INTO {name}.a (id, held) VALUES ({}, 0)", 1_000_000 + id)).collect::<Vec<_>>(),
        );
    }

    /// What the accounts hold: in MariaDB, and in Cassandra.
    fn held(&self, server: SqlServer, cluster: CassandraCluster) -> (u64, u64) {
        let mysql = sql(&server.get(), &format!("select held from {}.a", self.name)).trim().parse().unwrap();
        let sum = answers(cluster, &[&format!("SELECT sum(held) FROM {}.a", self.name)]);
        (mysql, sum[0].first().unwrap().trim_matches(['(', ')', ',']).parse().unwrap())
    }

    fn forget_region_b(&self) {
        try_sql(&SqlServer::MariaDbB.get(), &format!("drop database if exists {}", self.name));
        drop_keyspaces(CassandraCluster::Dr, &[&self.name]);
        let _gone = try_ask(&Region::B.search(), "DELETE", &self.name, "");
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.forget_region_b();
        try_sql(&SqlServer::MariaDbA.get(), &format!("drop database if exists {}", self.name));
        drop_keyspaces(CassandraCluster::Three, &[&self.name]);
        for cluster in [Region::A, Region::B] {
            for path in [self.name.clone(), format!("_snapshot/{}", self.name)] {
                let _gone = try_ask(&cluster.search(), "DELETE", &path, "");
            }
        }
    }
}

#[test]
fn points_of_all_kinds_of_databases_come_back_in_the_other_region_at_once() {
    let _lab = [Servers::MariaDb, Servers::Cassandra, Servers::Search].map(Servers::alone);
    let platform = Platform::new();
    platform.fill();
    let name = &platform.name;
    write(&Region::A.search(), name, &["{\"call\": 1}".to_owned(), "{\"call\": 2}".to_owned()]);
    platform.site.configure("policies:\n  api: { members: { orders: required, kps: required, events: required }, max_skew: 60s }\n");
    platform.site.run(&["keys", "prove"], 0);
    let said = platform.site.run(&["backup", "api"], 0);
    assert!(said.contains("is complete"), "{said}");
    let said = platform.site.run(&["restore", "api", "--into", "orders=orders-dr", "--into", "kps=kps-dr", "--into", "events=events-dr"], 0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    assert_eq!(platform.held(SqlServer::MariaDbB, CassandraCluster::Dr), (TOTAL, 0));
    assert_eq!(documents(&Region::B.search(), name), documents(&Region::A.search(), name));
    assert_eq!(ask(&Region::B.search(), "GET", &format!("{name}/_count"), "")["count"], 2);
}

/// Moves money from MariaDB to Cassandra, one amount at a time, and rests while there is a file `pause`, which it answers with `paused`.
struct Mover {
    stop: Arc<AtomicBool>,
    moved: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Mover {
    fn start(name: String, folder: &Path) -> Mover {
        let (stop, moved, folder) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), folder.to_owned());
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&moved));
        let thread = thread::spawn(move || {
            let server = SqlServer::MariaDbA.get();
            while !stopped.load(Ordering::SeqCst) {
                if folder.join("pause").exists() {
                    fs::write(folder.join("paused"), "").unwrap();
                    thread::sleep(Duration::from_millis(20));
                    continue;
                }
                let id = count.load(Ordering::SeqCst) + 1;
                sql(&server, &format!("update {name}.a set held = held - {id}"));
                cql(CassandraCluster::Three, &[format!("INSERT INTO {name}.a (id, held) VALUES ({id}, {id})")]);
                count.store(id, Ordering::SeqCst);
            }
        });
        Mover { stop, moved, thread: Some(thread) }
    }

    fn wait_for(&self, more: u64) {
        let (goal, end) = (self.moved.load(Ordering::SeqCst) + more, Instant::now() + Duration::from_secs(120));
        while self.moved.load(Ordering::SeqCst) < goal {
            assert!(Instant::now() < end, "the writers do not go on");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ended = self.thread.take().map(thread::JoinHandle::join);
    }
}

#[test]
fn what_holds_across_databases_holds_in_points_made_while_writers_are_paused_and_the_skew_of_others_is_told() {
    let _lab = [Servers::MariaDb, Servers::Cassandra, Servers::Search].map(Servers::alone);
    let platform = Platform::new();
    platform.fill();
    let folder = platform.site.path("");
    let command = format!("[sh, -c, {:?}]", format!("cd {}; rm -f paused; touch pause; until test -e paused; do sleep 0.05; done", folder.display()));
    let resume = format!("[sh, -c, {:?}]", format!("cd {}; rm -f pause", folder.display()));
    platform.site.configure(&format!(
        "policies:\n  held: {{ members: {{ orders: required, kps: required }}, pause: {{ command: {command}, resume: {resume}, timeout: 5m }} }}\n  \
         free: {{ members: {{ orders: required, kps: required }} }}\n"
    ));
    platform.site.run(&["keys", "prove"], 0);
    let mover = Mover::start(platform.name.clone(), &folder);
    for round in 0..3 {
        mover.wait_for(2);
        platform.site.run(&["backup", "held"], 0);
        mover.wait_for(1);
        platform.site.run(&["restore", "held", "--into", "orders=orders-dr", "--into", "kps=kps-dr"], 0);
        let (mysql, cassandra) = platform.held(SqlServer::MariaDbB, CassandraCluster::Dr);
        assert!(mysql < TOTAL, "round {round}: nothing was moved before");
        assert_eq!(mysql + cassandra, TOTAL, "round {round}");
        platform.forget_region_b();
    }
    platform.site.run(&["backup", "free"], 0);
    drop(mover);
    let shown = platform.site.output(&["record", "show", "free", "--number", "3", "--output", "json"]).stdout;
    let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
    let skew = find(&shown, "skew_ms").and_then(serde_json::Value::as_u64).unwrap_or_else(|| panic!("{shown}"));
    println!("{skew} ms of skew without a pause");
    assert!(skew > 0, "a scan beside writers takes time");
}
