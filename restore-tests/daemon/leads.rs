//! Which of two daemons leads, and that the other one writes nothing, also when it was stopped in the middle of a run and wakes.

use std::{
    fs,
    time::{Duration, Instant},
};

use hourglass::{
    daemon::ledger::event::{End, Happened},
    storage::{Listed, list_all},
};
use rustix::process::{Pid, Signal, kill_process};

use super::world::Kept;
use crate::{
    clusters::{Cluster, eventually},
    stores::places::{S3, bucket},
};

async fn all(kept: &Kept, name: &str) -> Vec<Listed> {
    list_all(&*kept.store(name).await, "").await.unwrap()
}

/// One leads with a run under way, is stopped, and another takes over within 20 seconds; when the first wakes it writes nothing.
async fn a_stopped_leader_that_wakes_writes_nothing(kept: Kept) -> Kept {
    let mut a = kept.daemon("a");
    a.says("leads", 1);
    let mut b = kept.daemon("b");
    b.says("daemon-started", 1);
    kept.halt();
    kept.order("run");
    kept.until("the run", |_, balance| balance.open.as_ref().is_some_and(|open| open.run.is_some())).await;
    // The dump waits, and nothing is on its way to a store.
    a.said_of("step-started", "step", "capture/data");
    let lost = kept.balance().await.open.unwrap().run.unwrap();
    a.signal(Signal::STOP);
    let stopped = Instant::now();
    b.says("leads", 1);
    let took = stopped.elapsed();
    assert!(took > Duration::from_secs(8), "a lease of 9 seconds was taken after {took:?}");
    println!("another daemon leads {took:?} after the first one stopped");
    kept.until("what became of the first run", |_, balance| {
        balance.open.as_ref().is_some_and(|open| open.run.as_ref().is_some_and(|run| *run != lost))
    })
    .await;
    // The dump of the run that was lost could end now, were it allowed to.
    kept.go();
    kept.until("the second run", |_, balance| balance.open.is_none()).await;
    b.signal(Signal::TERM);
    assert_eq!(b.end(), Some(0));
    let (control, repository) = (all(&kept, "control").await, all(&kept, "repository").await);
    a.signal(Signal::CONT);
    // It finds that it leads no more, and only then may lead again.
    a.says("follows", 1);
    a.says("leads", 2);
    let key = |listed: &Vec<Listed>| listed.iter().map(|object| object.key.clone()).collect::<Vec<_>>();
    let lineage = kept.lineage().to_string();
    let new: Vec<_> = key(&all(&kept, "repository").await).into_iter().filter(|name| !key(&repository).contains(name)).collect();
    assert!(new.is_empty(), "{new:?}");
    let old = key(&control);
    let new = key(&all(&kept, "control").await).into_iter().filter(|name| !old.contains(name) && !name.as_str().starts_with("leaders/"));
    // As the leader that it is again it may enter that.
    let new: Vec<_> =
        new.filter(|name| ![&format!("schedule/{lineage}/ledger/"), "notices/"].iter().any(|own| name.as_str().starts_with(own))).collect();
    assert!(new.is_empty(), "{new:?}");
    let history = kept.history().await;
    let begun: Vec<_> = history.iter().filter(|entry| matches!(entry.event, Happened::Begun { .. })).collect();
    assert_eq!(begun.len(), 2, "{}", kept.tell(&history));
    assert_eq!(kept.audit().await["done"], 1);
    assert!(kept.points().await.iter().all(|point| point.run != lost));
    a.signal(Signal::TERM);
    assert_eq!(a.end(), Some(0));
    kept
}

#[tokio::test]
async fn a_leader_that_was_stopped_and_wakes_writes_nothing_to_a_directory() {
    a_stopped_leader_that_wakes_writes_nothing(Kept::new("0 0 1 1 *", "")).await;
}

