//! How long a process may act for a run: it says from time to time that it does, and when that does not work it ends what it has begun. A fuse ends
//! one that does not even come to that.

use std::{
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use tokio::sync::Mutex as AsyncMutex;

use super::{Fuse, Run};
use crate::{
    model::{Action, Context, Lease},
    orchestrator::{
        OrchestratorError,
        journal::Journal,
        process::Process,
        state::{Ground, JournalEvent, RunState},
    },
};

/// For how long a process may act after it last journalled something. See docs/format/journal.md.
pub const LEASE: Duration = Duration::from_secs(60);
/// How long nothing is journalled at most while a process is at work.
const BEAT: Duration = Duration::from_secs(15);
/// How often that is looked at.
const BEAT_TICK: Duration = Duration::from_secs(1);
/// How long before its end a process that is at work gives a lease up, so that it ends by itself, and not by the fuse.
const MARGIN: Duration = Duration::from_secs(5);
/// How long steps may take to end when their process has lost the run.
pub(super) const GIVE_UP: Duration = Duration::from_secs(20);
/// How long after that the process is ended.
const LAST: Duration = Duration::from_secs(30);

impl Run {
    /// A run of an operator's has a lease, and a task that renews it as long as the run is held. Captures have none: a new run takes over what
    /// they have stored, and their entries are conditional.
    pub(super) fn with(state: RunState, journal: Journal, lease: Lease, ctx: &Context) -> Result<Arc<Run>, OrchestratorError> {
        let restores = state.plan.steps.iter().any(|step| matches!(step.action, Action::Restore { .. }));
        let lease = (restores || state.plan.recovery.is_some()).then_some(lease);
        let cancel = lease.as_ref().map_or_else(|| ctx.cancel.clone(), |lease| ctx.cancel.within(lease.clone()));
        let ctx = Context { cancel, ..ctx.clone() };
        let fuse = lease.as_ref().map(Fuse::of).transpose().map_err(OrchestratorError::Fuse)?;
        let place = journal.place();
        let run = Arc::new(Run { state: Mutex::new(state), journal: AsyncMutex::new(journal), lease, fuse, place, ctx });
        if run.lease.is_some() {
            tokio::spawn(beat(Arc::downgrade(&run)));
        }
        Ok(run)
    }

    /// What was asked at this moment was journalled; nothing is, after the end of the run.
    pub(super) fn renew(&self, asked: Instant, ends: bool) -> Result<(), OrchestratorError> {
        let (Some(lease), Some(fuse)) = (&self.lease, &self.fuse) else { return Ok(()) };
        lease.renew(asked);
        if ends { fuse.put_out() } else { fuse.follow(lease) }.map_err(OrchestratorError::Fuse)
    }

    /// Acts no more: what it has begun is ended, and nothing is begun.
    pub(super) fn lose(&self) {
        let (Some(lease), Some(fuse)) = (&self.lease, &self.fuse) else { return };
        if lease.end() {
            // Where it cannot be set it stays as it was, which is sooner.
            let _sooner = fuse.leave(LAST);
        }
        self.ctx.cancel.stop();
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
            _ => OrchestratorError::LeaseLost { run, seconds: (LEASE - MARGIN).as_secs() },
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
        match lease.left().and_then(|left| left.checked_sub(MARGIN)) {
            Some(left) if left + MARGIN + BEAT > LEASE => {}
            Some(left) => {
                // A store that is out of reach is asked again, as long as there is time.
                let _tried = tokio::time::timeout(left, run.record(JournalEvent::Beat)).await;
            }
            None => return run.lose(),
        }
    }
}
