//! What happens, as data. The terminal, the log and the tests are observers of one stream of events.

use serde::Serialize;

use super::{ByteCount, Outcome, Problem, RunId, Seconds, StepId};

/// One thing that happened in a run.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run began or was resumed.
    RunStarted {
        /// Which.
        run: RunId,
        /// What it does, for a person.
        what: String,
        /// How many steps its plan has.
        steps: usize,
    },
    /// A step began.
    StepStarted {
        /// Which.
        step: StepId,
        /// What it does, for a person.
        what: String,
    },
    /// Work of a step so far; counts only grow.
    Progress {
        /// Which.
        step: StepId,
        /// Bytes read from a source, or written to a target.
        bytes: ByteCount,
        /// How many there will be, when that is known.
        total: Option<ByteCount>,
        /// Files, tables or objects.
        items: u64,
    },
    /// Something went wrong and the work goes on.
    Problem(Problem),
    /// Something that a person may want to know.
    Note {
        /// Said in one line.
        text: String,
    },
    /// Where a recovery is on its clock.
    Clock {
        /// Which run.
        run: RunId,
        /// Since it was declared.
        elapsed: Seconds,
        /// When the service should be there, counted the same way.
        objective: Seconds,
        /// When it is going to be there, as far as budgets say.
        forecast: Seconds,
        /// Steps that are done.
        done: usize,
        /// All steps.
        steps: usize,
        /// Steps that wait for a person.
        stuck: usize,
    },
    /// A step ended.
    StepEnded {
        /// Which.
        step: StepId,
        /// How.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// The run ended.
    RunEnded {
        /// Which.
        run: RunId,
        /// How.
        #[serde(flatten)]
        outcome: Outcome,
    },
}

/// Receives events. Must return quickly and must not fail.
pub trait Observer: Send + Sync + std::fmt::Debug {
    /// Takes notice of one event.
    fn event(&self, event: &Event);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn event(&self, _event: &Event) {}
}
