//! The life of a step and of a run: two small state machines, and the only way from one state to the next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{order::Order, output::Output, process::Process};
use crate::model::{Action, Outcome, Plan, Problem, StepId};

/// What the journal says happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum JournalEvent {
    /// The run began with this plan.
    RunStarted {
        /// The plan.
        plan: Plan,
        /// Who runs it.
        process: Process,
    },
    /// Another process of this machine goes on with it.
    Resumed {
        /// Who runs it now.
        process: Process,
    },
    /// A process of anywhere goes on with it in place of one that may not be gone.
    TakenOver {
        /// Who runs it now.
        process: Process,
        /// Who decided.
        by: String,
        /// Why.
        reason: String,
        /// Why it may be done.
        ground: Ground,
    },
    /// Its process is at work: written when nothing else is.
    Beat,
    /// A step is about to be done.
    StepStarted {
        /// Which.
        step: StepId,
    },
    /// Something that was reached inside a step and need not be done again.
    Checkpoint {
        /// Which step.
        step: StepId,
        /// What was reached.
        output: Output,
    },
    /// A step ended.
    StepEnded {
        /// Which.
        step: StepId,
        /// How.
        outcome: Outcome,
        /// What later steps need of it.
        output: Output,
    },
    /// A person gave an order.
    Ordered {
        /// Which.
        order: Order,
        /// Why it changes nothing, if it does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// The run ended.
    RunEnded {
        /// How.
        outcome: Outcome,
    },
}

/// Why a run may be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ground {
    /// Its process is gone, as this machine sees.
    Gone,
    /// A person says that it is stopped.
    Said,
    /// For longer than its lease and its longest effect nothing was journalled.
    Silent,
}

/// Where a step is.
#[derive(Debug, Clone, PartialEq)]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// Begun; after a crash: begun and not known to have ended.
    Started,
    /// Ended.
    Ended(Outcome, Output),
}

/// An event that cannot follow what came before: the journal was written by something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot follow: {why}")]
pub struct IllegalEvent {
    /// The event.
    pub event: String,
    /// Why not.
    pub why: &'static str,
}

/// A run, as its journal tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// The plan.
    pub plan: Plan,
    /// Who runs it, last.
    pub process: Process,
    /// Each step of the plan.
    pub steps: BTreeMap<StepId, StepState>,
    /// Checkpoints, in order.
    pub checkpoints: Vec<(StepId, Output)>,
    /// Orders, in the order of their numbers; why one changed nothing, if it did not.
    pub orders: Vec<(Order, Option<String>)>,
    /// How it ended, if it has.
    pub ended: Option<Outcome>,
}

impl RunState {
    /// The state after the first event of a journal.
    ///
    /// # Errors
    /// When that is not a `run-started`.
    pub fn begin(event: JournalEvent) -> Result<RunState, IllegalEvent> {
        let JournalEvent::RunStarted { plan, process } = event else {
            return Err(IllegalEvent { event: format!("{event:?}"), why: "a run begins with run-started" });
        };
        let steps = plan.steps.iter().map(|step| (step.id.clone(), StepState::Waiting)).collect();
        Ok(RunState { plan, process, steps, checkpoints: Vec::new(), orders: Vec::new(), ended: None })
    }

    /// Whether an event can follow.
    ///
    /// # Errors
    /// When it cannot.
    pub fn allows(&self, event: &JournalEvent) -> Result<(), IllegalEvent> {
        let refused = match (event, &self.ended) {
            (_, Some(_)) => Some("the run has ended"),
            (JournalEvent::RunStarted { .. }, None) => Some("the run has begun"),
            (JournalEvent::StepStarted { step }, None) => match self.steps.get(step) {
                Some(StepState::Waiting | StepState::Started) => None,
                Some(StepState::Ended(..)) => Some("the step has ended"),
                None => Some("the plan has no such step"),
            },
            (JournalEvent::StepEnded { step, .. }, None) => match self.steps.get(step) {
                Some(StepState::Started) => None,
                Some(_) => Some("the step is not running"),
                None => Some("the plan has no such step"),
            },
            (JournalEvent::Ordered { order, refused: None }, None) => self.refusal(&order.bend, &order.by),
            (JournalEvent::Ordered { .. } | JournalEvent::Resumed { .. } | JournalEvent::TakenOver { .. } | JournalEvent::Beat, None) => None,
            (JournalEvent::Checkpoint { .. } | JournalEvent::RunEnded { .. }, None) => None,
        };
        refused.map_or(Ok(()), |why| Err(IllegalEvent { event: format!("{event:?}"), why }))
    }

