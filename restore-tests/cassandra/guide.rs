//! The commands of docs/how-to/cassandra.md, run as they stand there.

use std::{fs, path::Path};

use super::world::{cql, empty};
use crate::{
    docs::{blocks, run},
    lab::{self, CassandraCluster},
};

/// The page's blocks of one language: the first.
fn first(language: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to/cassandra.md")).unwrap();
    blocks(&page).into_iter().find(|(of, _)| of == language).unwrap().1
}

#[test]
fn the_commands_of_the_cassandra_guide_work_as_written() {
    // It empties clusters.
    let _lab = lab::Servers::Cassandra.alone();
    let (from, to) = (CassandraCluster::Three, CassandraCluster::Dr);
    empty(from);
    empty(to);
    let keyspace = |name: &str| format!("CREATE KEYSPACE {name} WITH replication = {{'class': 'NetworkTopologyStrategy', 'dc1': 1}}");
    let mut statements: Vec<String> = ["shop", "throttling", "scratch"].map(keyspace).to_vec();
    statements.extend(["shop", "throttling", "scratch"].map(|name| format!("CREATE TABLE {name}.t (a int PRIMARY KEY, b text)")));
    statements.extend(["shop", "throttling", "scratch"].map(|name| format!("INSERT INTO {name}.t (a, b) VALUES (1, '{name}')")));
    let sql = first("sql").replace('…', "secret");
    statements.extend(["DROP ROLE IF EXISTS hourglass".to_owned()].into_iter().chain(sql.lines().map(str::to_owned)));
    cql(from, &statements);

    let home = tempfile::tempdir().unwrap();
    // What a reader has: addresses, certificates, and an administrator of the other cluster.
    let lab = to.get();
    let yaml = first("yaml")
        .replace("[cass-1.example.internal, cass-2.example.internal]", &format!("[\"{}\"]\n      port: {}", from.get().addresses[0], lab.port))
        .replace("[cass-1.dr.example.internal]", &format!("[\"{}\"]\n      port: {}", lab.addresses[0], lab.port))
        .replace("user: admin", &format!("user: {}", lab.user));
    for (name, content) in [("kps.password", "secret"), ("kps-dr.password", &lab.password)] {
        fs::write(home.path().join(name), content).unwrap();
    }
    for (name, ours) in [("kps-ca.pem", "ca.crt"), ("kps-client.pem", "client.crt"), ("kps-client.key", "client.key")] {
        fs::copy(lab::tls(ours), home.path().join(name)).unwrap();
    }
    run(home.path(), &format!("hourglass init --directory store\ncat >> hourglass.yaml <<'END'\n{yaml}END\n"));
    let said = run(home.path(), &first("sh"));
    assert!(said.contains("is complete") && said.contains("found equal to what was saved"), "{said}");
    assert_eq!(cql(to, &["SELECT * FROM shop.t"]), ["(1, 'shop')"]);
    // Rows that are not captured, and a keyspace that is left out, are not covered.
    let states = crate::coverage::states(home.path(), 3);
    let of = |name: &str| states[&format!("kps/keyspace/{name}")].as_str();
    assert_eq!((of("shop"), of("throttling"), of("scratch")), ("covered", "uncovered", "uncovered"), "{states:?}");
    assert!(cql(to, &["SELECT * FROM throttling.t"]).is_empty(), "only its schema is saved");
    assert_eq!(cql(to, &["SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name IN ('shop', 'throttling', 'scratch')"]).len(), 2);
    assert_eq!(cql(to, &["SELECT can_login FROM system_auth.roles WHERE role = 'hourglass'"]), ["(True,)"]);
}
