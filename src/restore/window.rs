//! A window: neighbouring lines of a map, restored together so that each pack is read once for all of them.
//!
//! Each byte is hashed once: where it was read back from the target. Packs are therefore taken unproved. Whatever is wrong then, a block that does
//! not decrypt, frames that are none, a file with another digest, has its packs proved and is written again.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    RestoreError,
    content::Content,
    fetch::{Frames, PackReader},
    mend::mend,
    walk::FrameWalk,
};
use crate::{
    model::{Problem, Sha256},
    repository::map::{Run, TreeLine},
    sources::{EntryKind, Extent, FileSlot, TreeEntry, TreeWriter},
};

/// A window ends once its lines use this much of packs, plain. Packs in memory are bounded apart from it; a larger window only means fewer pauses.
pub const BYTES_MAX: u64 = 512 << 20;
/// A window ends after this many lines.
pub const LINES_MAX: usize = 16_384;
/// Files of several runs that are open at a time: the usual limit of a process is 1024.
const OPEN_MAX: usize = 256;
/// Bytes that are read back at once: they are hashed while the processor has them at hand.
pub(super) const READ_BACK: usize = 256 << 10;

/// A file that several runs fill.
#[derive(Debug)]
struct Shared {
    slot: FileSlot,
    runs: Vec<Run>,
    turn: Mutex<Turn>,
}

/// How far a shared file is written and read back.
#[derive(Debug)]
struct Turn {
    written: Vec<bool>,
    /// The first run that was not read back.
    next: usize,
    /// What was read back so far; taken by the thread that goes on with it.
    content: Option<Content>,
}

/// What one run is for.
#[derive(Debug)]
enum Use {
    /// The whole content of a file.
    Whole(TreeEntry),
    /// One of the runs of a file, which begins at this position in its data.
    Part(Arc<Shared>, usize, u64),
}

