//! Plans that meet the world: steps fail, people bend the run, and the outcome says so.

use std::fs;

use serde_json::{Value, json};

use super::{World, once};
use crate::{
    browser::{browse, shows},
    site::{assert_same_tree, listing},
};

fn step<'a>(envelope: &'a Value, id: &str) -> &'a Value {
    envelope["data"]["facts"]["steps"].as_array().unwrap().iter().find(|step| step["id"] == id).unwrap()
}

/// Fails until the file `mended` is there.
const FRAGILE: &str = "id: fragile\nneeds: []\nbudget: 1s\ncommand: { run: [sh, -c, 'echo tried >> \"$0/tries\"; echo no such luck >&2; test -e \"$0/mended\"', \"${dir}\"] }";

#[test]
fn a_failing_step_stops_what_needs_it_alone_and_is_shown_with_the_orders_that_bend_it() {
    let world = World::new(1000);
    world.book("", &[FRAGILE, &once("after", "fragile"), &once("beside", ""), &once("then", "beside")]);
    let mut running = world.start(&[]);
    assert!(running.says("STEP fragile NEEDS A PERSON"), "{}", running.said());
    super::until(world.site.path("ran"), "then");
    let said = running.said();
    let run = world.run_id();
    for text in ["no such luck", "waits for it: after.", &format!("hourglass runs retry {run} fragile"), "runs skip", "runs done", "runs abort"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(world.site.run(&["runs", "show", &run], 0).contains("NEEDS A PERSON"));
    // Nothing is mended: it fails again. Then it is.
    world.order(&["retry", "fragile"], 0);
    assert!(running.reaches(|said| said.iter().filter(|line| line.contains("NEEDS A PERSON")).count() == 2));
    assert_eq!(world.text("tries"), "tried\ntried\n");
    fs::write(world.site.path("mended"), "").unwrap();
    world.order(&["retry", "fragile"], 0);
    let (envelope, _) = running.end(0);
    assert_eq!(step(&envelope, "fragile")["attempts"], 3);
    let report = world.report();
    assert_eq!(report["outcome"], "succeeded");
    assert_eq!(report["orders"].as_array().unwrap().len(), 2);
    assert_eq!(report["orders"][1]["reason"], "a test");
    assert!(report["clocks"]["service_green"].is_string() && report["clocks"]["full_green"].is_string());
    assert_eq!(world.text("ran").lines().count(), 3);
}

#[test]
fn skipping_a_required_step_ends_incomplete_an_optional_one_does_not_and_done_is_a_deviation() {
    let world = World::new(1000);
    let broken = |id: &str, more: &str| format!("id: {id}\nneeds: []\nbudget: 1s\n{more}command: {{ run: [\"false\"] }}");
    world.book("", &[&broken("wanted", ""), &broken("extra", "optional: true\n"), &broken("manual", ""), &once("end", "wanted, extra, manual")]);
    let mut running = world.start(&[]);
    assert!(running.reaches(|said| said.iter().filter(|line| line.contains("NEEDS A PERSON")).count() == 3));
    world.order(&["skip", "extra"], 0);
    world.order(&["done", "manual"], 0);
    assert_eq!(world.text("ran"), "");
    world.order(&["skip", "wanted"], 0);
    let (envelope, _) = running.end(3);
    assert_eq!(envelope["problems"][0]["what"], "skipped by Berta: a test");
    assert_eq!((&step(&envelope, "wanted")["state"], &step(&envelope, "extra")["state"]), (&json!("skipped"), &json!("skipped")));
    assert_eq!((&step(&envelope, "manual")["state"], &step(&envelope, "manual")["said"]), (&json!("succeeded"), &json!("decided by Berta")));
    assert!(envelope["data"]["facts"]["clocks"]["service_green"].is_null());
    assert_eq!(world.text("ran"), "end\n");
    let recorded = world.site.run(&["--output", "json", "record", "show", "single"], 0);
    assert!(recorded.contains("\"kind\":\"recovery\"") && recorded.contains("\"deviations\":3"), "{recorded}");
}

#[test]
fn a_wrong_value_is_set_and_the_step_tried_again() {
    let world = World::new(1000);
    let reads = "id: reads\nneeds: []\nbudget: 1s\ncommand: { run: [cat, \"${dir}/${name}\"], outputs: { word: { line: 1 } } }";
    let tells = "id: tells\nneeds: [reads]\nbudget: 1s\ncommand: { run: [sh, -c, 'echo \"$1\" > \"$0/told\"', \"${dir}\", \"$${x} ${reads.word}\"], idempotent: true }";
    world.book("  name: { default: strem }\n", &[reads, tells]);
    let mut running = world.start(&[]);
    assert!(running.says("runs set"), "{}", running.said());
    assert!(world.order(&["set", "nmae", "stream"], 2).contains("no such variable"));
    world.order(&["set", "name", "stream"], 0);
    world.order(&["retry", "reads"], 0);
    running.end(0);
    assert_eq!(world.text("told"), "${x} rows\n");
}

#[test]
fn nobody_answers_and_the_run_stays_open_for_orders_and_another_process() {
    let world = World::new(1000);
    world.book("", &[FRAGILE, &once("after", "fragile"), "id: go\nneeds: []\nbudget: 1s\napprove: { question: \"Go?\" }", &once("gone", "go")]);
    let (envelope, said) = world.start(&["--patience", "2s"]).end(5);
    assert!(said.contains("nobody has answered: Go?"), "{said}");
    assert_eq!(step(&envelope, "after")["state"], "waiting");
    let run = world.run_id();
    assert!(world.site.run(&["runs", "list"], 0).lines().any(|line| line.contains(&run) && line.contains("stuck")));
    // Orders wait for the process that goes on. What may not be done twice is not tried again by itself.
    assert!(world.order(&["approve", "go"], 0).contains("runs resume"));
    let (envelope, _) = world.resume(&["--patience", "2s"]).end(5);
    assert_eq!(world.text("ran"), "gone\n");
    assert_eq!(world.text("tries"), "tried\n");
    assert_eq!(step(&envelope, "go")["said"], "decided by Berta");
    world.order(&["done", "fragile"], 0);
    world.resume(&[]).end(0);
    assert_eq!(world.text("ran"), "gone\nafter\n");
    assert_eq!(world.text("tries"), "tried\n");
    assert_eq!(world.report()["resumed"].as_array().unwrap().len(), 2);
}

#[test]
fn an_aborted_run_takes_back_what_can_be_taken_back_last_first() {
    let world = World::new(1000);
    let undoable = |id: &str, needs: &str| format!("{}\n  undo: [sh, -c, 'echo undo-{id} >> \"$0/ran\"', \"${{dir}}\"]", once(id, needs));
    world.book("", &[&undoable("one", ""), &undoable("two", "one"), "id: go\nneeds: [two]\nbudget: 1s\napprove: { question: \"Go?\" }"]);
    let mut running = world.start(&[]);
    assert!(running.says("STEP go ASKS"));
    let run = world.run_id();
    world.site.run(&["runs", "abort", &run, "--reason", "no"], 1);
    world.site.run(&["runs", "abort", &run, "--reason", "no", "--undo", "--who", "Berta"], 0);
    let (envelope, _) = running.end(4);
    assert_eq!(envelope["problems"][0]["what"], "cancelled: Berta ended it: no");
    assert_eq!(world.text("ran"), "one\ntwo\nundo-two\nundo-one\n");
    assert!(world.site.run(&["runs", "resume", &run], 2).contains("has ended"));
    // The way is free for another one.
    fs::remove_file(world.site.path("ran")).unwrap();
    world.book("", &[&once("one", "")]);
    world.start(&[]).end(0);
}

#[test]
fn all_kinds_run_secrets_stay_secret_and_the_report_tells_it() {
    let world = World::new(100_000);
    let expected = listing(&world.site.path("tree"));
    const SECRET: &str = "not-for-anybody-else";
    fs::write(world.site.path("answer"), format!("{{\"token\": \"{SECRET}\", \"port\": 1}}")).unwrap();
    let steps = [
        "id: login\nneeds: []\nbudget: 1s\ncommand: { run: [cat, \"${dir}/answer\"], outputs: { token: { json: /token, secret: true }, port: { json: /port } } }",
        "id: use\nneeds: [login]\nbudget: 1s\ncommand: { run: [sh, -c, 'printf %s \"$TOKEN\" | sha256sum > \"$0/hash${login.port}\"; echo \"$TOKEN\" >&2; test -e \"$0/hash1\"', \"${dir}\"], env: { TOKEN: \"${login.token}\" }, idempotent: true }",
        "id: leak\nneeds: [login]\nbudget: 1s\noptional: true\ncommand: { run: [sh, -c, 'echo \"bad $TOKEN\" >&2; exit 3'], env: { TOKEN: \"${login.token}\" }, idempotent: true }",
        "id: tree\nneeds: []\nbudget: 1s\nrestore: { member: files, to: \"${dir}/restored\" }",
        "id: sub\nneeds: []\nbudget: 1s\nrestore: { member: files, to: \"${dir}/part\", select: [a/b] }",
        "id: fence\nneeds: []\nbudget: 1s\nfence: { command: { run: [touch, \"${dir}/fenced\"] }, proof: { command: { run: [test, -e, \"${dir}/fenced\"] } } }",
        "id: unproved\nneeds: []\nbudget: 1s\nfence: { proof: { command: { run: [\"false\"] }, until: 2s }, attest: { question: \"Stopped?\" } }",
        "id: switch\nneeds: [fence, tree, unproved]\nbudget: 1s\nswitch: { command: { run: [touch, \"${dir}/live\"], undo: [rm, \"${dir}/live\"] }, proof: { command: { run: [test, -e, \"${dir}/live\"] } } }",
        "id: protect\nneeds: [switch]\nbudget: 1s\nlater: true\nprotect: { policy: rolling }",
        "id: stable\nneeds: [switch]\nbudget: 1s\nprobe: { command: { run: [test, -e, \"${dir}/live\"] }, stable: 2s, until: 1m }",
    ];
    world.book("", &steps);
    let mut running = world.start(&["--event-time", "2026-01-01T00:00:00Z"]);
    assert!(running.says("bad [secret]"), "{}", running.said());
    assert!(running.says("Stopped? (it could not be proved"), "{}", running.said());
    assert!(world.order(&["set", "login.token", "x"], 2).contains("it is a secret"));
    world.order(&["skip", "leak"], 0);
    world.order(&["approve", "unproved"], 0);
    let (envelope, said) = running.end(0);
    assert_same_tree(&expected, &world.site.path("restored"));
    assert!(world.site.path("part/a/b/small-01").exists() && !world.site.path("part/noise").exists());
    let sum = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SECRET.as_bytes()));
    assert!(world.text("hash1").starts_with(&sum), "{}", world.text("hash1"));
    let report = world.report();
    for place in [&said, &envelope.to_string(), &world.text("report.html"), &world.text("report.json")] {
        assert!(!place.contains(SECRET));
    }
    for entry in walk(&world.site.path("control")) {
        let text = fs::read(&entry).unwrap();
        assert!(!text.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()), "{}", entry.display());
    }
    let (home, page) = (world.site.path(""), format!("file://{}", world.site.path("report.html").display()));
    shows(&home, &page, "report.png", &["--window-size=1280,2400"]);
    shows(&home, &page, "report.pdf", &[]);
    let shown = String::from_utf8(browse(&home, &page, &["--dump-dom"]).stdout).unwrap();
    assert!(shown.contains("<svg") && shown.contains("rolling@we/1:"), "{shown}");
    assert_eq!(step(&envelope, "switch")["said"], "before: test exited with status 1; after: status 0");
    assert!(step(&envelope, "protect")["said"].as_str().unwrap().starts_with("rolling@we/1:"));
    let tree = report["members"].as_array().unwrap().iter().find(|member| member["step"] == "tree").unwrap();
    assert_eq!(tree["equal"], true);
    assert!(tree["rpo_seconds"].is_u64() && report["clocks"]["event"] == "2026-01-01T00:00:00Z");
    // The entry of the record names the report.
    let recorded = world.site.run(&["--output", "json", "record", "show", "single"], 0);
    let digest = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, world.text("report.json").as_bytes()));
    assert!(recorded.contains(&format!("\"report\":\"{digest}\"")), "{recorded}");
    world.site.run(&["record", "check"], 0);
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn commands_end_at_their_limit_with_their_children_and_are_tried_again_as_said() {
    let world = World::new(1000);
    let endless = "id: endless\nneeds: []\nbudget: 1s\nretries: 1\ncommand: { run: [sh, -c, 'echo begun >> \"$0/tries\"; (sleep 20; echo alive >> \"$0/tries\") & wait', \"${dir}\"], limit: 1s, idempotent: true }";
    world.book("", &[endless]);
    let (envelope, said) = world.start(&["--patience", "1s"]).end(5);
    assert!(said.contains("attempt 1 of 2") && said.contains("was stopped after 1 s"), "{said}");
    assert_eq!(step(&envelope, "endless")["state"], "failed");
    assert_eq!(world.text("tries"), "begun\nbegun\n");
}

