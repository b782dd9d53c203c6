//! One restore from beginning to end, and what is left of one that was interrupted.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    OrchestratorError,
    execute::{Run, Taking},
    journal::{Journal, read},
    output::Output,
    perform::{Equipment, perform},
    process::Life,
    recovery::takeover,
    runs::{self, KnownRun},
    state::StepState,
};
use crate::{
    model::{Accepted, Context, MemberName, Outcome, Plan, RunId, StepId},
    pipeline::MacKey,
    restore::opened::OpenedPoint,
    sources::Source,
    storage::ObjectStore,
};

/// What the steps of a restore work with.
#[derive(Debug)]
pub struct RestoreTools {
    /// The point.
    pub point: OpenedPoint,
    /// Sources that can load members.
    pub sources: BTreeMap<MemberName, Arc<dyn Source>>,
    /// Where the journal goes.
    pub control: Arc<dyn ObjectStore>,
    /// The key of the journal.
    pub key: MacKey,
}

/// What came of a restore. One that failed or was cancelled can be resumed.
#[derive(Debug)]
pub struct RestoreEnd {
    /// The run.
    pub run: RunId,
    /// How it ended, comparison included.
    pub outcome: Outcome,
    /// How each step ended, and what it moved.
    pub steps: Vec<(StepId, Outcome, Output)>,
    /// Who took a point that lacks members.
    pub accepted: Option<Accepted>,
}

/// Runs the plan of a restore.
///
/// # Errors
/// When the run cannot begin, or its journal is lost. What came of the steps is in the outcome.
pub async fn run_restore(plan: Plan, tools: RestoreTools, ctx: &Context) -> Result<RestoreEnd, OrchestratorError> {
    let journal = Journal::create(Arc::clone(&tools.control), plan.run.clone(), tools.key.clone());
    let run = Run::begin(plan, journal, ctx).await?;
    execute(run, tools).await
}

/// Goes on with a restore whose process is gone, or that is taken over.
///
/// # Errors
/// When it has ended, or may still be running; else those of [`run_restore`].
pub async fn resume_restore(known: KnownRun, tools: RestoreTools, taking: Option<Taking>, ctx: &Context) -> Result<RestoreEnd, OrchestratorError> {
    if taking.is_none() {
        check_free(&known)?;
    }
    let tail = read(tools.control.as_ref(), &known.run, &tools.key).await?;
    takeover::still(&known, taking.as_ref(), &tail)?;
    let journal = Journal::resume(Arc::clone(&tools.control), known.run.clone(), tools.key.clone(), &tail);
    let run = Run::resume(known.state, journal, taking, ctx).await?;
    execute(run, tools).await
}

/// Whether a run may be taken up by this process.
///
/// # Errors
/// When it has ended, or may still be running.
pub fn check_free(known: &KnownRun) -> Result<(), OrchestratorError> {
    if known.state.ended.is_some() {
        return Err(OrchestratorError::Ended { run: known.run.clone() });
    }
    match known.state.process.life() {
        Life::Gone => Ok(()),
        Life::Alive => Err(runs::busy(known, "is alive")),
        Life::Unknown => Err(runs::busy(known, "cannot be seen from here")),
    }
}

async fn execute(run: Arc<Run>, tools: RestoreTools) -> Result<RestoreEnd, OrchestratorError> {
    let ctx = run.context().clone();
    let equipment = Arc::new(Equipment::Restore(Box::new(tools.point), tools.sources));
    let outcome = run.execute(move |run, step| perform(run, step, Arc::clone(&equipment), ctx.clone())).await?;
    let state = run.snapshot();
    let steps = state.plan.steps.iter().filter_map(|step| match state.steps.get(&step.id)? {
        StepState::Ended(outcome, output) => Some((step.id.clone(), outcome.clone(), output.clone())),
        _ => None,
    });
    Ok(RestoreEnd { run: state.plan.run.clone(), outcome, steps: steps.collect(), accepted: state.plan.accepted.clone() })
}
