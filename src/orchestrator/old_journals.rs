//! Journals of captures that ended long ago: the record says what became of them, and nothing asks for the steps any more.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;

use super::{
    OrchestratorError,
    journal::{is_ended, is_record},
    runs,
};
use crate::{
    model::{Context, RunId},
    pipeline::MacKey,
    repository::layout,
    storage::{ErrorKind, ObjectStore, list_all},
};

/// How long a journal is kept, from the begin of its run on.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Old runs that one backup looks at.
const MOST: usize = 16;
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Removes journals of captures that `key` is of. What stays for now is told and changes nothing: the point of this run is written.
pub async fn remove(control: &Arc<dyn ObjectStore>, key: &MacKey, ctx: &Context) {
    match tokio::time::timeout(PATIENCE, try_remove(control.as_ref(), key, ctx)).await {
        Ok(Ok(())) => {}
        // An identity that may delete nothing is a choice: docs/security.md.
        Ok(Err(OrchestratorError::Journal { source, .. })) if source.kind() == ErrorKind::AccessDenied => {
            tracing::debug!(error = %source, "journals of old captures stay");
        }
        Ok(Err(error)) => tracing::warn!(%error, "journals of old captures stay for now"),
        Err(_) => tracing::warn!("journals of old captures stay for now: the control store is slow"),
    }
}

async fn try_remove(control: &dyn ObjectStore, key: &MacKey, ctx: &Context) -> Result<(), OrchestratorError> {
    let now = ctx.clock.now();
    let is_old = |run: &RunId| run.start().is_some_and(|start| now.duration_since(start) > KEPT);
    let old: Vec<RunId> = runs::ids(control).await?.into_iter().filter(is_old).collect();
    // Some are not ours, and stay: each time others are looked at.
    let first = runs::random() as usize % old.len().max(1);
    for run in old.iter().cycle().skip(first).take(MOST.min(old.len())) {
        if is_ended(control, run, key).await? {
            remove_one(control, run).await?;
        }
    }
    Ok(())
}

/// The records go last, and the one that ends the run at the very last: after a crash it still shows that the run is over.
async fn remove_one(control: &dyn ObjectStore, run: &RunId) -> Result<(), OrchestratorError> {
    let mut objects = list_all(control, &layout::journal_prefix(run)).await.map_err(OrchestratorError::journal(run))?;
    objects.sort_by_key(|object| is_record(run, &object.key));
    for object in objects {
        control.delete(&object.key).await.map_err(OrchestratorError::journal(run))?;
    }
    Ok(())
}
