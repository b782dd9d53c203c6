//! What a ledger says happened, and of which slots. Format: docs/format/ledger.md.

use serde::{Deserialize, Serialize};

use crate::{
    model::{RecoveryPointId, RunId, Timestamp},
    orchestrator::process::Process,
};

/// A moment at which a policy is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// When.
    pub at: Timestamp,
    /// The order that asked for it; none when the schedule did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u64>,
}

/// Slots that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The oldest.
    pub first: Timestamp,
    /// The newest.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
}

impl Span {
    /// Joins one more slot at the end.
    pub fn extend(span: Option<Span>, slot: Timestamp) -> Span {
        span.map_or(Span { first: slot, last: slot, count: 1 }, |span| Span { last: slot, count: span.count + 1, ..span })
    }
}

/// How a slot ends for which a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// A complete point was made.
    Done,
    /// A point was made, and something is missing.
    Incomplete,
    /// No point was made.
    Failed,
}

impl End {
    /// Its name, as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            End::Done => "done",
            End::Incomplete => "incomplete",
            End::Failed => "failed",
        }
    }
}

/// What a person wants of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// Nothing is to begin by itself.
    Pause,
    /// Slots are due again.
    Resume,
    /// A run is to begin now.
    Run,
}

impl Wish {
    /// Its name, as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Wish::Pause => "pause",
            Wish::Resume => "resume",
            Wish::Run => "run",
        }
    }
}

/// A schedule in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watched {
    /// Five fields; null when nothing is due by itself.
    pub schedule: Option<String>,
    /// Its time zone.
    pub time_zone: String,
    /// Slots after this are due.
    pub from: Timestamp,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Happened {
    /// A process leads from here on.
    Led {
        /// Which.
        process: Process,
        /// Of which installation.
        identity: String,
    },
    /// Slots are due by this schedule.
    Watched(Watched),
    /// A run is about to begin.
    Begun {
        /// For this slot.
        slot: Slot,
        /// Which.
        run: RunId,
        /// It stands for these too.
        caught_up: Option<Span>,
    },
    /// The run made no complete point.
    Tried {
        /// Which.
        run: RunId,
        /// An incomplete one that it made.
        point: Option<RecoveryPointId>,
        /// Why, for a person.
        why: String,
        /// Whether it counts against the retries.
        counts: bool,
        /// When the slot may be tried again.
        not_before: Timestamp,
    },
    /// The slot is over.
    Ended {
        /// Which.
        slot: Slot,
        /// The last run for it.
        run: Option<RunId>,
        /// How.
        end: End,
        /// The point that was made.
        point: Option<RecoveryPointId>,
        /// Why it is not done, for a person.
        why: Option<String>,
    },
    /// Slots are over for which nothing began.
    Missed {
        /// Which.
        slots: Span,
        /// Why, for a person.
        why: String,
    },
    /// An order was taken.
    Ordered {
        /// Its number.
        number: u64,
        /// What it wanted; null when it cannot be read.
        what: Option<Wish>,
        /// Who gave it.
        by: String,
        /// Why, in their words.
        reason: String,
        /// Why it changes nothing, if so.
        refused: Option<String>,
    },
    /// The clock went back: what was said of later slots was said too early.
    SetBack {
        /// To when.
        to: Timestamp,
    },
}

impl Happened {
    /// What it says, for a person.
    pub fn sentence(&self) -> String {
        let named = |slot: &Slot| match slot.order {
            Some(order) => format!("order {order}"),
            None => format!("slot {}", slot.at),
        };
        let counted = |slots: &Span| match slots.count {
            1 => format!("slot {}", slots.first),
            count => format!("{count} slots from {} to {}", slots.first, slots.last),
        };
        match self {
            Happened::Led { process, identity } => format!("process {} of {} leads ({identity})", process.pid, process.machine),
            Happened::Watched(Watched { schedule: Some(schedule), time_zone, .. }) => format!("due by {schedule} in {time_zone}"),
            Happened::Watched(_) => "nothing is due by itself".to_owned(),
            Happened::Begun { slot, run, caught_up: None } => format!("{}: run {run} begins", named(slot)),
            Happened::Begun { slot, run, caught_up: Some(slots) } => format!("{}: run {run} begins, also for {}", named(slot), counted(slots)),
            Happened::Tried { run, why, .. } => format!("run {run} made no complete point: {why}"),
            Happened::Ended { slot, end, point, why, .. } => {
                let point = point.as_ref().map_or(String::new(), |point| format!(", point {point}"));
                let why = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
                format!("{}: {}{point}{why}", named(slot), end.as_str())
            }
            Happened::Missed { slots, why } => format!("{}: missed: {why}", counted(slots)),
            Happened::Ordered { number, refused: Some(why), .. } => format!("order {number} is refused: {why}"),
            Happened::Ordered { number, what, by, reason, .. } => {
                format!("order {number}: {} by {by} ({reason})", what.map_or("nothing", Wish::as_str))
            }
            Happened::SetBack { to } => format!("the clock went back to {to}; what was said of later slots is void"),
        }
    }
}
