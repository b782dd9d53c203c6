//! What is refused before anything runs: wrong runbooks, wrong values, a second operator.

use std::{fs, path::Path};

use super::{World, book, once};
use crate::cli::Home;

/// Front matter, steps, and what lint has to say, with the line.
fn wrong(steps: &[&str], expected: &[&str]) {
    let home = Home::new();
    home.write("book.md", book("", steps));
    let shown = home.show(&["runbook", "lint", "book.md"]);
    assert!(shown.ends_with("exit status 2\n"), "{shown}");
    for text in expected {
        assert!(shown.contains(text), "{text}: {shown}");
    }
}

#[test]
fn every_mistake_in_a_runbook_is_found_at_once_with_its_line() {
    wrong(
        &[
            "id: a\nbudget: 1s\ncommand: { run: [x] }",
            "id: b\nneeds: [c]\nbudget: 1s\ncommand: { run: [x, \"${dri}\"] }",
            "id: c\nneeds: [b, nobody]\nbudget: soon\nprobe: { tcp: \"h:1\", http: { url: x } }",
        ],
        &["book.md:14:1: missing key \"needs\"", "book.md:35:9: budget: \"soon\" is not a duration", "give exactly one of http, tcp and command"],
    );
    wrong(
        &[
            &once("a", "c"),
            &once("b", "a"),
            &once("c", "b"),
            "id: d\nneeds: [aa]\nbudget: 1s\nlater: true\ncommand: { run: [x, \"${dri}\"] }",
            "id: e\nneeds: [d, a]\nbudget: 1s\nretries: 2\ncommand: { run: [x, \"${f.out}\", \"${b.out}\", \"${dir\"] }",
            "id: e\nneeds: []\nbudget: 1s\npictures: { registry: x }",
        ],
        &[
            "unknown key \"pictures\"; known keys: approve, budget, command",
            "the circle is among a, b, c",
            "book.md:54:21: command.run.1: there is no variable \"dri\"; known: dir",
            "book.md:65:33: command.run.2: step b has no output \"out\"",
            "\"${dir\" has a ${ without }",
        ],
    );
    wrong(
        &[
            "id: give\nneeds: []\nbudget: 1s\ncommand: { run: [x], outputs: { word: { line: 1, secret: true }, name: { line: 2 } } }",
            "id: take\nneeds: []\nbudget: 1s\ncommand: { run: [x, \"${give.name}\"] }",
            "id: tell\nneeds: [give]\nbudget: 1s\nretries: 1\ncommand: { run: [x, \"${give.word}\", \"${give.nome}\"], env: { A: \"${give.word}\" } }",
            "id: late\nneeds: []\nbudget: 20m\nlater: true\napprove: { question: x }",
            "id: soon\nneeds: [late, later]\nbudget: 1s\nswitch: { command: { run: [x] }, proof: { tcp: \"h:1\", stable: 6m } }",
        ],
        &[
            "this step does not need it",
            "give.word is a secret",
            "step give has no output \"nome\"",
            "a command that is tried again needs a check",
            "late is later, and this step is on the clock",
            "there is no step \"later\"; did you mean \"late\"?",
            "missing key \"undo\"",
            "raise until",
        ],
    );
}

