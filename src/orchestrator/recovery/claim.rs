//! One recovery of a policy at a time: each takes the next number of a sequence of write-once objects, once the run before it has ended.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    model::{PolicyName, RunId},
    orchestrator::{OrchestratorError, execute::Run, journal::signed_line, order::Desk},
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

/// The runs that have claimed a policy, oldest first. What is not ours is passed over.
pub(super) async fn runs(desk: &Desk, policy: &PolicyName) -> Result<Vec<RunId>, OrchestratorError> {
    Ok(claims(desk, policy).await?.into_iter().flatten().collect())
}

/// By number, from 1.
async fn claims(desk: &Desk, policy: &PolicyName) -> Result<Vec<Option<RunId>>, OrchestratorError> {
    let mut found = Vec::new();
    loop {
        match desk.store.get(&layout::claim(policy, found.len() as u64 + 1), None).await {
            Ok(bytes) => found.push(signed_line::decode::<Claim>(&bytes, &desk.key).ok().map(|claim| claim.run)),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(OrchestratorError::Control(error)),
        }
    }
}

/// That the run of the newest claim has not ended, if so.
async fn underway(desk: &Desk, policy: &PolicyName, newest: Option<&RunId>) -> Result<(), OrchestratorError> {
    let Some(run) = newest else { return Ok(()) };
    let found = super::super::runs::load(desk.store.as_ref(), run, std::slice::from_ref(&desk.key)).await?;
    match found.filter(|(known, _)| known.state.ended.is_none()) {
        Some((known, _)) => Err(OrchestratorError::Underway { run: run.clone(), policy: policy.clone(), phase: known.phase() }),
        None => Ok(()),
    }
}

/// The number to claim next.
///
/// # Errors
/// When the run that holds the newest claim has not ended.
pub(super) async fn next(desk: &Desk, policy: &PolicyName) -> Result<u64, OrchestratorError> {
    let claims = claims(desk, policy).await?;
    underway(desk, policy, claims.last().and_then(Option::as_ref)).await?;
    Ok(claims.len() as u64 + 1)
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
    underway(desk, policy, runs(desk, policy).await?.last()).await?;
    Err(OrchestratorError::LostRun { run: claim.run })
}
