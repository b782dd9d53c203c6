//! Does one part of a run that was planned elsewhere: the inside of a worker. Whoever comes after one that was killed goes on with what it reached.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use tokio::sync::{Mutex as AsyncMutex, OnceCell, mpsc};

use super::{PartEnd, PartId, Place, Reached, Work};
use crate::{
    backup::{Checkpoint, CheckpointRequest, capture::capture, job::BackupJob, open::Opened},
    model::{Context, RecoveryPointId, RepositoryId, step_id},
    orchestrator::OrchestratorError,
    repository::{
        keys::CaptureFile,
        record::{Outline, Record},
    },
    restore::{
        member::{Earlier, Report, compare_component, restore_component},
        opened::OpenedPoint,
    },
    sources::{FilesOptions, FilesSource, RowKey},
    storage::ObjectStore,
};

/// Checkpoints that wait to be told.
const AHEAD: usize = 16;

/// What the worker of a capture works with.
#[derive(Debug)]
pub struct CaptureTools {
    /// The repository.
    pub repository: RepositoryId,
    /// Where objects go.
    pub store: Arc<dyn ObjectStore>,
    /// The record as it is.
    pub record: Record<Outline>,
    /// The cluster's secrets.
    pub keys: CaptureFile,
    /// Where the part is planned and told of.
    pub place: Place,
}

/// Captures the folder `root` as the part says.
///
/// # Errors
/// When it is not planned, or cannot be read or stored. What of it cannot be read is in its end instead.
pub async fn capture_part(part: &PartId, tools: CaptureTools, root: &Path, ctx: &Context) -> Result<(), OrchestratorError> {
    let CaptureTools { repository, store, record, keys, place } = tools;
    let Some(Work::Capture { lineage, epoch, component, exclude, adopted, share }) = place.plan(part).await? else { return Err(unplanned(part)) };
    let ended = place.ended(part).await?;
    if ended.good().is_some() {
        return Ok(());
    }
    let reached = place.reached(part).await?;
    let told = reached.len() as u64;
    let earlier: Vec<Checkpoint> =
        reached.into_iter().filter_map(|reached| if let Reached::Stored(stored) = reached { Some(stored) } else { None }).collect();
    let options = FilesOptions { root: root.to_owned(), excludes: exclude, cross_mounts: false };
    let share = match share {
        Some(share) => Some(place.share(part, share, &options, ctx).await?),
        None => None,
    };
    let source = FilesSource { options, share: share.clone() };
    let opened = Opened { components: vec![component], row_key: RowKey::generate(), at: ctx.clock.now() };
    let (send, requests) = mpsc::channel(AHEAD);
    let job = BackupJob {
        run: part.run.clone(),
        started: ctx.clock.now(),
        repository,
        lineage,
        store,
        record: AsyncMutex::new(record),
        keys,
        members: Vec::new(),
        max_skew: None,
        adopted: adopted.into_iter().chain(earlier.iter().cloned()).collect(),
        heir_of: Vec::new(),
        checkpoints: send,
        writers: None,
        opened: Default::default(),
        captured: Default::default(),
        destination: OnceCell::new(),
    };
    let telling = tokio::spawn(tell_stored(place.clone(), part.clone(), told, requests));
    let step = BackupJob::step(&part.member);
    let captured = match job.destination(&epoch, ctx).await {
        Ok(to) => capture(&part.member, Arc::new(source), opened, BTreeMap::new(), to, step, ctx).await,
        Err(error) => Err(error),
    };
    drop(job);
    // What kept it from telling is the cause.
    telling.await.map_err(|_| OrchestratorError::TornDown)??;
    let links = share.map(|share| share.links()).unwrap_or_default();
    let captured = captured?.into_part(earlier, links).ok_or_else(|| unplanned(part))?;
    place.end(part, &ended, &PartEnd::Captured(Box::new(captured))).await
}

async fn tell_stored(place: Place, part: PartId, mut told: u64, mut requests: mpsc::Receiver<CheckpointRequest>) -> Result<(), OrchestratorError> {
    while let Some(CheckpointRequest { checkpoint, done }) = requests.recv().await {
        told += 1;
        // Returning drops the receiver, and whoever stores things stops.
        place.reach(&part, told, &Reached::Stored(checkpoint)).await?;
        // The one who waits has gone only if it has failed.
        let _gone = done.send(());
    }
    Ok(())
}

/// The point that a part restores from.
///
/// # Errors
/// When neither a restore nor a comparison is planned under this name.
pub async fn point_of(part: &PartId, place: &Place) -> Result<RecoveryPointId, OrchestratorError> {
    match place.plan(part).await? {
        Some(Work::Restore { point, .. } | Work::Compare { point, .. }) => Ok(point),
        _ => Err(unplanned(part)),
    }
}

/// Restores into the folder `root` as the part says, and compares.
///
/// # Errors
/// When it is not planned, or cannot be read or written. What differs is in its end instead.
pub async fn restore_part(part: &PartId, point: &OpenedPoint, place: &Place, root: &Path, ctx: &Context) -> Result<(), OrchestratorError> {
    let Some(Work::Restore { component, overwrite, .. }) = place.plan(part).await? else { return Err(unplanned(part)) };
    let ended = place.ended(part).await?;
    if ended.good().is_some() {
        return Ok(());
    }
    let reached = place.reached(part).await?;
    let (report, reports) = mpsc::unbounded_channel();
    let earlier = Earlier { run: part.run.to_string(), resumed: reached.contains(&Reached::Admitted), done: Default::default(), report };
    let telling = tell_admitted(place, part, reached.len() as u64, reports);
    let step = step_id(&["restore", part.member.as_str()]);
    let restoring = restore_component(point, &part.member, &component, (root, overwrite), earlier, step, ctx);
    let (told, restored) = tokio::join!(telling, restoring);
    told?;
    let end = restored?;
    let (outcome, bytes, items, fetched, notes) = (end.outcome, end.bytes, end.items, end.fetched, end.notes);
    place.end(part, &ended, &PartEnd::Restored { outcome, bytes, items, fetched, notes }).await
}

/// Compares the folder `root` with what the part says.
///
/// # Errors
/// When it is not planned, or one of them cannot be read. What differs is in its end instead.
pub async fn compare_part(part: &PartId, point: &OpenedPoint, place: &Place, root: &Path) -> Result<(), OrchestratorError> {
    let Some(Work::Compare { component, .. }) = place.plan(part).await? else { return Err(unplanned(part)) };
    let ended = place.ended(part).await?;
    if ended.good().is_some() {
        return Ok(());
    }
    let end = compare_component(point, &part.member, &component, root).await?;
    let (outcome, bytes, items, fetched, notes) = (end.outcome, end.bytes, end.items, end.fetched, end.notes);
    place.end(part, &ended, &PartEnd::Restored { outcome, bytes, items, fetched, notes }).await
}

async fn tell_admitted(place: &Place, part: &PartId, mut told: u64, mut reports: mpsc::UnboundedReceiver<Report>) -> Result<(), OrchestratorError> {
    while let Some(report) = reports.recv().await {
        if let Report::Admitted(answer) = report {
            told += 1;
            place.reach(part, told, &Reached::Admitted).await?;
            // Whoever asked may have been cancelled.
            let _gone = answer.send(());
        }
    }
    Ok(())
}

fn unplanned(part: &PartId) -> OrchestratorError {
    OrchestratorError::Unplanned { part: format!("{} of {}", part.number, part.member), run: part.run.clone() }
}
