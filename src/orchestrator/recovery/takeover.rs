//! When a run may be taken from a process that may not be gone: a person says that it is stopped, or it has been silent for longer than it may act.

use std::time::{Duration, Instant};

use crate::{
    model::{Context, Event},
    orchestrator::{
        OrchestratorError,
        execute::{LEASE, Taking},
        journal::{Journal, JournalTail, read},
        order::Desk,
        process::Life,
        runs::{KnownRun, busy},
        state::{Ground, RunState, StepState},
    },
};

/// Longest time that anything but a command goes on by itself after its process may act no more.
const EFFECT: Duration = Duration::from_secs(30);
/// How often the journal is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long a run has to be silent: a lease, and the longest effect of what was begun. Commands go on by themselves for as long as their limit.
pub fn silence(state: &RunState) -> Duration {
    let begun = state.plan.steps.iter().filter(|step| state.steps.get(&step.id) == Some(&StepState::Started));
    let effect = |step: &crate::model::Step| step.action.command().map_or(EFFECT, |command| EFFECT.max(command.limit.duration()));
    LEASE + begun.map(effect).max().unwrap_or(EFFECT)
}

/// Says why the run may be taken over, and as of which record, after having waited for as long as that takes.
///
/// # Errors
/// It has ended, or its process is at work.
pub async fn ground(known: &KnownRun, is_stopped: bool, desk: &Desk, ctx: &Context) -> Result<(Ground, u64), OrchestratorError> {
    if known.state.ended.is_some() {
        return Err(OrchestratorError::Ended { run: known.run.clone() });
    }
    let last = read(desk.store.as_ref(), &known.run, &desk.key).await?.records.len() as u64;
    match known.state.process.life() {
        Life::Gone => return Ok((Ground::Gone, last)),
        Life::Alive | Life::Unknown if is_stopped => return Ok((Ground::Said, last)),
        Life::Alive | Life::Unknown => {}
    }
    let (began, needed) = (Instant::now(), silence(&known.state));
    let text = format!("its process may be at work: taken over when it has journalled nothing for {} s", needed.as_secs());
    ctx.observer.event(&Event::Note { text });
    while began.elapsed() < needed {
        if ctx.cancel.is_draining() || Journal::has(desk.store.as_ref(), &known.run, last + 1).await? {
            return Err(busy(known, "is at work"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok((Ground::Silent, last))
}

/// Whether nothing was journalled since the ground was found.
///
/// # Errors
/// Somebody is at work.
pub(in crate::orchestrator) fn still(known: &KnownRun, taking: Option<&Taking>, tail: &JournalTail) -> Result<(), OrchestratorError> {
    match taking {
        Some(taking) if taking.after != tail.records.len() as u64 => Err(busy(known, "is at work")),
        _ => Ok(()),
    }
}
