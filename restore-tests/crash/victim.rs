//! A process that is killed at a chosen request: this test binary, run once more.

use std::{
    env,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hourglass::{model::EntryNumber, storage::Operation};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

use super::{
    tap::{Hook, When, tapped},
    world::{Stores, World},
};

const ORDER: &str = "HOURGLASS_TEST_VICTIM";

/// Where the process is killed: requests to data store and control store are counted together, from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Death {
    /// Before the request of this number leaves.
    BeforeRequest(u64),
    /// After the writing request of this number took effect.
    AfterWrite(u64),
    /// Before or after the request of this number among those of one [`kind`].
    AtKind { kind: String, number: u64, after: bool },
    /// Not at all.
    Never,
}

/// What the process does until then.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Work {
    Backup { policy: String },
    Restore { policy: String, number: EntryNumber, target: PathBuf },
    Copy { policy: String },
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    root: PathBuf,
    ahead: i64,
    work: Work,
    death: Death,
}

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Killed,
    /// It had finished before it came so far.
    Survived,
}

/// Does `work` in a process of its own, which dies as said.
pub fn sacrifice(root: &Path, work: Work, death: Death, ahead: i64) -> Fate {
    let order = Order { root: root.to_owned(), ahead, work, death };
    fate(&order, command(&order).output().unwrap())
}

/// The same, killed from outside at a moment of its life.
pub fn sacrifice_after(root: &Path, work: Work, moment: Duration, ahead: i64) -> Fate {
    let order = Order { root: root.to_owned(), ahead, work, death: Death::Never };
    let mut child = command(&order).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(moment);
    child.kill().unwrap();
    fate(&order, child.wait_with_output().unwrap())
}

fn command(order: &Order) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["crash::victim::obeys_and_dies", "--exact", "--ignored", "--nocapture"]).env(ORDER, serde_json::to_string(order).unwrap());
    command
}

fn fate(order: &Order, output: Output) -> Fate {
    match (output.status.signal(), output.status.success()) {
        (Some(9), _) => Fate::Killed,
        (None, true) => Fate::Survived,
        _ => panic!("{order:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
    }
}

/// What is asked of which kind of object.
pub fn kind(operation: &Operation) -> String {
    let mut parts = operation.key.split('/');
    let first = parts.next().unwrap_or_default();
    let of = if first.contains('@') { parts.nth(1).unwrap_or_default() } else { first };
    format!("{:?} {of}", operation.kind)
}

fn killer(death: Death) -> Hook {
    let counted = Arc::new(AtomicU64::new(0));
    let is_reached = move |number: &u64| counted.fetch_add(1, Ordering::SeqCst) + 1 == *number;
    Arc::new(move |when, operation| {
        let is_due = match &death {
            Death::BeforeRequest(number) => when == When::Before && operation.number == *number,
            Death::AfterWrite(number) => when == When::After && operation.kind.is_write() && is_reached(number),
            Death::AtKind { kind: of, number, after } => (when == When::After) == *after && kind(&operation) == *of && is_reached(number),
            Death::Never => false,
        };
        if is_due {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
        Box::pin(std::future::ready(()))
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it is what the crash tests run and kill"]
async fn obeys_and_dies() {
    let Ok(order) = env::var(ORDER) else { return };
    let Order { root, ahead, work, death } = serde_json::from_str(&order).unwrap();
    let world = World::at(&root).reconnected().await;
    let stores = tapped(&world.stores(), killer(death.clone()));
    let outcome = match work {
        Work::Backup { policy } => world.back_up(&policy, &stores, ahead).await.unwrap().outcome,
        Work::Restore { policy, number, target } => world.restore(&policy, number, &target, &stores).await.unwrap().outcome,
        Work::Copy { policy } => {
            let between = tapped(&Stores { data: world.store("repository"), control: world.store("other") }, killer(death));
            world.copy_to_other(&policy, &*between.data, &*between.control).await
        }
    };
    assert!(outcome.is_success(), "{outcome:?}");
}
