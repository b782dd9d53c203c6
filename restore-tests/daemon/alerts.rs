//! The alert rules and the dashboard in `config/`: every name in them is one that a running daemon gives, and each alert fires at a real Prometheus when its
//! cause is there, and resolves when it is gone. How long each cause has to last is in promtool's tests of the rules.

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    time::{Duration, Instant},
};

use hourglass::{
    daemon::ledger::event::End,
    model::{FixedClock, Timestamp},
    orchestrator::{
        coverage::Coverage,
        findings::{COVERAGE, Findings},
    },
    repository::sample::Sampling,
};
use jiff::SignedDuration;
use serde_json::Value;

use super::{
    outside::get,
    watched::{CONFIG, Watched},
};

/// A recovery of nothing, which the record knows of.
const DRILL: &str = "---\nname: drill\npolicy: p\nrto: { service: 30m, full: 30m }\n---\n# Rebuild nothing\n\n## Nothing\n\n```yaml step\n\
                     id: nothing\nneeds: []\nbudget: 1m\ncommand: { run: [\"true\"] }\n```\n";

fn promtool(arguments: &[&str]) {
    let done = Command::new("promtool").args(arguments).current_dir(CONFIG).output().unwrap();
    assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
}

/// Everything in the configuration that is asked of Prometheus: expressions of rules, panels and variables.
fn expressions() -> Vec<String> {
    let rules = fs::read_to_string(format!("{CONFIG}/prometheus/rules.yaml")).unwrap();
    let mut found: Vec<String> = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned).collect();
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(format!("{CONFIG}/grafana/dashboard.json")).unwrap()).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        found.extend(panel["targets"].as_array().unwrap().iter().map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    assert!(found.len() > 25, "{found:?}");
    found
}

fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let names = words.filter(|word| word.starts_with("hourglass_") && *word != "hourglass_backup");
    names.map(str::to_owned).collect()
}

#[test]
fn promtool_finds_nothing_wrong_with_the_rules_and_their_tests_pass() {
    promtool(&["check", "rules", "prometheus/rules.yaml"]);
    promtool(&["test", "rules", "prometheus/rules.test.yaml"]);
}

#[tokio::test]
async fn alerts_fire_when_their_cause_is_there_and_resolve_when_it_is_gone() {
    let watched = Watched::begin();
    let kept = &watched.kept;
    watched.until("HourglassAbsent -", true).await;
    let a = kept.daemon("a");
    watched.until("HourglassAbsent -", false).await;
    // No point yet, and nobody who could be told of it.
    watched.until("HourglassObjectiveBroken p", true).await;
    watched.until("HourglassNoticesWait -", true).await;
    kept.halt();
    kept.order("run");
    watched.until("HourglassRunLong p", true).await;
    kept.go();
    watched.until("HourglassRunLong p", false).await;
    watched.until("HourglassObjectiveBroken p", false).await;
    watched.until("HourglassUnverified p", true).await;
    kept.site.run(&["verify", "--depth", "restorable"], 0);
    watched.until("HourglassUnverified p", false).await;
    what_was_found(&watched).await;
    fs::write(kept.site.path("drill.md"), DRILL).unwrap();
    kept.site.run(&["recover", "drill.md"], 0);
    names_are_real(&watched).await;
    fs::rename(kept.site.path("data"), kept.site.path("away")).unwrap();
    kept.order("run");
    watched.until("HourglassSlotFailed p", true).await;
    fs::rename(kept.site.path("away"), kept.site.path("data")).unwrap();
    kept.order("run");
    watched.until("HourglassSlotFailed p", false).await;
    drop(a);
}

/// What is not covered and what is not ready is told until it is found otherwise. Everything is read, too.
async fn what_was_found(watched: &Watched) {
    let kept = &watched.kept;
    kept.site.run(&["coverage"], 3);
    kept.site.run(&["ready"], 3);
    watched.until("HourglassUncovered -", true).await;
    watched.until("HourglassNotReady -", true).await;
    kept.site.configure("excluded: { data/unknown: one program knows its data }\nready: { licences: { of-a-test: 2999-12-31 } }\n");
    kept.site.run(&["coverage"], 0);
    kept.site.run(&["ready"], 0);
    watched.until("HourglassUncovered -", false).await;
    watched.until("HourglassNotReady -", false).await;
    // As if nobody had asked for nine days, nor read anything for ninety.
    let findings = Findings::new(kept.store("control").await, &kept.keys());
    let ago = |days: i64| Timestamp::now() - SignedDuration::from_hours(24 * days);
    let covered: Coverage = findings.newest(COVERAGE).await.unwrap().unwrap().found;
    findings.write(COVERAGE, &covered, &FixedClock::new(ago(9))).await.unwrap();
    let read = Sampling::begin(ago(90)).after(&(0..=255).collect(), &BTreeSet::new(), ago(90));
    findings.write("read/primary", &read, &FixedClock::new(ago(90))).await.unwrap();
    watched.until("HourglassAnswersOld -", true).await;
    watched.until("HourglassReadsOld -", true).await;
    kept.site.run(&["coverage"], 0);
    kept.order_of("reads", "run");
    assert_eq!(kept.ended("reads", 1).await, (End::Done, None));
    watched.until("HourglassAnswersOld -", false).await;
    watched.until("HourglassReadsOld -", false).await;
}

/// Every name that rules and dashboard speak of is one that the daemon gives, and Prometheus understands every expression.
async fn names_are_real(watched: &Watched) {
    // What is given may be some seconds old.
    let began = Instant::now();
    let mut given = loop {
        let given = names(&get(&watched.daemons[0], "/metrics", None));
        if given.contains("hourglass_recovery_full_seconds") || began.elapsed() > Duration::from_secs(120) {
            break given;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    given.insert("hourglass_run_succeeded".to_owned());
    for expression in expressions() {
        let expression = expression.trim_matches('"').replace("$site", ".*").replace("$policy", ".*");
        let missing: Vec<_> = names(&expression).difference(&given).cloned().collect();
        assert!(missing.is_empty(), "{expression} asks for {missing:?}, and there are {given:?}");
        let asked: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let answer = watched.ask(&format!("/api/v1/query?query={asked}")).unwrap_or_default();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
    }
}
