//! What happened when, from the journal.

use std::collections::BTreeMap;

use serde::Serialize;

use super::claim;
use crate::{
    model::{Outcome, PolicyName, Seconds, StepId, Timestamp},
    orchestrator::{
        OrchestratorError,
        journal::{JournalRecord, read},
        order::Desk,
        state::JournalEvent,
    },
};

/// Runs that are looked at for how long steps take.
const RUNS_LOOKED_AT: usize = 20;

/// One attempt at a step.
#[derive(Debug, Clone, Serialize)]
pub struct Bar {
    /// Which.
    pub step: StepId,
    /// When it began.
    pub began: Timestamp,
    /// When it ended, or when the process was lost.
    pub ended: Timestamp,
    /// How; absent when the process was lost.
    pub outcome: Option<Outcome>,
}

/// All attempts, in the order in which they began.
pub fn bars(records: &[JournalRecord]) -> Vec<Bar> {
    let mut bars: Vec<Bar> = Vec::new();
    let (mut open, mut last): (BTreeMap<StepId, usize>, _) = (BTreeMap::new(), None);
    for record in records {
        match &record.event {
            JournalEvent::StepStarted { step } => {
                open.insert(step.clone(), bars.len());
                bars.push(Bar { step: step.clone(), began: record.written, ended: record.written, outcome: None });
            }
            JournalEvent::StepEnded { step, outcome, .. } => {
                if let Some(bar) = open.remove(step).and_then(|at| bars.get_mut(at)) {
                    (bar.ended, bar.outcome) = (record.written, Some(outcome.clone()));
                }
            }
            JournalEvent::Resumed { .. } | JournalEvent::TakenOver { .. } => {
                for at in std::mem::take(&mut open).into_values() {
                    bars[at].ended = last.unwrap_or(record.written);
                }
            }
            _ => {}
        }
        last = Some(record.written);
    }
    for at in open.into_values() {
        bars[at].ended = last.unwrap_or(bars[at].ended);
    }
    bars
}

/// How long the steps of a runbook took in its last run that succeeded; empty when none did.
///
/// # Errors
/// When the control store cannot be read.
pub async fn measured(desk: &Desk, policy: &PolicyName, runbook: &str) -> Result<BTreeMap<StepId, Seconds>, OrchestratorError> {
    for run in claim::runs(desk, policy).await?.into_iter().rev().take(RUNS_LOOKED_AT) {
        let records = read(desk.store.as_ref(), &run, &desk.key).await?.records;
        let of_runbook = matches!(records.first().map(|record| &record.event),
            Some(JournalEvent::RunStarted { plan, .. }) if plan.recovery.as_ref().is_some_and(|recovery| recovery.runbook == runbook));
        let succeeded = matches!(records.last().map(|record| &record.event), Some(JournalEvent::RunEnded { outcome: Outcome::Succeeded }));
        if of_runbook && succeeded {
            let good = bars(&records).into_iter().filter(|bar| bar.outcome == Some(Outcome::Succeeded));
            return Ok(good.map(|bar| (bar.step, Seconds::between(bar.began, bar.ended))).collect());
        }
    }
    Ok(BTreeMap::new())
}