#[test]
fn a_probe_asks_http_and_ports_until_the_answer_is_right() {
    let world = World::new(1000);
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (number, stream) in server.incoming().enumerate() {
            use std::io::{Read, Write};
            let (mut stream, mut request) = (stream.unwrap(), [0; 1000]);
            let _asked = stream.read(&mut request);
            let status = if number < 3 { "503 Not Yet" } else { "200 OK" };
            let _answered = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 11\r\nConnection: close\r\n\r\ncatalog: 42");
        }
    });
    let http = |id: &str, contains: &str| {
        format!("id: {id}\nneeds: []\nbudget: 1s\nprobe: {{ http: {{ url: \"http://127.0.0.1:${{port}}/\", contains: {contains:?} }}, until: 8s }}")
    };
    let tcp = "id: tcp\nneeds: []\nbudget: 1s\nprobe: { tcp: \"127.0.0.1:${port}\" }";
    world.book("  port: { kind: port }\n", &[&http("good", "catalog: 42"), &http("bad", "catalog: 43"), tcp]);
    let (envelope, said) = world.start(&["--var", &format!("port={port}"), "--patience", "1s"]).end(5);
    assert_eq!(step(&envelope, "good")["said"], "HTTP 200");
    assert_eq!(step(&envelope, "tcp")["state"], "succeeded");
    assert!(said.contains("without \\\"catalog: 43\\\" in the answer"), "{said}");
}
