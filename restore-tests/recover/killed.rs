//! Recoveries that are killed anywhere, and gone on with.

use std::{fs, time::Duration};

use super::{World, once, until};
use crate::site::{assert_same_tree, listing};

const APPROVE: &str = "id: go\nneeds: [tree]\nbudget: 1s\napprove: { question: \"Go?\" }";
const TREE: &str = "id: tree\nneeds: [one]\nbudget: 1s\nrestore: { member: files, to: \"${dir}/restored\" }";
const PROTECT: &str = "id: protect\nneeds: [two]\nbudget: 1s\nlater: true\nprotect: { policy: rolling }";

/// Good points of the policy that `protect` protects.
fn points(world: &World) -> usize {
    let listed: serde_json::Value = serde_json::from_str(&world.site.run(&["--output", "json", "points", "list", "rolling"], 0)).unwrap();
    listed["data"]["points"].as_array().unwrap().len()
}

/// The process dies at the first boundary that it comes to, the next at the second one, and so on, until one survives.
#[test]
fn a_recovery_killed_at_every_boundary_of_its_steps_ends_well_and_does_nothing_twice() {
    let world = World::new(200_000);
    let expected = listing(&world.site.path("tree"));
    let probe = "id: probe\nneeds: [two]\nbudget: 1s\nprobe: { command: { run: [grep, -q, two, \"${dir}/ran\"] } }";
    let switch = "id: switch\nneeds: [probe]\nbudget: 1s\nswitch: { command: { run: [sh, -c, 'echo live >> \"$0/live\"', \"${dir}\"], check: [test, -e, \"${dir}/live\"], undo: [rm, \"${dir}/live\"] }, proof: { command: { run: [test, -e, \"${dir}/live\"] } } }";
    let fence = "id: fence\nneeds: []\nbudget: 1s\nfence: { command: { run: [sh, -c, 'echo shut >> \"$0/shut\"', \"${dir}\"], check: [test, -e, \"${dir}/shut\"] }, proof: { command: { run: [test, -e, \"${dir}/shut\"] } } }";
    world.book("", &[&once("one", ""), TREE, APPROVE, &once("two", "go"), fence, probe, switch, PROTECT]);
    let (mut running, mut deaths) = (world.start(&[]), 0);
    let mut boundary = 1;
    loop {
        let is_boundary = |line: &&String| line.contains("\"event\":\"step-started\"") || line.contains("\"event\":\"step-ended\"");
        if running.said().contains("ASKS: Go?") || deaths == 4 {
            // The answer lies there for whoever comes; the run takes it once.
            let _given = world.site.output(&["runs", "approve", &world.run_id(), "go", "--who", "Berta", "--reason", "a test"]);
        }
        let reached =
            running.reaches(|said| said.iter().filter(is_boundary).count() >= boundary || said.iter().any(|line| line.contains("ASKS: Go?")));
        if !reached {
            break;
        }
        running.kill();
        deaths += 1;
        // A backup inside begins anew each time: later processes live longer.
        boundary = 1 + deaths % (3 + deaths / 8);
        assert!(deaths < 200, "it never ends");
        running = world.resume(&[]);
    }
    let (code, envelope, said) = running.any_end();
    assert!(deaths >= 8, "{deaths}");
    println!("{deaths} deaths");
    if envelope["error"]["kind"] != "ended" {
        assert_eq!(code, Some(0), "{envelope}\n{said}");
        assert_eq!(envelope["data"]["facts"]["resumed"].as_array().unwrap().len(), deaths);
        assert_eq!(world.report()["outcome"], "succeeded");
    }
    // It may have come to its end before it died.
    assert!(world.site.run(&["runs", "list"], 0).lines().any(|line| line.contains("recover by") && line.contains("succeeded")));
    assert_same_tree(&expected, &world.site.path("restored"));
    assert_eq!(world.text("ran"), "one\ntwo\n");
    assert_eq!((world.text("live").as_str(), world.text("shut").as_str()), ("live\n", "shut\n"));
    assert!(points(&world) >= 1);
}

#[test]
fn a_command_killed_inside_has_its_remains_ended_before_it_is_begun_again() {
    let world = World::new(1000);
    // It would end by itself later, and then it would have been done twice.
    let slow = "id: slow\nneeds: []\nbudget: 1s\ncommand:\n  run: [sh, -c, 'echo begin >> \"$0/log\"; sleep 4; echo end >> \"$0/log\"', \"${dir}\"]\n  check: [grep, -q, end, \"${dir}/log\"]";
    world.book("", &[slow]);
    let running = world.start(&[]);
    until(world.site.path("log"), "begin");
    running.kill();
    world.resume(&[]).end(0);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(world.text("log"), "begin\nbegin\nend\n");
}

#[test]
fn a_command_without_a_check_that_was_killed_inside_asks_a_person() {
    let world = World::new(1000);
    let slow = "id: slow\nneeds: []\nbudget: 1s\ncommand: { run: [sh, -c, 'echo begin >> \"$0/log\"; sleep 1000', \"${dir}\"] }";
    world.book("", &[slow, &once("after", "slow"), &once("beside", "")]);
    let running = world.start(&[]);
    until(world.site.path("log"), "begin");
    until(world.site.path("ran"), "beside");
    running.kill();
    let (_, said) = world.resume(&["--patience", "2s"]).end(5);
    assert!(said.contains("nobody knows whether it was done"), "{said}");
    assert_eq!(world.text("log"), "begin\n");
    world.order(&["done", "slow"], 0);
    world.resume(&[]).end(0);
    assert_eq!((world.text("log").as_str(), world.text("ran").as_str()), ("begin\n", "beside\nafter\n"));
}

