//! Slots and orders: a minute's schedule is kept, people pause, resume and order runs, what is wrong is told and refused.

use std::fs;

use hourglass::daemon::ledger::event::{End, Happened};
use rustix::process::Signal;

use super::world::Kept;

fn ended(history: &[hourglass::daemon::ledger::Entry], ordered: bool) -> usize {
    let is_done = |event: &Happened| matches!(event, Happened::Ended { end: End::Done, slot, .. } if slot.order.is_some() == ordered);
    history.iter().filter(|entry| is_done(&entry.event)).count()
}

#[tokio::test]
async fn a_slot_of_every_minute_is_done_and_a_stopped_daemon_owes_nothing() {
    let kept = Kept::new("* * * * *", "");
    let mut daemon = kept.daemon("a");
    kept.until("the first slot", |history, _| ended(history, false) >= 1).await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end(), Some(0));
    let status: serde_json::Value = serde_json::from_str(&kept.site.run(&["status", "--output", "json"], 0)).unwrap();
    let policy = &status["data"]["policies"][0];
    assert_eq!((policy["objective"].as_str(), policy["phase"].as_str()), (Some("met"), Some("waiting")), "{status}");
    assert!(status["data"]["leader"].is_null(), "it gave the lease up: {status}");
    // The next one leads at once.
    let next = kept.daemon("b");
    next.says("leads", 1);
    kept.until("the next slot", |history, _| ended(history, false) >= 2).await;
    drop(next);
    assert!(kept.audit().await["done"] >= 2);
}

#[tokio::test]
async fn people_order_runs_pause_and_resume_and_what_nobody_signed_is_passed_over() {
    let kept = Kept::new("0 0 1 1 *", "");
    let daemon = kept.daemon("a");
    daemon.says("leads", 1);
    kept.order("pause");
    kept.until("the pause", |_, balance| balance.paused.as_ref().is_some_and(|paused| paused.by == "Berta")).await;
    kept.order("run");
    kept.until("the ordered run", |history, _| ended(history, true) == 1).await;
    fs::create_dir_all(kept.site.path("control/schedule/p@we/1/orders")).unwrap();
    let forged = r#"{"format":1,"lineage":"p@we/1","number":3,"written":"2026-11-28T12:00:00Z","by":"Mallory","reason":"x","what":"resume"}"#;
    fs::write(kept.site.path("control/schedule/p@we/1/orders/00000000000000000003.json"), format!("{forged}\nno signature\n")).unwrap();
    kept.until("the refusal", |_, balance| balance.orders == 3).await;
    assert!(kept.balance().await.paused.is_some());
    kept.order("resume");
    kept.until("the end of the pause", |_, balance| balance.paused.is_none()).await;
    let shown = kept.site.run(&["schedule", "show", "p"], 0);
    assert!(shown.contains("nobody who may has signed it") && shown.contains("resume by Berta"), "{shown}");
    assert!(kept.site.run(&["schedule", "list"], 0).contains("waiting"));
}

#[tokio::test]
async fn a_run_that_fails_is_tried_again_and_then_told_in_the_record() {
    let kept = Kept::new("0 0 1 1 *", "    retries: 1\n");
    fs::remove_file(kept.site.path("data")).unwrap();
    let daemon = kept.daemon("a");
    daemon.says("leads", 1);
    kept.order("run");
    let failed = |event: &Happened| matches!(event, Happened::Ended { end: End::Failed | End::Incomplete, .. });
    kept.until("the end of the slot", |history, _| history.iter().any(|entry| failed(&entry.event))).await;
    let tried = kept.history().await.iter().filter(|entry| matches!(entry.event, Happened::Tried { .. })).count();
    assert_eq!(tried, 2);
    assert!(!kept.audit().await.contains_key("done"));
    kept.site.run(&["status"], 3);
}

#[tokio::test]
async fn a_configuration_that_changes_is_followed_and_a_wrong_one_refused() {
    let kept = Kept::new("0 0 1 1 *", "");
    let daemon = kept.daemon("a");
    kept.until("the schedule", |_, balance| balance.watched.is_some()).await;
    let good = fs::read_to_string(kept.site.path("hourglass.yaml")).unwrap();
    fs::write(kept.site.path("hourglass.yaml"), good.replace("0 0 1 1 *", "nonsense")).unwrap();
    let refused = daemon.says("config-refused", 1);
    assert!(refused["what"].as_str().unwrap().contains("schedule"), "{refused}");
    // Whoever orders needs a configuration that is right.
    fs::write(kept.site.path("good.yaml"), &good).unwrap();
    kept.site.run(&["--config", "good.yaml", "schedule", "run", "p", "--who", "Berta", "--reason", "a test"], 0);
    kept.until("a run by the old configuration", |history, _| ended(history, true) == 1).await;
    fs::write(kept.site.path("hourglass.yaml"), good.replace("0 0 1 1 *", "30 4 2 2 *")).unwrap();
    let now = |schedule: &str| schedule == "30 4 2 2 *";
    kept.until("the new schedule", |_, balance| balance.watched.as_ref().and_then(|w| w.schedule.as_deref()).is_some_and(now)).await;
}
