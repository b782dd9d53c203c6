//! The life of a step and of a run: two small state machines, and the only way from one state to the next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    order::{Bend, Order},
    output::Output,
    process::Process,
};
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
            (JournalEvent::Ordered { .. } | JournalEvent::Resumed { .. } | JournalEvent::Checkpoint { .. } | JournalEvent::RunEnded { .. }, None) => {
                None
            }
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
            JournalEvent::Resumed { process } => {
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

    /// Why an order of this person cannot be obeyed now.
    pub fn refusal(&self, bend: &Bend, by: &str) -> Option<&'static str> {
        let Some(recovery) = &self.plan.recovery else { return Some("only a recovery can be bent") };
        let action = |id: &StepId| self.plan.steps.iter().find(|step| step.id == *id).map(|step| &step.action);
        let state = bend.step().map(|id| self.steps.get(id));
        match (bend, state) {
            (_, Some(None)) => Some("the plan has no such step"),
            (Bend::Approve { step }, Some(Some(state))) => match action(step) {
                _ if matches!(state, StepState::Ended(outcome, _) if !matches!(outcome, Outcome::Stuck { .. })) => Some("the step has ended"),
                Some(Action::Approve { question } | Action::Fence { attest: Some(question), .. }) => {
                    (!question.by.is_empty() && !question.by.iter().any(|name| name == by)).then_some("the runbook wants another person's answer")
                }
                _ => Some("the step asks nothing"),
            },
            (_, Some(Some(StepState::Ended(Outcome::Succeeded, _)))) => Some("the step has succeeded"),
            (_, Some(Some(StepState::Started))) => Some("the step is running"),
            (Bend::Retry { .. }, Some(Some(StepState::Waiting))) => Some("the step has not failed"),
            (Bend::Set { name, .. }, _) => match name.split_once('.') {
                None => (!recovery.variables.contains_key(name)).then_some("the runbook has no such variable"),
                Some((step, output)) => {
                    let outputs = step.parse().ok().and_then(|id| action(&id)?.command().map(|command| &command.outputs));
                    match outputs.and_then(|outputs| outputs.get(output)) {
                        None => Some("no step has such an output"),
                        Some(rule) => rule.secret.then_some("it is a secret, and orders are not encrypted"),
                    }
                }
            },
            _ => None,
        }
    }

    fn obey(&mut self, order: &Order) {
        let terms = |id: &StepId| self.plan.recovery.as_ref().and_then(|recovery| recovery.terms.get(id));
        let (by, reason) = (&order.by, &order.reason);
        match &order.bend {
            Bend::Retry { step } => drop(self.steps.insert(step.clone(), StepState::Waiting)),
            Bend::Skip { step } => {
                let missing = vec![Problem { subject: step.to_string(), what: format!("skipped by {by}: {reason}") }];
                let outcome = if terms(step).is_some_and(|terms| terms.optional) { Outcome::Succeeded } else { Outcome::Incomplete { missing } };
                self.steps.insert(step.clone(), StepState::Ended(outcome, Output::Decided { by: by.clone() }));
            }
            Bend::Done { step } => {
                let decided = StepState::Ended(Outcome::Succeeded, Output::Decided { by: by.clone() });
                self.steps.insert(step.clone(), decided);
            }
            Bend::Set { name, value } => {
                if let Some(recovery) = &mut self.plan.recovery {
                    recovery.variables.insert(name.clone(), value.clone());
                }
            }
            Bend::Approve { .. } | Bend::Abort { .. } => {}
        }
    }

    /// Orders that were obeyed, newest last.
    pub fn obeyed(&self) -> impl DoubleEndedIterator<Item = &Order> {
        self.orders.iter().filter(|(_, refused)| refused.is_none()).map(|(order, _)| order)
    }

    /// The order that ends the run, and whether to take things back.
    pub fn aborted(&self) -> Option<(&Order, bool)> {
        self.obeyed().find_map(|order| if let Bend::Abort { undo } = order.bend { Some((order, undo)) } else { None })
    }

    /// Whether what needs a step may begin. A recovery does not go on over what is incomplete unless a person says so.
    pub fn satisfies(&self, step: &StepId) -> bool {
        match self.steps.get(step) {
            Some(StepState::Ended(Outcome::Succeeded, _) | StepState::Ended(Outcome::Incomplete { .. }, Output::Decided { .. })) => true,
            Some(StepState::Ended(Outcome::Incomplete { .. }, _)) => self.plan.recovery.is_none(),
            _ => false,
        }
    }

    /// Steps that have ended and let nothing go on: a person has to bend them.
    pub fn unsatisfied(&self) -> Vec<(&StepId, &Outcome)> {
        let ended = |id: &'_ StepId| matches!(self.steps.get(id), Some(StepState::Ended(..))) && !self.satisfies(id);
        let found = self.steps.iter().filter(|(id, _)| ended(id));
        found.filter_map(|(id, state)| if let StepState::Ended(outcome, _) = state { Some((id, outcome)) } else { None }).collect()
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
