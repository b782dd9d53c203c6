//! What has to be refused, or to make a point incomplete: never a success that was none.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    fill,
    world::{World, ask, documents, try_ask, write},
};
use crate::lab::{Servers, tls, tool};

#[test]
fn an_index_with_a_failed_shard_makes_the_analytics_incomplete() {
    let _lab = Servers::Search.together();
    let world = World::new();
    fill(&world);
    world.site.run(&["backup", "p"], 0);
    // No node may hold its only shard.
    let nowhere = r#"{"settings": {"index.routing.allocation.require._name": "nobody", "number_of_replicas": 0}}"#;
    ask(&world.a, "PUT", &format!("{}?wait_for_active_shards=0", world.of("broken")), nowhere);
    let said = world.site.run(&["backup", "p"], 1);
    assert!(said.contains(&world.of("broken")), "{said}");
    let listed = ask(&world.a, "GET", &format!("_snapshot/{}/_all", world.name), "");
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), 1, "nothing half done stays: {listed}");
}

#[test]
fn a_repository_that_two_clusters_could_write_is_refused_before_anything_is_written() {
    let _lab = Servers::Search.together();
    let world = World::new();
    fill(&world);
    world.site.run(&["backup", "p"], 0);
    let registered = ask(&world.a, "GET", &format!("_snapshot/{}", world.name), "");
    ask(&world.b, "PUT", &format!("_snapshot/{}?verify=false", world.name), &registered[&world.name].to_string());
    let said = world.site.run(&["restore", "p", "events", "--into", "spare"], 1);
    assert!(said.contains("registered for writing") && said.contains("readonly: true"), "{said}");
    assert!(try_ask(&world.b, "GET", &world.of("calls"), "").is_err());
    // The other way round: the cluster of a copy must not take snapshots into it.
    let mut read_only = registered[&world.name].clone();
    read_only["settings"]["readonly"] = "true".into();
    ask(&world.b, "PUT", &format!("_snapshot/{}?verify=false", world.name), &read_only.to_string());
    write(&world.b, &world.of("calls"), &["{}".to_owned()]);
    world.site.configure("  q: { members: { spare: required } }\n");
    let said = world.site.run(&["backup", "q"], 1);
    assert!(said.contains("registered for reading only"), "{said}");
}

#[test]
fn wrong_credentials_authorities_and_names_are_told_and_leave_no_analytics_snapshot() {
    let _lab = Servers::Search.together();
    let world = World::new();
    fill(&world);
    fs::write(world.site.path("search.password"), "planted-password").unwrap();
    let said = world.site.run(&["backup", "p"], 1);
    assert!(said.contains("401") && said.contains("check the account") && !said.contains("planted-password"), "{said}");
    fs::write(world.site.path("search.password"), &world.a.password).unwrap();
    fs::copy(tls("rogue-ca.crt"), world.site.path("ca.pem")).unwrap();
    let said = world.site.run(&["backup", "p"], 1);
    assert!(said.contains("certificate"), "{said}");
    fs::copy(tls("ca.crt"), world.site.path("ca.pem")).unwrap();
    let pattern = format!("indices: [\"{}-*\"]", world.name);
    world.reconfigure(&pattern, &format!("indices: [{}, {}]", world.of("calls"), world.of("absent")));
    let said = world.site.run(&["backup", "p"], 1);
    assert!(said.contains(&format!("the index {} does not exist", world.of("absent"))), "{said}");
    world.reconfigure(&format!("indices: [{}, {}]", world.of("calls"), world.of("absent")), &format!("indices: [\"{}\"]", world.of("none-*")));
    let said = world.site.run(&["backup", "p"], 1);
    assert!(said.contains("nothing to capture"), "{said}");
    let listed = ask(&world.a, "GET", &format!("_snapshot/{}/_all", world.name), "");
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), 0, "{listed}");
}

/// Another front of region A, with a certificate that is out of date.
struct Expired {
    process: Child,
    url: String,
    _certificate: TempDir,
}

