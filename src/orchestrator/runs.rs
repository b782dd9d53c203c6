//! The runs that the control store knows: found, read, and closed when their process is gone.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    OrchestratorError,
    journal::{Journal, JournalTail, is_ended, read},
    output::Output,
    part::Place,
    process::Life,
    state::{JournalEvent, RunState},
};
use crate::{
    backup::Checkpoint,
    model::{Action, Context, Lineage, Outcome, RunId, Timestamp},
    pipeline::{ChunkKey, MacKey, sha256},
    repository::{
        keys::{CaptureFile, SigningKey},
        layout,
    },
    storage::ObjectStore,
};

const JOURNAL_CONTEXT: &str = "hourglass journal 1";
/// How often somebody else may be faster at a journal that is to be ended.
const MOST_RACES: usize = 100;

/// The key of the journals of a lineage's captures.
pub fn capture_key(keys: &CaptureFile, lineage: &Lineage) -> MacKey {
    keys.lineage_chunk_key(lineage).derive(JOURNAL_CONTEXT)
}

/// The key of the journals of an operator's runs.
pub fn operator_key(key: &SigningKey) -> MacKey {
    ChunkKey::new(sha256(key.secret().expose().as_bytes()).0).derive(JOURNAL_CONTEXT)
}

/// Tells runs that begin in the same second apart.
pub fn random() -> u32 {
    getrandom::u32().expect("the operating system has random numbers")
}

/// A run, as its journal tells it.
#[derive(Debug)]
pub struct KnownRun {
    /// Which.
    pub run: RunId,
    /// What its journal adds up to.
    pub state: RunState,
    /// When it began.
    pub began: Timestamp,
    /// When something was journalled last.
    pub last: Timestamp,
    /// Why its journal cannot be read further, if so.
    pub broken: Option<String>,
}

impl KnownRun {
    /// Where it is, in one word.
    pub fn phase(&self) -> &'static str {
        match (&self.state.ended, self.state.process.life()) {
            (Some(Outcome::Succeeded), _) => "succeeded",
            (Some(Outcome::Incomplete { .. }), _) => "incomplete",
            (Some(Outcome::Failed { .. }), _) => "failed",
            (Some(Outcome::Cancelled { .. }), _) => "cancelled",
            (Some(Outcome::Stuck { .. }), _) => "stuck",
            (None, Life::Alive) => "running",
            (None, Life::Gone) if self.state.plan.recovery.is_some() && !self.state.unsatisfied().is_empty() => "stuck",
            (None, Life::Gone) => "interrupted",
            (None, Life::Unknown) => "running elsewhere",
        }
    }
}

/// The ids of all runs, oldest first.
///
/// # Errors
/// When the control store cannot be listed.
pub async fn ids(control: &dyn ObjectStore) -> Result<BTreeSet<RunId>, OrchestratorError> {
    let folders = control.folders(layout::RUNS_PREFIX).await.map_err(OrchestratorError::Control)?;
    Ok(folders.iter().filter_map(|folder| folder.parse().ok()).collect())
}

/// What events add up to, as far as each can follow the one before; and why not further. `None` when they do not begin a run.
fn replay(events: &[JournalEvent]) -> Option<(RunState, Option<String>)> {
    let (first, rest) = events.split_first()?;
    let fold = |events: &[JournalEvent]| {
        let begun = RunState::begin(first.clone()).map_err(|illegal| (0, illegal));
        let numbered = events.iter().enumerate();
        begun.and_then(|begun| {
            numbered.map(Ok).try_fold(begun, |state, event: Result<_, (usize, _)>| {
                let (i, event) = event?;
                state.next(event.clone()).map_err(|illegal| (i, illegal))
            })
        })
    };
    match fold(rest) {
        Ok(state) => Some((state, None)),
        Err((legal, illegal)) => Some((fold(&rest[..legal]).ok()?, Some(illegal.to_string()))),
    }
}

/// Reads a run with whichever of the keys fits; `None` when none does. A journal that contradicts itself is read as far as it makes sense.
///
/// # Errors
/// When the control store cannot be read.
pub async fn load(control: &dyn ObjectStore, run: &RunId, keys: &[MacKey]) -> Result<Option<(KnownRun, MacKey)>, OrchestratorError> {
    for key in keys {
        let tail = read(control, run, key).await?;
        let (Some(first), Some(last)) = (tail.records.first(), tail.records.last()) else { continue };
        let (began, last) = (first.written, last.written);
        let events: Vec<JournalEvent> = tail.records.into_iter().map(|record| record.event).collect();
        let Some((state, illegal)) = replay(&events) else { continue };
        let broken = tail.broken.or(illegal);
        return Ok(Some((KnownRun { run: run.clone(), state, began, last, broken }, key.clone())));
    }
    Ok(None)
}

