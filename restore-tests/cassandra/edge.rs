//! The tables that a backup must bring back whole: all types, times, ends of life, statics, counters, masks, views, roles.

use std::time::Instant;

use super::world::{How, Restored, answers, capture, config, cql, drop_keyspaces, restore};
use crate::lab::{CassandraCluster, Servers};

const STATEMENTS: &str = include_str!("edge.cql");

/// Columns of tables that must be equal on both sides; `[3]` and `[5]`: from that release on. Where a value is null, 2.2 tells the time of some
/// other row.
const EQUAL: [&str; 35] = [
    "SELECT id, a, bi, bl, bo, dc, d, f, ine, i, si, ti, tx, timestampAsBlob(ts), tu, u, vi, dt, tm FROM edge.scalars",
    "SELECT id, writetime(a), writetime(bi) FROM edge.scalars --[3]",
    "SELECT id, writetime(a), writetime(bi) FROM edge.scalars WHERE id = 1",
    "SELECT * FROM edge.durations --[3]",
    "SELECT pk, ck, s, ss, v, n, l, m, st, fl, fm, fa, fd, tp, nest FROM edge.t",
    "SELECT pk, ck, writetime(v), writetime(n), writetime(s), writetime(fa), writetime(tp) FROM edge.t --[3]",
    "SELECT writetime(v), writetime(n), writetime(s), writetime(fa), writetime(tp) FROM edge.t WHERE pk = 1 AND ck = 1",
    "SELECT ck, writetime(v), writetime(n) FROM edge.t WHERE pk = 1",
    "SELECT pk, ck, writetime(m), writetime(fl), writetime(ss) FROM edge.t --[5]",
    "SELECT * FROM edge.nfudt --[3]",
    "SELECT id, writetime(ua.zip), writetime(ua.street), writetime(um.\"B b\") FROM edge.nfudt --[5]",
    "SELECT * FROM edge.counters",
    "SELECT * FROM edge.scounters",
    "SELECT * FROM edge.\"QuotedT\"",
    "SELECT * FROM \"EdgeQ\".\"Tbl\"",
    "SELECT * FROM edge.peers_list",
    "SELECT * FROM edge.multi",
    "SELECT * FROM edge.pkonly",
    "SELECT id, s, b, a, l, m, fs FROM edge.empties",
    "SELECT id, writetime(s) FROM edge.empties WHERE id = 1",
    "SELECT id, v, m, writetime(v) FROM edge.ttlt",
    "SELECT pk, ck, a, writetime(a), b, c, m, l FROM edge.times",
    "SELECT writetime(b), writetime(c) FROM edge.times WHERE pk = 1 AND ck = 1",
    "SELECT pk, ck, ck2, a, m FROM edge.tomb",
    "SELECT ck, ck2, writetime(a) FROM edge.tomb WHERE pk = 2",
    "SELECT * FROM edge.opts --[3]",
    "SELECT * FROM edge.bigblob",
    "SELECT pk, ck, v, writetime(v) FROM edge.wide",
    "SELECT * FROM edge.dropc",
    "SELECT * FROM edge.vecs --[5]",
    "SELECT * FROM edge.masked --[5]",
    "SELECT * FROM edge.mv --[3]",
    "SELECT pk, ck FROM edge.t WHERE v = 'v2'",
    "SELECT pk, ck FROM edge.t WHERE m CONTAINS KEY 'x'",
    "SELECT edge.plus1(pk), edge.avg2(ck) FROM edge.t WHERE pk = 1",
];

/// Ends of life: equal but for the time that has passed.
const ENDING: [&str; 4] = [
    "SELECT ttl(v) FROM edge.t WHERE pk = 1 AND ck = 1",
    "SELECT ttl(b) FROM edge.times WHERE pk = 1 AND ck = 1",
    "SELECT ttl(v) FROM edge.ttlt WHERE id = 1",
    "SELECT ttl(v) FROM edge.ttlt WHERE id = 2",
];

