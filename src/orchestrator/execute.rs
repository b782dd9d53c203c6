//! Runs a plan: starts what may start, journals before and after, stops at a safe point when asked.

use std::{collections::BTreeSet, future::Future, sync::Arc};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::sync::Mutex;

use super::{
    OrchestratorError,
    journal::Journal,
    output::{Output, StepEnd},
    process::Process,
    state::{JournalEvent, RunState, StepState},
};
use crate::model::{Action, Context, Event, Outcome, Plan, Problem, Step, StepId, outcome::explain};

/// Steps that run at the same time at most.
const PARALLEL_MAX: usize = 4;

/// A run that goes on: its state and the journal that it is told to.
#[derive(Debug)]
pub struct Run {
    state: Mutex<RunState>,
    journal: Mutex<Journal>,
    ctx: Context,
    begun_before: BTreeSet<StepId>,
}

impl Run {
    /// Journals the beginning of a new run.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn begin(plan: Plan, mut journal: Journal, ctx: &Context) -> Result<Arc<Run>, OrchestratorError> {
        let event = JournalEvent::RunStarted { plan, process: Process::current() };
        journal.append(event.clone(), ctx.clock.now()).await?;
        Ok(Arc::new(Run {
            state: Mutex::new(RunState::begin(event)?),
            journal: Mutex::new(journal),
            ctx: ctx.clone(),
            begun_before: BTreeSet::new(),
        }))
    }

    /// Journals that this process goes on with a run.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn resume(state: RunState, mut journal: Journal, ctx: &Context) -> Result<Arc<Run>, OrchestratorError> {
        let event = JournalEvent::Resumed { process: Process::current() };
        journal.append(event.clone(), ctx.clock.now()).await?;
        let begun = |(id, state): (&StepId, &StepState)| (*state == StepState::Started).then(|| id.clone());
        let state = state.next(event)?;
        let begun_before = state.steps.iter().filter_map(begun).collect();
        Ok(Arc::new(Run { state: Mutex::new(state), journal: Mutex::new(journal), ctx: ctx.clone(), begun_before }))
    }

    /// Whether an earlier process of this run had begun a step without ending it.
    pub fn was_begun(&self, step: &StepId) -> bool {
        self.begun_before.contains(step)
    }

    /// The run's id, the same for every process that works on it.
    pub async fn id(&self) -> String {
        self.state.lock().await.plan.run.to_string()
    }

    /// Components of a restore step that its target has whole, as far as they were journalled.
    pub async fn written(&self, step: &StepId) -> BTreeSet<u32> {
        let state = self.state.lock().await;
        let of_step = state.checkpoints.iter().filter(|(of, _)| of == step);
        of_step
            .filter_map(|(_, output)| if let Output::Written { components } = output { Some(components) } else { None })
            .flatten()
            .copied()
            .collect()
    }

    async fn record(&self, event: JournalEvent) -> Result<(), OrchestratorError> {
        let mut state = self.state.lock().await;
        state.allows(&event)?;
        self.journal.lock().await.append(event.clone(), self.ctx.clock.now()).await?;
        Ok(state.advance(event)?)
    }

    /// Journals what a step has reached, so that it is not done again after a crash.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn checkpoint(&self, step: &StepId, output: Output) -> Result<(), OrchestratorError> {
        self.record(JournalEvent::Checkpoint { step: step.clone(), output }).await
    }

    /// What steps have left for later ones, and checkpoints, so far.
    pub async fn snapshot(&self) -> RunState {
        self.state.lock().await.clone()
    }

    /// Runs what the journal does not yet show as ended. `perform` does one step and is safe to call twice for it.
    ///
    /// # Errors
    /// When the journal cannot be written: then nothing more is begun. What steps do is in the outcome instead.
    pub async fn execute<F, Fut>(self: &Arc<Run>, perform: F) -> Result<Outcome, OrchestratorError>
    where
        F: Fn(Arc<Run>, Step) -> Fut,
        Fut: Future<Output = StepEnd>,
    {
        let plan = self.snapshot().await.plan;
        self.ctx.observer.event(&Event::RunStarted { run: plan.run.clone(), what: plan.what.clone(), steps: plan.steps.len() });
        let mut running = FuturesUnordered::new();
        let mut begun = BTreeSet::new();
        loop {
            while running.len() < PARALLEL_MAX && !self.ctx.cancel.is_draining() {
                let Some(step) = self.next_ready(&begun).await else { break };
                begun.insert(step.id.clone());
                self.record(JournalEvent::StepStarted { step: step.id.clone() }).await?;
                self.ctx.observer.event(&Event::StepStarted { step: step.id.clone(), what: step.what.clone() });
                let work = perform(Arc::clone(self), step.clone());
                running.push(async move { (step.id, work.await) });
            }
            let Some((step, end)) = running.next().await else { break };
            let (outcome, output) = end;
            self.record(JournalEvent::StepEnded { step: step.clone(), outcome: outcome.clone(), output }).await?;
            self.ctx.observer.event(&Event::StepEnded { step, outcome });
        }
        self.end(&plan).await
    }

    async fn end(&self, plan: &Plan) -> Result<Outcome, OrchestratorError> {
        let state = self.snapshot().await;
        let unfinished = state.steps.values().any(|step| !matches!(step, StepState::Ended(..)));
        let outcome = match self.ctx.cancel.is_draining() && unfinished {
            true => Outcome::Cancelled { reason: "stopped by a signal".to_owned() },
            false => state.outcome(),
        };
        // A cancelled run stays open, so that it can be resumed; so does a restore that failed: what it has written is there.
        let restores = plan.steps.iter().any(|step| matches!(step.action, Action::Restore { .. }));
        let goes_on = matches!(outcome, Outcome::Cancelled { .. }) || (restores && matches!(outcome, Outcome::Failed { .. }));
        if !goes_on {
            self.record(JournalEvent::RunEnded { outcome: outcome.clone() }).await?;
        }
        self.ctx.observer.event(&Event::RunEnded { run: plan.run.clone(), outcome: outcome.clone() });
        Ok(outcome)
    }

    async fn next_ready(&self, begun: &BTreeSet<StepId>) -> Option<Step> {
        let state = self.state.lock().await;
        let ended = |id: &StepId| matches!(state.steps.get(id), Some(StepState::Ended(..)));
        let succeeded = |id: &StepId| matches!(state.steps.get(id), Some(StepState::Ended(Outcome::Succeeded | Outcome::Incomplete { .. }, _)));
        let ready = |step: &&Step| !ended(&step.id) && !begun.contains(&step.id) && step.needs.iter().all(succeeded) && step.after.iter().all(ended);
        state.plan.steps.iter().find(ready).cloned()
    }
}

/// The end of a step that did not happen.
pub fn failed(step: &StepId, error: &dyn std::error::Error) -> StepEnd {
    (Outcome::Failed { problem: Problem { subject: step.to_string(), what: explain(error) } }, Output::Nothing)
}
