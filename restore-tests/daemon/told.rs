//! Alerts of what befalls daemons, their control store, records, slots and tasks, and of runs that no daemon makes: each fires at a real Prometheus when its
//! cause is there, and resolves when it is gone.

use std::{fs, os::unix::fs::symlink, path::PathBuf, time::Duration};

use hourglass::{model::Timestamp, repository::layout};
use jiff::SignedDuration;
use rustix::process::Signal;

use super::{
    watched::{Server, Watched, pushgateway},
    world::{Daemon, Kept},
};

/// Writes a changed copy of the configuration beside it.
fn configured(kept: &Kept, name: &str, changes: &[(&str, &str)]) {
    let text = fs::read_to_string(kept.site.path("hourglass.yaml")).unwrap();
    let change = |text: String, (from, to): &(&str, &str)| {
        assert!(text.contains(from), "{from} is not in {text}");
        text.replacen(from, to, 1)
    };
    let text = changes.iter().fold(text, change);
    fs::write(kept.site.path("changed"), text).unwrap();
    fs::rename(kept.site.path("changed"), kept.site.path(name)).unwrap();
}

fn daemon_of(kept: &Kept, name: &str, config: &str) -> Daemon {
    kept.daemon_with(name, &["--config", config])
}

#[tokio::test]
async fn alerts_of_daemons_that_do_not_lead_lead_twice_know_no_policies_or_keep_those_of_others() {
    let watched = Watched::begin();
    let kept = &watched.kept;
    let [one, other] = watched.daemons.each_ref().map(|address| format!("{address:?}"));
    configured(kept, "second.yaml", &[(&one, &other)]);
    let a = kept.daemon("a");
    a.says("leads", 1);
    let b = daemon_of(kept, "b", "second.yaml");
    nobody_leads(&watched, [&a, &b]).await;
    drop((a, b));
    // Two control stores, so nobody keeps the daemons from leading both.
    fs::create_dir(kept.site.path("elsewhere")).unwrap();
    let [control, elsewhere] = ["control", "elsewhere"].map(|name| format!("{:?}", kept.site.path(name).display().to_string()));
    configured(kept, "second.yaml", &[(&one, &other), (&control, &elsewhere)]);
    let (a, b) = (kept.daemon("a"), daemon_of(kept, "b", "second.yaml"));
    watched.until("HourglassTwoLeaders -", true).await;
    drop(b);
    watched.until("HourglassTwoLeaders -", false).await;
    let whole = fs::read_to_string(kept.site.path("hourglass.yaml")).unwrap();
    let from = whole.find("policies:\n").unwrap();
    let to = whole.find("notify:").unwrap();
    let tasks = whole.find("tasks:\n").unwrap();
    fs::write(kept.site.path("hourglass.yaml"), format!("{}{}", &whole[..from], &whole[to..tasks])).unwrap();
    watched.until("HourglassBlind -", true).await;
    fs::write(kept.site.path("hourglass.yaml"), &whole).unwrap();
    watched.until("HourglassBlind -", false).await;
    kept.until("the first installation", |_, balance| balance.identity.as_deref() == Some("first")).await;
    drop(a);
    configured(kept, "second.yaml", &[(&one, &other), ("identity: first", "identity: second")]);
    let b = daemon_of(kept, "b", "second.yaml");
    watched.until("HourglassForeign p", true).await;
    drop(b);
    let _a = kept.daemon("a");
    watched.until("HourglassForeign p", false).await;
}

/// One daemon leads and stops; until the other one takes over nobody leads. That is short, so on a busy machine it may pass unseen: then the other one stops.
async fn nobody_leads(watched: &Watched, daemons: [&Daemon; 2]) {
    let mut seen = false;
    for round in 0..6 {
        let [first, second] = [daemons[round % 2], daemons[(round + 1) % 2]];
        first.says("leads", round / 2 + 1);
        // Prometheus has to know the one that goes on.
        tokio::time::sleep(Duration::from_secs(3)).await;
        first.signal(Signal::STOP);
        seen = watched.becomes("HourglassNoLeader -", true, Duration::from_secs(15)).await;
        second.says("leads", round.div_ceil(2) + 1);
        first.signal(Signal::CONT);
        if seen {
            break;
        }
    }
    assert!(seen, "HourglassNoLeader does not fire");
    watched.until("HourglassNoLeader -", false).await;
}

