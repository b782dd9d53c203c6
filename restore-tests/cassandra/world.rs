//! What every test of Cassandra needs: statements judged by the Python driver, a source of ours, and a capture and a restore by hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    process::Stdio,
};

use hourglass::{
    config::{CassandraConfig, CassandraConsistency, CassandraTls, Keyspaces},
    model::{Activity, Context, Problem},
    sources::{
        Capture, CaptureEnd, CassandraSource, Component, Loading, Opening, Overwrite, RowDigest, RowKey, Sink, Source, SourceError, SystemTarget,
        Target,
    },
};

use crate::{
    lab::{self, CassandraCluster},
    site::Site,
};

/// Rows that each of the statements returns, as the Python driver shows them, sorted; panics when one fails.
pub fn answers<S: AsRef<str>>(cluster: CassandraCluster, statements: &[S]) -> Vec<Vec<String>> {
    let mut asked = lab::tool("cql");
    asked.arg(cluster.get().addresses[0].to_string()).args(["--apart", "-"]);
    let mut asked = asked.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = asked.stdin.take().unwrap();
    let lines: String = statements.iter().map(|statement| statement.as_ref().to_owned() + "\n").collect();
    let writer = std::thread::spawn(move || drop(input.write_all(lines.as_bytes())));
    let done = asked.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut found = vec![Vec::new()];
    for line in String::from_utf8(done.stdout).unwrap().lines() {
        match line {
            "" => found.push(Vec::new()),
            row => found.last_mut().unwrap().push(row.to_owned()),
        }
    }
    found.truncate(statements.len());
    found.iter_mut().for_each(|rows| rows.sort());
    found
}

/// The rows of all statements together.
pub fn cql<S: AsRef<str>>(cluster: CassandraCluster, statements: &[S]) -> Vec<String> {
    answers(cluster, statements).concat()
}

/// Drops keyspaces, whether they are there or not.
pub fn drop_keyspaces<S: AsRef<str>>(cluster: CassandraCluster, names: &[S]) {
    cql(cluster, &names.iter().map(|name| format!("DROP KEYSPACE IF EXISTS \"{}\"", name.as_ref())).collect::<Vec<_>>());
}

/// Drops every keyspace that is not Cassandra's own, of a cluster of 5.0.
pub fn empty(cluster: CassandraCluster) {
    let rows = cql(cluster, &["SELECT keyspace_name FROM system_schema.keyspaces"]);
    let names = rows.iter().map(|row| row.trim_matches(|letter| "(',)".contains(letter)));
    drop_keyspaces(cluster, &names.filter(|name| !name.starts_with("system")).collect::<Vec<_>>());
}

/// A file with a password, for as long as the lab lives.
pub fn password_file(name: &str, password: &str) -> std::path::PathBuf {
    let path = std::path::PathBuf::from(lab::require("HOURGLASS_LAB_DIR")).join(format!("cassandra-{name}.password"));
    std::fs::write(&path, password).unwrap();
    path
}

/// A cluster of the lab as a site's configuration writes it; `more` is what it says besides.
pub fn yaml(site: &Site, cluster: CassandraCluster, more: &str) -> String {
    let cluster = cluster.get();
    let points: Vec<String> = cluster.addresses.iter().map(ToString::to_string).collect();
    std::fs::write(site.path("cassandra.password"), cluster.password).unwrap();
    let file = |name: &str| lab::tls(name).display().to_string();
    format!(
        "{{ cassandra: {{ contact_points: {points:?}, port: {}, user: {}, password_file: cassandra.password, lanes: 2, {more}, \
         tls: {{ ca_file: {:?}, cert_file: {:?}, key_file: {:?} }} }} }}",
        cluster.port,
        cluster.user,
        file("ca.crt"),
        file("client.crt"),
        file("client.key"),
    )
}

/// The configuration of a cluster of the lab, with its administrator.
pub fn config(cluster: CassandraCluster, keyspaces: &[&str]) -> CassandraConfig {
    let lab = cluster.get();
    CassandraConfig {
        contact_points: lab.addresses.iter().map(ToString::to_string).collect(),
        port: lab.port,
        datacentre: None,
        login: Some((lab.user, password_file("administrator", &lab.password))),
        tls: Some(CassandraTls { ca_file: lab::tls("ca.crt"), identity: Some((lab::tls("client.crt"), lab::tls("client.key"))) }),
        keyspaces: Keyspaces { include: Some(keyspaces.iter().map(|name| (*name).to_owned()).collect()), ..Keyspaces::default() },
        consistency: CassandraConsistency::LocalQuorum,
        lanes: 2,
        page_rows: 5000,
        timeout: std::time::Duration::from_secs(60),
        retries: 8,
        replication: BTreeMap::new(),
        datacentres: BTreeMap::from([("dc1".to_owned(), "dr1".to_owned())]),
        skip_roles: false,
    }
}

