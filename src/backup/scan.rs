//! Reads one component on a blocking thread and hands its pieces on: what is stored already, what is not, and where segments end.

use std::{
    io::{self, Read},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    BackupError,
    assemble::{Draft, DraftLines, Piece},
    destination::Destination,
    finish::HintSeed,
    segment::Segment,
    text::SegmentText,
};
use crate::{
    model::{Context, Problem, Progress, Sha256},
    pipeline::{
        chunk::{ChunkSizes, Chunker, FixedChunker},
        hash::Sha256Hasher,
    },
    sources::{Seen, StreamCapture, StreamEnd, Tree},
};

/// Chunks of a stream in one segment of its map.
const STREAM_CHUNKS: usize = 8192;

/// Sends pieces of one component, in order.
#[derive(Debug)]
pub struct Scanner {
    /// Where pieces go.
    pub out: mpsc::Sender<Piece>,
    /// What is stored already, and under which key chunks are named.
    pub to: Arc<Destination>,
    /// Told how far it is.
    pub progress: Progress,
    /// Whether to go on.
    pub ctx: Context,
}

/// What a scan of a tree found.
#[derive(Debug, Default)]
pub struct TreeEnd {
    /// What is missing.
    pub problems: Vec<Problem>,
    /// Entries that were left out because a pattern says so.
    pub excluded: u64,
}

impl Scanner {
    fn send(&self, piece: Piece) -> Result<(), BackupError> {
        if self.ctx.cancel.is_draining() {
            return Err(BackupError::Cancelled);
        }
        // The assembler has gone only if it failed; its error is the one that counts.
        self.out.blocking_send(piece).map_err(|_| BackupError::Cancelled)
    }

    fn chunk(&self, start: u64, bytes: Bytes) -> Result<(), BackupError> {
        let Some(key) = &self.to.chunk_key else { return self.send(Piece::New { start, bytes, id: None }) };
        let id = key.id(&bytes);
        match self.to.known(&id)? {
            Some(place) => self.send(Piece::Known { start, place }),
            None => self.send(Piece::New { start, bytes, id: Some(id) }),
        }
    }

    /// Says that a component has ended, and whether it was read whole.
    ///
    /// # Errors
    /// When the run is stopped.
    pub fn end(&self, component: usize, whole: bool) -> Result<(), BackupError> {
        self.send(Piece::End { component, whole })
    }

    /// Reads a tree. `owner` names member and component.
    ///
    /// # Errors
    /// When nothing of it can be read, or the run is stopped. What cannot be read inside it is in the result.
    pub fn tree(&mut self, tree: &Tree, owner: &str) -> Result<TreeEnd, BackupError> {
        let mut end = TreeEnd::default();
        let mut chunker = Chunker::new(SegmentText::new(tree, Vec::new()), ChunkSizes::FILE);
        let mut segment = Segment::default();
        for seen in tree.walk() {
            match seen {
                Seen::Entry(walked) => {
                    if segment.push(*walked) {
                        self.segment(std::mem::take(&mut segment), owner, tree, &mut chunker, &mut end)?;
                    }
                }
                Seen::Skipped { why, .. } => end.excluded += u64::from(why == crate::sources::Skipped::Excluded),
                Seen::Problem(problem) => end.problems.push(problem),
            }
        }
        if !segment.entries.is_empty() {
            self.segment(segment, owner, tree, &mut chunker, &mut end)?;
        }
        self.progress.flush();
        Ok(end)
    }

    fn segment<'t>(
        &mut self,
        segment: Segment,
        owner: &str,
        tree: &'t Tree,
        chunker: &mut Chunker<SegmentText<'t>>,
        end: &mut TreeEnd,
    ) -> Result<(), BackupError> {
        let hint = self.to.chunk_key.as_ref().map(|key| HintSeed {
            key: segment.hint_key(owner, key),
            fingerprint: segment.fingerprint(key),
            newest_ctime_ns: segment.newest_ctime_ns(),
            bytes: segment.bytes(),
        });
        let entries = segment.entries.len() as u64;
        if let Some(known) = hint.as_ref().and_then(|hint| self.to.hints.unchanged(&hint.key, &hint.fingerprint)) {
            self.progress.add(segment.bytes(), entries);
            return self.send(Piece::Reused(Box::new(known.clone())));
        }
        chunker.restart(SegmentText::new(tree, segment.entries));
        let mut start = 0;
        for chunk in chunker.by_ref() {
            let chunk = chunk.map_err(BackupError::Read)?;
            let length = chunk.len() as u64;
            self.chunk(start, chunk)?;
            self.progress.add(length, 0);
            start += length;
        }
        self.progress.add(0, entries);
        let read = chunker.restart(SegmentText::new(tree, Vec::new())).finish();
        end.problems.extend(read.problems);
        let hint = hint.filter(|_| read.settled);
        self.send(Piece::Segment(Draft { lines: DraftLines::Tree(read.lines), hint }))
    }

    /// Reads a stream to its end and asks whether that was all of it.
    ///
    /// # Errors
    /// When it was not, or the run is stopped.
    pub fn stream(&mut self, capture: StreamCapture) -> Result<(StreamEnd, Sha256), BackupError> {
        let mut source = Hashing { inner: capture, hasher: Sha256Hasher::new() };
        let read = match &self.to.chunk_key {
            Some(_) => self.chunks(Chunker::new(&mut source, ChunkSizes::DUMP)),
            None => self.chunks(FixedChunker::new(&mut source)),
        };
        // Whoever writes the stream knows better why it broke off.
        let end = source.inner.finish()?;
        read?;
        self.progress.add(0, 1);
        self.progress.flush();
        Ok((end, source.hasher.finish()))
    }

    fn chunks(&mut self, chunks: impl Iterator<Item = io::Result<Bytes>>) -> Result<(), BackupError> {
        let (mut start, mut count) = (0, 0);
        let draft = |length| Piece::Segment(Draft { lines: DraftLines::Stream(0..length), hint: None });
        for chunk in chunks {
            let chunk = chunk.map_err(BackupError::Read)?;
            let length = chunk.len() as u64;
            self.chunk(start, chunk)?;
            self.progress.add(length, 0);
            (start, count) = (start + length, count + 1);
            if count == STREAM_CHUNKS {
                self.send(draft(start))?;
                (start, count) = (0, 0);
            }
        }
        self.send(draft(start))
    }
}

struct Hashing {
    inner: StreamCapture,
    hasher: Sha256Hasher,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
