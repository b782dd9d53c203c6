//! One recovery of a policy at a time: each takes the next number of a sequence of write-once objects, once the run before it has ended.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    model::{PolicyName, RunId},
    orchestrator::{
        OrchestratorError,
        execute::Run,
        journal::signed_line,
        order::Desk,
        runs::{self, KnownRun},
    },
    pipeline::sha256,
    repository::layout,
    storage::{ErrorKind, Put, PutOptions},
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    format: u32,
    run: RunId,
}

fn underway(known: &KnownRun, policy: &PolicyName) -> OrchestratorError {
    OrchestratorError::Underway { run: known.run.clone(), policy: policy.clone(), phase: known.phase() }
}

/// The run that has claimed a number.
async fn claimant(desk: &Desk, policy: &PolicyName, number: u64) -> Result<Option<Option<KnownRun>>, OrchestratorError> {
    let bytes = match desk.store.get(&layout::claim(policy, number), None).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OrchestratorError::Control(error)),
    };
    // What is not ours blocks nobody.
    let Ok(claim) = signed_line::decode::<Claim>(&bytes, &desk.key) else { return Ok(Some(None)) };
    let found = runs::load(desk.store.as_ref(), &claim.run, std::slice::from_ref(&desk.key)).await?;
    Ok(Some(found.map(|(known, _)| known)))
}

/// The number to claim next.
///
/// # Errors
/// When the run that holds the newest claim has not ended.
pub(super) async fn next(desk: &Desk, policy: &PolicyName) -> Result<u64, OrchestratorError> {
    let (mut number, mut last) = (1, None);
    while let Some(claimant) = claimant(desk, policy, number).await? {
        (number, last) = (number + 1, claimant);
    }
    match last.filter(|known| known.state.ended.is_none()) {
        Some(known) => Err(underway(&known, policy)),
        None => Ok(number),
    }
}

/// Claims a number for a run, whose journal has begun.
///
/// # Errors
/// When another run was faster.
pub(super) async fn take(desk: &Desk, policy: &PolicyName, number: u64, run: &Arc<Run>) -> Result<(), OrchestratorError> {
    let claim = Claim { format: 1, run: run.snapshot().plan.run };
    let body = Bytes::from(signed_line::encode(&claim, &desk.key));
    let options = PutOptions { sha256: sha256(&body), retain_until: None };
    let key = layout::claim(policy, number);
    let put = desk.store.put_new(&key, body.clone(), &options).await.map_err(OrchestratorError::Control)?;
    if put == Put::Created || desk.store.get(&key, None).await.map_err(OrchestratorError::Control)? == body {
        return Ok(());
    }
    match claimant(desk, policy, number).await?.flatten() {
        Some(known) => Err(underway(&known, policy)),
        None => Err(OrchestratorError::LostRun { run: claim.run }),
    }
}
