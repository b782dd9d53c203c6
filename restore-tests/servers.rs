//! The servers of the lab through clients that are not ours: they answer, let nobody else in, and survive being killed.

use std::{
    net::{IpAddr, TcpStream},
    process::Command,
};

use crate::lab::{CassandraCluster, Region, Search, Servers, Sql, SqlServer, tls, tool};

/// What a program prints, or that it failed and why.
fn run(command: &mut Command) -> Result<String, String> {
    let done = command.output().unwrap();
    if done.status.success() { Ok(String::from_utf8(done.stdout).unwrap()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

fn sql(server: &Sql, authority: &str, statements: &str) -> Result<String, String> {
    run(Command::new("mariadb")
        .args(["--no-defaults", "--batch", "--skip-column-names", "--local-infile=1", "--ssl-verify-server-cert"])
        .arg(format!("--ssl-ca={}", tls(authority).display()))
        .args([format!("--host={}", server.host), format!("--port={}", server.port), format!("--user={}", server.user)])
        .arg(format!("--execute={statements}"))
        .env("MYSQL_PWD", &server.password))
}

#[test]
fn mysql_and_mariadb_answer_with_binary_log_and_tls_and_keep_a_commit_through_a_kill() {
    let _lab = [Servers::MariaDb, Servers::MySql8].map(Servers::alone);
    for which in [SqlServer::MariaDbA, SqlServer::MariaDbB, SqlServer::MySql8A, SqlServer::MySql8B] {
        let server = which.get();
        let gtid = if matches!(which, SqlServer::MySql8A | SqlServer::MySql8B) { "@@gtid_mode" } else { "'ON'" };
        let answer = sql(&server, "ca.crt", &format!("select @@log_bin, @@local_infile, {gtid}, @@binlog_format")).unwrap();
        assert_eq!(answer.trim(), "1\t1\tON\tROW", "{which:?}");
        assert!(server.socket.exists(), "{which:?}");
        let refused = sql(&server, "rogue-ca.crt", "select 1").unwrap_err();
        assert!(refused.contains("certificate"), "{which:?}: {refused}");
    }
    for which in [SqlServer::MariaDbA, SqlServer::MySql8A] {
        let server = which.get();
        sql(
            &server,
            "ca.crt",
            "create database servers_kill; create table servers_kill.t (a int primary key); insert into servers_kill.t values (7)",
        )
        .unwrap();
        server.node.kill();
        assert!(sql(&server, "ca.crt", "select 1").is_err(), "{which:?}");
        server.node.start();
        assert_eq!(sql(&server, "ca.crt", "select a from servers_kill.t; drop database servers_kill").unwrap().trim(), "7", "{which:?}");
    }
}

fn cql(address: IpAddr, arguments: &[&str]) -> Result<String, String> {
    run(tool("cql").arg(address.to_string()).args(arguments))
}

#[test]
fn cassandra_answers_with_version_and_datacentre_and_refuses_a_wrong_password() {
    let _lab = Servers::Cassandra.together();
    for (which, version) in [(CassandraCluster::Three, "5.0."), (CassandraCluster::Dr, "5.0."), (CassandraCluster::Old, "2.2.12")] {
        let cluster = which.get();
        let listening = TcpStream::connect((cluster.addresses[0], cluster.port));
        assert!(listening.is_ok(), "{which:?}: {listening:?}");
        for address in &cluster.addresses {
            let answer = cql(*address, &["select release_version, data_center from system.local"]).unwrap();
            assert!(answer.starts_with(&format!("('{version}")) && answer.contains(&format!("'{}'", cluster.datacentre)), "{which:?}: {answer}");
            let others = cql(*address, &["select peer from system.peers"]).unwrap();
            assert_eq!(others.lines().count() + 1, cluster.addresses.len(), "{which:?}: {others}");
        }
        cql(cluster.addresses[0], &["--user", &cluster.user, "--password", &cluster.password]).unwrap();
        let refused = cql(cluster.addresses[0], &["--user", &cluster.user, "--password", "wrong"]).unwrap_err();
        assert!(refused.to_lowercase().contains("auth"), "{which:?}: {refused}");
    }
}

#[test]
fn cassandra_answers_at_quorum_while_one_of_three_nodes_is_down() {
    let _lab = Servers::Cassandra.alone();
    let cluster = CassandraCluster::Three.get();
    let create = "create keyspace servers_kill with replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}";
    cql(cluster.addresses[0], &[create, "create table servers_kill.t (a int primary key)"]).unwrap();
    let [first, _, third] = &cluster.nodes[..] else { panic!("not three nodes: {cluster:?}") };
    third.kill();
    cql(cluster.addresses[0], &["insert into servers_kill.t (a) values (3)"]).unwrap();
    third.start();
    first.stop();
    cql(cluster.addresses[2], &["insert into servers_kill.t (a) values (1)"]).unwrap();
    first.start();
    let rows = cql(cluster.addresses[0], &["select count(*) from servers_kill.t", "drop keyspace servers_kill"]).unwrap();
    assert_eq!(rows.trim(), "(2,)");
}

fn curl(arguments: &[&str]) -> Result<String, String> {
    run(Command::new("curl").args(["--silent", "--show-error", "--fail-with-body", "--max-time", "300"]).args(arguments))
}

fn put(url: &str, json: &str) -> String {
    curl(&["--request", "PUT", "--header", "Content-Type: application/json", "--data", json, url]).unwrap()
}

#[test]
fn opensearch_answers_behind_tls_to_the_password_and_the_key_alone() {
    let _lab = Servers::Search.together();
    for region in [Region::A, Region::B] {
        let Search { url, user, password, api_key, .. } = region.search();
        let authority = tls("ca.crt").display().to_string();
        let rogue = tls("rogue-ca.crt").display().to_string();
        assert!(curl(&["--cacert", &authority, "--user", &format!("{user}:{password}"), &url]).unwrap().contains("3.8.0"), "{region:?}");
        assert!(
            curl(&["--cacert", &authority, "--header", &format!("Authorization: ApiKey {api_key}"), &url]).unwrap().contains("3.8.0"),
            "{region:?}"
        );
        assert!(curl(&["--cacert", &authority, "--user", &format!("{user}:wrong"), &url]).unwrap_err().contains("401"), "{region:?}");
        assert!(curl(&["--cacert", &rogue, "--user", &format!("{user}:{password}"), &url]).unwrap_err().contains("certificate"), "{region:?}");
    }
}

#[test]
fn opensearch_keeps_a_document_through_a_kill() {
    let _lab = Servers::Search.alone();
    let a = Region::A.search();
    put(&format!("{}/servers_kill/_doc/1", a.plain), r#"{"marker": 4712}"#);
    a.node.kill();
    a.node.start();
    assert!(curl(&[&format!("{}/servers_kill/_doc/1", a.plain)]).unwrap().contains("4712"));
}

#[test]
fn opensearch_of_region_b_restores_what_region_a_put_into_a_shared_repository() {
    let _lab = Servers::Search.together();
    let (a, b) = (Region::A.search(), Region::B.search());
    let place = a.repositories.join("servers").display().to_string();
    put(&format!("{}/servers/_doc/1?refresh=true", a.plain), r#"{"marker": 4711}"#);
    put(&format!("{}/_snapshot/servers", a.plain), &format!(r#"{{"type": "fs", "settings": {{"location": "{place}"}}}}"#));
    let snapshot = put(&format!("{}/_snapshot/servers/one?wait_for_completion=true", a.plain), r#"{"indices": "servers"}"#);
    assert!(snapshot.contains(r#""state":"SUCCESS""#), "{snapshot}");
    put(&format!("{}/_snapshot/servers", b.plain), &format!(r#"{{"type": "fs", "settings": {{"location": "{place}", "readonly": true}}}}"#));
    curl(&["--request", "POST", &format!("{}/_snapshot/servers/one/_restore?wait_for_completion=true", b.plain)]).unwrap();
    assert!(curl(&[&format!("{}/servers/_doc/1", b.plain)]).unwrap().contains("4711"));
}
