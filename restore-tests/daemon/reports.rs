//! Daemons that only report: copies of another one, and those whose policies another site has taken over.

use std::{
    fs,
    time::{Duration, Instant},
};

use hourglass::daemon::ledger::event::Happened;

use super::world::Kept;
use crate::site::Site;

#[tokio::test]
async fn a_daemon_of_another_installation_only_reports() {
    let kept = Kept::new("* * * * *", "");
    kept.site.configure("daemon: { identity: first }\n");
    let first = kept.daemon("a");
    kept.until("the first leader", |_, balance| balance.identity.as_deref() == Some("first")).await;
    drop(first);
    let before = kept.history().await.len();
    let config = fs::read_to_string(kept.site.path("hourglass.yaml")).unwrap();
    fs::write(kept.site.path("hourglass.yaml"), config.replace("identity: first", "identity: second")).unwrap();
    let second = kept.daemon("b");
    assert_eq!(second.says("reports-only", 1)["ledger"], "first");
    assert!(kept.history().await.len() <= before + 3, "what the first one was at when it was killed");
    let history = kept.history().await;
    assert!(!history.iter().any(|entry| matches!(&entry.event, Happened::Led { identity, .. } if identity == "second")), "{}", kept.tell(&history));
}

/// Another site with the same repository, and a control store and a capture key of its own.
fn another_site(kept: &Kept) -> Site {
    let ne = Site::in_directories();
    let path = |site: &Site, name: &str| format!("{:?}", site.path(name).display().to_string());
    let config = fs::read_to_string(kept.site.path("hourglass.yaml")).unwrap();
    let config = config.replace("site: we", "site: ne").replace(&path(&kept.site, "control"), &path(&ne, "control"));
    fs::write(ne.path("hourglass.yaml"), config).unwrap();
    for key in ["operator.key", "root.key"] {
        fs::copy(kept.site.path(key), ne.path(key)).unwrap();
    }
    ne.run(&["keys", "rotate", "--root", "root.key", "--to", "capture.key", "--reason", "a new site"], 0);
    ne
}

#[tokio::test]
async fn a_daemon_whose_policy_was_promoted_elsewhere_only_reports_until_it_is_promoted_back() {
    let kept = Kept::new("0 0 1 1 *", "");
    let ne = another_site(&kept);
    let daemon = kept.daemon("a");
    kept.until("the schedule", |_, balance| balance.watched.is_some()).await;
    ne.run(&["promote", "p", "--from", "p@we/1", "--who", "Berta", "--reason", "lost"], 0);
    kept.order("run");
    let told = daemon.says("reports-only", 1);
    assert!(told["what"].as_str().unwrap().contains("p@we/1 was left behind: p@ne/1 continues it"), "{told}");
    // And once more when it asks again.
    daemon.says("reports-only", 2);
    let history = kept.history().await;
    assert!(!history.iter().any(|entry| matches!(entry.event, Happened::Begun { .. })), "{}", kept.tell(&history));
    assert!(kept.points().await.is_empty());
    // A daemon that starts now enters nothing at all.
    drop(daemon);
    let entries = kept.history().await.len();
    let next = kept.daemon("b");
    next.says("reports-only", 1);
    assert_eq!(kept.history().await.len(), entries);
    kept.site.run(&["promote", "p", "--from", "p@ne/1", "--who", "Anna", "--reason", "repaired"], 0);
    kept.order("run");
    let began = Instant::now();
    while !kept.site.run(&["points", "list", "p"], 0).contains("p@we/2:") {
        assert!(began.elapsed() < Duration::from_secs(180), "no point of the next generation: {:?}", next.said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
