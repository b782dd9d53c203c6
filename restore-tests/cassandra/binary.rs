//! Clusters through the binary: a backup under writers, processes that are killed, and points that must not be green.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::world::{answers, cql, drop_keyspaces, yaml};
use crate::{
    lab::{self, CassandraCluster},
    recover::{
        Watched,
        taken::{Elsewhere, Frozen},
    },
    site::{Site, find},
};

/// Rows of the tables that are large enough to be killed in the middle.
const ROWS: usize = 20_000;

/// A site that protects one keyspace of the three nodes, and may restore it into dr1.
fn site(keyspace: &str, more: &str) -> Site {
    let site = Site::in_directories();
    site.run(&["init", "--write"], 0);
    let here = yaml(&site, CassandraCluster::Three, &format!("keyspaces: {{ include: [{keyspace}] }}"));
    let there =
        yaml(&site, CassandraCluster::Dr, "restore: { replication: { \"*\": { class: NetworkTopologyStrategy, dr1: \"1\" } }, skip_roles: true }");
    site.configure(&format!("sources:\n  kps: {here}\n  dr: {there}\npolicies:\n  p:\n    members: {{ kps: required }}\n{more}"));
    site.run(&["keys", "prove"], 0);
    site
}

fn keyspace(name: &str, replicas: u32) -> String {
    format!("CREATE KEYSPACE {name} WITH replication = {{'class': 'NetworkTopologyStrategy', 'dc1': {replicas}}}")
}

