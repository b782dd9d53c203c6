//! Restores one member: its components into a directory, or into the system that a source describes, and compares them with what was saved; or compares alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    RestoreError,
    opened::OpenedPoint,
    stream::restore_stream,
    system::restore_system,
    tree::{Selection, compare_tree, restore_tree},
};
use crate::{
    model::{ByteCount, Context, MemberName, Outcome, Overwrite, Problem, Progress, Sha256, StepId},
    pipeline::Sha256Hasher,
    repository::sealed::{SealedComponent, SealedMember},
    sources::{Shape, Source, SourceError, StreamSink, SystemTarget, TreeWriter},
};

/// Where a member goes.
#[derive(Debug)]
pub enum To {
    /// A directory.
    Directory {
        /// Which.
        path: PathBuf,
        /// Paths inside trees; everything when empty.
        select: Vec<String>,
        /// Whether it may hold something.
        overwrite: Overwrite,
    },
    /// The system that a source describes.
    System(Arc<dyn Source>, SystemTarget),
}

/// What earlier processes of the same restore have done, and where this one tells what it has.
#[derive(Debug)]
pub struct Earlier {
    /// The run and its step, as `RUN/STEP`: the same for every process of this restore, and for no other.
    pub run: String,
    /// Whether an earlier one was let into the target: what is there is ours.
    pub resumed: bool,
    /// Components that were written whole, by their positions in the point.
    pub done: BTreeSet<u32>,
    /// Told of each further one.
    pub report: mpsc::UnboundedSender<Report>,
}

/// What a restore tells of how far it has come.
#[derive(Debug)]
pub enum Report {
    /// The target may be written to: answer once that is known to whoever comes after us, for what it finds there is ours then.
    Admitted(oneshot::Sender<()>),
    /// The component at this position was written whole.
    Written(u32),
    /// All were: answer once that is known to whoever comes after us.
    All(oneshot::Sender<()>),
}

/// What a restored member amounts to.
#[derive(Debug)]
pub struct RestoreEnd {
    /// How it went, comparison included.
    pub outcome: Outcome,
    /// Bytes of content.
    pub bytes: ByteCount,
    /// Entries, and one per stream.
    pub items: u64,
    /// Bytes fetched from stores, maps included.
    pub fetched: ByteCount,
    /// Whether all that was written was read back and compared.
    pub compared: bool,
    /// What a person may want to know.
    pub notes: Vec<Problem>,
    /// How many objects became what, where the source says it.
    pub tally: BTreeMap<String, u64>,
}

/// Restores a member and compares it with the manifest.
///
/// # Errors
/// When it cannot be read or written. What differs afterwards is in the outcome.
pub async fn restore_member(
    point: &OpenedPoint,
    member: &MemberName,
    to: To,
    earlier: Earlier,
    step: StepId,
    ctx: &Context,
) -> Result<RestoreEnd, RestoreError> {
    let sealed = point.member(member)?;
    let total = sealed.components.iter().map(|component| component.bytes).sum();
    let progress = Progress::new(Arc::clone(&ctx.observer), step, Some(ByteCount(total)));
    let before = point.packs.fetched();
    let mut end = match to {
        To::Directory { path, select, overwrite } => {
            let mut end = RestoreEnd::nothing();
            check_vacant(sealed, &path, overwrite).await?;
            earlier.tell(Report::Admitted).await?;
            for component in &sealed.components {
                end.add(restore_into(point, sealed, component, (&path, overwrite), &select, progress.clone(), ctx).await?);
            }
            end
        }
        To::System(source, target) => restore_system(point, sealed, source, target, earlier, progress, ctx).await?,
    };
    end.fetched = ByteCount(point.packs.fetched() - before);
    Ok(end)
}

impl Earlier {
    /// Tells something and waits until it is journalled.
    pub(super) async fn tell(&self, what: impl FnOnce(oneshot::Sender<()>) -> Report) -> Result<(), RestoreError> {
        let (answer, known) = oneshot::channel();
        // Nobody listens any more only when the journal is lost; then nobody answers either.
        let _told = self.report.send(what(answer));
        known.await.map_err(|_| RestoreError::TornDown)
    }
}

/// Restores one component that is a tree into a directory, and compares it.
///
/// # Errors
/// When it cannot be read or written. What differs afterwards is in the outcome.
pub async fn restore_component(
    point: &OpenedPoint,
    member: &MemberName,
    component: &str,
    (path, overwrite): (&Path, Overwrite),
    earlier: Earlier,
    step: StepId,
    ctx: &Context,
) -> Result<RestoreEnd, RestoreError> {
    let component = point.component(member, component)?;
    let progress = Progress::new(Arc::clone(&ctx.observer), step, Some(ByteCount(component.bytes)));
    let before = point.packs.fetched();
    // What an earlier process has begun to write is ours.
    let overwrite = if earlier.resumed { Overwrite::InPlace } else { overwrite };
    let target = path.to_owned();
    let vacant = tokio::task::spawn_blocking(move || TreeWriter::create(&target, overwrite).map(drop)).await;
    vacant.map_err(|_| RestoreError::TornDown)??;
    earlier.tell(Report::Admitted).await?;
    let done = restore_tree(component, &Selection::new(&[]), path, overwrite, &point.packs, progress, ctx).await?;
    let (bytes, items, fetched) = (ByteCount(done.bytes), done.items, ByteCount(point.packs.fetched() - before));
    Ok(RestoreEnd { outcome: done.outcome, bytes, items, fetched, notes: done.notes, ..RestoreEnd::nothing() })
}

