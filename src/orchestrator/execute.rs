//! Runs a plan: starts what may start, journals before and after, stops at a safe point when asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{
    StreamExt,
    future::{Join, Ready, join, ready},
    stream::FuturesUnordered,
};
use tokio::sync::Mutex as AsyncMutex;

use super::{
    OrchestratorError,
    journal::Journal,
    order::{Bend, Desk, Order},
    output::{Output, StepEnd},
    part::Place,
    process::Process,
    recovery::screen,
    state::{JournalEvent, RunState, StepState},
};
use crate::model::{Action, Context, Event, Lease, Outcome, Plan, Problem, Step, StepId, outcome::advise};

mod desk;
mod fuse;
mod lease;

use fuse::Fuse;
use lease::GIVE_UP;
pub use lease::{LEASE, Taking};

/// Steps that run at the same time at most.
const PARALLEL_MAX: usize = 4;
/// The same of a recovery, whose steps mostly wait.
pub const BENDABLE_PARALLEL_MAX: usize = 16;
/// How often a recovery tells how late it is.
const TICK: Duration = Duration::from_secs(1);

/// Steps that are being done.
type Doing<Fut> = FuturesUnordered<Join<Ready<StepId>, Fut>>;

/// A run that goes on: its state and the journal that it is told to.
#[derive(Debug)]
pub struct Run {
    state: Mutex<RunState>,
    /// Held while something is written, so by a task of its own only: see [`Run::record`].
    journal: AsyncMutex<Journal>,
    /// Of a run that another process may take over.
    lease: Option<Lease>,
    fuse: Option<Fuse>,
    place: Place,
    ctx: Context,
}

