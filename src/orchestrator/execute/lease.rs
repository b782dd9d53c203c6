//! How long a process may act for a run: it says from time to time that it does, and when that does not work it ends what it has begun.

use std::{sync::Weak, time::Duration};

use super::Run;
use crate::orchestrator::{
    OrchestratorError,
    process::Process,
    state::{Ground, JournalEvent},
};

/// For how long a process may act after it last journalled something. See docs/format/journal.md.
pub const LEASE: Duration = Duration::from_secs(60);
/// How long nothing is journalled at most while a process is at work.
const BEAT: Duration = Duration::from_secs(15);
/// How often that is looked at.
const BEAT_TICK: Duration = Duration::from_secs(1);
/// How long steps may take to end when their process has lost the run.
pub(super) const GIVE_UP: Duration = Duration::from_secs(20);

impl Run {
    /// Acts no more: what it has begun is ended, and nothing is begun.
    pub(super) fn lose(&self) {
        if let Some(lease) = &self.lease {
            lease.end();
            self.ctx.cancel.stop();
        }
    }

    /// Waits until the run is lost.
    pub(super) async fn lost(&self) {
        self.ctx.cancel.stopped().await;
        if self.lease.as_ref().is_none_or(|lease| lease.left().is_some()) {
            std::future::pending::<()>().await;
        }
    }

    /// Who has it instead, as far as the journal can be read now.
    pub(super) async fn explain_loss(&self, error: OrchestratorError) -> OrchestratorError {
        let run = self.snapshot().plan.run;
        let last = async {
            let tail = self.journal.lock().await.read().await.ok()?;
            tail.records.into_iter().rev().find_map(|record| match record.event {
                JournalEvent::RunStarted { process, .. } | JournalEvent::Resumed { process } => Some((process, String::new())),
                JournalEvent::TakenOver { process, by, reason, .. } => Some((process, format!(": {by} decided so ({reason})"))),
                _ => None,
            })
        };
        match tokio::time::timeout(GIVE_UP, last).await {
            Ok(Some((process, why))) if process != Process::current() => {
                OrchestratorError::TakenOver { run, pid: process.pid, machine: process.machine, why }
            }
            _ if matches!(error, OrchestratorError::LostRun { .. }) => error,
            _ => OrchestratorError::LeaseLost { run, seconds: LEASE.as_secs() },
        }
    }
}

/// Who takes a run over, and why that may be done.
#[derive(Debug, Clone)]
pub struct Taking {
    /// Who decided.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Why it may be done.
    pub ground: Ground,
    /// Number of the last record that was there when that was found: whoever writes another one is at work.
    pub after: u64,
}

/// Journals from time to time that the run is at work, until nobody holds it. When that does not work for too long, the run is lost.
pub(super) async fn beat(run: Weak<Run>) {
    loop {
        tokio::time::sleep(BEAT_TICK).await;
        let Some(run) = run.upgrade() else { return };
        let Some(lease) = run.lease.as_ref().filter(|_| run.state().ended.is_none()) else { return };
        match lease.left() {
            Some(left) if left + BEAT > LEASE => {}
            Some(left) => {
                // A store that is out of reach is asked again, as long as there is time.
                let _tried = tokio::time::timeout(left, run.record(JournalEvent::Beat)).await;
            }
            None => return run.lose(),
        }
    }
}