/// What else must be equal: roles, rights and the schema. All of it is found in 5.0.
const DEFINED: [&str; 8] = [
    "SELECT role, can_login, is_superuser, member_of, salted_hash FROM system_auth.roles WHERE role = 'edge_app'",
    "SELECT role, resource, permissions FROM system_auth.role_permissions WHERE role = 'edge_admin'",
    "SELECT role, resource, permissions FROM system_auth.role_permissions WHERE role = 'edge_app'",
    "SELECT keyspace_name, table_name, column_name, kind, position, clustering_order, type FROM system_schema.columns WHERE keyspace_name = 'edge'",
    "SELECT table_name, index_name, kind, options FROM system_schema.indexes WHERE keyspace_name = 'edge'",
    "SELECT table_name, comment, compaction, compression, caching, gc_grace_seconds, default_time_to_live, speculative_retry FROM system_schema.tables WHERE keyspace_name = 'edge'",
    "SELECT function_name, argument_types, return_type, body FROM system_schema.functions WHERE keyspace_name = 'edge'",
    "SELECT id FROM edge.vecs ORDER BY v ANN OF [0.1, -2, 3] LIMIT 1",
];

/// The roles that come from 2.2, and their rights.
const ROLES_OF_OLD: [&str; 2] = [
    "SELECT role, can_login, is_superuser, member_of, salted_hash FROM system_auth.roles WHERE role IN ('old_app', 'old_admin', 'Old Role')",
    "SELECT role, resource, permissions FROM system_auth.role_permissions WHERE role IN ('old_app', 'old_admin', 'Old Role')",
];

fn known(line: &str, release: u32) -> Option<String> {
    let (text, tag) = line.rsplit_once(" --[").map_or((line, ""), |(text, tag)| (text, tag.trim_end_matches(']')));
    let known = match tag {
        "2" => release < 3,
        "" => true,
        tag => release >= tag.parse().unwrap(),
    };
    known.then(|| text.to_owned())
}

/// Roles belong to a whole cluster, so those that come from 2.2 have other names.
fn of_release(text: &str, release: u32) -> String {
    if release < 3 { text.replace("edge_a", "old_a").replace("Edge Role", "Old Role") } else { text.to_owned() }
}

fn drop_roles(cluster: CassandraCluster, release: u32) {
    let roles = ["edge_app", "edge_admin", "Edge Role", "edge_dc"];
    cql(cluster, &roles.map(|role| of_release(&format!("DROP ROLE IF EXISTS \"{role}\""), release)));
}

fn fill(cluster: CassandraCluster, release: u32) {
    drop_keyspaces(cluster, &["edge", "EdgeQ"]);
    drop_roles(cluster, release);
    let lines = STATEMENTS.lines().filter(|line| !line.starts_with("--")).filter_map(|line| known(line, release));
    let mut statements: Vec<String> = lines.map(|line| of_release(&line, release)).collect();
    // A cell of 5 MiB, and a long partition whose times jump.
    statements.push(format!("INSERT INTO edge.bigblob (id, b) VALUES (1, 0x{})", "6f646421".repeat(5 << 18)));
    statements.extend((0..200).map(|batch| {
        let row = |ck: i64| {
            let time = 1_000_000_000_000_000 + ck * if ck % 2 == 0 { 1 } else { -1 };
            format!("INSERT INTO edge.wide (pk, ck, v) VALUES (1, {ck}, 'value-{ck}') USING TIMESTAMP {time};")
        };
        format!("BEGIN UNLOGGED BATCH {} APPLY BATCH", (batch * 100..(batch + 1) * 100).map(row).collect::<String>())
    }));
    cql(cluster, &statements);
}

/// A statement about the keyspaces under their new names.
fn renamed(text: &str, suffix: &str) -> String {
    text.replace("edge.", &format!("edge{suffix}.")).replace("\"EdgeQ\"", &format!("\"EdgeQ{suffix}\""))
}

/// Compares both sides, statement by statement.
fn compare(from: (CassandraCluster, u32), to: CassandraCluster, suffix: &str) {
    let texts: Vec<String> = EQUAL.iter().filter_map(|line| known(line, from.1)).chain(ENDING.map(str::to_owned)).collect();
    let there: Vec<String> = texts.iter().map(|text| renamed(text, suffix)).collect();
    let (here, there) = (answers(from.0, &texts), answers(to, &there));
    for ((text, here), there) in texts.iter().zip(here).zip(there) {
        if ENDING.contains(&text.as_str()) {
            let number = |rows: &[String]| rows[0].trim_matches(['(', ')', ',']).parse::<i64>().unwrap();
            assert!((number(&here) - number(&there)).abs() < 600, "{text}: {here:?} and {there:?}");
        } else {
            assert!(!here.is_empty(), "{text} has no rows to compare");
            assert!(there == here, "{text}\n{}", difference(&here, &there));
        }
    }
}

