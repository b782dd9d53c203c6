//! Cuts streams into chunks, at places that their content decides (`Chunker`) or at fixed ones (`FixedChunker`).
//!
//! The places are part of the format, as `docs/format/chunking.md` says: a change of them costs every rolling epoch a full upload.

use std::io::{self, ErrorKind, Read};

use bytes::Bytes;
use fastcdc::v2020::{Normalization, cut, select_masks};

/// Sizes of content-defined chunks, in bytes. All even, as the algorithm asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSizes {
    min: usize,
    average: usize,
    max: usize,
}

impl ChunkSizes {
    /// For database dumps, where scattered rows change: 32 KiB, 128 KiB, 512 KiB.
    pub const DUMP: ChunkSizes = ChunkSizes { min: 32 << 10, average: 128 << 10, max: 512 << 10 };
    /// For files, which change as a whole or grow: 256 KiB, 1 MiB, 4 MiB.
    pub const FILE: ChunkSizes = ChunkSizes { min: 256 << 10, average: 1 << 20, max: 4 << 20 };

    /// No chunk but the last of a stream is shorter.
    pub const fn min(self) -> usize {
        self.min
    }

    /// What chunks of random data tend to.
    pub const fn average(self) -> usize {
        self.average
    }

    /// No chunk is longer.
    pub const fn max(self) -> usize {
        self.max
    }
}

/// Cuts a stream where its content says (FastCDC 2020, normalization level 1, no seed).
///
/// Iterates over the chunks, each in memory of its own; ends after the first error. Holds a buffer of twice the largest chunk,
/// of which only what was read into takes up memory.
#[derive(Debug)]
pub struct Chunker<R> {
    source: R,
    sizes: ChunkSizes,
    masks: (u64, u64),
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
}

impl<R: Read> Chunker<R> {
    /// Begins at the present position of `source`.
    pub fn new(source: R, sizes: ChunkSizes) -> Chunker<R> {
        let masks = select_masks(sizes.average, Normalization::Level1);
        Chunker { source, sizes, masks, buffer: vec![0; 2 * sizes.max], start: 0, end: 0, ended: false }
    }

    /// Begins another stream with the same buffer, which spares its allocation where files are many and small. What was read ahead of
    /// the old stream is lost; the old source comes back.
    pub fn restart(&mut self, source: R) -> R {
        (self.start, self.end, self.ended) = (0, 0, false);
        std::mem::replace(&mut self.source, source)
    }

    /// Reads until the largest chunk is in the buffer, or the stream has ended.
    fn fill(&mut self) -> io::Result<()> {
        if self.ended || self.end - self.start >= self.sizes.max {
            return Ok(());
        }
        if self.start + self.sizes.max > self.buffer.len() || self.start == self.end {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        while self.end - self.start < self.sizes.max {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(count) => self.end += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<R: Read> Iterator for Chunker<R> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        if let Err(error) = self.fill() {
            (self.start, self.end, self.ended) = (0, 0, true);
            return Some(Err(error));
        }
        let ahead = &self.buffer[self.start..self.end];
        if ahead.is_empty() {
            return None;
        }
        let ChunkSizes { min, average, max } = self.sizes;
        let (small, large) = self.masks;
        let (_, length) = cut(ahead, min, average, max, small, large, small << 1, large << 1);
        let chunk = Bytes::copy_from_slice(&ahead[..length]);
        self.start += length;
        Some(Ok(chunk))
    }
}

/// Cuts a stream into blocks of 1 MiB: for epochs without deduplication, where the places do not matter. Ends after the first error.
#[derive(Debug)]
pub struct FixedChunker<R> {
    source: R,
    ended: bool,
}

impl<R: Read> FixedChunker<R> {
    /// Length in bytes of every block but the last.
    pub const SIZE: usize = 1 << 20;

    /// Begins at the present position of `source`.
    pub fn new(source: R) -> FixedChunker<R> {
        FixedChunker { source, ended: false }
    }
}

impl<R: Read> Iterator for FixedChunker<R> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.ended {
            return None;
        }
        let mut block = Vec::with_capacity(Self::SIZE);
        let result = (&mut self.source).take(Self::SIZE as u64).read_to_end(&mut block);
        self.ended = block.len() < Self::SIZE || result.is_err();
        match result {
            Err(error) => Some(Err(error)),
            Ok(0) => None,
            Ok(_) => {
                block.shrink_to_fit();
                Some(Ok(block.into()))
            }
        }
    }
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
