//! What is killed in the middle: snapshots and restores are made slow, so that there is one.

use std::{
    process::{Child, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::world::{World, ask, documents, try_ask, write};
use crate::{
    lab::{Region, Search, Servers},
    recover::{
        Watched,
        taken::{Elsewhere, Frozen},
    },
    stores::places::fresh_name,
};

/// A cluster that reads and writes its repository so slowly that a snapshot of the index `slow`, and its restore, take some ten seconds.
pub(super) fn slow_world() -> World {
    let place = Region::A.search().repositories.join(fresh_name()).display().to_string();
    let slow = "max_snapshot_bytes_per_sec: 300kb, max_restore_bytes_per_sec: 300kb";
    let world = World::with_repository(&format!("{{ name: REPOSITORY, type: fs, settings: {{ location: {place:?}, {slow} }} }}"));
    let index = json!({"settings": {"number_of_shards": 1, "number_of_replicas": 0}, "mappings": {"properties": {"text": {"type": "binary"}}}});
    ask(&world.a, "PUT", &world.of("slow"), &index.to_string());
    // Nothing that could be compressed.
    let document = |number: u64| {
        let mut bytes = vec![0; 30_000];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
        json!({"n": number, "text": base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes)}).to_string()
    };
    write(&world.a, &world.of("slow"), &(0..100).map(document).collect::<Vec<_>>());
    world
}

fn start(world: &World, arguments: &[&str]) -> Child {
    world.site.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until `middle` is reached; the process must not have ended before.
fn wait_for(what: &str, process: &mut Child, middle: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !middle() {
        assert!(process.try_wait().unwrap().is_none(), "it ended before {what}");
        assert!(Instant::now() < end, "{what} never came");
        thread::sleep(Duration::from_millis(50));
    }
}

fn snapshot_goes_on(world: &World) -> bool {
    let found = try_ask(&world.a, "GET", &format!("_snapshot/{}/_all", world.name), "");
    let states = found.unwrap_or_default()["snapshots"].as_array().cloned().unwrap_or_default();
    states.iter().any(|snapshot| snapshot["state"] == "IN_PROGRESS")
}

fn restore_goes_on(cluster: &Search, index: &str) -> bool {
    let recoveries = try_ask(cluster, "GET", &format!("{index}/_recovery?active_only=true"), "").unwrap_or_default();
    recoveries[index]["shards"].as_array().is_some_and(|shards| shards.iter().any(|shard| shard["type"] == "SNAPSHOT"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The run that failed or was interrupted, as the list of runs has it.
fn unfinished(world: &World) -> String {
    let listed = world.site.run(&["runs", "list"], 0);
    let line = listed.lines().find(|line| line.contains("restore")).unwrap_or_else(|| panic!("{listed}"));
    line.split_whitespace().find(|word| word.contains('T') && word.contains('Z')).unwrap_or_else(|| panic!("{listed}")).to_owned()
}

#[test]
fn a_search_server_that_is_killed_in_the_middle_of_a_snapshot_of_analytics_makes_nothing_green() {
    let _lab = Servers::Search.alone();
    let world = slow_world();
    let mut backup = start(&world, &["backup", "p", "--quiet"]);
    wait_for("a snapshot that goes on", &mut backup, || snapshot_goes_on(&world));
    world.a.node.kill();
    let output = backup.wait_with_output().unwrap();
    world.a.node.start();
    assert!(matches!(output.status.code(), Some(1 | 3)) && !said(&output).contains("is complete"), "{}", said(&output));
    let told = world.site.run(&["backup", "p", "--quiet"], 0);
    assert!(told.contains("is complete"), "{told}");
}

#[test]
fn a_restore_of_analytics_that_is_killed_in_the_middle_is_resumed_and_doubles_nothing() {
    let _lab = Servers::Search.alone();
    let world = slow_world();
    let expected = documents(&world.a, &world.of("slow"));
    world.site.run(&["backup", "p", "--quiet"], 0);
    let mut restore = start(&world, &["restore", "p", "events", "--into", "spare", "--quiet"]);
    wait_for("a restore that goes on", &mut restore, || restore_goes_on(&world.b, &world.of("slow")));
    kill_process(Pid::from_child(&restore), Signal::KILL).unwrap();
    assert!(!restore.wait().unwrap().success());
    let told = world.site.run(&["runs", "resume", &unfinished(&world), "--quiet"], 0);
    assert!(told.contains("was restored"), "{told}");
    assert_eq!(documents(&world.b, &world.of("slow")), expected);
}

#[test]
fn a_process_frozen_in_a_restore_of_analytics_is_killed_by_its_lease_and_changes_nothing_after_a_takeover() {
    let _lab = Servers::Search.alone();
    let world = slow_world();
    let (index, expected) = (world.of("slow"), documents(&world.a, &world.of("slow")));
    world.site.run(&["backup", "p", "--quiet"], 0);
    let elsewhere = Elsewhere::new(&world.site);
    let mut running = Watched::start(&world.site, &["restore", "p", "events", "--into", "spare"]);
    assert!(running.reaches(|_| restore_goes_on(&world.b, &index)), "{}", running.said());
    let frozen = Frozen::new(&running);
    elsewhere.take_restore_over(&unfinished(&world)).end(0);
    assert_eq!(documents(&world.b, &index), expected);
    // The service runs again.
    ask(&world.b, "DELETE", &format!("{index}/_doc/0?refresh=true"), "");
    let after = documents(&world.b, &index);
    assert_ne!(after, expected);
    frozen.ends_with_its_lease(running);
    assert_eq!(documents(&world.b, &index), after);
}
