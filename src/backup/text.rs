//! The text of a segment: the content of its files, one after the other, as one stream to be cut into chunks.

use std::{
    io::{self, Read},
    ops::Range,
    vec,
};

use crate::{
    model::{Problem, Sha256},
    pipeline::hash::Sha256Hasher,
    sources::{Content, EntryKind, Extent, Identity, SourceErrorKind, Stability, Tree, TreeEntry, Walked},
};

/// How often a file that does not hold still is read.
const ATTEMPTS_MAX: u32 = 3;

/// What is known of a segment once its text has been read.
#[derive(Debug, Default)]
pub struct SegmentEnd {
    /// Each entry, and where its content is in the text. Entries that could not be read are not here.
    pub lines: Vec<(TreeEntry, Range<u64>)>,
    /// What could not be read, or not whole.
    pub problems: Vec<Problem>,
    /// Whether every file was found as the walk had seen it.
    pub settled: bool,
}

/// Reads the files of a segment in order. Never fails for a file: what cannot be read becomes a problem.
#[derive(Debug)]
pub struct SegmentText<'a> {
    tree: &'a Tree,
    entries: vec::IntoIter<Walked>,
    current: Option<Reading>,
    at: u64,
    end: SegmentEnd,
}

/// A file that is being read.
#[derive(Debug)]
struct Reading {
    walked: Walked,
    seen: Identity,
    content: Content,
    digest: ContentDigest,
    start: u64,
    attempt: u32,
    first: Option<(u64, Sha256)>,
    left: u64,
}

/// The SHA-256 of a whole file, fed with its stretches of data only.
#[derive(Debug)]
struct ContentDigest {
    hasher: Sha256Hasher,
    extents: vec::IntoIter<Extent>,
    left: u64,
    position: u64,
}

impl ContentDigest {
    fn new(extents: Vec<Extent>) -> ContentDigest {
        ContentDigest { hasher: Sha256Hasher::new(), extents: extents.into_iter(), left: 0, position: 0 }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let Some(extent) = self.extents.next() else { return };
                self.hasher.update_zeros(extent.offset - self.position);
                (self.position, self.left) = (extent.offset, extent.length);
            }
            let part = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.hasher.update(&bytes[..part]);
            bytes = &bytes[part..];
            self.left -= part as u64;
            self.position += part as u64;
        }
    }

    fn finish(mut self, size: u64) -> Sha256 {
        self.hasher.update_zeros(size.saturating_sub(self.position));
        self.hasher.finish()
    }
}

impl<'a> SegmentText<'a> {
    /// The text of these entries.
    pub fn new(tree: &'a Tree, entries: Vec<Walked>) -> SegmentText<'a> {
        let end = SegmentEnd { settled: true, ..SegmentEnd::default() };
        SegmentText { tree, entries: entries.into_iter(), current: None, at: 0, end }
    }

    /// What was read, once the text has come to its end.
    pub fn finish(self) -> SegmentEnd {
        self.end
    }

    fn open(&mut self, mut walked: Walked, attempt: u32, first: Option<(u64, Sha256)>) {
        let seen = walked.identity;
        match self.tree.open_content(&mut walked) {
            Ok(content) => {
                self.end.settled &= attempt == 1 && walked.identity == seen;
                // What was appended since the first attempt belongs to the next backup.
                let whole = content.extents().iter().map(|extent| extent.length).sum();
                let left = first.map_or(whole, |(size, _)| size.min(whole));
                let digest = ContentDigest::new(content.extents().to_vec());
                self.current = Some(Reading { walked, seen, content, digest, start: self.at, attempt, first, left });
            }
            Err(error) if error.kind() == SourceErrorKind::Vanished => self.end.settled = false,
            Err(error) => {
                self.end.settled = false;
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                self.end.problems.push(Problem { subject: walked.entry.display_path(), what: format!("{error}{cause}") });
            }
        }
    }

    /// Takes entries without content, and opens the next file that has some.
    fn advance(&mut self) -> bool {
        while self.current.is_none() {
            let Some(walked) = self.entries.next() else { return false };
            match &walked.entry.kind {
                EntryKind::File { .. } => self.open(walked, 1, None),
                _ => self.end.lines.push((walked.entry, self.at..self.at)),
            }
        }
        true
    }

    fn close(&mut self, reading: Reading) -> io::Result<()> {
        let Reading { mut walked, seen, content, digest, start, attempt, first, .. } = reading;
        let sparse = matches!(walked.entry.kind, EntryKind::File { data: Some(_), .. });
        let size = if sparse { content.size() } else { self.at - start };
        let sha256 = digest.finish(size);
        let stability = content.finish().map_err(io::Error::other)?;
        // Appending does not touch what is there: two readings of the same length that agree are a consistent state.
        let agrees = first == Some((size, sha256)) && !sparse;
        match stability {
            Stability::Changed { .. } if !agrees && attempt < ATTEMPTS_MAX => {
                let first = if sparse { None } else { first.or(Some((size, sha256))) };
                // A rewrite of the same length never agrees with a first attempt that was torn: compare with the latest.
                let first = if attempt > 1 && !sparse { Some((size, sha256)) } else { first };
                walked.identity = seen;
                self.open(walked, attempt + 1, first);
                return Ok(());
            }
            Stability::Changed { what } if !agrees => {
                let what = format!("{what}, {ATTEMPTS_MAX} times");
                self.end.problems.push(Problem { subject: walked.entry.display_path(), what });
            }
            _ => {}
        }
        if !sparse {
            walked.entry.kind = EntryKind::File { size, data: None };
        }
        walked.entry.sha256 = Some(sha256);
        self.end.lines.push((walked.entry, start..self.at));
        Ok(())
    }
}

impl Read for SegmentText<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.advance() {
            let Some(reading) = self.current.as_mut() else { continue };
            let wanted = buffer.len().min(usize::try_from(reading.left).unwrap_or(usize::MAX));
            let count = match reading.content.read(&mut buffer[..wanted]) {
                Ok(count) => count,
                Err(error) => {
                    self.end.settled = false;
                    self.end.problems.push(Problem { subject: reading.walked.entry.display_path(), what: format!("cannot be read: {error}") });
                    self.current = None;
                    continue;
                }
            };
            if count > 0 {
                reading.digest.update(&buffer[..count]);
                reading.left -= count as u64;
                self.at += count as u64;
                return Ok(count);
            }
            let reading = self.current.take().expect("it is being read");
            self.close(reading)?;
        }
        Ok(0)
    }
}
