//! One backup from beginning to end: facts, plan, journal, steps.

use std::sync::{Arc, Mutex};

use tokio::sync::{Mutex as AsyncMutex, OnceCell, mpsc};

use super::{
    OrchestratorError,
    execute::Run,
    journal::Journal,
    old_journals,
    output::Output,
    perform::{Equipment, perform},
    runs, spent,
    state::StepState,
};
use crate::{
    backup::{
        Checkpoint, CheckpointRequest,
        job::{BackupJob, JobMember},
        open::{Writers, resume_after_crash},
        plan::{Facts, OpenEpoch, plan},
    },
    config::{PauseUntil, Policy},
    model::{ByteCount, Context, EntryNumber, EpochId, EpochMode, Lineage, MemberName, Outcome, Plan, RepositoryId, RunId, StepId, step_id},
    repository::{
        RepositoryError,
        keys::CaptureFile,
        record::{Outline, PointOutline, Record},
        trust::TrustProblem,
    },
    storage::ObjectStore,
};

/// Checkpoints that wait to be journalled.
const CHECKPOINTS_AHEAD: usize = 16;

/// Points of fewer full packs stay in their epoch, whatever restores read.
const SMALL_PACKS: u64 = 4;

/// What a backup needs.
#[derive(Debug)]
pub struct BackupRequest {
    /// The run, where it was announced; else it gets a new name.
    pub run: Option<RunId>,
    /// The repository.
    pub repository: RepositoryId,
    /// Whose point.
    pub lineage: Lineage,
    /// The policy.
    pub policy: Policy,
    /// The policy's members.
    pub members: Vec<JobMember>,
    /// Which of them to capture; all when empty. The others are missing from the point.
    pub selected: Vec<MemberName>,
    /// Where objects go.
    pub store: Arc<dyn ObjectStore>,
    /// Whether that store locks them.
    pub locks: bool,
    /// Where the journal goes.
    pub control: Arc<dyn ObjectStore>,
    /// The record as it is.
    pub record: Record<Outline>,
    /// The cluster's secrets.
    pub keys: CaptureFile,
}

/// What came of a backup.
#[derive(Debug)]
pub struct BackupEnd {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub outcome: Outcome,
    /// The point that was written, or the entry that says why there is none.
    pub entry: Option<EntryNumber>,
    /// Per member: bytes and items of content, and bytes stored.
    pub members: Vec<(StepId, Output)>,
    /// Unfinished runs whose work was taken over.
    pub adopted: Vec<RunId>,
    /// The record as it is now.
    pub record: Record<Outline>,
}

/// The plan of a backup, and what unfinished runs have left for it.
///
/// # Errors
/// When the control store cannot be read, or the trust names no vault.
pub async fn plan_backup(request: &BackupRequest, ctx: &Context) -> Result<(Plan, Vec<(RunId, Vec<Checkpoint>)>), OrchestratorError> {
    let (now, random) = (ctx.clock.now(), runs::random());
    let run = request.run.clone().unwrap_or_else(|| RunId::new(now, random));
    let key = runs::capture_key(&request.keys, &request.lineage);
    let newest = newest(&request.record).map(|point| point.run.clone());
    let left = runs::unfinished(&request.control, &key, &request.lineage, newest.as_ref()).await?;
    let facts = facts(request, run, ctx)?;
    Ok((plan(&facts), left))
}

/// The points, oldest first.
fn points(record: &Record<Outline>) -> impl DoubleEndedIterator<Item = &PointOutline> {
    record.state().points.keys().filter_map(|number| record.point(*number)).map(|(_, point)| point)
}

fn newest(record: &Record<Outline>) -> Option<&PointOutline> {
    points(record).next_back()
}

fn facts(request: &BackupRequest, run: RunId, ctx: &Context) -> Result<Facts, OrchestratorError> {
    let (record, state) = (&request.record, request.record.state());
    let missing = || RepositoryError::Trust { number: 1, problem: TrustProblem::Missing };
    let trust = record.trusts().in_force().ok_or_else(missing)?;
    let vault = trust.current_vault().ok_or_else(missing)?.id.clone();
    let rolling = state.open_epochs().filter(|(_, epoch)| epoch.open.mode == EpochMode::Rolling).max_by_key(|(_, epoch)| epoch.opened);
    let open = rolling.map(|(name, epoch)| {
        let points = record.open_manifests(name);
        OpenEpoch {
            epoch: name.clone(),
            opened: epoch.since,
            vault: epoch.open.vault.clone(),
            retain_until: epoch.open.retain_until,
            stored: points.iter().map(|point| point.stored_bytes.0).sum(),
            last: points.last().map(|point| (point.needed_bytes.0, point.live_bytes.0)),
            growth: growth(record),
        }
    });
    let wanted = |name: &MemberName| request.selected.is_empty() || request.selected.contains(name);
    Ok(Facts {
        now: ctx.clock.now(),
        run,
        lineage: request.lineage.clone(),
        pauses: request.policy.pause.as_ref().is_some_and(|pause| pause.until == PauseUntil::Captured),
        members: request.members.iter().map(|member| member.name.clone()).filter(|name| wanted(name)).collect(),
        is_shared: request.members.iter().any(|member| member.source.is_shared()),
        epochs: request.policy.epoch,
        keep: request.policy.keep,
        locks: request.locks,
        vault,
        small: ByteCount(SMALL_PACKS * ctx.limits.pack.0),
        open,
        complete: points(record).filter(|point| point.complete).map(|point| point.ended).collect(),
    })
}