#[test]
fn a_page_that_is_no_runbook_is_refused_and_a_slow_one_is_warned_of() {
    let home = Home::new();
    for (text, said) in [
        ("# Title\n", "book.md:1:1: a runbook begins with a line ---"),
        ("---\nname: x\n---\n", "there is no step"),
        ("---\nname: x\n---\n```yaml step\nid: a\n```\n", "book.md:4:1: a step stands in a section"),
        ("---\nname: x\n---\n## A\n```yaml step\nid: a\n", "book.md:5:1: this block is not closed"),
        (
            "---\nname: X\npolicy: p\nrto: { service: 1m, full: 1s }\n---\n## A\n```yaml step\nid: a\nneeds: []\nbudget: 1s\nprobe: { tcp: x }\n```\n",
            "shorter than that of the service",
        ),
    ] {
        home.write("book.md", text);
        let shown = home.show(&["runbook", "lint", "book.md"]);
        assert!(shown.contains(said) && shown.ends_with("exit status 2\n"), "{said}: {shown}");
    }
    let slow = once("b", "a").replace("5s", "9m");
    home.write("book.md", book("  idle: { default: x }\n", &[&once("a", "").replace("5s", "9m"), &slow]));
    let shown = home.show(&["runbook", "lint", "book.md"]);
    assert!(shown.contains("warning: rto.service: the longest way (a -> b) has a budget of 18:00 min, and the objective is 10:00 min"), "{shown}");
    assert!(shown.contains("book.md:7:9: warning: variables.idle: no step uses it") && shown.ends_with("exit status 0\n"), "{shown}");
}

#[test]
fn names_of_the_configuration_and_values_are_checked_before_anything_runs() {
    let world = World::new(1000);
    let into = "id: a\nneeds: []\nbudget: 1s\nrestore: { member: file, into: stream-dr }";
    world.book("", &[into, "id: b\nneeds: []\nbudget: 1s\nprotect: { policy: singel }"]);
    let said = world.site.run(&["runbook", "lint", "book.md"], 2);
    for text in
        ["policy single has no member \"file\"; did you mean \"files\"?", "no source \"stream-dr\"", "no policy \"singel\"; did you mean \"single\"?"]
    {
        assert!(said.contains(text), "{text}: {said}");
    }
    let probe = "id: b\nneeds: []\nbudget: 1s\nprobe: { http: { url: \"${address}\" }, until: 1s }";
    let restore = "id: a\nneeds: []\nbudget: 1s\nrestore: { member: files, to: \"${where}/x\" }";
    world.book(
        "  port: { kind: port }\n  where: { default: here }\n  address: { default: example }\n  zone: { one_of: [a, b], default: a }\n",
        &[&once("c", ""), probe, restore, "id: d\nneeds: []\nbudget: 1s\ncommand: { run: [x, \"${port}\", \"${zone}\"] }"],
    );
    let dir = format!("dir={}", world.site.path("").display());
    let given = ["recover", "book.md", "--var", "dir=/nowhere", "--var", "port=70000", "--var", "zone=c", "--var", "prt=1"];
    let said = world.site.run(&given, 2);
    for text in ["\"/nowhere\" is not the absolute path of a folder", "\"70000\" is not a port", "\"c\" is not one of a, b", "did you mean \"port\"?"]
    {
        assert!(said.contains(text), "{text}: {said}");
    }
    let said = world.site.run(&["recover", "book.md", "--var", &dir, "--var", "port=1"], 2);
    assert!(said.contains("here/x is not an absolute path") && said.contains("\"example\" is not a URL"), "{said}");
    let said = world.site.run(&["recover", "book.md", "--var", &dir], 2);
    assert!(said.contains("it has to be given") && said.contains("--var port=…"), "{said}");
    assert_eq!(world.text("ran"), "");
    assert!(world.site.run(&["runs", "list"], 0).lines().all(|line| !line.contains("recover by")));
}

#[test]
fn the_plan_shows_what_begins_when_and_the_longest_way() {
    let world = World::new(1000);
    let files = "id: files\nneeds: []\nbudget: 3m\nrestore: { member: files, to: \"${dir}/restored\" }";
    world.book("", &[&once("a", ""), files, &once("z", "a, files"), &format!("{}\nlater: true", once("l", "z"))]);
    let dir = format!("dir={}", world.site.path("").display());
    let said = world.site.run(&["recover", "book.md", "--plan", "--var", &dir], 0);
    assert!(said.contains("from single@we/1:3; at most 16 steps at a time") && said.contains("the longest way: files -> z"), "{said}");
    assert!(said.contains("service after 3:05 min (objective 10:00 min), everything after 3:10 min"), "{said}");
    let offline = world.site.run(&["runbook", "plan", "book.md", "--var", &dir], 0);
    assert!(offline.contains("the longest way: files -> z"), "{offline}");
    assert!(!world.site.path("restored").exists());
    // What was measured takes the place of budgets.
    world.start(&[]).end(0);
    let said = world.site.run(&["recover", "book.md", "--plan", "--var", &dir], 0);
    assert!(said.contains("forecast by the last run that succeeded"), "{said}");
}