/// Everything of one capture, in memory.
#[derive(Debug)]
pub struct Point {
    pub components: Vec<(Component, Vec<u8>, Option<RowDigest>)>,
    pub end: CaptureEnd,
    pub key: RowKey,
}

/// A runtime whose handle the test's thread has: sources block, and run their tasks there.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Captures all, and calls `middle` once after the first bytes of rows.
pub fn capture(config: CassandraConfig, mut middle: impl FnMut()) -> Result<Point, SourceError> {
    let runtime = runtime();
    let _entered = runtime.enter();
    let (source, ctx, key) = (CassandraSource::new(config), Context::default(), RowKey::from_bytes([9; 32]));
    source.prepare(&ctx)?;
    let mut components = Vec::new();
    let mut done = false;
    for component in source.open(&Opening { row_key: key, of: None }, &ctx)? {
        let Capture::Stream(mut stream) = source.capture(&component, &ctx)? else { panic!("a stream") };
        let mut bytes = vec![0; 1000];
        let first = stream.read(&mut bytes).unwrap();
        bytes.truncate(first);
        if component.stage == 1 && !std::mem::replace(&mut done, true) {
            middle();
        }
        stream.read_to_end(&mut bytes).unwrap();
        let end = stream.finish()?;
        assert_eq!(end.bytes.0, bytes.len() as u64);
        components.push((component, bytes, end.rows));
    }
    Ok(Point { components, end: source.close(&ctx)?, key })
}

/// What a restore told.
#[derive(Debug)]
pub struct Restored {
    pub notes: Vec<Problem>,
    pub differing: Vec<String>,
    pub differences: Vec<Problem>,
}

/// How a restore goes.
#[derive(Debug, Clone)]
pub struct How<'a> {
    pub overwrite: Overwrite,
    pub select: &'a [&'a str],
    pub rename: &'a [(&'a str, &'a str)],
    pub resumed: bool,
    /// Component whose bytes are written in part only, and then given up: the restore ends there.
    pub stop_at: Option<&'a str>,
}

impl Default for How<'_> {
    fn default() -> Self {
        How { overwrite: Overwrite::Refuse, select: &[], rename: &[], resumed: false, stop_at: None }
    }
}

/// Restores all components, then compares them; `before_comparison` may spoil the target.
pub fn restore(config: CassandraConfig, point: &Point, how: &How<'_>, before_comparison: impl FnOnce()) -> Result<Restored, SourceError> {
    let runtime = runtime();
    let _entered = runtime.enter();
    let (source, ctx) = (CassandraSource::new(config), Context::default());
    let target = SystemTarget {
        overwrite: how.overwrite,
        select: how.select.iter().map(|name| (*name).to_owned()).collect(),
        rename: how.rename.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect(),
        activity: Activity::Apply,
    };
    let mut order: Vec<_> = point.components.iter().collect();
    order.sort_by_key(|(component, ..)| component.stage);
    let loading = Loading {
        components: order.iter().map(|(component, ..)| component.clone()).collect(),
        done: BTreeSet::new(),
        resumed: how.resumed,
        row_key: point.key,
        // Tests run side by side, each in a thread with its name.
        run: std::thread::current().name().unwrap_or_default().chars().rev().take(30).collect(),
    };
    source.begin(&loading, &target, &ctx)?;
    for (component, bytes, _) in &order {
        let Sink::Stream(mut sink) = source.sink(component, &Target::System(target.clone()), &ctx)? else { panic!("a stream") };
        if how.stop_at == Some(component.name.as_str()) {
            sink.write_all(&bytes[..bytes.len() * 2 / 3]).unwrap();
            // Time for what was handed over to arrive.
            std::thread::sleep(std::time::Duration::from_secs(2));
            return Ok(Restored { notes: Vec::new(), differing: Vec::new(), differences: Vec::new() });
        }
        let written = sink.write_all(bytes);
        sink.finish()?;
        written.unwrap();
    }
    let notes = source.end(&ctx)?;
    before_comparison();
    let (mut differing, mut differences) = (Vec::new(), Vec::new());
    for (component, bytes, rows) in &order {
        let back = source.read_back(component, &ctx)?;
        if back.is_some() && back != *rows {
            differing.push(component.name.clone());
            differences.extend(source.differences(component, &mut bytes.as_slice(), &ctx)?);
        }
    }
    Ok(Restored { notes, differing, differences })
}
