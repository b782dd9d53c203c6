//! How slots ended, as far as a ledger tells: what status, calendar, metrics and conditions count.

use serde::Serialize;

use super::ledger::{
    Entry,
    event::{End, Happened, Span},
};
use crate::model::{RecoveryPointId, Timestamp};

/// How a slot ended, or several of which the same is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotStatus {
    /// The oldest.
    pub first: Timestamp,
    /// The newest.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
    /// How.
    pub end: SlotEnd,
    /// The point that was made.
    pub point: Option<RecoveryPointId>,
    /// Why it is not done, for a person.
    pub why: Option<String>,
}

/// How a slot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotEnd {
    /// With a complete point.
    Done,
    /// With a point that lacks something.
    Incomplete,
    /// Without a point.
    Failed,
    /// Without a run.
    Missed,
    /// Another slot's run stands for it.
    CaughtUp,
}

impl SlotEnd {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            SlotEnd::Done => "done",
            SlotEnd::Incomplete => "incomplete",
            SlotEnd::Failed => "failed",
            SlotEnd::Missed => "missed",
            SlotEnd::CaughtUp => "caught-up",
        }
    }
}

/// Slots by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Slots {
    /// With a complete point.
    pub done: u64,
    /// With a point that lacks something.
    pub incomplete: u64,
    /// Without a point.
    pub failed: u64,
    /// Without a run.
    pub missed: u64,
    /// Another slot's run stands for them.
    pub caught_up: u64,
}

impl Slots {
    /// Each count with the word for its end.
    pub fn by_end(&self) -> [(&'static str, u64); 5] {
        [("done", self.done), ("incomplete", self.incomplete), ("failed", self.failed), ("missed", self.missed), ("caught-up", self.caught_up)]
    }
}

/// The slots that an entry says are over.
pub(super) fn over(entry: &Entry) -> Option<SlotStatus> {
    let of = |span: &Span, end, why: Option<&String>| SlotStatus {
        first: span.first,
        last: span.last,
        count: span.count,
        end,
        point: None,
        why: why.cloned(),
    };
    match &entry.event {
        Happened::Ended { slot, end, point, why, .. } => {
            let end = match end {
                End::Done => SlotEnd::Done,
                End::Incomplete => SlotEnd::Incomplete,
                End::Failed => SlotEnd::Failed,
            };
            Some(SlotStatus { point: point.clone(), ..of(&Span::extend(None, slot.at), end, why.as_ref()) })
        }
        Happened::Missed { slots, why } => Some(of(slots, SlotEnd::Missed, Some(why))),
        Happened::Begun { caught_up: Some(slots), .. } => Some(of(slots, SlotEnd::CaughtUp, None)),
        _ => None,
    }
}

/// How many ended how.
pub(super) fn count(history: &[Entry]) -> Slots {
    let mut slots = Slots::default();
    for slot in history.iter().flat_map(over) {
        let counted = match slot.end {
            SlotEnd::Done => &mut slots.done,
            SlotEnd::Incomplete => &mut slots.incomplete,
            SlotEnd::Failed => &mut slots.failed,
            SlotEnd::Missed => &mut slots.missed,
            SlotEnd::CaughtUp => &mut slots.caught_up,
        };
        *counted += slot.count;
    }
    slots
}
