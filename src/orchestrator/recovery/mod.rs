//! One recovery from beginning to end: a plan that was made from a runbook, run with people at its desk.
//!
//! `foresee` finds before the first step what would stop a restore; `act` does one step of each kind, `command` and `probe` are what most of them
//! are made of; `secrets` keeps secret outputs; `claim` keeps a second recovery of the same away; `takeover` says when one may take a run from a
//! process that may not be gone; `timeline` tells afterwards what happened when, `screen` tells it meanwhile.

pub mod act;
mod claim;
mod command;
pub mod foresee;
mod leftovers;
mod probe;
pub mod screen;
pub mod secrets;
pub mod takeover;
pub mod timeline;

use std::{fmt, sync::Arc};

use futures::future::LocalBoxFuture;

use super::{
    OrchestratorError,
    execute::{Run, Taking},
    journal::{Journal, read},
    order::Desk,
    output::Output,
    perform::{Equipment, perform},
    restore::check_free,
    runs::KnownRun,
    state::{RunState, StepState},
};
use crate::{
    config::Config,
    model::{Cancel, Context, Outcome, Plan, PolicyName, Problem, RecoveryPointId},
    restore::opened::OpenedPoint,
};
pub use secrets::SecretsKey;

/// Makes a recovery point of a policy, or finds the one that an earlier process of this run has made.
pub type Protect = dyn Fn(PolicyName, Cancel) -> LocalBoxFuture<'static, Result<(Option<RecoveryPointId>, Outcome), Problem>> + Send + Sync;

/// What the steps of a recovery work with.
pub struct Tools {
    /// Where systems are.
    pub config: Config,
    /// What is restored.
    pub point: Option<OpenedPoint>,
    /// Keeps secret outputs.
    pub secrets: SecretsKey,
    /// How long a question waits for its answer.
    pub patience: std::time::Duration,
    /// Makes recovery points.
    pub protect: Box<Protect>,
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tools").field("point", &self.point).finish_non_exhaustive()
    }
}

/// What came of a recovery.
#[derive(Debug)]
pub struct RecoveryEnd {
    /// How it ended, or why it stays open.
    pub outcome: Outcome,
    /// Everything that its journal says.
    pub state: RunState,
}

/// Runs the plan of a recovery, if no other run recovers the same policy.
///
/// # Errors
/// [`OrchestratorError::Underway`]; the run cannot begin, or its journal is lost. What came of the steps is in the outcome.
pub async fn recover(plan: Plan, policy: &PolicyName, tools: Tools, desk: &Desk, ctx: &Context) -> Result<RecoveryEnd, OrchestratorError> {
    let free = claim::next(desk, policy).await?;
    let journal = Journal::create(Arc::clone(&desk.store), plan.run.clone(), desk.key.clone());
    let run = Run::begin(plan, journal, ctx).await?;
    if let Err(taken) = claim::take(desk, policy, free, &run).await {
        let _closed = run.close(Outcome::Cancelled { reason: taken.to_string() }).await?;
        return Err(taken);
    }
    go(run, tools, desk).await
}

/// Goes on with a recovery whose process is gone, or that is taken over.
///
/// # Errors
/// When it has ended, or may still be running; else those of [`recover`].
pub async fn resume(known: KnownRun, tools: Tools, taking: Option<Taking>, desk: &Desk, ctx: &Context) -> Result<RecoveryEnd, OrchestratorError> {
    if taking.is_none() {
        check_free(&known)?;
    }
    let policy = known.state.plan.recovery.as_ref().map(|recovery| recovery.policy.clone());
    // One that died before it had claimed its policy claims it now, if nobody else has.
    let unclaimed = match &policy {
        Some(policy) if !claim::runs(desk, policy).await?.contains(&known.run) => Some((policy, claim::next(desk, policy).await?)),
        _ => None,
    };
    let tail = read(desk.store.as_ref(), &known.run, &desk.key).await?;
    takeover::still(&known, taking.as_ref(), &tail)?;
    let journal = Journal::resume(Arc::clone(&desk.store), known.run.clone(), desk.key.clone(), &tail);
    let run = Run::resume(known.state, journal, taking, ctx).await?;
    if let Some((policy, free)) = unclaimed {
        claim::take(desk, policy, free, &run).await?;
    }
    go(run, tools, desk).await
}

async fn go(run: Arc<Run>, tools: Tools, desk: &Desk) -> Result<RecoveryEnd, OrchestratorError> {
    let ctx = &run.context().clone();
    let equipment = Arc::new(Equipment::Recovery(Box::new(tools)));
    let doing = Arc::clone(&equipment);
    let mut outcome = run.drive(move |run, step| perform(run, step, Arc::clone(&doing), ctx.clone()), Some(desk)).await?;
    let state = run.snapshot();
    if let Some((order, undo)) = state.aborted() {
        let mut reason = format!("{} ended it: {}", order.by, order.reason);
        if let (true, Equipment::Recovery(tools)) = (undo, equipment.as_ref()) {
            reason += &unwind(&run, &state, tools, ctx).await?;
        }
        outcome = run.close(Outcome::Cancelled { reason }).await?;
    }
    Ok(RecoveryEnd { outcome, state: run.snapshot() })
}

/// Takes back what commands did that can be taken back, last first. Says what could not.
async fn unwind(run: &Arc<Run>, state: &RunState, tools: &Tools, ctx: &Context) -> Result<String, OrchestratorError> {
    let undone = |id| state.checkpoints.iter().any(|(of, output)| of == id && *output == Output::Undone);
    let mut said = String::new();
    for step in state.plan.steps.iter().rev() {
        let began = matches!(state.steps.get(&step.id), Some(StepState::Ended(_, output)) if !matches!(output, Output::Decided { .. }));
        let Some(command) = step.action.command().filter(|command| began && !command.undo.is_empty() && !undone(&step.id)) else { continue };
        match act::undo(run, &step.id, command, tools, ctx).await {
            Ok(()) => run.checkpoint(&step.id, Output::Undone).await?,
            Err(why) => said += &format!("; {} was not undone: {why}", step.id),
        }
    }
    Ok(said)
}
