//! The steps of a restore, one function each.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{
    RestoreError,
    opened::OpenedPoint,
    stream::restore_stream,
    tree::{Selection, restore_tree},
};
use crate::{
    model::{ByteCount, Context, MemberName, Outcome, Overwrite, Problem, Progress, StepId},
    sources::{Shape, Sink, Source, StreamSink, SystemTarget, Target},
};

/// Where a component goes.
#[derive(Debug)]
pub enum To {
    /// A directory.
    Directory(PathBuf, Overwrite),
    /// What the source says.
    Source(Arc<dyn Source>, Overwrite),
}

/// What a restored component amounts to.
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
    /// What a person may want to know.
    pub notes: Vec<Problem>,
}

/// Restores one component and compares it with the manifest.
///
/// # Errors
/// When it cannot be read or written. What differs afterwards is in the outcome.
pub async fn restore_component(
    point: &OpenedPoint,
    member: &MemberName,
    component: &str,
    select: &[String],
    to: To,
    step: StepId,
    ctx: &Context,
) -> Result<RestoreEnd, RestoreError> {
    let sealed = point.component(member, component)?;
    let progress = Progress::new(Arc::clone(&ctx.observer), step, Some(ByteCount(sealed.bytes)));
    let before = point.packs.fetched();
    let fetched = || ByteCount(point.packs.fetched() - before);
    let (named, packs) = (sealed.component(), &point.packs);
    match sealed.shape {
        Shape::Tree => {
            let To::Directory(path, overwrite) = to else {
                return Err(RestoreError::Usage(format!("say where {member} goes: --to DIRECTORY or --in-place")));
            };
            let done = restore_tree(sealed, &Selection::new(select), &path, overwrite, packs, progress, ctx).await?;
            Ok(RestoreEnd { outcome: done.outcome, bytes: ByteCount(done.bytes), items: done.items, fetched: fetched(), notes: done.notes })
        }
        Shape::Stream => {
            let sink = match to {
                To::Directory(path, overwrite) => StreamSink::file(&path, &sealed.name, overwrite)?,
                To::Source(source, overwrite) => match packs
                    .pool
                    .run({
                        let ctx = ctx.clone();
                        let target = Target::System(SystemTarget { overwrite, select: Vec::new(), rename: BTreeMap::new() });
                        move || source.sink(&named, &target, &ctx)
                    })
                    .await??
                {
                    Sink::Stream(sink) => sink,
                    Sink::Tree(_) => return Err(RestoreError::Usage(format!("{member} was a stream and is configured as a tree"))),
                },
            };
            let bytes = restore_stream(sealed, sink, packs, progress, ctx).await?;
            Ok(RestoreEnd { outcome: Outcome::Succeeded, bytes: ByteCount(bytes), items: 1, fetched: fetched(), notes: Vec::new() })
        }
    }
}
