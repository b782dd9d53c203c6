//! What must never be green, and what must go on.

use std::{
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::world::{How, capture, config, cql, drop_keyspaces, password_file, restore};
use crate::lab::{self, CassandraCluster};

#[test]
fn cassandra_refusals_name_their_cause() {
    let _lab = lab::Servers::Cassandra.together();
    let cluster = CassandraCluster::Three;
    drop_keyspaces(cluster, &["refused"]);
    cql(
        cluster,
        &[
            "CREATE KEYSPACE refused WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
            "CREATE TABLE refused.open (a int PRIMARY KEY, b int)",
            "CREATE TABLE refused.masked (a int PRIMARY KEY, b text MASKED WITH mask_inner(1, 1))",
            "DROP ROLE IF EXISTS half",
            "CREATE ROLE half WITH PASSWORD = 'half' AND LOGIN = true",
        ],
    );
    let base = || config(cluster, &["refused"]);
    let said = |config| {
        let error = capture(config, || ()).unwrap_err();
        format!("{error}\n{}", error.hint().unwrap_or_default())
    };
    let mut wrong = base();
    wrong.login = Some((cluster.get().user, password_file("wrong", "wrong")));
    assert!(said(wrong).contains("check user and the password"));
    let mut wrong = base();
    wrong.tls.as_mut().unwrap().ca_file = lab::tls("rogue-ca.crt");
    assert!(said(wrong).contains("tls.ca_file"));
    for name in ["rogue", "expired"] {
        let mut wrong = base();
        wrong.tls.as_mut().unwrap().identity = Some((lab::tls(&format!("{name}.crt")), lab::tls(&format!("{name}.key"))));
        let said = said(wrong);
        println!("{name}: {said}");
        assert!(said.contains("tls.cert_file"), "{name}: {said}");
    }
    let mut wrong = base();
    wrong.port = 1;
    assert!(said(wrong).contains("check the addresses"));
    let mut half = base();
    half.login = Some(("half".to_owned(), password_file("half", "half")));
    assert!(said(half.clone()).contains("the role half lacks SELECT on refused."));
    cql(cluster, &["GRANT SELECT ON KEYSPACE refused TO half"]);
    assert!(said(half.clone()).contains("the role half lacks UNMASK on refused.masked"));
    cql(cluster, &["GRANT UNMASK ON KEYSPACE refused TO half", "INSERT INTO refused.masked (a, b) VALUES (1, '123456789')"]);
    let point = capture(half, || ()).unwrap();
    assert!(point.end.notes.iter().any(|note| note.what.contains("roles and rights are not saved")), "{:?}", point.end.notes);
    assert!(point.components.iter().any(|(_, bytes, _)| bytes.windows(9).any(|part| part == b"123456789")));
    let error = restore(config(CassandraCluster::Old, &[]), &point, &How::default(), || ()).unwrap_err();
    println!("a newer point in an old cluster: {error}");
}

#[test]
fn cassandra_goes_on_when_one_node_of_three_dies() {
    let _lab = lab::Servers::Cassandra.alone();
    let cluster = CassandraCluster::Three;
    drop_keyspaces(cluster, &["dying", "risen"]);
    cql(
        cluster,
        &[
            "CREATE KEYSPACE dying WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
            "CREATE TABLE dying.t (a int, b int, c text, l list<int>, PRIMARY KEY (a, b))",
        ],
    );
    let statements: Vec<String> = (0..400)
        .map(|a| {
            let rows: String = (0..50)
                .map(|b| format!("INSERT INTO dying.t (a, b, c, l) VALUES ({a}, {b}, 'row {a} {b} {}', [{b}, {b}]);", "x".repeat(200)))
                .collect();
            format!("BEGIN UNLOGGED BATCH {rows} APPLY BATCH")
        })
        .collect();
    cql(cluster, &statements);
    let victim = cluster.get().nodes[2].clone();
    let mut local = config(cluster, &["dying"]);
    local.datacentres.clear();
    let began = Instant::now();
    let point = capture(local.clone(), || victim.kill());
    victim.start();
    let point = point.unwrap();
    println!(
        "captured {} rows in {:?} while a node died",
        point.components.iter().filter_map(|(_, _, rows)| *rows).map(|rows| rows.rows).sum::<u64>(),
        began.elapsed()
    );
    assert_eq!(point.components.iter().filter_map(|(_, _, rows)| *rows).map(|rows| rows.rows).sum::<u64>(), 20_000);
    let killer = {
        let victim = victim.clone();
        std::thread::spawn(move || {
            // While rows are on their way, or before: the outcome must be the same.
            std::thread::sleep(std::time::Duration::from_secs(3));
            victim.kill();
        })
    };
    let rename = [("dying", "risen")];
    let restored = restore(local, &point, &How { rename: &rename, ..How::default() }, || ());
    killer.join().unwrap();
    victim.start();
    let restored = restored.unwrap();
    assert!(restored.differing.is_empty(), "{:#?}", restored.differences);
    assert_eq!(cql(cluster, &["SELECT COUNT(*) FROM risen.t"]), ["(20000,)"]);
    drop_keyspaces(cluster, &["dying", "risen"]);
}

/// A node that shows a certificate that is out of date; nothing more is ever asked of it.
struct Expired(Child);

impl Expired {
    fn listen(address: Ipv4Addr, port: u16) -> Expired {
        let mut server = Command::new("openssl");
        server.args(["s_server", "-quiet", "-accept", &format!("{address}:{port}"), "-cert"]).arg(lab::tls("expired.crt")).arg("-key");
        let server = server.arg(lab::tls("expired.key")).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect((address, port)).is_err() {
            assert!(Instant::now() < end, "it never listens");
            std::thread::sleep(Duration::from_millis(50));
        }
        Expired(server)
    }
}

impl Drop for Expired {
    fn drop(&mut self) {
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn a_cassandra_node_whose_certificate_is_out_of_date_is_never_trusted() {
    let _lab = lab::Servers::Cassandra.together();
    let mut config = config(CassandraCluster::Dr, &["any"]);
    let IpAddr::V4(node) = CassandraCluster::Dr.get().addresses[0] else { panic!("an address of version 4") };
    let [a, b, c, _] = node.octets();
    // The lab's certificates are good for it.
    let address = Ipv4Addr::new(a, b, c, 9);
    let _node = Expired::listen(address, config.port);
    config.contact_points = vec![address.to_string()];
    let refused = capture(config, || ()).unwrap_err();
    let said = format!("{refused}: {}", refused.hint().unwrap_or_default());
    assert!(said.contains("expired") && said.contains("tls.ca_file"), "{said}");
}

/// Hands connections to an address that stands in no certificate on to a node; says the address.
fn detour(node: IpAddr, port: u16) -> String {
    let IpAddr::V4(node) = node else { panic!("{node}") };
    let [a, b, c, _] = node.octets();
    let address = Ipv4Addr::new(a, b, c, 200);
    let listener = TcpListener::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let far = TcpStream::connect((node, port)).unwrap();
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                std::thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
            }
        }
    });
    address.to_string()
}

#[test]
fn cassandra_nodes_need_no_certificate_of_their_address_and_one_of_the_authority() {
    let _lab = lab::Servers::Cassandra.together();
    let cluster = CassandraCluster::Dr;
    drop_keyspaces(cluster, &["detour"]);
    cql(cluster, &["CREATE KEYSPACE detour WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"]);
    let mut config = config(cluster, &["detour"]);
    config.contact_points = vec![detour(cluster.get().addresses[0], config.port)];
    let point = capture(config.clone(), || ()).unwrap();
    assert!(point.components.iter().any(|(component, ..)| component.name == "schema"));
    config.tls.as_mut().unwrap().ca_file = lab::tls("rogue-ca.crt");
    let refused = capture(config, || ()).unwrap_err();
    assert!(refused.hint().unwrap().contains("tls.ca_file"), "{refused}");
    drop_keyspaces(cluster, &["detour"]);
}