#[test]
fn a_second_operator_is_told_and_changes_nothing() {
    let world = World::new(1000);
    world.book("", &["id: go\nneeds: []\nbudget: 1s\napprove: { question: \"Go?\", by: [Berta, Cesar] }", &once("a", "go")]);
    let mut first = world.start(&[]);
    assert!(first.says("STEP go ASKS: Go?"));
    let dir = format!("dir={}", world.site.path("").display());
    let run = world.run_id();
    let said = world.site.run(&["recover", "book.md", "--var", &dir], 1);
    assert!(said.contains(&format!("run {run} recovers single already, and is running")), "{said}");
    assert!(world.site.run(&["runs", "resume", &run], 1).contains("is alive"));
    let said = world.site.run(&["runs", "approve", &run, "go", "--who", "Mallory", "--reason", "why not"], 2);
    assert!(said.contains("wants another person's answer"), "{said}");
    for (order, said) in [("skip", "the step is running"), ("retry", "the step is running")] {
        assert!(world.order(&[order, "go"], 2).contains(said));
    }
    assert!(world.order(&["retry", "nobody"], 2).contains("no such step"));
    world.order(&["approve", "go"], 0);
    let (envelope, _) = first.end(0);
    assert_eq!(envelope["data"]["facts"]["orders"][0]["by"], "Berta");
    assert!(world.order(&["retry", "a"], 2).contains("has ended"));
    assert_eq!(world.text("ran"), "a\n");
}

#[test]
fn of_two_operators_at_the_same_moment_one_runs() {
    let world = World::new(1000);
    world.book("", &["id: go\nneeds: []\nbudget: 1s\napprove: { question: \"Go?\" }"]);
    for _ in 0..3 {
        let (mut one, mut two) = (world.start(&[]), world.start(&[]));
        let asks = (one.says("ASKS: Go?"), two.says("ASKS: Go?"));
        assert!(asks.0 != asks.1, "{asks:?}: {}\n{}", one.said(), two.said());
        let (winner, loser) = if asks.0 { (one, two) } else { (two, one) };
        let (envelope, _) = loser.end(1);
        assert!(envelope["error"]["message"].as_str().unwrap().contains("recovers single already"), "{envelope}");
        let words: Vec<_> = envelope["error"]["message"].as_str().unwrap().split(' ').map(str::to_owned).collect();
        winner.kill();
        world.site.run(&["runs", "abort", &words[1], "--reason", "a test"], 0);
    }
}

/// Runbooks with the configuration that has the names they use.
const CONFIGURED: [(&str, &str); 2] = [("ibm-api-connect.md", "example-ibm-api-connect.yaml"), ("axway-amplify.md", "example-axway-amplify.yaml")];

#[test]
fn every_shipped_runbook_is_good_without_a_warning_and_fits_its_configuration() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let books: Vec<String> = fs::read_dir(root.join("runbooks")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(CONFIGURED.iter().all(|(book, _)| books.iter().any(|found| found == book)), "{books:?}");
    for book in books.iter().filter(|book| book.ends_with(".md")) {
        let home = Home::new();
        home.write("book.md", fs::read_to_string(root.join("runbooks").join(book)).unwrap());
        if let Some((_, config)) = CONFIGURED.iter().find(|(of, _)| of == book) {
            home.write("hourglass.yaml", fs::read_to_string(root.join("config").join(config)).unwrap());
        }
        let shown = home.show(&["runbook", "lint", "book.md"]);
        assert!(shown.contains(" steps, good") && shown.ends_with("exit status 0\n") && !shown.contains("warning"), "{book}: {shown}");
    }
}
