//! Tasks: what the daemon does besides making points, by real processes, and what becomes of their slots.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use hourglass::{
    daemon::ledger::event::End,
    model::{SystemClock, Timestamp},
    orchestrator::findings::Findings,
    repository::sample::Sampling,
};
use jiff::SignedDuration;
use serde_json::Value;

use super::{
    notices::{accepted, smtp, until},
    sinks::{Sink, body, message_id},
    world::Kept,
};

const NEVER: &str = "schedule: \"0 0 1 1 *\"";

/// A site with another location and these tasks, and one point.
fn with_tasks(tasks: &str) -> Kept {
    with_tasks_and(tasks, |_| String::new())
}

/// The same with more sources.
fn with_tasks_and(tasks: &str, sources: impl Fn(&Kept) -> String) -> Kept {
    let kept = Kept::new("0 0 1 1 *", "    keep: { last: 3 }\n");
    let config = fs::read_to_string(kept.site.path("hourglass.yaml")).unwrap();
    fs::create_dir(kept.site.path("other")).unwrap();
    let other = format!("locations:\n  other: {{ url: {:?} }}\n", kept.site.path("other").display().to_string());
    let config = config.replace("locations:\n", &other).replace("sources:\n", &format!("sources:\n{}", sources(&kept)));
    fs::write(kept.site.path("hourglass.yaml"), config + "tasks:\n" + tasks).unwrap();
    kept.site.run(&["backup", "p", "--quiet"], 0);
    kept
}

#[tokio::test]
async fn tasks_copy_verify_expire_prune_and_test_restores_and_their_ledgers_say_how_each_ended() {
    let tasks = [
        ("copies", "copy: { to: other }"),
        ("reads-there", "verify: { location: other, within: 30d }"),
        ("opens", "verify: { depth: restorable }"),
        ("gives-up", "expire: { policy: p }"),
        ("deletes", "prune: { policy: p }"),
        ("restores", "restore_test: { policy: p, scratch: scratch }"),
        ("covers", "coverage: {}"),
        ("answers", "ready: {}"),
    ];
    let (mail, hook) = (Sink::mail("none", ""), Sink::web());
    let kept = with_tasks(&tasks.map(|(name, what)| format!("  {name}: {{ {what}, {NEVER}, retries: 0 }}\n")).concat());
    kept.site.configure(&format!(
        "notify: {{ channels: {{ mail: {{ {} }}, hook: {{ webhook: {{ url: \"http://127.0.0.1:{}/\" }} }} }} }}\n",
        smtp(&mail, "none", ""),
        hook.port
    ));
    fs::create_dir(kept.site.path("scratch")).unwrap();
    let daemon = kept.daemon("a");
    daemon.says("leads", 1);
    for (name, what) in tasks {
        kept.order_of(name, "run");
        let (end, why) = kept.ended(name, 1).await;
        // Nobody can tell what a command covers, and nobody has said what this site needs.
        let wanted = if what.ends_with("{}") { End::Incomplete } else { End::Done };
        assert_eq!(end, wanted, "{name} {why:?}\n{}", kept.tell(&kept.history_of(name).await));
    }
    // The copy has what the original has, the scratch is empty again, and the record says how deep it was proved.
    kept.site.run(&["verify", "--depth", "intact", "--location", "other"], 0);
    assert_eq!(fs::read_dir(kept.site.path("scratch")).unwrap().count(), 0);
    let listed: serde_json::Value = serde_json::from_str(&kept.site.run(&["status", "--output", "json"], 0)).unwrap();
    assert_eq!(listed["data"]["policies"][0]["verified"]["depth"], "restored", "{listed}");
    let of = |task: &str| listed["data"]["tasks"].as_array().unwrap().iter().find(|one| one["task"] == task).unwrap().clone();
    assert_eq!((of("copies")["does"].as_str(), of("copies")["last"]["end"].as_str()), (Some("copy"), Some("done")), "{listed}");
    // What is missing is found by the next check, and its slot is not done.
    let pack = first_pack(&kept, "other");
    fs::remove_file(&pack).unwrap();
    kept.order_of("reads-there", "run");
    let (end, why) = kept.ended("reads-there", 2).await;
    let digest = pack.file_stem().unwrap().to_str().unwrap().to_owned();
    assert!(end == End::Failed && why.as_ref().is_some_and(|why| why.contains(&digest)), "{end:?} {why:?}");
    assert!(kept.site.run(&["schedule", "show", "reads-there"], 0).contains(&digest));
    let status: serde_json::Value = serde_json::from_str(&kept.site.run(&["status", "--output", "json"], 0)).unwrap();
    let told = status["data"]["conditions"].as_array().unwrap().iter().find(|condition| condition["subject"] == "reads-there").unwrap();
    assert!(told["kind"] == "slot-failed" && told["text"].as_str().unwrap().contains(&digest), "{status}");
    // The other copy is lost too, comes back, and people are told of both, once.
    let within = pack.strip_prefix(kept.site.path("other")).unwrap();
    let (lost, away) = (kept.site.path("repository").join(within), kept.site.path("away"));
    fs::rename(&lost, &away).unwrap();
    let failing = ["opens", "restores", "copies"];
    for name in failing {
        kept.order_of(name, "run");
        let (end, why) = kept.ended(name, 2).await;
        assert!(end != End::Done && why.is_some(), "{name}: {end:?}");
    }
    told_once(&kept, &mail, &hook, "began").await;
    fs::rename(&away, &lost).unwrap();
    kept.site.configure("excluded: { data/unknown: one program knows its data }\nready: { licences: { of-a-test: 2999-12-31 } }\n");
    for (name, times) in [("copies", 3), ("opens", 3), ("restores", 3), ("reads-there", 3), ("covers", 2), ("answers", 2)] {
        kept.order_of(name, "run");
        let (end, why) = kept.ended(name, times).await;
        assert_eq!((end, why), (End::Done, None), "{name}\n{}", kept.tell(&kept.history_of(name).await));
    }
    told_once(&kept, &mail, &hook, "over").await;
    told_once(&kept, &mail, &hook, "began").await;
}