#[test]
fn probes_questions_restores_and_protection_killed_inside_go_on() {
    let world = World::new(24 << 20);
    let expected = listing(&world.site.path("tree"));
    let probe = "id: probe\nneeds: [go]\nbudget: 1s\nprobe: { command: { run: [test, -e, \"${dir}/open\"] }, stable: 2s, until: 2m }";
    world.book("", &[&once("one", ""), TREE, APPROVE, probe, &once("two", "probe"), PROTECT]);
    let mut running = world.start(&[]);
    // Inside the restore, wherever the moment falls.
    assert!(running.reaches(|said| said.iter().any(|line| line.contains("step-started") && line.contains("\"tree\""))));
    std::thread::sleep(Duration::from_millis(60));
    running.kill();
    let mut running = world.resume(&[]);
    assert!(running.says("ASKS: Go?"), "{}", running.said());
    running.kill();
    let mut running = world.resume(&[]);
    assert!(running.says("ASKS: Go?"));
    world.order(&["approve", "go"], 0);
    assert!(running.reaches(|said| said.iter().any(|line| line.contains("step-started") && line.contains("\"probe\""))));
    running.kill();
    fs::write(world.site.path("open"), "").unwrap();
    let mut running = world.resume(&[]);
    assert!(running.reaches(|said| said.iter().any(|line| line.contains("step-started") && line.contains("capture/"))), "{}", running.said());
    running.kill();
    let before = points(&world);
    let mut running = world.resume(&[]);
    assert!(running.reaches(|said| said.iter().any(|line| line.contains("step-ended") && line.contains("\"protect\""))));
    running.end(0);
    assert_same_tree(&expected, &world.site.path("restored"));
    assert_eq!(world.text("ran"), "one\ntwo\n");
    assert_eq!((before.min(1), points(&world)), (before, 1));
}

#[test]
fn a_recovery_that_died_before_its_claim_claims_when_it_goes_on_or_is_told_that_it_is_too_late() {
    let world = World::new(1000);
    world.book("", &["id: go\nneeds: []\nbudget: 1s\napprove: { question: \"Go?\" }"]);
    let claims = world.site.path("control/recoveries");
    let mut running = world.start(&[]);
    assert!(running.says("ASKS: Go?"));
    running.kill();
    let run = world.run_id();
    fs::remove_dir_all(&claims).unwrap();
    let mut running = world.resume(&[]);
    assert!(running.says("ASKS: Go?"));
    running.kill();
    assert_eq!(fs::read_dir(claims.join("single")).unwrap().count(), 1);
    fs::remove_dir_all(&claims).unwrap();
    let mut other = world.start(&[]);
    assert!(other.says("ASKS: Go?"));
    assert!(world.site.run(&["runs", "resume", &run], 1).contains("recovers single already"));
}

#[test]
fn fences_and_switches_killed_inside_go_on_and_do_nothing_twice() {
    let world = World::new(1000);
    let slow = |name: &str| {
        let run = format!("echo {name} >> \"$0/begun\"; while ! test -e \"$0/go-{name}\"; do sleep 0.05; done; echo {name} >> \"$0/done\"");
        let check = format!("check: [grep, -q, {name}, \"${{dir}}/done\"]");
        format!("command: {{ run: [sh, -c, '{run}', \"${{dir}}\"], {check}, undo: [rm, \"${{dir}}/done\"] }}")
    };
    let proof = |name: &str| format!("proof: {{ command: {{ run: [test, -e, \"${{dir}}/proof-{name}\"] }}, until: 5m }}");
    let fence = format!("id: fence\nneeds: []\nbudget: 1s\nfence: {{ {}, {} }}", slow("fence"), proof("fence"));
    let attested = "id: attested\nneeds: [fence]\nbudget: 1s\nfence: { attest: { question: \"Is it off?\" } }";
    let switch = format!("id: switch\nneeds: [attested]\nbudget: 1s\nswitch: {{ {}, {} }}", slow("switch"), proof("switch"));
    world.book("", &[&fence, attested, &switch]);
    let mut running = world.start(&[]);
    for name in ["fence", "switch"] {
        // In its command.
        until(world.site.path("begun"), name);
        running.kill();
        running = world.resume(&[]);
        until(world.site.path("begun"), &format!("{name}\n{name}\n"));
        fs::write(world.site.path(&format!("go-{name}")), "").unwrap();
        until(world.site.path("done"), name);
        // In its proof.
        running.kill();
        running = world.resume(&[]);
        let begins = |line: &String| line.contains("step-started") && line.contains(&format!("\"{name}\""));
        assert!(running.reaches(|said| said.iter().any(begins)), "{}", running.said());
        fs::write(world.site.path(&format!("proof-{name}")), "").unwrap();
        if name == "fence" {
            // While it asks.
            assert!(running.says("ASKS: Is it off?"), "{}", running.said());
            running.kill();
            running = world.resume(&[]);
            assert!(running.says("ASKS: Is it off?"), "{}", running.said());
            world.order(&["approve", "attested"], 0);
        }
    }
    running.end(0);
    assert_eq!((world.text("begun").as_str(), world.text("done").as_str()), ("fence\nfence\nswitch\nswitch\n", "fence\nswitch\n"));
}
