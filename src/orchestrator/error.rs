//! What can go wrong with a run itself, as opposed to its steps.

use super::state::IllegalEvent;
use crate::{
    model::{ObjectKey, PolicyName, RunId},
    storage::StoreError,
};

/// Why a run cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum OrchestratorError {
    /// Another process has written this number of the journal.
    #[error("another process has taken over run {run}")]
    LostRun {
        /// Which.
        run: RunId,
    },
    /// Another process goes on with it, and this one has ended what it had begun.
    #[error("process {pid} of {machine} goes on with run {run}{why}; this one has stopped what it was doing")]
    TakenOver {
        /// Which.
        run: RunId,
        /// Whose it is now.
        pid: u32,
        /// Where.
        machine: String,
        /// By whom and why, if a person decided.
        why: String,
    },
    /// It could not be journalled for too long that this process is at work.
    #[error(
        "for more than {seconds} s nothing could be journalled for run {run}, so another process may go on with it; this one has stopped what it was doing"
    )]
    LeaseLost {
        /// Which.
        run: RunId,
        /// The length of a lease.
        seconds: u64,
    },
    /// The kernel would not hold the lease of a run.
    #[error("cannot set a timer of the kernel")]
    Fuse(#[source] std::io::Error),
    /// The control store failed.
    #[error("cannot reach the journal of run {run}")]
    Journal {
        /// Of which run.
        run: RunId,
        /// Why.
        source: StoreError,
    },
    /// The control store failed.
    #[error("cannot list the runs")]
    Control(#[source] StoreError),
    /// The repository refused.
    #[error(transparent)]
    Repository(#[from] crate::repository::RepositoryError),
    /// What an earlier run has left cannot be put right.
    #[error(transparent)]
    Backup(#[from] crate::backup::BackupError),
    /// A background task was torn down with the runtime.
    #[error("the work was torn down")]
    TornDown,
    /// A journal that does not make sense.
    #[error("the journal does not make sense")]
    Illegal(#[from] IllegalEvent),
    /// There is no such run.
    #[error("there is no run {run}")]
    NoRun {
        /// Which.
        run: RunId,
    },
    /// Somebody still works on it, or may.
    #[error("run {run} belongs to process {pid} of {machine}, which {why}")]
    Busy {
        /// Which.
        run: RunId,
        /// Whose.
        pid: u32,
        /// Where.
        machine: String,
        /// Why it is not free.
        why: &'static str,
    },
    /// Another run recovers the same.
    #[error("run {run} recovers {policy} already, and is {phase}")]
    Underway {
        /// Which.
        run: RunId,
        /// What it recovers.
        policy: PolicyName,
        /// Where it is.
        phase: &'static str,
    },
    /// What lies in the control store about a part was not written by a holder of the key, or is something else.
    #[error("{key} in the control store cannot be believed: {why}")]
    Foreign {
        /// Which object.
        key: ObjectKey,
        /// What is wrong with it.
        why: String,
    },
    /// A worker was sent to do what nobody has planned.
    #[error("no part {part} of this kind is planned in run {run}")]
    Unplanned {
        /// Which.
        part: String,
        /// In which run.
        run: RunId,
    },
    /// A part could not be restored.
    #[error(transparent)]
    Restore(#[from] crate::restore::RestoreError),
    /// It has ended.
    #[error("run {run} has ended and never runs again by itself")]
    Ended {
        /// Which.
        run: RunId,
    },
}

impl OrchestratorError {
    pub(super) fn journal(run: &RunId) -> impl FnOnce(StoreError) -> OrchestratorError {
        let run = run.clone();
        move |source| OrchestratorError::Journal { run, source }
    }

    /// One thing to do or to check.
    pub fn hint(&self) -> Option<String> {
        match self {
            OrchestratorError::LostRun { .. } => Some("see who runs it with `hourglass runs show`".to_owned()),
            OrchestratorError::TakenOver { run, .. } => {
                Some(format!("`hourglass runs show {run}` shows how far the other one is; nothing is left to do here"))
            }
            OrchestratorError::LeaseLost { run, .. } => {
                Some(format!("see that this machine runs and reaches the control store, then `hourglass runs resume {run}` goes on"))
            }
            OrchestratorError::Fuse(_) => Some("see that what confines this process allows timer_create and timer_settime".to_owned()),
            OrchestratorError::Journal { source, .. } => source.hint().map(|hint| hint.to_string()),
            OrchestratorError::Control(source) => source.hint().map(|hint| hint.to_string()),
            OrchestratorError::Repository(error) => error.hint().map(|hint| hint.to_string()),
            OrchestratorError::Backup(error) => error.hint(),
            OrchestratorError::Restore(error) => error.hint(),
            OrchestratorError::Foreign { .. } => Some("give the key file that the run was begun with".to_owned()),
            OrchestratorError::Unplanned { .. } => Some("`hourglass backup` and `hourglass restore` plan parts and start their workers".to_owned()),
            OrchestratorError::TornDown => None,
            OrchestratorError::Illegal(_) => Some("the control store was written to by something else; begin a new run".to_owned()),
            OrchestratorError::NoRun { .. } => Some("`hourglass runs list` shows the runs that there are".to_owned()),
            OrchestratorError::Busy { .. } => {
                Some("wait for it, or end that process; `hourglass runs takeover` goes on for one that cannot be ended".to_owned())
            }
            OrchestratorError::Underway { run, .. } => Some(format!(
                "`hourglass runs resume {run}` goes on with it once its process is gone, `hourglass runs abort {run} --reason TEXT` gives it up"
            )),
            OrchestratorError::Ended { .. } => Some("begin a new run".to_owned()),
        }
    }
}