impl Expired {
    fn new(server: &str) -> Expired {
        let certificate = tempfile::tempdir().unwrap();
        for ending in ["crt", "key"] {
            fs::copy(tls(&format!("expired.{ending}")), certificate.path().join(format!("server.{ending}"))).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let mut front = tool("front");
        front.args([port.as_str(), server.rsplit(':').next().unwrap()]).env("HOURGLASS_LAB_TLS", certificate.path());
        let process = front.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
            assert!(Instant::now() < end, "the front never listens");
            std::thread::sleep(Duration::from_millis(50));
        }
        Expired { process, url: format!("https://127.0.0.1:{port}"), _certificate: certificate }
    }
}

impl Drop for Expired {
    fn drop(&mut self) {
        let _gone = self.process.kill().and_then(|()| self.process.wait());
    }
}

#[test]
fn a_certificate_of_analytics_that_is_out_of_date_is_never_green() {
    let _lab = Servers::Search.together();
    let world = World::new();
    fill(&world);
    world.site.run(&["backup", "p"], 0);
    let front = Expired::new(&world.a.plain);
    world.reconfigure(&world.a.url, &front.url);
    let said = world.site.run(&["backup", "p"], 1);
    assert!(said.contains("xpired") && !said.contains("is complete"), "{said}");
}

#[test]
fn templates_that_the_other_analytics_cluster_refuses_are_named_and_keep_no_index_from_coming_back() {
    // Templates are the whole cluster's.
    let _lab = Servers::Search.alone();
    let world = World::new();
    fill(&world);
    world.site.run(&["backup", "p"], 0);
    // Another one of the same priority for the same names: the cluster takes no second.
    let taken = format!(r#"{{"index_patterns": ["{}"], "priority": 500}}"#, world.of("stream*"));
    ask(&world.b, "PUT", &format!("_index_template/{}", world.of("taken")), &taken);
    let said = world.site.run(&["restore", "p", "events", "--into", "spare"], 3);
    let named =
        said.lines().find(|line| line.contains(&format!("index template {}: was refused", world.of("stream")))).unwrap_or_else(|| panic!("{said}"));
    assert!(named.contains("same priority"), "{named}");
    for name in ["calls", "stream"].map(|name| world.of(name)) {
        assert_eq!(documents(&world.b, &name), documents(&world.a, &name), "{name}");
    }
    ask(&world.b, "GET", &format!("_ingest/pipeline/{}", world.of("pipe")), "");
    assert!(try_ask(&world.b, "GET", &format!("_index_template/{}", world.of("stream")), "").is_err());
}

/// Waits until the repository holds a snapshot that goes on, or for some seconds.
fn wait_for_a_snapshot(world: &World) {
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        let found = try_ask(&world.a, "GET", &format!("_snapshot/{}/_all", world.name), "");
        if found.is_ok_and(|found| found["snapshots"].as_array().is_some_and(|list| !list.is_empty())) {
            return;
        }
    }
}

#[test]
fn a_backup_of_analytics_that_is_killed_leaves_no_point_and_the_next_one_is_complete() {
    let _lab = Servers::Search.together();
    let world = World::new();
    fill(&world);
    let mut backup = world.site.command(&["backup", "p"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for_a_snapshot(&world);
    kill_process(Pid::from_child(&backup), Signal::KILL).unwrap();
    backup.wait().unwrap();
    let expected = documents(&world.a, &world.of("calls"));
    world.site.run(&["backup", "p"], 0);
    world.site.run(&["restore", "p", "events", &world.of("calls"), "--into", "spare"], 0);
    assert_eq!(documents(&world.b, &world.of("calls")), expected);
}

#[test]
fn analytics_servers_that_are_killed_are_told_of_and_a_restore_is_resumed_when_they_are_back() {
    let _lab = Servers::Search.alone();
    let world = World::new();
    fill(&world);
    world.site.run(&["backup", "p"], 0);
    world.a.node.kill();
    let said = world.site.run(&["backup", "p"], 1);
    assert!(said.contains("cannot GET"), "{said}");
    world.b.node.kill();
    let failed = world.site.run(&["restore", "p", "events", "--into", "spare"], 1);
    assert!(failed.contains("hourglass runs resume"), "{failed}");
    for cluster in [&world.a, &world.b] {
        cluster.node.start();
    }
    let run = failed.split("`hourglass runs resume ").nth(1).unwrap().split('`').next().unwrap();
    world.site.run(&["runs", "resume", run], 0);
    assert_eq!(documents(&world.b, &world.of("calls")), documents(&world.a, &world.of("calls")));
}
