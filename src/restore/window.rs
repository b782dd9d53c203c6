//! A window: neighbouring lines of a map, restored together so that each pack is read once for all of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::{StreamExt, TryStreamExt, stream};

use super::{RestoreError, fetch::PackReader, walk::FrameWalk};
use crate::{
    model::{Problem, Sha256},
    pipeline::hash::Sha256Hasher,
    repository::map::{Run, TreeLine},
    sources::{EntryKind, Extent, FileSlot, TreeEntry, TreeWriter},
};

/// A window ends once its lines use this much of packs, plain. Packs in memory are bounded apart from it; a larger window only means fewer pauses.
pub const BYTES_MAX: u64 = 512 << 20;
/// A window ends after this many lines.
pub const LINES_MAX: usize = 16_384;
const READ_BACK: usize = 256 << 10;

/// A file that several runs fill.
#[derive(Debug)]
struct Shared {
    slot: FileSlot,
    left: AtomicU64,
}

/// What one run is for.
#[derive(Debug)]
enum Use {
    /// The whole content of a file.
    Whole(TreeEntry),
    /// A part of a file, from this position in its data.
    Part(Arc<Shared>, u64),
}

/// What came of a window.
#[derive(Debug, Default)]
pub struct WindowEnd {
    /// Bytes of content written.
    pub bytes: u64,
    /// Entries written.
    pub items: u64,
    /// Files whose content, read back, is not what the map says.
    pub problems: Vec<Problem>,
}

/// Writes the entries of `lines` and their contents, and reads every content back.
///
/// # Errors
/// When a pack cannot be read or the target not be written. A file with other content than promised is a problem instead.
pub async fn write_window(lines: Vec<TreeLine>, packs: &PackReader, writer: &Arc<TreeWriter>) -> Result<WindowEnd, RestoreError> {
    let mut end = WindowEnd { items: lines.len() as u64, ..WindowEnd::default() };
    let mut by_pack: BTreeMap<Sha256, Vec<(Run, Use)>> = BTreeMap::new();
    let mut order = Vec::new();
    for TreeLine { entry, mut runs } in lines {
        end.bytes += runs.iter().map(|run| run.size).sum::<u64>();
        let mut add = |run: Run, usage: Use| {
            let list = by_pack.entry(run.pack).or_insert_with(|| {
                order.push(run.pack);
                Vec::new()
            });
            list.push((run, usage));
        };
        match (&entry.kind, runs.len()) {
            (EntryKind::File { .. }, 1) => add(runs.remove(0), Use::Whole(entry)),
            (EntryKind::File { .. }, 2..) => {
                let shared = Arc::new(Shared { left: AtomicU64::new(runs.len() as u64), slot: writer.begin_file(&entry)? });
                let mut at = 0;
                for run in runs {
                    let size = run.size;
                    add(run, Use::Part(Arc::clone(&shared), at));
                    at += size;
                }
            }
            _ => writer.write(&entry)?,
        }
    }
    let jobs: Vec<_> = order.into_iter().map(|pack| (pack, by_pack.remove(&pack).expect("every pack of the order has uses"))).collect();
    let ahead = packs.pool.workers() + 1;
    let one = |(pack, uses)| write_pack(pack, uses, packs, Arc::clone(writer));
    let problems: Vec<Vec<Problem>> = stream::iter(jobs).map(one).buffer_unordered(ahead).try_collect().await?;
    end.problems = problems.concat();
    Ok(end)
}

async fn write_pack(pack: Sha256, mut uses: Vec<(Run, Use)>, packs: &PackReader, writer: Arc<TreeWriter>) -> Result<Vec<Problem>, RestoreError> {
    let size = packs.sizes.get(&pack).copied().unwrap_or(0);
    let _permit = packs.budget.acquire(2 * size).await;
    let frames = packs.frames(pack, uses.iter().map(|(run, _)| (run.offset, run.length)).collect()).await?;
    let work = move || {
        uses.sort_by_key(|(run, _)| (run.offset, run.skip));
        let mut walk = FrameWalk::new(&frames)?;
        let mut problems = Vec::new();
        for (run, usage) in uses {
            problems.extend(write_use(&mut walk, &run, usage, &writer)?);
        }
        Ok(problems)
    };
    packs.pool.run(work).await?
}

fn write_use(walk: &mut FrameWalk<'_>, run: &Run, usage: Use, writer: &TreeWriter) -> Result<Option<Problem>, RestoreError> {
    match usage {
        Use::Whole(entry) => {
            let slot = writer.begin_file(&entry)?;
            write_run(walk, run, &slot, 0)?;
            finish(&slot, writer)
        }
        Use::Part(shared, at) => {
            write_run(walk, run, &shared.slot, at)?;
            match shared.left.fetch_sub(1, Ordering::AcqRel) {
                1 => finish(&shared.slot, writer),
                _ => Ok(None),
            }
        }
    }
}

/// Writes the bytes of a run at their place: `at` counts in the file's stretches of data.
fn write_run(walk: &mut FrameWalk<'_>, run: &Run, slot: &FileSlot, mut at: u64) -> Result<(), RestoreError> {
    let extents = slot.entry().extents();
    walk.run(run, |mut part| {
        while !part.is_empty() {
            let (offset, room) = place(&extents, at).ok_or_else(|| RestoreError::Different { what: slot.entry().display_path() })?;
            let count = part.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            slot.write_at(offset, &part[..count])?;
            at += count as u64;
            part = &part[count..];
        }
        Ok(())
    })
}

/// Where the byte `at` of the concatenated extents lies, and how many follow it there.
fn place(extents: &[Extent], mut at: u64) -> Option<(u64, u64)> {
    for extent in extents {
        if at < extent.length {
            return Some((extent.offset + at, extent.length - at));
        }
        at -= extent.length;
    }
    None
}

/// Reads a whole file back, compares it with its digest, and gives it its attributes.
fn finish(slot: &FileSlot, writer: &TreeWriter) -> Result<Option<Problem>, RestoreError> {
    let mut hasher = Sha256Hasher::new();
    let mut buffer = vec![0; READ_BACK.min(usize::try_from(slot.entry().size()).unwrap_or(READ_BACK))];
    let mut at = 0;
    for extent in slot.entry().extents() {
        hasher.update_zeros(extent.offset - at);
        let mut left = extent.length;
        at = extent.offset;
        while left > 0 {
            let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            slot.read_at(at, &mut buffer[..count])?;
            hasher.update(&buffer[..count]);
            at += count as u64;
            left -= count as u64;
        }
    }
    hasher.update_zeros(slot.entry().size() - at);
    let (expected, found) = (slot.entry().sha256, hasher.finish());
    let subject = slot.entry().display_path();
    writer.finish_file(slot);
    let differs = || Problem { subject, what: format!("its content has the SHA-256 {found}, the map says {}", shown(expected)) };
    Ok((expected != Some(found)).then(differs))
}

fn shown(digest: Option<Sha256>) -> String {
    digest.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string())
}