/// That the trouble of four tasks, and what two others found of the site, was told once to have begun or to be over (`what`), by mail and by webhook.
/// What is sent again after a term ended (docs/format/notices.md) has the id that it had.
async fn told_once(kept: &Kept, mail: &Sink, hook: &Sink, what: &str) {
    let tasks = [
        ("copies", "slot-incomplete", "WARNING"),
        ("opens", "slot-failed", "CRITICAL"),
        ("restores", "slot-failed", "CRITICAL"),
        ("reads-there", "slot-failed", "CRITICAL"),
    ];
    for (subject, kind, severity) in tasks.into_iter().chain([("we", "uncovered", "WARNING"), ("we", "not-ready", "WARNING")]) {
        let told = || {
            let is_it = |notice: &&Value| {
                let condition = &notice["condition"];
                notice["what"] == what && condition["subject"] == subject && condition["kind"] == kind
            };
            accepted(hook).iter().filter(is_it).map(|notice| notice["id"].as_u64().unwrap()).collect::<BTreeSet<u64>>()
        };
        until(&format!("that {kind} of {subject} {what}"), kept, || (!told().is_empty()).then_some(())).await;
        let all = || accepted(hook).iter().map(|notice| format!("{} {}\n", notice["id"], notice["text"])).collect::<String>();
        assert_eq!(told().len(), 1, "{kind} of {subject} {what} {:?}\n{}{}", told(), all(), kept.tell(&[]));
        let line = format!("{}  {subject}: ", if what == "over" { "OVER" } else { severity });
        let mails = || mail.got().iter().map(|got| (message_id(got), body(got))).collect::<BTreeMap<String, String>>();
        let mailed = || mails().values().map(|body| body.matches(&line).count()).sum::<usize>();
        let times = if subject == "we" { 2 } else { 1 };
        until(&line, kept, || (mailed() >= times).then_some(())).await;
        assert_eq!(mailed(), times, "{line}\n{:#?}\n{}", mails(), kept.tell(&[]));
    }
}