/// The first rows that are on one side only.
fn difference(here: &[String], there: &[String]) -> String {
    let only = |a: &[String], b: &[String]| {
        a.iter().filter(|row| !b.contains(row)).take(5).map(|row| row.chars().take(2000).collect()).collect::<Vec<String>>()
    };
    format!("only here: {:#?}\nonly there: {:#?}", only(here, there), only(there, here))
}

fn assert_equal(restored: &Restored) {
    assert!(restored.differing.is_empty(), "{:?}\n{:#?}", restored.differing, restored.differences);
}

#[test]
fn cassandra_edge_tables_come_back_equal_in_another_datacentre() {
    // Roles are the whole cluster's: no other test may bring any meanwhile.
    let _lab = Servers::Cassandra.alone();
    let (from, to) = (CassandraCluster::Three, CassandraCluster::Dr);
    fill(from, 5);
    drop_keyspaces(to, &["edge", "EdgeQ"]);
    drop_roles(to, 5);
    let filled = Instant::now();
    let point = capture(config(from, &["edge", "EdgeQ"]), || ()).unwrap();
    let captured = Instant::now();
    let restored = restore(config(to, &[]), &point, &How::default(), || ()).unwrap();
    println!("captured in {:?}, restored in {:?}", captured - filled, captured.elapsed());
    println!("notes of the capture: {:#?}\nof the restore: {:#?}", point.end.notes, restored.notes);
    assert_equal(&restored);
    compare((from, 5), to, "");
    for ((text, here), there) in DEFINED.iter().zip(answers(from, &DEFINED)).zip(answers(to, &DEFINED)) {
        assert!(!here.is_empty(), "{text} has no rows to compare");
        assert_eq!(there, here, "{text}");
    }
    assert_eq!(cql(to, &["SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = 'EdgeQ'"]).concat().matches("'dr1', '1'").count(), 1);
    let again = restore(config(to, &[]), &point, &How::default(), || ()).unwrap_err();
    assert!(again.to_string().contains("in the target holds rows"), "{again}");
    // In place, and after a process that was killed in the middle of lists and of counters: nothing is doubled.
    let in_place = How { overwrite: hourglass::sources::Overwrite::InPlace, ..How::default() };
    for stop in ["rows/edge/t/0", "rows/edge/counters/0"] {
        restore(config(to, &[]), &point, &How { stop_at: Some(stop), ..in_place.clone() }, || ()).unwrap();
        // Its components up to there are not written again in truth; here they are, without being emptied.
        let mut rest = How { resumed: true, ..How::default() };
        rest.overwrite = hourglass::sources::Overwrite::Refuse;
        assert_equal(&restore(config(to, &[]), &point, &rest, || ()).unwrap());
        compare((from, 5), to, "");
    }
}

#[test]
fn cassandra_edge_tables_of_2_2_come_back_equal_in_2_2_and_in_5_0() {
    // Roles are the whole cluster's: no other test may bring any meanwhile.
    let _lab = Servers::Cassandra.alone();
    let from = CassandraCluster::Old;
    fill(from, 2);
    let point = capture(config(from, &["edge", "EdgeQ"]), || ()).unwrap();
    println!("notes: {:#?}", point.end.notes);
    let rename = [("edge", "edge_new"), ("EdgeQ", "EdgeQ_new")];
    for to in [CassandraCluster::Old, CassandraCluster::Dr] {
        drop_keyspaces(to, &["edge_new", "EdgeQ_new"]);
        if to == CassandraCluster::Dr {
            drop_roles(to, 2);
        }
        let mut config = config(to, &[]);
        if to == CassandraCluster::Old {
            config.datacentres.clear();
        }
        let restored = restore(config, &point, &How { rename: &rename, ..How::default() }, || ()).unwrap();
        println!("notes of the restore: {:#?}", restored.notes);
        assert_equal(&restored);
        compare((from, 2), to, "_new");
        let table = "SELECT * FROM edge.compact_t";
        assert_eq!(cql(to, &[&renamed(table, "_new")]), cql(from, &[table]));
    }
    let [roles, rights] = answers(from, &ROLES_OF_OLD).try_into().unwrap();
    let rights: Vec<String> =
        rights.iter().filter(|row| !row.contains("_new")).map(|row| row.replace("s/edge", "s/edge_new").replace("a/edge", "a/edge_new")).collect();
    assert!(roles.len() == 3 && rights.len() > 4, "{roles:?} {rights:?}");
    assert_eq!(answers(CassandraCluster::Dr, &ROLES_OF_OLD), [roles, rights]);
}

