//! Captures one member: every component of its source, one after the other.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::mpsc;

use super::{BackupError, assemble::assemble, destination::Destination, finish::Finished, scan::Scanner};
use crate::{
    model::{Context, MemberName, Outcome, Problem, Progress, Sha256, StepId, Timestamp},
    pipeline::hash::Sha256Hasher,
    repository::{
        map::SegmentRef,
        packlist::PackInfo,
        sealed::{SealedComponent, SealedMember},
    },
    sources::{Capture, Component, Opening, RowKey, Source},
};

/// Problems that are named; more are counted.
const PROBLEMS_MAX: usize = 1000;
/// Pieces between the reader and the assembler.
const PIECES_AHEAD: usize = 4;

/// A member as it was captured.
#[derive(Debug)]
pub struct MemberCapture {
    /// The private part of it.
    pub sealed: SealedMember,
    /// The kind of its source.
    pub kind: &'static str,
    /// How it ended: succeeded or incomplete.
    pub outcome: Outcome,
    /// Begin of the time that the data represents.
    pub consistent_from: Timestamp,
    /// End of the time that the data represents.
    pub consistent_to: Timestamp,
    /// Bytes of content.
    pub bytes: u64,
    /// Entries, and one per stream.
    pub items: u64,
    /// Versions of what was read.
    pub versions: BTreeMap<String, String>,
    /// Bytes used of each pack.
    pub live: BTreeMap<PackInfo, u64>,
    /// Packs that were put.
    pub new_packs: Vec<PackInfo>,
    /// Index fragments that were written.
    pub index: Vec<Sha256>,
    /// Hint fragments that were written.
    pub hints: Vec<Sha256>,
}

/// What the reader of a component says when it is done.
#[derive(Debug)]
struct ComponentEnd {
    problems: Vec<Problem>,
    bytes: u64,
    items: u64,
    stream: Option<(Sha256, crate::sources::StreamEnd)>,
    from: Timestamp,
    to: Timestamp,
}

/// Captures a member whole.
///
/// # Errors
/// When a component cannot be read or stored, or the run is stopped. Parts that cannot be read are in the outcome instead.
pub async fn capture(
    name: &MemberName,
    source: Arc<dyn Source>,
    description: BTreeMap<String, String>,
    to: Arc<Destination>,
    step: StepId,
    ctx: &Context,
) -> Result<MemberCapture, BackupError> {
    let kind = source.kind();
    let mut member = MemberCapture::begin(name, kind, description, ctx.clock.now());
    let (listing, listing_ctx) = (Arc::clone(&source), ctx.clone());
    let components = blocking(move || listing.open(&Opening { row_key: RowKey::generate() }, &listing_ctx)).await??;
    for component in components {
        let end = capture_component(name, &component, Arc::clone(&source), Arc::clone(&to), step.clone(), ctx).await?;
        member.add(component, end);
    }
    member.conclude();
    Ok(member)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => BackupError::TornDown,
    })
}

async fn capture_component(
    member: &MemberName,
    component: &Component,
    source: Arc<dyn Source>,
    to: Arc<Destination>,
    step: StepId,
    ctx: &Context,
) -> Result<(ComponentEnd, Finished), BackupError> {
    let (out, pieces) = mpsc::channel(PIECES_AHEAD);
    let progress = Progress::new(Arc::clone(&ctx.observer), step, None);
    let scanner = Scanner { out, to: Arc::clone(&to), progress, ctx: ctx.clone() };
    let owner = format!("{member}/{}", component.name);
    let component = component.clone();
    let reading = blocking(move || read_component(scanner, &owner, &component, source.as_ref()));
    let (read, stored) = tokio::join!(reading, assemble(pieces, to));
    // When storing fails the reader finds its channel closed: the cause is on the storing side.
    match (read?, stored) {
        (_, Err(error)) => Err(error),
        (Err(error), Ok(_)) => Err(error),
        (Ok(end), Ok(finished)) => Ok((end, finished)),
    }
}

fn read_component(mut scanner: Scanner, owner: &str, component: &Component, source: &dyn Source) -> Result<ComponentEnd, BackupError> {
    let ctx = scanner.ctx.clone();
    let from = ctx.clock.now();
    let (problems, stream) = match source.capture(component, &ctx)? {
        Capture::Tree(tree) => (scanner.tree(&tree, owner)?.problems, None),
        Capture::Stream(stream) => {
            let (end, digest) = scanner.stream(stream)?;
            (Vec::new(), Some((digest, end)))
        }
    };
    let (bytes, items) = (scanner.progress.bytes, scanner.progress.items);
    Ok(ComponentEnd { problems, bytes, items, stream, from, to: ctx.clock.now() })
}

impl MemberCapture {
    fn begin(name: &MemberName, kind: &'static str, source: BTreeMap<String, String>, now: Timestamp) -> MemberCapture {
        MemberCapture {
            sealed: SealedMember {
                name: name.clone(),
                source,
                problems: Vec::new(),
                components: Vec::new(),
                position: BTreeMap::new(),
                notes: Vec::new(),
                row_key: None,
            },
            kind,
            outcome: Outcome::Succeeded,
            consistent_from: now,
            consistent_to: now,
            bytes: 0,
            items: 0,
            versions: BTreeMap::new(),
            live: BTreeMap::new(),
            new_packs: Vec::new(),
            index: Vec::new(),
            hints: Vec::new(),
        }
    }

    fn add(&mut self, component: Component, (end, finished): (ComponentEnd, Finished)) {
        let segments = finished.segments();
        let rows = end.stream.as_ref().and_then(|(_, stream)| stream.rows);
        let (digest, from, to) = match end.stream {
            Some((digest, stream)) => {
                self.versions.extend(stream.versions);
                (digest, stream.consistent_from, stream.consistent_to)
            }
            None => (tree_digest(&segments), end.from, end.to),
        };
        let first = self.sealed.components.is_empty();
        self.consistent_from = if first { from } else { self.consistent_from.min(from) };
        self.consistent_to = if first { to } else { self.consistent_to.max(to) };
        self.bytes += end.bytes;
        self.items += end.items;
        for (pack, bytes) in finished.live() {
            let used = self.live.entry(pack).or_default();
            *used = (*used + bytes).min(pack.size);
        }
        self.new_packs.extend(finished.new_packs);
        self.index.extend(finished.index);
        self.hints.extend(finished.hints);
        let room = PROBLEMS_MAX.saturating_sub(self.sealed.problems.len());
        let unnamed = end.problems.len().saturating_sub(room);
        self.sealed.problems.extend(end.problems.into_iter().take(room));
        if unnamed > 0 {
            self.sealed.problems.push(Problem { subject: component.name.clone(), what: format!("{unnamed} further problems") });
        }
        let Component { name, shape, stage, about } = component;
        self.sealed.components.push(SealedComponent { name, shape, bytes: end.bytes, items: end.items, digest, segments, stage, about, rows });
    }

    fn conclude(&mut self) {
        if !self.sealed.problems.is_empty() {
            self.outcome = Outcome::Incomplete { missing: self.sealed.problems.clone() };
        }
    }
}

/// The digest of a tree: that of its segments' listing digests, each with a line feed.
pub fn tree_digest(segments: &[SegmentRef]) -> Sha256 {
    let mut hasher = Sha256Hasher::new();
    segments.iter().for_each(|segment| hasher.update(format!("{}\n", segment.listing).as_bytes()));
    hasher.finish()
}
