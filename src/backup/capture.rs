//! Captures one member: the components of its source, as many at a time as the source has lanes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::join_all;
use tokio::sync::mpsc;

use super::{BackupError, assemble::assemble, captured::MemberCapture, destination::Destination, finish::Finished, open::Opened, scan::Scanner};
use crate::{
    model::{Context, MemberName, Problem, Progress, Sha256, StepId, Timestamp, outcome::explain},
    sources::{Capture, Component, Source, SourceErrorKind, StreamEnd},
};

/// Pieces between the reader and the assembler of a lane.
const PIECES_AHEAD: usize = 4;
/// Components that are read at a time at most: each lane has packs in memory.
const LANES_MAX: usize = 4;

/// What the reader of a component says when it is done.
#[derive(Debug)]
pub(super) struct ComponentEnd {
    pub(super) problems: Vec<Problem>,
    pub(super) bytes: u64,
    pub(super) items: u64,
    pub(super) stream: Option<(Sha256, StreamEnd)>,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// Components that no lane has taken yet, with their numbers.
type Queue = Mutex<VecDeque<(usize, Component)>>;
/// How the components of a lane ended: those that could not be read say why.
type LaneEnd = Vec<(usize, Result<ComponentEnd, BackupError>)>;

/// Captures a member whole, and lets go of its source, however that ended.
///
/// # Errors
/// When nothing of it can be read, something cannot be stored, or the run is stopped. Parts that cannot be read are in the outcome instead.
pub async fn capture(
    name: &MemberName,
    source: Arc<dyn Source>,
    opened: Opened,
    description: BTreeMap<String, String>,
    to: Arc<Destination>,
    step: StepId,
    ctx: &Context,
) -> Result<MemberCapture, BackupError> {
    let read = read_all(name, &source, &opened.components, to, step, ctx).await;
    let (closing, closing_ctx) = (Arc::clone(&source), ctx.clone());
    let closed = blocking(move || closing.close(&closing_ctx)).await?;
    let (lanes, ends) = read?;
    let mut member = MemberCapture::begin(name, source.kind(), description, &opened);
    for lane in &lanes {
        member.stored(lane);
    }
    let mut segments: BTreeMap<usize, _> = lanes.iter().flat_map(Finished::components).collect();
    let (mut first_error, mut whole) = (None, 0);
    for ((number, end), component) in ends.into_iter().zip(opened.components) {
        match (end, segments.remove(&number)) {
            (Ok(end), Some(segments)) => {
                whole += 1;
                member.add(component, end, segments);
            }
            (Err(error), _) => {
                member.missing(Problem { subject: component.name, what: explain(&error) });
                first_error = first_error.or(Some(error));
            }
            (Ok(_), None) => return Err(BackupError::TornDown),
        }
    }
    match first_error {
        Some(error) if whole == 0 => Err(error),
        _ => Ok(member.conclude(closed?)),
    }
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => BackupError::TornDown,
    })
}

/// Reads all components; what became of each, in their order.
async fn read_all(
    member: &MemberName,
    source: &Arc<dyn Source>,
    components: &[Component],
    to: Arc<Destination>,
    step: StepId,
    ctx: &Context,
) -> Result<(Vec<Finished>, LaneEnd), BackupError> {
    let lanes = source.lanes().clamp(1, LANES_MAX).min(components.len()).max(1);
    let queue: Arc<Queue> = Arc::new(Mutex::new(components.iter().cloned().enumerate().collect()));
    let progress = Progress::new(Arc::clone(&ctx.observer), step, None);
    let lane = |_| read_lane(member, Arc::clone(source), Arc::clone(&queue), Arc::clone(&to), lanes, progress.clone(), ctx);
    let (mut finished, mut ends) = (Vec::new(), Vec::new());
    for lane in join_all((0..lanes).map(lane)).await {
        let (lane_ends, stored) = lane?;
        finished.push(stored);
        ends.extend(lane_ends);
    }
    ends.sort_unstable_by_key(|(number, _)| *number);
    Ok((finished, ends))
}

async fn read_lane(
    member: &MemberName,
    source: Arc<dyn Source>,
    queue: Arc<Queue>,
    to: Arc<Destination>,
    lanes: usize,
    progress: Progress,
    ctx: &Context,
) -> Result<(LaneEnd, Finished), BackupError> {
    let (out, pieces) = mpsc::channel(PIECES_AHEAD);
    let mut scanner = Scanner { out, to: Arc::clone(&to), progress, ctx: ctx.clone() };
    let member = member.clone();
    let reading = blocking(move || {
        let mut ends = Vec::new();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((number, component)) = next else { return Ok(ends) };
            let owner = format!("{member}/{}", component.name);
            let end = read_component(&mut scanner, &owner, &component, source.as_ref());
            scanner.end(number, end.is_ok())?;
            match end {
                Err(error) if !is_of_component(&error) => return Err(error),
                end => ends.push((number, end)),
            }
        }
    });
    let (read, stored) = tokio::join!(reading, assemble(pieces, to, lanes));
    // When storing fails the reader finds its channel closed: the cause is on the storing side.
    match (read?, stored) {
        (_, Err(error)) | (Err(error), Ok(_)) => Err(error),
        (Ok(ends), Ok(finished)) => Ok((ends, finished)),
    }
}

/// Whether the other components of the member can still be read.
fn is_of_component(error: &BackupError) -> bool {
    match error {
        BackupError::Source(error) => error.kind() != SourceErrorKind::Cancelled,
        BackupError::Read(_) => true,
        _ => false,
    }
}

fn read_component(scanner: &mut Scanner, owner: &str, component: &Component, source: &dyn Source) -> Result<ComponentEnd, BackupError> {
    let ctx = scanner.ctx.clone();
    let (from, before) = (ctx.clock.now(), scanner.progress.count());
    let (problems, stream) = match source.capture(component, &ctx)? {
        Capture::Tree(tree) => (scanner.tree(&tree, owner)?.problems, None),
        Capture::Stream(stream) => {
            let (end, digest) = scanner.stream(stream)?;
            (end.problems.clone(), Some((digest, end)))
        }
    };
    let (bytes, items) = scanner.progress.since(before);
    Ok(ComponentEnd { problems, bytes, items, stream, from, to: ctx.clock.now() })
}