impl Shared {
    fn new(slot: FileSlot, runs: Vec<Run>) -> Shared {
        let turn = Turn { written: vec![false; runs.len()], next: 0, content: Some(Content::new(slot.entry())) };
        Shared { slot, runs, turn: Mutex::new(turn) }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that a run is written and reads back what is written without a gap, while it is still in the cache. A thread that is at it already
    /// goes on with this run too. The digest comes with the last one.
    fn written(&self, run: usize, buffer: &mut [u8]) -> Result<Option<Sha256>, RestoreError> {
        let mut turn = self.turn();
        turn.written[run] = true;
        if !turn.written.get(turn.next).is_some_and(|written| *written) {
            return Ok(None);
        }
        let Some(mut content) = turn.content.take() else { return Ok(None) };
        while turn.written.get(turn.next).is_some_and(|written| *written) {
            let size = self.runs[turn.next].size;
            drop(turn);
            content.read_back(&self.slot, size, buffer)?;
            turn = self.turn();
            turn.next += 1;
        }
        if turn.next == self.runs.len() {
            return content.finish().map(Some);
        }
        turn.content = Some(content);
        Ok(None)
    }
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
    let mut end = WindowEnd::default();
    for part in parts(lines) {
        write_part(part, packs, writer, &mut end).await?;
    }
    Ok(end)
}

/// The lines in parts of no more than [`OPEN_MAX`] files of several runs.
fn parts(lines: Vec<TreeLine>) -> Vec<Vec<TreeLine>> {
    let (mut parts, mut open) = (vec![Vec::new()], 0);
    for line in lines {
        open += usize::from(line.runs.len() > 1);
        if open > OPEN_MAX {
            parts.push(Vec::new());
            open = 1;
        }
        parts.last_mut().expect("there is one from the beginning").push(line);
    }
    parts
}

async fn write_part(lines: Vec<TreeLine>, packs: &PackReader, writer: &Arc<TreeWriter>, end: &mut WindowEnd) -> Result<(), RestoreError> {
    end.items += lines.len() as u64;
    let mut by_pack: BTreeMap<Sha256, VecDeque<(Run, Use)>> = BTreeMap::new();
    let mut order = Vec::new();
    for TreeLine { entry, mut runs } in lines {
        let size = runs.iter().map(|run| run.size).fold(0, u64::saturating_add);
        // What is written and read back below relies on it.
        if size != entry.extents().iter().map(|extent| extent.length).sum::<u64>() {
            return Err(RestoreError::Different { what: entry.display_path() });
        }
        end.bytes += size;
        let mut add = |run: Run, usage: Use| {
            let list = by_pack.entry(run.pack).or_insert_with(|| {
                order.push(run.pack);
                VecDeque::new()
            });
            list.push_back((run, usage));
        };
        match (&entry.kind, runs.len()) {
            (EntryKind::File { .. }, 1) => add(runs.remove(0), Use::Whole(entry)),
            (EntryKind::File { .. }, 2..) => {
                let shared = Arc::new(Shared::new(writer.begin_file(&entry)?, runs));
                let mut at = 0;
                for (index, run) in shared.runs.iter().enumerate() {
                    add(run.clone(), Use::Part(Arc::clone(&shared), index, at));
                    at += run.size;
                }
            }
            _ => writer.write(&entry)?,
        }
    }
    let jobs: Vec<_> = order.into_iter().map(|pack| (pack, by_pack.remove(&pack).expect("every pack of the order has uses"))).collect();
    let ahead = packs.pool.workers() + 1;
    let one = |(pack, uses)| write_pack(pack, uses, packs, Arc::clone(writer));
    let suspects: Vec<Vec<TreeLine>> = stream::iter(jobs).map(one).buffer_unordered(ahead).try_collect().await?;
    for line in suspects.into_iter().flatten() {
        end.problems.extend(mend(line, packs, writer).await?);
    }
    Ok(())
}

/// Writes everything that lies in one pack, and gives the files that came out different.
async fn write_pack(pack: Sha256, uses: VecDeque<(Run, Use)>, packs: &PackReader, writer: Arc<TreeWriter>) -> Result<Vec<TreeLine>, RestoreError> {
    let size = packs.sizes.get(&pack).copied().unwrap_or(0);
    let _permit = packs.budget.acquire(size).await;
    let places = uses.iter().map(|(run, _)| (run.offset, run.length)).collect();
    let mut job = Job { uses, suspects: Vec::new(), writer, again: false };
    job.uses.make_contiguous().sort_by_key(|(run, _)| (run.offset, run.skip));
    let mut frames = packs.unproved(pack, places).await?;
    loop {
        let work = move || {
            let outcome = job.work(&frames);
            (job, outcome)
        };
        let (back, outcome) = packs.pool.run(work).await?;
        job = back;
        match outcome {
            Ok(()) => return Ok(job.suspects),
            Err(error) if error.is_damage() && !job.again => job.again = true,
            Err(error) => return Err(error),
        }
        frames = packs.proved(pack).await?;
    }
}

/// What is to be written from one pack.
struct Job {
    uses: VecDeque<(Run, Use)>,
    suspects: Vec<TreeLine>,
    writer: Arc<TreeWriter>,
    /// The first of the uses was tried before.
    again: bool,
}

impl Job {
    fn work(&mut self, frames: &Frames) -> Result<(), RestoreError> {
        let mut walk = FrameWalk::new(frames)?;
        let mut buffer = vec![0; READ_BACK];
        let mut again = self.again;
        while let Some((run, usage)) = self.uses.front() {
            let suspect = write_use(&mut walk, run, usage, &self.writer, again, &mut buffer)?;
            self.suspects.extend(suspect);
            self.uses.pop_front();
            again = false;
        }
        Ok(())
    }
}

fn write_use(
    walk: &mut FrameWalk<'_>,
    run: &Run,
    usage: &Use,
    writer: &TreeWriter,
    again: bool,
    buffer: &mut [u8],
) -> Result<Option<TreeLine>, RestoreError> {
    match usage {
        Use::Whole(entry) => {
            let slot = if again { writer.begin_again(entry)? } else { writer.begin_file(entry)? };
            write_run(walk, run, &slot, 0, |_| Ok(()))?;
            let mut content = Content::new(entry);
            content.read_back(&slot, run.size, buffer)?;
            Ok(finish(&slot, content.finish()?, std::slice::from_ref(run), writer))
        }
        Use::Part(shared, index, at) => {
            write_run(walk, run, &shared.slot, *at, |_| Ok(()))?;
            let digest = shared.written(*index, buffer)?;
            Ok(digest.and_then(|digest| finish(&shared.slot, digest, &shared.runs, writer)))
        }
    }
}

/// Gives a file that is as it should be its attributes; another is suspect.
fn finish(slot: &FileSlot, found: Sha256, runs: &[Run], writer: &TreeWriter) -> Option<TreeLine> {
    if slot.entry().sha256 != Some(found) {
        return Some(TreeLine { entry: slot.entry().clone(), runs: runs.to_vec() });
    }
    writer.finish_file(slot);
    None
}

/// Writes the bytes of a run at their place, and shows them to `seen`: `at` counts in the file's stretches of data.
pub(super) fn write_run(
    walk: &mut FrameWalk<'_>,
    run: &Run,
    slot: &FileSlot,
    mut at: u64,
    mut seen: impl FnMut(&[u8]) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    let extents = slot.entry().extents();
    walk.run(run, |mut part| {
        seen(part)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::FileTime;

    fn line(runs: usize) -> TreeLine {
        let run = Run { pack: Sha256::ZERO, offset: 0, length: 1, skip: 0, size: 1 };
        let kind = EntryKind::File { size: runs as u64, data: None };
        let mtime = FileTime { seconds: 0, nanos: 0 };
        let entry = TreeEntry { path: b"a".to_vec(), kind, mode: 0o600, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new(), sha256: None };
        TreeLine { entry, runs: vec![run; runs] }
    }

    #[test]
    fn no_more_files_are_open_at_a_time_than_a_process_may_have() {
        let lines: Vec<_> = (0..2000).map(|number| line(if number % 4 == 0 { 1 } else { 3 })).collect();
        let parts = parts(lines);
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 2000);
        let open = |part: &Vec<TreeLine>| part.iter().filter(|line| line.runs.len() > 1).count();
        assert!(parts.iter().all(|part| open(part) <= OPEN_MAX), "1500 in {} parts", parts.len());
        assert_eq!(parts.len(), 6);
    }
}