    /// The state after one more event.
    ///
    /// # Errors
    /// When the event cannot follow.
    pub fn next(mut self, event: JournalEvent) -> Result<RunState, IllegalEvent> {
        self.advance(event)?;
        Ok(self)
    }

    /// As [`RunState::next`], in place; unchanged when the event cannot follow.
    ///
    /// # Errors
    /// When the event cannot follow.
    pub fn advance(&mut self, event: JournalEvent) -> Result<(), IllegalEvent> {
        self.allows(&event)?;
        match event {
            JournalEvent::RunStarted { .. } => {}
            JournalEvent::Beat => {}
            JournalEvent::Resumed { process } | JournalEvent::TakenOver { process, .. } => {
                self.process = process;
                // What did not succeed is tried again, unless that could do it twice.
                for step in self.plan.steps.iter().filter(|step| step.action.is_repeatable()) {
                    let state = self.steps.get_mut(&step.id).expect("every step of the plan has a state");
                    if !matches!(state, StepState::Ended(Outcome::Succeeded | Outcome::Incomplete { .. }, _)) {
                        *state = StepState::Waiting;
                    }
                }
            }
            JournalEvent::Checkpoint { step, output } => self.checkpoints.push((step, output)),
            JournalEvent::Ordered { order, refused } => {
                if refused.is_none() {
                    self.obey(&order);
                }
                self.orders.push((order, refused));
            }
            JournalEvent::RunEnded { outcome } => self.ended = Some(outcome),
            JournalEvent::StepStarted { step } => drop(self.steps.insert(step, StepState::Started)),
            JournalEvent::StepEnded { step, outcome, output } => drop(self.steps.insert(step, StepState::Ended(outcome, output))),
        }
        Ok(())
    }

    /// How the run ends when nothing is left to do: as its manifest says, where it writes one; else as the worst of its steps.
    pub fn outcome(&self) -> Outcome {
        let commits = self.plan.steps.iter().filter(|step| matches!(step.action, Action::Commit { .. }));
        for commit in commits {
            if let Some(StepState::Ended(outcome, _)) = self.steps.get(&commit.id) {
                return outcome.clone();
            }
        }
        let mut missing = Vec::new();
        let mut worst: Option<&Outcome> = None;
        let rank = |outcome: &Outcome| match outcome {
            Outcome::Stuck { .. } => 3,
            Outcome::Cancelled { .. } => 2,
            Outcome::Failed { .. } => 1,
            Outcome::Succeeded | Outcome::Incomplete { .. } => 0,
        };
        for (id, state) in &self.steps {
            match state {
                StepState::Ended(Outcome::Succeeded, _) => {}
                StepState::Ended(Outcome::Incomplete { missing: parts }, _) => missing.extend(parts.iter().cloned()),
                StepState::Ended(outcome, _) if worst.is_none_or(|w| rank(outcome) > rank(w)) => worst = Some(outcome),
                StepState::Ended(..) => {}
                StepState::Waiting | StepState::Started => {
                    missing.push(Problem { subject: id.to_string(), what: "it was not done".to_owned() });
                }
            }
        }
        match worst {
            Some(outcome) => outcome.clone(),
            None if missing.is_empty() => Outcome::Succeeded,
            None => {
                missing.truncate(1000);
                Outcome::Incomplete { missing }
            }
        }
    }
}
