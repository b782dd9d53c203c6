//! Deadlines, blackouts, how many runs go on at once, and retries: with real runs.

use hourglass::daemon::ledger::event::{End, Happened};

use super::world::Kept;

#[tokio::test]
async fn a_run_that_does_not_end_is_ended_at_its_deadline_and_tried_as_often_as_allowed() {
    let kept = Kept::new("0 0 1 1 *", "    deadline: 2s\n    retries: 1\n");
    kept.halt();
    let daemon = kept.daemon("a");
    daemon.says("leads", 1);
    kept.order("run");
    let (end, why) = kept.ended("p", 1).await;
    let why = why.unwrap();
    assert!(end == End::Failed && why.contains("deadline") && why.contains("it was tried 2 times"), "{why}");
    let history = kept.history().await;
    let tried = history.iter().filter_map(|entry| {
        if let Happened::Tried { counts, not_before, .. } = &entry.event { Some((entry.written, *counts, *not_before)) } else { None }
    });
    let tried: Vec<_> = tried.collect();
    assert!(tried.len() == 2 && tried.iter().all(|(_, counts, _)| *counts), "{}", kept.tell(&history));
    // A retry waits longer than the one before.
    assert!(tried[1].2.duration_since(tried[1].0) > tried[0].2.duration_since(tried[0].0), "{tried:?}");
    // The run that was ended holds nothing up: the next one is good.
    kept.go();
    kept.order("run");
    assert_eq!(kept.ended("p", 2).await, (End::Done, None));
    kept.audit().await;
}

#[tokio::test]
async fn no_slot_begins_in_a_blackout_what_a_person_orders_does_and_runs_wait_for_each_other() {
    let kept = Kept::new("* * * * *", "    blackouts: [\"00:00-12:00\", \"12:00-00:00\"]\n");
    let q = "  q:\n    members: { data: required }\n    schedule: \"0 0 1 1 *\"\n";
    kept.site.configure(&format!("{q}daemon: {{ runs_at_once: 1 }}\n"));
    kept.site.run(&["keys", "prove"], 0);
    kept.halt();
    let daemon = kept.daemon("a");
    daemon.says("leads", 1);
    kept.order("run");
    kept.until("the run of p", |_, balance| balance.open.as_ref().is_some_and(|open| open.run.is_some())).await;
    daemon.said_of("step-started", "step", "capture/data");
    kept.order_of("q", "run");
    // The order is taken at once, and nothing begins while the other run goes on.
    kept.until_of("q", "the order", |balance| balance.wanted.is_some()).await;
    assert!(kept.balance_of("q").await.wanted.is_some(), "only one run may go on");
    kept.go();
    assert_eq!(kept.ended("q", 1).await, (End::Done, None));
    kept.until("a slot in the blackout", |history, _| {
        history.iter().any(|entry| matches!(&entry.event, Happened::Missed { why, .. } if why.contains("blackout")))
    })
    .await;
    let begun = |event: &Happened| matches!(event, Happened::Begun { slot, .. } if slot.order.is_none());
    let history = kept.history().await;
    assert!(!history.iter().any(|entry| begun(&entry.event)), "{}", kept.tell(&history));
    let (p, q) = (kept.when_over("p").await, kept.when_begun("q").await);
    assert!(p <= q, "q began at {q}, and p ended at {p}");
    assert!(daemon.log().contains("blackout"));
}
