//! What orders do to the state of a run: which can be obeyed, what changes, what may go on, and what waits for a person.

use super::{
    order::{Bend, Order},
    output::Output,
    state::{RunState, StepState},
};
use crate::model::{Action, Outcome, Problem, StepId};

/// Whether a step waited for an answer for as long as it may, and can ask again.
fn unanswered(state: &StepState, action: Option<&Action>) -> bool {
    matches!(state, StepState::Ended(Outcome::Stuck { .. }, _)) && action.is_some_and(Action::is_repeatable)
}

impl RunState {
    /// Why an order of this person cannot be obeyed now.
    pub fn refusal(&self, bend: &Bend, by: &str) -> Option<&'static str> {
        let Some(recovery) = &self.plan.recovery else { return Some("only a recovery can be bent") };
        let action = |id: &StepId| self.plan.steps.iter().find(|step| step.id == *id).map(|step| &step.action);
        let state = bend.step().map(|id| self.steps.get(id));
        match (bend, state) {
            (_, Some(None)) => Some("the plan has no such step"),
            (Bend::Approve { step }, Some(Some(state))) => match action(step) {
                action if matches!(state, StepState::Ended(..)) && !unanswered(state, action) => Some("the step has ended"),
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

    /// Does what an order says that is not refused.
    pub(super) fn obey(&mut self, order: &Order) {
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
            // Its question was given up meanwhile; now it has its answer.
            Bend::Approve { step } if matches!(self.steps.get(step), Some(StepState::Ended(..))) => {
                self.steps.insert(step.clone(), StepState::Waiting);
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
}