/// A site whose policy has two members, with a task that loads for as long as the file `loads` is missing, and a Pushgateway.
fn with_two_members() -> (Watched, Server) {
    let watched = Watched::begin();
    let kept = &watched.kept;
    let extra = kept.site.path("extra").display().to_string();
    fs::write(&extra, "more\n").unwrap();
    let load = format!("while ! [ -e {} ]; do sleep 0.1; done; cat > /dev/null", kept.site.path("loads").display());
    let sources = format!(
        "sources:\n  extra: {{ command: {{ dump: [cat, {extra:?}], load: [cat] }} }}\n  slow: {{ command: {{ dump: [cat], load: [sh, -c, {load:?}] }} }}\n"
    );
    let restores = "tasks:\n  restores: { restore_test: { policy: p, into: { data: slow } }, schedule: \"0 0 1 1 *\", retries: 0 }\n";
    let told = format!("pushgateway: {{ url: \"http://{}\" }}\nnotify:", watched.gateway);
    configured(
        kept,
        "hourglass.yaml",
        &[
            ("sources:\n", &sources),
            ("members: { data: required }", "members: { data: required, extra: required }"),
            ("tasks:\n", restores),
            ("notify:", &told),
        ],
    );
    let gateway = pushgateway(kept, &watched.gateway);
    (watched, gateway)
}

#[tokio::test]
async fn alerts_of_records_slots_tasks_and_pushed_runs() {
    let (watched, _gateway) = with_two_members();
    let kept = &watched.kept;
    let a = kept.daemon("a");
    kept.order("run");
    kept.ended("p", 1).await;
    a_record_is_damaged_and_cannot_be_read(&watched).await;
    // A member fails.
    fs::rename(kept.site.path("extra"), kept.site.path("away")).unwrap();
    kept.order("run");
    watched.until("HourglassSlotIncomplete p", true).await;
    fs::rename(kept.site.path("away"), kept.site.path("extra")).unwrap();
    kept.order("run");
    watched.until("HourglassSlotIncomplete p", false).await;
    kept.order("pause");
    watched.until("HourglassPausedLong p", true).await;
    kept.order("resume");
    watched.until("HourglassPausedLong p", false).await;
    kept.order_of("restores", "run");
    watched.until("HourglassTaskLong restores", true).await;
    fs::write(kept.site.path("loads"), "").unwrap();
    watched.until("HourglassTaskLong restores", false).await;
    // A slot comes while no daemon runs.
    let slot = Timestamp::now() + SignedDuration::from_secs(100);
    let schedule = slot.strftime("reads: { verify: { within: 30d }, catch_up: 1s, schedule: \"%M %H * * *\"").to_string();
    configured(kept, "hourglass.yaml", &[("reads: { verify: { within: 30d }, schedule: \"0 0 1 1 *\"", &schedule)]);
    let is_watched = |balance: &hourglass::daemon::ledger::state::Balance| {
        balance
            .watched
            .as_ref()
            .and_then(|watched| watched.schedule.as_ref())
            .is_some_and(|schedule| schedule.ends_with("* * *") && !schedule.contains(" 1 1 "))
    };
    kept.until_of("reads", "the schedule", is_watched).await;
    drop(a);
    pushed_runs(&watched).await;
    while Timestamp::now() < slot + SignedDuration::from_secs(5) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let _a = kept.daemon("a");
    watched.until("HourglassSlotMissed reads", true).await;
    kept.order_of("reads", "run");
    watched.until("HourglassSlotMissed reads", false).await;
}

async fn a_record_is_damaged_and_cannot_be_read(watched: &Watched) {
    let kept = &watched.kept;
    let next = kept.record().await.head().unwrap().number.next();
    let strange: PathBuf = kept.site.path("repository").join(layout::record(&kept.lineage(), next).as_str());
    fs::write(&strange, "{}\nnothing\n").unwrap();
    watched.until("HourglassRecordDamaged p", true).await;
    fs::remove_file(&strange).unwrap();
    watched.until("HourglassRecordDamaged p", false).await;
    let folder = strange.parent().unwrap();
    fs::rename(folder, kept.site.path("record")).unwrap();
    symlink(folder, folder).unwrap();
    watched.until("HourglassRecordUnreadable p", true).await;
    fs::remove_file(folder).unwrap();
    fs::rename(kept.site.path("record"), folder).unwrap();
    watched.until("HourglassRecordUnreadable p", false).await;
}

/// Runs that a person begins, and a Pushgateway is told of.
async fn pushed_runs(watched: &Watched) {
    let kept = &watched.kept;
    fs::rename(kept.site.path("data"), kept.site.path("away")).unwrap();
    assert!(!kept.site.output(&["backup", "p", "--quiet"]).status.success());
    watched.until("HourglassPushedRunFailed p", true).await;
    fs::rename(kept.site.path("away"), kept.site.path("data")).unwrap();
    configured(kept, "hourglass.yaml", &[("rpo: 1h", "rpo: 1s")]);
    kept.site.run(&["backup", "p", "--quiet"], 0);
    watched.until("HourglassPushedRunFailed p", false).await;
    watched.until("HourglassPushedObjectiveBroken p", true).await;
    configured(kept, "hourglass.yaml", &[("rpo: 1s", "rpo: 1h")]);
    kept.site.run(&["backup", "p", "--quiet"], 0);
    watched.until("HourglassPushedObjectiveBroken p", false).await;
}