fn first_pack(kept: &Kept, location: &str) -> std::path::PathBuf {
    let epochs = kept.site.path(location).join("p@we/1/packs");
    let epoch = fs::read_dir(epochs).unwrap().next().unwrap().unwrap().path();
    fs::read_dir(epoch).unwrap().next().unwrap().unwrap().path()
}

#[tokio::test]
async fn a_check_of_a_part_reads_everything_once_that_is_due_and_never_calls_read_what_is_damaged() {
    let kept = with_tasks(&format!("  reads: {{ verify: {{ within: 30d }}, {NEVER} }}\n"));
    let check = |status: i32| -> serde_json::Value {
        serde_json::from_str(&kept.site.run(&["verify", "--within", "30d", "--quiet", "--output", "json"], status)).unwrap()
    };
    let first = check(0);
    assert_eq!((first["data"]["never_read"].as_u64(), first["data"]["buckets"].as_array().map(Vec::len)), (Some(255), Some(1)), "{first}");
    let pack = first_pack(&kept, "repository");
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut rights = fs::metadata(&pack).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o600);
    fs::set_permissions(&pack, rights).unwrap();
    fs::write(&pack, bytes).unwrap();
    // As if no check had run for longer than that.
    let findings = Findings::new(kept.store("control").await, &kept.keys());
    let long_ago = Timestamp::now() - SignedDuration::from_hours(40 * 24);
    findings.write("read/primary", &Sampling::begin(long_ago), &SystemClock).await.unwrap();
    let second = check(6);
    let objects = second["data"]["objects"].as_u64().unwrap();
    assert!(objects > 0 && second["data"]["read"].as_u64() == Some(objects), "everything is due: {second}");
    assert_eq!(second["data"]["never_read"].as_u64(), Some(1), "the bucket of the damaged pack was not read: {second}");
    assert!(second["data"]["all_read_since"].is_null(), "{second}");
    let third = check(6);
    assert!(third["problems"].as_array().unwrap().len() == 1, "it is told again: {third}");
}

#[tokio::test]
async fn a_task_ends_with_its_daemon_and_at_its_deadline_and_the_next_daemon_tries_it_again() {
    let task = format!("  restores: {{ restore_test: {{ policy: p, into: {{ data: slow }} }}, {NEVER}, retries: 1 }}\n");
    let kept = with_tasks_and(&task, |kept| {
        let load = format!("cd {} && echo $$ > loading; while ! [ -e go ]; do sleep 0.1; done; cat > loaded", kept.site.path("").display());
        format!("  slow: {{ command: {{ dump: [cat], load: [sh, -c, {load:?}] }} }}\n")
    });
    kept.halt();
    let daemon = kept.daemon("a");
    daemon.says("leads", 1);
    kept.order_of("restores", "run");
    let loading = kept.file("loading").await;
    drop(daemon);
    kept.is_gone(&loading).await;
    fs::remove_file(kept.site.path("loading")).unwrap();
    // The next one begins it anew, and this time it takes too long.
    let config = fs::read_to_string(kept.site.path("hourglass.yaml")).unwrap();
    fs::write(kept.site.path("hourglass.yaml"), config.replace("retries: 1", "retries: 1, deadline: 3s")).unwrap();
    let next = kept.daemon("b");
    next.says("leads", 1);
    let loading = kept.file("loading").await;
    let (end, why) = kept.ended("restores", 1).await;
    assert!(end == End::Failed && why.as_ref().is_some_and(|why| why.contains("deadline")), "{end:?} {why:?}");
    kept.is_gone(&loading).await;
    kept.go();
    // A load command cannot be read back: that is not called restored.
    let said = kept.site.run(&["restore-test", "p", "--into", "data=slow", "--quiet"], 3);
    assert!(said.contains("cannot be read back"), "{said}");
    assert_eq!(fs::read(kept.site.path("loaded")).unwrap(), b"data\n");
    let status: serde_json::Value = serde_json::from_str(&kept.site.run(&["status", "--output", "json"], 0)).unwrap();
    assert!(status["data"]["policies"][0]["verified"].is_null(), "{status}");
}