impl Run {
    /// Journals the beginning of a new run.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn begin(plan: Plan, mut journal: Journal, ctx: &Context) -> Result<Arc<Run>, OrchestratorError> {
        let event = JournalEvent::RunStarted { plan, process: Process::current() };
        let lease = Lease::new(LEASE);
        journal.append(event.clone(), ctx.clock.now()).await?;
        Run::with(RunState::begin(event)?, journal, lease, ctx)
    }

    /// Journals that this process goes on with a run.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn resume(state: RunState, mut journal: Journal, taking: Option<Taking>, ctx: &Context) -> Result<Arc<Run>, OrchestratorError> {
        let process = Process::current();
        let event = match taking {
            None => JournalEvent::Resumed { process },
            Some(Taking { by, reason, ground, .. }) => JournalEvent::TakenOver { process, by, reason, ground },
        };
        let lease = Lease::new(LEASE);
        journal.append(event.clone(), ctx.clock.now()).await?;
        Run::with(state.next(event)?, journal, lease, ctx)
    }

    /// What its steps are given: cancelled too when another process has the run.
    pub fn context(&self) -> &Context {
        &self.ctx
    }

    /// Whether a restore step has journalled that its target may be written to. To be asked before it begins: then it was an earlier process.
    pub fn was_admitted(&self, step: &StepId) -> bool {
        self.state().checkpoints.iter().any(|(of, output)| of == step && matches!(output, Output::Written { .. }))
    }

    /// Who has answered the question of a step with yes.
    pub fn answer(&self, step: &StepId) -> Option<String> {
        let state = self.state();
        let answers = |order: &&Order| matches!(&order.bend, Bend::Approve { step: of } if of == step);
        state.obeyed().find(answers).map(|order| order.by.clone())
    }

    /// Where its workers tell of themselves.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// The run's id, the same for every process that works on it.
    pub fn id(&self) -> String {
        self.state().plan.run.to_string()
    }

    /// Components of a restore step that its target has whole, as far as they were journalled.
    pub fn written(&self, step: &StepId) -> BTreeSet<u32> {
        let state = self.state();
        let of_step = state.checkpoints.iter().filter(|(of, _)| of == step);
        of_step
            .filter_map(|(_, output)| if let Output::Written { components } = output { Some(components) } else { None })
            .flatten()
            .copied()
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Journals an event. A task of its own does: steps run only while the executor waits for one of them, and a step that held the journal while the
    /// executor waits for the journal would never go on.
    async fn record(self: &Arc<Run>, event: JournalEvent) -> Result<(), OrchestratorError> {
        let run = Arc::clone(self);
        let recording = tokio::spawn(async move {
            let mut journal = run.journal.lock().await;
            run.state().allows(&event)?;
            let asked = Instant::now();
            if let Err(error) = journal.append(event.clone(), run.ctx.clock.now()).await {
                if matches!(error, OrchestratorError::LostRun { .. }) {
                    run.lose();
                }
                return Err(error);
            }
            run.renew(asked, matches!(event, JournalEvent::RunEnded { .. }))?;
            Ok(run.state().advance(event)?)
        });
        recording.await.map_err(|_| OrchestratorError::TornDown)?
    }

    /// Journals what a step has reached, so that it is not done again after a crash.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn checkpoint(self: &Arc<Run>, step: &StepId, output: Output) -> Result<(), OrchestratorError> {
        self.record(JournalEvent::Checkpoint { step: step.clone(), output }).await
    }

    /// What steps have left for later ones, and checkpoints, so far.
    pub fn snapshot(&self) -> RunState {
        self.state().clone()
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
        self.drive(perform, None).await
    }

    /// The same; with a desk, people can bend the run: a step that failed ends neither the others nor the run, which waits for orders.
    ///
    /// # Errors
    /// See [`Run::execute`].
    pub async fn drive<F, Fut>(self: &Arc<Run>, perform: F, desk: Option<&Desk>) -> Result<Outcome, OrchestratorError>
    where
        F: Fn(Arc<Run>, Step) -> Fut,
        Fut: Future<Output = StepEnd>,
    {
        let mut running = FuturesUnordered::new();
        let ended = tokio::select! {
            ended = self.pursue(perform, desk, &mut running) => ended,
            () = self.lost() => Err(OrchestratorError::LostRun { run: self.snapshot().plan.run }),
        };
        let is_lost = self.lease.as_ref().is_some_and(|lease| lease.left().is_none()) && self.state().ended.is_none();
        let error = match ended {
            Err(error) if self.lease.is_some() => error,
            Ok(_) if is_lost => OrchestratorError::LostRun { run: self.snapshot().plan.run },
            ended => return ended,
        };
        // What steps have started ends before this process does.
        self.lose();
        let _late = tokio::time::timeout(GIVE_UP, async { while running.next().await.is_some() {} }).await;
        Err(if is_lost { self.explain_loss(error).await } else { error })
    }

    async fn pursue<F, Fut>(self: &Arc<Run>, perform: F, desk: Option<&Desk>, running: &mut Doing<Fut>) -> Result<Outcome, OrchestratorError>
    where
        F: Fn(Arc<Run>, Step) -> Fut,
        Fut: Future<Output = StepEnd>,
    {
        let plan = self.snapshot().plan;
        self.ctx.observer.event(&Event::RunStarted { run: plan.run.clone(), what: plan.what.clone(), steps: plan.steps.len() });
        let most = if desk.is_some() { BENDABLE_PARALLEL_MAX } else { PARALLEL_MAX };
        let mut orders = match desk {
            Some(desk) => Some(self.open_desk(desk).await?),
            None => None,
        };
        let mut begun = BTreeMap::new();
        let mut tick = tokio::time::interval(TICK);
        let mut idle = Instant::now();
        loop {
            while running.len() < most && !self.ctx.cancel.is_draining() {
                let Some(step) = self.next_ready(&begun) else { break };
                begun.insert(step.id.clone(), Instant::now());
                self.record(JournalEvent::StepStarted { step: step.id.clone() }).await?;
                self.ctx.observer.event(&Event::StepStarted { step: step.id.clone(), what: step.what.clone() });
                let work = perform(Arc::clone(self), step.clone());
                running.push(join(ready(step.id), work));
            }
            if running.is_empty() && desk.is_none_or(|desk| self.is_over() || idle.elapsed() >= desk.patience) {
                break;
            }
            tokio::select! {
                Some((step, (outcome, output))) = running.next() => {
                    begun.remove(&step);
                    self.record(JournalEvent::StepEnded { step: step.clone(), outcome: outcome.clone(), output }).await?;
                    self.ctx.observer.event(&Event::StepEnded { step: step.clone(), outcome });
                    self.explain(&step);
                    idle = Instant::now();
                }
                Some(order) = desk::next(&mut orders) => {
                    self.take(order).await?;
                    idle = Instant::now();
                }
                _ = tick.tick(), if desk.is_some() => {
                    let since = begun.iter().map(|(step, at): (&StepId, &Instant)| (step.clone(), at.elapsed().into())).collect();
                    screen::clock(&self.state(), &since, &self.ctx);
                }
            }
        }
        self.end(&plan, desk.is_some()).await
    }

    /// Whether nothing is left to do, or nothing may be begun.
    fn is_over(&self) -> bool {
        let state = self.state();
        self.ctx.cancel.is_draining() || state.aborted().is_some() || state.steps.keys().all(|step| state.satisfies(step))
    }

    async fn end(self: &Arc<Run>, plan: &Plan, bendable: bool) -> Result<Outcome, OrchestratorError> {
        let state = self.snapshot();
        let cut_off = |step: &StepState| bendable && matches!(step, StepState::Ended(Outcome::Cancelled { .. }, _));
        let unfinished = state.steps.values().any(|step| !matches!(step, StepState::Ended(..)) || cut_off(step));
        let stuck = state.unsatisfied().into_iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(", ");
        let outcome = match (self.ctx.cancel.is_draining() && unfinished, bendable && !stuck.is_empty()) {
            (true, _) => Outcome::Cancelled { reason: "stopped by a signal".to_owned() },
            (false, true) => Outcome::Stuck { problem: Problem { subject: stuck, what: "nobody has said how to go on".to_owned() } },
            (false, false) => state.outcome(),
        };
        // A cancelled run stays open, so that it can be resumed; so does a restore that failed: what it has written is there; and one that waits for orders.
        let restores = plan.steps.iter().any(|step| matches!(step.action, Action::Restore { .. }));
        let goes_on = match outcome {
            Outcome::Cancelled { .. } => true,
            Outcome::Stuck { .. } => bendable,
            Outcome::Failed { .. } => restores,
            Outcome::Succeeded | Outcome::Incomplete { .. } => false,
        };
        if state.aborted().is_some() {
            return Ok(outcome);
        }
        if goes_on {
            self.ctx.observer.event(&Event::RunEnded { run: plan.run.clone(), outcome: outcome.clone() });
            return Ok(outcome);
        }
        self.close(outcome).await
    }

    /// Journals that the run has ended and never goes on.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn close(self: &Arc<Run>, outcome: Outcome) -> Result<Outcome, OrchestratorError> {
        self.record(JournalEvent::RunEnded { outcome: outcome.clone() }).await?;
        self.ctx.observer.event(&Event::RunEnded { run: self.snapshot().plan.run, outcome: outcome.clone() });
        Ok(outcome)
    }

    fn next_ready(&self, begun: &BTreeMap<StepId, Instant>) -> Option<Step> {
        let state = self.state();
        if state.aborted().is_some() {
            return None;
        }
        let ended = |id: &StepId| matches!(state.steps.get(id), Some(StepState::Ended(..)));
        let satisfied = |id: &StepId| state.satisfies(id);
        let ready =
            |step: &&Step| !ended(&step.id) && !begun.contains_key(&step.id) && step.needs.iter().all(satisfied) && step.after.iter().all(ended);
        state.plan.steps.iter().find(ready).cloned()
    }
}