/// By how many bytes what a point needs grew, the last time that two points of one epoch followed each other.
fn growth(record: &Record<Outline>) -> u64 {
    let mut last: Option<(&EpochId, ByteCount)> = None;
    let mut growth = 0;
    for (number, (_, epoch)) in &record.state().points {
        let Some((_, point)) = record.point(*number) else { continue };
        if let Some((_, before)) = last.filter(|(before, _)| *before == epoch) {
            growth = point.needed_bytes.0.saturating_sub(before.0);
        }
        last = Some((epoch, point.needed_bytes));
    }
    growth
}

/// Makes a recovery point.
///
/// # Errors
/// When the run cannot begin, or its journal is lost. What members and the manifest came to is in the outcome.
pub async fn back_up(request: BackupRequest, ctx: &Context) -> Result<BackupEnd, OrchestratorError> {
    let (plan, left) = plan_backup(&request, ctx).await?;
    let run_id = plan.run.clone();
    let key = runs::capture_key(&request.keys, &request.lineage);
    let journal = Journal::create(Arc::clone(&request.control), run_id.clone(), key.clone());
    let run = Run::begin(plan, journal, ctx).await?;
    let adopted: Vec<RunId> = left.iter().map(|(run, _)| run.clone()).collect();
    for old in &adopted {
        runs::close(&request.control, old, &key, &run_id, ctx).await?;
    }
    if let Some(pause) = request.policy.pause.as_ref().filter(|_| !adopted.is_empty()) {
        resume_after_crash(pause, ctx).await.map_err(OrchestratorError::Backup)?;
    }
    if let Some(point) = newest(&request.record) {
        let whole = if point.complete { Outcome::Succeeded } else { Outcome::Incomplete { missing: Vec::new() } };
        runs::settle(&request.control, &point.run, &key, whole, ctx).await?;
    }
    let (send, checkpoints) = mpsc::channel(CHECKPOINTS_AHEAD);
    let writers = request.policy.pause.clone().map(|pause| Arc::new(Writers::new(pause)));
    let job = BackupJob {
        run: run_id.clone(),
        started: ctx.clock.now(),
        repository: request.repository,
        lineage: request.lineage,
        store: request.store,
        record: AsyncMutex::new(request.record),
        keys: request.keys,
        members: request.members,
        max_skew: request.policy.max_skew,
        heir_of: adopted.clone(),
        adopted: left.into_iter().flat_map(|(_, checkpoints)| checkpoints).collect(),
        checkpoints: send,
        writers: writers.clone(),
        opened: Mutex::default(),
        captured: Mutex::default(),
        destination: OnceCell::new(),
    };
    let journalling = tokio::spawn(journal_checkpoints(Arc::clone(&run), checkpoints));
    let equipment = Arc::new(Equipment::Backup(Box::new(job)));
    let executed = {
        let equipment = Arc::clone(&equipment);
        let work = run.execute(move |run, step| perform(run, step, Arc::clone(&equipment), ctx.clone()));
        match &writers {
            None => work.await,
            Some(writers) => {
                let executed = tokio::select! { executed = work => executed, () = writers.limit(ctx) => Err(OrchestratorError::TornDown) };
                writers.resume(ctx).await;
                executed
            }
        }
    };
    let Some(Equipment::Backup(job)) = Arc::into_inner(equipment) else { return Err(OrchestratorError::TornDown) };
    let owners: Vec<_> = job.members.iter().map(|member| (job.owner(&member.name), Arc::clone(&member.source))).collect();
    let BackupJob { record, checkpoints: last, destination, .. } = *job;
    drop((last, destination));
    let record = record.into_inner();
    let journalled = journalling.await.map_err(|_| OrchestratorError::TornDown)?;
    let outcome = executed?;
    journalled?;
    let (entry, members) = results(&run);
    if entry.is_some_and(|number| record.point(number).is_some()) {
        spent::release(owners, &record, ctx).await;
        old_journals::remove(&request.control, &key, ctx).await;
    }
    Ok(BackupEnd { run: run_id, outcome, entry, members, adopted, record })
}

/// The entry that a run has written, and what its captures amount to.
fn results(run: &Run) -> (Option<EntryNumber>, Vec<(StepId, Output)>) {
    let state = run.snapshot();
    let output = |id: &StepId| match state.steps.get(id) {
        Some(StepState::Ended(_, output)) => Some(output.clone()),
        _ => None,
    };
    let entry = match output(&step_id(&["commit"])) {
        Some(Output::Entry { number }) => Some(number),
        _ => None,
    };
    let members = state.plan.step_ids().into_iter().filter_map(|id| Some((id.clone(), output(&id)?)));
    (entry, members.filter(|(_, output)| matches!(output, Output::Content { .. })).collect())
}

async fn journal_checkpoints(run: Arc<Run>, mut checkpoints: mpsc::Receiver<CheckpointRequest>) -> Result<(), OrchestratorError> {
    while let Some(CheckpointRequest { checkpoint, done }) = checkpoints.recv().await {
        // Returning drops the receiver, and whoever stores things stops.
        run.checkpoint(&step_id(&["store"]), Output::Stored(checkpoint)).await?;
        // The one who waits has gone only if its step has failed.
        let _gone = done.send(());
    }
    Ok(())
}