#[test]
fn cassandra_rows_that_differ_are_named() {
    let _lab = Servers::Cassandra.together();
    let (from, to) = (CassandraCluster::Old, CassandraCluster::Dr);
    let keyspace = "CREATE KEYSPACE named WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
    for cluster in [from, to] {
        drop_keyspaces(cluster, &["named"]);
    }
    cql(
        from,
        &[
            keyspace,
            "CREATE TABLE named.t (a int, b text, c int, PRIMARY KEY (a, b))",
            "CREATE TABLE named.other (a int PRIMARY KEY)",
            "INSERT INTO named.other (a) VALUES (1)",
        ],
    );
    let rows: Vec<String> = (0..30).map(|n| format!("INSERT INTO named.t (a, b, c) VALUES ({}, 'row {n}', {n})", n % 7)).collect();
    cql(from, &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let point = capture(config(from, &["named"]), || ()).unwrap();
    let one = How { select: &["named.t"], ..How::default() };
    let spoil = || {
        cql(
            to,
            &[
                "UPDATE named.t SET c = 99 WHERE a = 3 AND b = 'row 3'",
                "DELETE FROM named.t WHERE a = 4 AND b = 'row 4'",
                "INSERT INTO named.t (a, b) VALUES (8, 'new')",
            ],
        );
    };
    let restored = restore(config(to, &[]), &point, &one, spoil).unwrap();
    let mut found: Vec<String> = restored.differences.iter().map(|problem| format!("{}: {}", problem.subject, problem.what)).collect();
    found.sort();
    assert_eq!(
        found,
        [
            "named.t: a = 3, b = 'row 3': it differs in c",
            "named.t: a = 4, b = 'row 4': it is missing in the target",
            "named.t: a = 8, b = 'new': the target has it, and the point has not",
        ]
    );
    assert_eq!(cql(to, &["SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'named'"]), ["('t',)"]);
}

#[test]
fn cassandra_rows_that_end_leave_no_keys_behind_and_are_no_difference() {
    let _lab = Servers::Cassandra.together();
    let (from, to) = (CassandraCluster::Old, CassandraCluster::Dr);
    for cluster in [from, to] {
        drop_keyspaces(cluster, &["ending"]);
    }
    let rows = [
        "INSERT INTO ending.t (a, b, c, m) VALUES (1, 1, 'inserted', {1: 1}) USING TTL 40",
        "UPDATE ending.t USING TTL 40 SET c = 'updated' WHERE a = 1 AND b = 2",
        "INSERT INTO ending.t (a, s) VALUES (2, 'a static row') USING TTL 40",
        "INSERT INTO ending.t (a, b, c) VALUES (3, 1, 'stays')",
    ];
    let table = "CREATE TABLE ending.t (a int, b int, s text static, c text, m map<int, int>, PRIMARY KEY (a, b))";
    cql(from, &["CREATE KEYSPACE ending WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}", table]);
    cql(from, &rows);
    let point = capture(config(from, &["ending"]), || ()).unwrap();
    let restored = restore(config(to, &[]), &point, &How::default(), || {
        println!("restored: {:?}", cql(to, &["SELECT a, b, c FROM ending.t"]));
        let began = Instant::now();
        while cql(to, &["SELECT a, b, c FROM ending.t"]).len() > 1 {
            assert!(began.elapsed().as_secs() < 600, "rows that should have ended are still there");
        }
    });
    assert_equal(&restored.unwrap());
    assert_eq!(cql(to, &["SELECT a, b, s, c FROM ending.t"]), ["(3, 1, None, 'stays')"]);
}