/// The end of a step that did not happen.
pub fn failed(step: &StepId, error: &dyn std::error::Error, hint: Option<String>) -> StepEnd {
    (Outcome::Failed { problem: Problem { subject: step.to_string(), what: advise(error, hint) } }, Output::Nothing)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        model::{RunId, step_id},
        pipeline::ChunkKey,
        storage::DirectoryStore,
    };

    fn plan(names: &[&str]) -> Plan {
        let step = |name: &&str| Step {
            id: step_id(&[name]),
            needs: Vec::new(),
            after: Vec::new(),
            what: (*name).to_owned(),
            action: Action::ResumeWriters,
        };
        Plan {
            run: RunId::new(jiff::Timestamp::UNIX_EPOCH, 1),
            what: "a test".to_owned(),
            steps: names.iter().map(step).collect(),
            accepted: None,
            recovery: None,
        }
    }

    #[tokio::test]
    async fn a_step_that_is_journalling_when_another_ends_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(DirectoryStore::open(folder.path()).unwrap());
        let plan = plan(&["long", "short"]);
        let journal = Journal::create(store, plan.run.clone(), ChunkKey::generate().derive("a test"));
        let run = Run::begin(plan, journal, &Context::default()).await.unwrap();
        let work = run.execute(|run, step| async move {
            if step.what == "long" {
                for number in 0..20 {
                    run.checkpoint(&step.id, Output::Written { components: vec![number] }).await.unwrap();
                }
            }
            (Outcome::Succeeded, Output::Nothing)
        });
        let outcome = tokio::time::timeout(Duration::from_secs(60), work).await.expect("the run goes on");
        assert!(outcome.unwrap().is_success());
        assert_eq!(run.written(&step_id(&["long"])).len(), 20);
    }
}