/// Compares what a directory holds with a member, as a restore would have put it there. Nothing is written.
///
/// # Errors
/// When one of them cannot be read. What differs is in the outcome.
pub async fn compare_member(point: &OpenedPoint, member: &MemberName, path: &Path) -> Result<RestoreEnd, RestoreError> {
    let sealed = point.member(member)?;
    let mut end = RestoreEnd::nothing();
    for component in &sealed.components {
        end.add(compare_one(point, component, &place(sealed, component, path)).await?);
    }
    Ok(end)
}

/// The same with one component, which lies at `path` itself.
///
/// # Errors
/// When one of them cannot be read.
pub async fn compare_component(point: &OpenedPoint, member: &MemberName, component: &str, path: &Path) -> Result<RestoreEnd, RestoreError> {
    compare_one(point, point.component(member, component)?, path).await
}

async fn compare_one(point: &OpenedPoint, component: &SealedComponent, path: &Path) -> Result<RestoreEnd, RestoreError> {
    let missing = match component.shape {
        Shape::Tree => compare_tree(component, path, &point.packs).await?,
        Shape::Stream => {
            let (file, expected) = (path.to_owned(), component.digest);
            let found = tokio::task::spawn_blocking(move || digest_of(&file)).await.map_err(|_| RestoreError::TornDown)??;
            let what = || format!("its content has SHA-256 {found} instead of {expected}");
            if found == expected { Vec::new() } else { vec![Problem { subject: component.name.clone(), what: what() }] }
        }
    };
    let outcome = if missing.is_empty() { Outcome::Succeeded } else { Outcome::Incomplete { missing } };
    Ok(RestoreEnd { outcome, bytes: ByteCount(component.bytes), items: component.items, ..RestoreEnd::nothing() })
}

fn digest_of(path: &Path) -> Result<Sha256, SourceError> {
    let failed = |source| SourceError::Io { doing: "read", path: path.display().to_string(), source };
    let (mut file, mut hasher, mut buffer) = (File::open(path).map_err(failed)?, Sha256Hasher::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Where a component goes below the directory of its member: of several trees each has a folder of its own.
fn place(member: &SealedMember, component: &SealedComponent, path: &Path) -> PathBuf {
    match component.shape {
        Shape::Tree if member.components.len() > 1 => path.join(&component.name),
        Shape::Tree => path.to_owned(),
        Shape::Stream => path.join(&component.name),
    }
}

/// That nothing is in the way of any component. It is asked before the journal says that whatever lies there is this restore's own.
async fn check_vacant(member: &SealedMember, path: &Path, overwrite: Overwrite) -> Result<(), RestoreError> {
    let (member, path) = (member.clone(), path.to_owned());
    let check = move || {
        member.components.iter().try_for_each(|component| match component.shape {
            Shape::Tree => TreeWriter::create(&place(&member, component, &path), overwrite).map(drop),
            Shape::Stream => StreamSink::place(&path, &component.name, overwrite).map(drop),
        })
    };
    Ok(tokio::task::spawn_blocking(check).await.map_err(|_| RestoreError::TornDown)??)
}

/// Restores a component into a directory: a tree becomes its contents, of several each in a folder of its own; a stream becomes a file.
async fn restore_into(
    point: &OpenedPoint,
    member: &SealedMember,
    component: &SealedComponent,
    (path, overwrite): (&Path, Overwrite),
    select: &[String],
    progress: Progress,
    ctx: &Context,
) -> Result<RestoreEnd, RestoreError> {
    let packs = &point.packs;
    match component.shape {
        Shape::Tree => {
            let path = place(member, component, path);
            let done = restore_tree(component, &Selection::new(select), &path, overwrite, packs, progress, ctx).await?;
            let (bytes, items) = (ByteCount(done.bytes), done.items);
            Ok(RestoreEnd { outcome: done.outcome, bytes, items, notes: done.notes, ..RestoreEnd::nothing() })
        }
        Shape::Stream => {
            let sink = StreamSink::file(path, &component.name, overwrite)?;
            let bytes = restore_stream(component, sink, packs, progress, ctx).await?;
            Ok(RestoreEnd { bytes: ByteCount(bytes), items: 1, ..RestoreEnd::nothing() })
        }
    }
}

impl RestoreEnd {
    pub(super) fn nothing() -> RestoreEnd {
        RestoreEnd {
            outcome: Outcome::Succeeded,
            bytes: ByteCount(0),
            items: 0,
            fetched: ByteCount(0),
            compared: true,
            notes: Vec::new(),
            tally: BTreeMap::new(),
        }
    }

    fn add(&mut self, other: RestoreEnd) {
        self.bytes = ByteCount(self.bytes.0 + other.bytes.0);
        self.items += other.items;
        self.compared &= other.compared;
        self.notes.extend(other.notes);
        match (&mut self.outcome, other.outcome) {
            (Outcome::Incomplete { missing }, Outcome::Incomplete { missing: more }) => missing.extend(more),
            (outcome @ Outcome::Succeeded, other) => *outcome = other,
            _ => {}
        }
    }
}