#[tokio::test]
async fn a_leader_that_was_stopped_and_wakes_writes_nothing_to_s3() {
    a_stopped_leader_that_wakes_writes_nothing(Kept::on(&bucket(S3::SeaweedFs, None).await, "0 0 1 1 *", "")).await;
}

/// A control plane of its own: its API server is going to be killed.
#[tokio::test]
async fn a_lease_of_kubernetes_outlives_leaders_that_are_stopped_or_killed_and_its_api_server() {
    let cluster = Cluster::control_plane();
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let kept = Kept::new("0 0 1 1 *", "");
    kept.site.configure(&format!("daemon: {{ lease: {{ kind: kubernetes, kubeconfig: {kubeconfig:?}, namespace: default }} }}\n"));
    let holder = || cluster.kubectl(&["--namespace=default", "get", "lease", "hourglass-we", "--output=jsonpath={.spec.holderIdentity}"]).unwrap();
    let kept = a_stopped_leader_that_wakes_writes_nothing(kept).await;
    assert!(all(&kept, "control").await.iter().all(|object| !object.key.as_str().starts_with("leaders/")), "there is one lease");
    assert_eq!(holder(), "", "both have gone");
    let uid = cluster.kubectl(&["get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}"]).unwrap();
    assert_eq!(kept.balance().await.identity, Some(format!("cluster:{uid}")));

    // A leader that is killed.
    let a = kept.daemon("a");
    a.says("leads", 1);
    let b = kept.daemon("b");
    b.says("daemon-started", 1);
    assert!(holder().contains(&format!("/{}/", a.id())), "{}", holder());
    drop(a);
    let killed = Instant::now();
    b.says("leads", 1);
    println!("another daemon leads {:?} after the first one was killed", killed.elapsed());
    let status = kept.site.run(&["status"], 0);
    assert!(status.contains(&format!("process {} of", b.id())), "{status}");

    // An API server that is killed in the middle of a run, and comes back: the same leader goes on with it.
    kept.halt();
    kept.order("run");
    kept.until("the run", |_, balance| balance.open.as_ref().is_some_and(|open| open.run.is_some())).await;
    let pid_file = cluster.folder().join("apiserver.pid");
    let pid = fs::read_to_string(&pid_file).unwrap();
    kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    eventually(|| if fs::read_to_string(&pid_file).unwrap() == pid { Err("it is not started again".to_owned()) } else { Ok(()) });
    kept.go();
    kept.until("the end of the run", |_, balance| balance.open.is_none() && balance.wanted.is_none()).await;
    assert_eq!(kept.audit().await["done"], 2);
    let follows = || b.said().iter().filter(|line| line["event"] == "follows").count();
    assert_eq!(follows(), 0);

    // Somebody deletes the lease: nobody leads until whoever had it has surely noticed.
    // The API server has only just begun, on a machine that may be slow.
    eventually(|| cluster.kubectl(&["--namespace=default", "delete", "lease", "hourglass-we", "--ignore-not-found"]));
    b.says("follows", 1);
    b.says("leads", 2);
}

#[tokio::test]
async fn a_daemon_that_is_told_to_stop_reaches_a_safe_point_and_the_next_one_goes_on_with_the_slot() {
    let kept = Kept::new("0 0 1 1 *", "");
    let mut a = kept.daemon("a");
    a.says("leads", 1);
    kept.halt();
    kept.order("run");
    a.says("run-started", 1);
    // The dump never ends by itself: after a while it is ended.
    a.said_of("step-started", "step", "capture/data");
    a.signal(Signal::TERM);
    assert_eq!(a.end(), Some(0));
    kept.go();
    let balance = kept.balance().await;
    let open = balance.open.unwrap();
    assert!(open.run.is_none() && open.attempts == 0, "{open:?}");
    let _b = kept.daemon("b");
    kept.until("the end of the slot", |history, _| history.iter().any(|entry| matches!(entry.event, Happened::Ended { end: End::Done, .. }))).await;
    kept.audit().await;
}