#[test]
fn cassandra_rows_that_were_acknowledged_before_the_moment_of_a_point_are_all_in_it() {
    let _lab = lab::Servers::Cassandra.together();
    let cluster = CassandraCluster::Three;
    drop_keyspaces(cluster, &["written"]);
    drop_keyspaces(CassandraCluster::Dr, &["written"]);
    cql(
        cluster,
        &[&keyspace("written", 3), "CREATE TABLE written.t (n int PRIMARY KEY, v text)", "CREATE TABLE written.u (n int PRIMARY KEY, v text)"],
    );
    let site = site("written", "");
    let mut writer = lab::tool("cql");
    writer.arg(cluster.get().addresses[1].to_string()).arg("--again");
    writer.args(["t", "u"].map(|table| format!("INSERT INTO written.{table} (n, v) VALUES (COUNT, 'value COUNT')")));
    let mut writer = writer.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(writer.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut acknowledged: Vec<String> = told.by_ref().take(200).collect();
    let reader = std::thread::spawn(move || told.collect::<Vec<_>>());
    let said = site.run(&["backup", "p", "--quiet"], 0);
    drop(writer.stdin.take());
    acknowledged.extend(reader.join().unwrap());
    assert!(writer.wait().unwrap().success());
    assert!(said.contains("is complete"), "{said}");
    let shown = site.output(&["record", "show", "p", "--number", "3", "--output", "json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let moment: jiff::Timestamp =
        find(&shown, "consistent_from").and_then(|found| found.as_str()).unwrap_or_else(|| panic!("{shown}")).parse().unwrap();
    site.run(&["restore", "p", "kps", "--into", "dr", "--quiet"], 0);
    let both = answers(CassandraCluster::Dr, &["SELECT n, v FROM written.t", "SELECT n, v FROM written.u"]);
    let mut before = 0;
    for line in &acknowledged {
        let (number, at) = line.split_once(' ').unwrap();
        if at.parse::<i64>().unwrap() < moment.as_millisecond() {
            before += 1;
            let row = format!("({number}, 'value {number}')");
            assert!(both.iter().all(|rows| rows.contains(&row)), "{row} was acknowledged before {moment}");
        }
    }
    println!("{before} rows were acknowledged before the moment, {} in all, {} are there", acknowledged.len(), both[0].len());
    assert!(before >= 100 && acknowledged.len() > before, "nothing was written beside the backup: {before} of {}", acknowledged.len());
    drop_keyspaces(cluster, &["written"]);
}

/// A table of rows with lists, and one of counters: what is doubled when it is written twice.
fn fill(cluster: CassandraCluster, name: &str) {
    drop_keyspaces(cluster, &[name]);
    let mut statements = vec![
        keyspace(name, 3),
        format!("CREATE TABLE {name}.t (a int, b int, c text, l list<int>, PRIMARY KEY (a, b))"),
        format!("CREATE TABLE {name}.c (a int PRIMARY KEY, n counter)"),
    ];
    for a in 0..ROWS / 50 {
        let row = |b| format!("INSERT INTO {name}.t (a, b, c, l) VALUES ({a}, {b}, 'row {a} {b} {}', [{b}, {b}]);", "x".repeat(200));
        statements.push(format!("BEGIN UNLOGGED BATCH {} APPLY BATCH", (0..50).map(row).collect::<String>()));
        let count = |b| format!("UPDATE {name}.c SET n = n + {} WHERE a = {};", b + 1, a * 50 + b);
        statements.push(format!("BEGIN COUNTER BATCH {} APPLY BATCH", (0..50).map(count).collect::<String>()));
    }
    cql(cluster, &statements);
}

fn of(name: &str) -> Vec<String> {
    ["a, b, c, l, writetime(c) FROM ", "a, n FROM "].iter().zip(["t", "c"]).map(|(what, table)| format!("SELECT {what}{name}.{table}")).collect()
}

/// Kills the process once `begun` says that it is in the middle; whether it was.
fn kill_in_the_middle(mut process: Child, begun: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !begun() {
        assert!(began.elapsed() < Duration::from_secs(300), "it never began");
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let lived = kill_process(Pid::from_child(&process), Signal::KILL).is_ok() && process.wait().unwrap().code().is_none();
    process.wait().unwrap();
    lived
}

/// How many records of journals say a word.
fn journals(site: &Site, word: &str) -> usize {
    let below = |folder: &Path| fs::read_dir(folder).map(|found| found.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()).unwrap_or_default();
    let records = below(&site.path("control/runs")).into_iter().flat_map(|run| below(&run));
    records.filter(|record| fs::read_to_string(record).is_ok_and(|text| text.contains(word))).count()
}

fn quiet(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The run of this kind that was interrupted.
fn interrupted(site: &Site) -> String {
    let listed = site.run(&["runs", "list"], 0);
    let line = listed.lines().find(|line| line.contains("interrupted")).unwrap_or_else(|| panic!("{listed}"));
    line.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn cassandra_runs_that_are_killed_are_finished_by_the_next_and_nothing_is_doubled() {
    let _lab = lab::Servers::Cassandra.together();
    let (from, to) = (CassandraCluster::Three, CassandraCluster::Dr);
    fill(from, "killed");
    drop_keyspaces(to, &["killed"]);
    let site = site("killed", "");
    let victim = quiet(site.command(&["backup", "p", "--quiet"]));
    println!("the backup was killed in the middle: {}", kill_in_the_middle(victim, || journals(&site, "step-started") > 0));
    let said = site.run(&["backup", "p", "--quiet"], 0);
    assert!(said.contains("is complete"), "{said}");
    let begun = || {
        let there = cql(to, &["SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'killed'"]);
        there.len() == 2 && !cql(to, &["SELECT a FROM killed.c LIMIT 1"]).is_empty()
    };
    let killed = kill_in_the_middle(quiet(site.command(&["restore", "p", "kps", "--into", "dr", "--quiet"])), begun);
    println!("the restore was killed in the middle: {killed}");
    if killed {
        println!("of {ROWS} each, rows and counters were there: {:?}", cql(to, &["SELECT COUNT(*) FROM killed.t", "SELECT COUNT(*) FROM killed.c"]));
        let said = site.run(&["runs", "resume", &interrupted(&site), "--quiet"], 0);
        assert!(said.contains("was restored"), "{said}");
    }
    let (here, there) = (answers(from, &of("killed")), answers(to, &of("killed")));
    assert_eq!((there[0].len(), there[1].len()), (ROWS, ROWS));
    assert!(here == there, "rows differ");
    drop_keyspaces(from, &["killed"]);
    drop_keyspaces(to, &["killed"]);
}

/// Restores that the control store knows.
fn restores(site: &Site) -> BTreeSet<String> {
    let listed = site.run(&["runs", "list"], 0);
    listed.lines().filter(|line| line.contains("restore")).filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

/// A restore into a keyspace of its own that was frozen when it came to a moment, and its run.
fn frozen_when(site: &Site, name: &str, come: impl Fn() -> bool) -> (Watched, Frozen, String) {
    let known = restores(site);
    let mut running = Watched::start(site, &["restore", "p", "kps", "--into", "dr", "--rename", &format!("frozen={name}")]);
    assert!(running.reaches(|_| come()), "{}", running.said());
    let frozen = Frozen::new(&running);
    let mut new = restores(site).into_iter().filter(|run| !known.contains(run));
    let run = new.next().unwrap();
    (running, frozen, run)
}

/// At several moments, because what a driver has been given and not sent differs. Counters show what comes twice, and a truncated table what comes late.
#[test]
fn a_process_frozen_in_a_load_into_cassandra_writes_nothing_more_after_a_takeover() {
    let _lab = lab::Servers::Cassandra.together();
    let (from, to) = (CassandraCluster::Three, CassandraCluster::Dr);
    let names = ["frozen_at_tables", "frozen_at_counters", "frozen_at_rows"];
    fill(from, "frozen");
    drop_keyspaces(to, &names);
    let site = site("frozen", "");
    site.run(&["backup", "p", "--quiet"], 0);
    let elsewhere = Elsewhere::new(&site);
    let has = |name: &str, table: &str| {
        let tables = cql(to, &[format!("SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{name}'")]);
        tables.len() == 2 && !cql(to, &[format!("SELECT a FROM {name}.{table} LIMIT 1")]).is_empty()
    };
    let tables = || !cql(to, &[format!("SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{}'", names[0])]).is_empty();
    let taken = [
        frozen_when(&site, names[0], tables),
        frozen_when(&site, names[1], || has(names[1], "c")),
        frozen_when(&site, names[2], || has(names[2], "t")),
    ];
    let count = |name: &str| cql(to, &[format!("SELECT COUNT(*) FROM {name}.t"), format!("SELECT COUNT(*) FROM {name}.c")]);
    let there: Vec<Vec<String>> = names[1..].iter().map(|name| count(name)).collect();
    println!("when they were frozen, rows and counters were there: {there:?}");
    assert!(there.iter().all(|there| *there != [format!("({ROWS},)"), format!("({ROWS},)")]), "all were frozen too late to show anything");
    let here = answers(from, &of("frozen"));
    for (name, (.., run)) in names.iter().zip(&taken) {
        elsewhere.take_restore_over(run).end(0);
        assert!(here == answers(to, &of(name)), "rows of {name} differ");
        // The service runs again.
        cql(to, &[format!("TRUNCATE {name}.t"), format!("UPDATE {name}.c SET n = n + 1 WHERE a = 1")]);
    }
    let after = names.map(|name| answers(to, &of(name)));
    taken.into_iter().for_each(|(running, frozen, _)| frozen.ends_with_its_lease(running));
    for (name, after) in names.iter().zip(after) {
        assert!(after[0].is_empty() && answers(to, &of(name)) == after, "something was written to {name}");
    }
    drop_keyspaces(from, &["frozen"]);
    drop_keyspaces(to, &names);
}

#[test]
fn cassandra_points_that_lack_something_are_never_green() {
    let _lab = lab::Servers::Cassandra.together();
    let cluster = CassandraCluster::Three;
    drop_keyspaces(cluster, &["lacking"]);
    cql(
        cluster,
        &[
            &keyspace("lacking", 3),
            "CREATE TABLE lacking.a (a int PRIMARY KEY)",
            "CREATE TABLE lacking.b (a int PRIMARY KEY)",
            "INSERT INTO lacking.a (a) VALUES (1)",
        ],
    );
    // Writers go on when everything is open: so this is after a point has listed its tables, and before it reads them.
    let lab = std::env::vars().filter(|(name, _)| name.starts_with("HOURGLASS_LAB_")).map(|(name, value)| format!("{name}={value}"));
    let mut drop: Vec<String> = std::iter::once("env".to_owned()).chain(lab).collect();
    drop.push(lab::tool("cql").get_program().to_str().unwrap().to_owned());
    drop.extend([cluster.get().addresses[0].to_string(), "DROP TABLE lacking.b".to_owned()]);
    let pausing = site("lacking", &format!("    pause: {{ command: [\"true\"], resume: {drop:?}, until: opened, timeout: 2m }}\n"));
    let said = pausing.run(&["backup", "p", "--quiet"], 3);
    assert!(said.contains("lacking/b") && !said.contains("is complete"), "{said}");
    pausing.run(&["restore", "p", "kps", "--into", "dr"], 1);
    let plain = site("lacking", "");
    plain.run(&["backup", "p", "--quiet"], 0);
    let config = fs::read_to_string(plain.path("hourglass.yaml")).unwrap();
    for (what, hint) in [("ca.crt", "tls.ca_file"), ("client.", "tls.cert_file")] {
        let (from, to) =
            (lab::tls(what).display().to_string(), lab::tls(if what == "ca.crt" { "rogue-ca.crt" } else { "rogue." }).display().to_string());
        fs::write(plain.path("hourglass.yaml"), config.replace(&from, &to)).unwrap();
        let said = plain.run(&["backup", "p", "--quiet"], 1);
        assert!(said.contains(hint), "{said}");
    }
    drop_keyspaces(cluster, &["lacking"]);
}