/// Captures of `lineage` that were begun after `newest` and made no point, with what they have stored. Runs that are still alive are left alone.
///
/// # Errors
/// When the control store cannot be read.
pub async fn unfinished(
    control: &Arc<dyn ObjectStore>,
    key: &MacKey,
    lineage: &Lineage,
    newest: Option<&RunId>,
) -> Result<Vec<(RunId, Vec<Checkpoint>)>, OrchestratorError> {
    let place = Place { store: Arc::clone(control), key: key.clone() };
    let control = control.as_ref();
    let mut found = Vec::new();
    for run in ids(control).await?.into_iter().filter(|run| newest.is_none_or(|newest| run > newest)) {
        let Some((known, _)) = load(control, &run, std::slice::from_ref(key)).await? else { continue };
        let ours = |action: &Action| matches!(action, Action::Commit { lineage: of, .. } if of == lineage);
        let ended_well = matches!(known.state.ended, Some(Outcome::Succeeded | Outcome::Incomplete { .. }));
        if ended_well || known.phase() == "running" || !known.state.plan.steps.iter().any(|step| ours(&step.action)) {
            continue;
        }
        let stored = known.state.checkpoints.into_iter().filter_map(|(_, output)| match output {
            Output::Stored(checkpoint) => Some(checkpoint),
            _ => None,
        });
        let mut stored: Vec<Checkpoint> = stored.collect();
        stored.extend(place.stored(&run).await?);
        found.push((run, stored));
    }
    Ok(found)
}

/// Ends the journal of a run whose process is gone, because `heir` takes over what it has stored. Another run may do the same at this moment.
///
/// # Errors
/// When the control store cannot be written.
pub async fn close(control: &Arc<dyn ObjectStore>, run: &RunId, key: &MacKey, heir: &RunId, ctx: &Context) -> Result<(), OrchestratorError> {
    let reason = format!("run {heir} took over what it has stored");
    abort(control, run, std::slice::from_ref(key), &reason, ctx).await.map(drop)
}

/// Ends the journal of a run that wrote its point and died before it could say so.
///
/// # Errors
/// When the control store cannot be read or written.
pub async fn settle(control: &Arc<dyn ObjectStore>, run: &RunId, key: &MacKey, outcome: Outcome, ctx: &Context) -> Result<(), OrchestratorError> {
    if is_ended(control.as_ref(), run, key).await? {
        return Ok(());
    }
    let tail = read(control.as_ref(), run, key).await?;
    let events: Vec<JournalEvent> = tail.records.iter().map(|record| record.event.clone()).collect();
    let is_open = replay(&events).is_some_and(|(state, _)| state.ended.is_none() && state.process.life() == Life::Gone);
    match is_open {
        true => end(control, run, key.clone(), &tail, outcome, ctx).await,
        false => Ok(()),
    }
}

async fn end(
    control: &Arc<dyn ObjectStore>,
    run: &RunId,
    key: MacKey,
    tail: &JournalTail,
    outcome: Outcome,
    ctx: &Context,
) -> Result<(), OrchestratorError> {
    let mut journal = Journal::resume(Arc::clone(control), run.clone(), key, tail);
    match journal.append(JournalEvent::RunEnded { outcome }, ctx.clock.now()).await {
        // Somebody else has ended it, or goes on with it.
        Err(OrchestratorError::LostRun { .. }) => Ok(()),
        other => other,
    }
}

/// Ends a run that nobody works on. Returns whether it was open.
///
/// # Errors
/// When there is no such run, or its process is alive.
pub async fn abort(control: &Arc<dyn ObjectStore>, run: &RunId, keys: &[MacKey], reason: &str, ctx: &Context) -> Result<bool, OrchestratorError> {
    let Some((known, key)) = load(control.as_ref(), run, keys).await? else { return Err(OrchestratorError::NoRun { run: run.clone() }) };
    if known.state.process.life() == Life::Alive && known.state.ended.is_none() {
        return Err(busy(&known, "is alive"));
    }
    // Whether it is still open is asked of the very records that the end is written after.
    let tail = read(control.as_ref(), run, &key).await?;
    let events: Vec<JournalEvent> = tail.records.iter().map(|record| record.event.clone()).collect();
    if replay(&events).is_none_or(|(state, _)| state.ended.is_some()) {
        return Ok(false);
    }
    end(control, run, key, &tail, Outcome::Cancelled { reason: reason.to_owned() }, ctx).await?;
    Ok(true)
}

/// Ends the journal of a run whose process must not go on, alive or not: it can journal nothing more, and so begins no further step.
///
/// # Errors
/// When the control store cannot be read or written.
pub async fn fence(control: &Arc<dyn ObjectStore>, run: &RunId, key: &MacKey, reason: &str, ctx: &Context) -> Result<(), OrchestratorError> {
    for _ in 0..MOST_RACES {
        let tail = read(control.as_ref(), run, key).await?;
        let events: Vec<JournalEvent> = tail.records.iter().map(|record| record.event.clone()).collect();
        if replay(&events).is_none_or(|(state, _)| state.ended.is_some()) {
            return Ok(());
        }
        // Whoever works on it may write this number first.
        let mut journal = Journal::resume(Arc::clone(control), run.clone(), key.clone(), &tail);
        let outcome = Outcome::Cancelled { reason: reason.to_owned() };
        match journal.append(JournalEvent::RunEnded { outcome }, ctx.clock.now()).await {
            Err(OrchestratorError::LostRun { .. }) => {}
            other => return other,
        }
    }
    Err(OrchestratorError::LostRun { run: run.clone() })
}

/// Why a run cannot be touched.
pub(super) fn busy(known: &KnownRun, why: &'static str) -> OrchestratorError {
    let process = &known.state.process;
    OrchestratorError::Busy { run: known.run.clone(), pid: process.pid, machine: process.machine.clone(), why }
}
