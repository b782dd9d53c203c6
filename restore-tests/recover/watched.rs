//! Watching a run from another terminal.

use super::{World, once};

#[test]
fn who_watches_sees_the_clock_what_fails_who_is_asked_and_how_it_ends() {
    let world = World::new(1000);
    let fails = "id: fails\nneeds: []\nbudget: 1s\ncommand: { run: [test, -e, \"${dir}/mended\"], idempotent: true }";
    world.book("", &[fails, "id: go\nneeds: [fails]\nbudget: 1s\napprove: { question: \"Go?\" }", &once("after", "go")]);
    let mut running = world.start(&[]);
    assert!(running.says("STEP fails NEEDS A PERSON"), "{}", running.said());
    let run = world.run_id();
    let mut watching = world.watch(&["runs", "watch", &run]);
    assert!(watching.says("STEP fails NEEDS A PERSON"), "{}", watching.said());
    assert!(watching.says("\"event\":\"clock\""), "{}", watching.said());
    std::fs::write(world.site.path("mended"), "").unwrap();
    world.order(&["retry", "fails"], 0);
    assert!(watching.says("Berta orders: retry fails"), "{}", watching.said());
    assert!(watching.says("STEP go ASKS: Go?"), "{}", watching.said());
    // Interrupting who watches changes nothing.
    let mut other = world.watch(&["runs", "watch", &run]);
    assert!(other.says("STEP go ASKS: Go?"), "{}", other.said());
    rustix::process::kill_process(other.pid(), rustix::process::Signal::INT).unwrap();
    other.end(4);
    world.order(&["approve", "go"], 0);
    running.end(0);
    let (_, said) = watching.end(0);
    assert!(said.contains("\"after\"") && said.contains("\"event\":\"run-ended\""), "{said}");
    // One that is over says so at once; one whose process is gone is not waited for.
    world.watch(&["runs", "watch", &run]).end(0);
    world.book("", &["id: go\nneeds: []\nbudget: 1s\napprove: { question: \"Go?\" }"]);
    let mut second = world.start(&[]);
    assert!(second.says("ASKS: Go?"));
    let listed: serde_json::Value = serde_json::from_str(&world.site.run(&["--output", "json", "runs", "list"], 0)).unwrap();
    let newest = listed["data"]["runs"][0]["run"].as_str().unwrap().to_owned();
    second.kill();
    let (envelope, _) = world.watch(&["runs", "watch", &newest]).end(5);
    assert!(envelope["problems"][0]["what"].as_str().unwrap().contains("its process is gone"), "{envelope}");
}
