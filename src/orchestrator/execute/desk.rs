//! What people say to a run that goes on, and what they are told of it.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Run;
use crate::{
    model::{Event, Outcome, Problem, StepId},
    orchestrator::{
        OrchestratorError,
        order::{Bend, Desk, Order},
        output::Output,
        recovery::screen,
        state::{JournalEvent, StepState},
    },
};

impl Run {
    /// Takes what was ordered before this process came, and listens for more.
    pub(super) async fn open_desk(self: &Arc<Run>, desk: &Desk) -> Result<mpsc::Receiver<Order>, OrchestratorError> {
        let state = self.snapshot();
        for step in state.steps.iter().filter(|(_, state)| **state == StepState::Started).map(|(step, _)| step) {
            let what = "it was begun, and nobody knows whether it was done; look, then say done, retry or skip".to_owned();
            let outcome = Outcome::Stuck { problem: Problem { subject: step.to_string(), what } };
            self.record(JournalEvent::StepEnded { step: step.clone(), outcome, output: Output::Nothing }).await?;
        }
        let mut taken = state.orders.last().map_or(0, |(order, _)| order.number);
        for order in desk.waiting(&state.plan.run, taken).await? {
            taken = order.number;
            self.take(order).await?;
        }
        let state = self.snapshot();
        state.unsatisfied().into_iter().for_each(|(step, _)| self.explain(step));
        Ok(desk.listen(&state.plan.run, taken))
    }

    pub(super) async fn take(self: &Arc<Run>, order: Order) -> Result<(), OrchestratorError> {
        let refused = self.state().refusal(&order.bend, &order.by).map(str::to_owned);
        let verdict = refused.as_ref().map_or(String::new(), |why| format!("; it changes nothing: {why}"));
        let text = format!("{} orders: {} ({}){verdict}", order.by, order.bend.describe(), order.reason);
        let aborts = refused.is_none() && matches!(order.bend, Bend::Abort { .. });
        self.record(JournalEvent::Ordered { order, refused }).await?;
        self.ctx.observer.event(&Event::Note { text });
        if aborts && !self.ctx.cancel.is_draining() {
            self.ctx.cancel.raise();
        }
        Ok(())
    }

    /// Shows what a person can do about a step that lets nothing go on.
    pub(super) fn explain(&self, step: &StepId) {
        let state = self.state();
        if state.plan.recovery.is_some() && !state.satisfies(step) && !self.ctx.cancel.is_draining() {
            self.ctx.observer.event(&Event::Note { text: screen::failed(&state, step) });
        }
    }
}

/// The next order; never, where nobody can give one.
pub(super) async fn next(orders: &mut Option<mpsc::Receiver<Order>>) -> Option<Order> {
    match orders {
        Some(orders) => orders.recv().await,
        None => std::future::pending().await,
    }
}
