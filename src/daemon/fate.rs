//! What became of a run, and what that means for its slot.

use jiff::SignedDuration;

use super::ledger::{
    event::{End, Happened},
    state::Open,
};
use crate::model::{RecoveryPointId, RunId, Timestamp};

/// The wait before the first retry; each next one is twice as long.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(10);
/// No wait is longer.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(15);

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It made a complete point that somebody has been seen to open.
    Complete(RecoveryPointId),
    /// It made a complete point, and nobody is known to be able to open it (why).
    Closed(RecoveryPointId, String),
    /// It made an incomplete point (what is missing).
    Incomplete(RecoveryPointId, String),
    /// It made no point (why).
    Nothing(String),
    /// It was ended by a person or a signal before it made a point (why).
    Stopped(String),
    /// Its process is gone, or leads no more, and it made no point.
    Lost,
    /// It was a task's and is over (why it is not done): another try would find the same.
    Over(End, Option<String>),
}

/// The event that follows.
pub fn judge(open: &Open, run: &RunId, fate: Fate, now: Timestamp) -> Happened {
    let ended = |end, point, why| Happened::Ended { slot: open.slot, run: Some(run.clone()), end, point: Some(point), why };
    let tried = |point, why, counts, wait| Happened::Tried { run: run.clone(), point, why, counts, not_before: now + wait };
    match fate {
        Fate::Complete(point) => ended(End::Done, point, None),
        // Another run would store the same in the same vault.
        Fate::Closed(point, why) => ended(End::Incomplete, point, Some(why)),
        Fate::Incomplete(point, why) => tried(Some(point), why, true, wait(open.attempts)),
        Fate::Nothing(why) => tried(None, why, true, wait(open.attempts)),
        Fate::Stopped(why) => tried(None, why, false, SignedDuration::ZERO),
        Fate::Over(end, why) => Happened::Ended { slot: open.slot, run: Some(run.clone()), end, point: None, why },
        // It may be what ended the process.
        Fate::Lost => tried(None, "its process was lost".to_owned(), true, SignedDuration::ZERO),
    }
}

fn wait(attempts: u32) -> SignedDuration {
    FIRST_WAIT.saturating_mul(1 << attempts.min(10)).min(LONGEST_WAIT)
}
