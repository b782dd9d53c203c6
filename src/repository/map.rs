//! Maps: where the bytes of a component lie, in lines that a person can read. Format: docs/format/map.md.

use serde::{Deserialize, Serialize};

use crate::{model::Sha256, sources::TreeEntry};

/// Bytes inside a pack: `length` bytes from `offset` of the decrypted pack decompress to a text of which `skip` bytes are
/// dropped and `size` are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The pack.
    pub pack: Sha256,
    /// First byte of the first frame, in the decrypted pack.
    pub offset: u64,
    /// Length of the frames.
    pub length: u64,
    /// Decompressed bytes to drop.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skip: u64,
    /// Decompressed bytes to take.
    pub size: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// One entry of a tree and where its content lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeLine {
    /// The entry.
    pub entry: TreeEntry,
    /// Its content; empty for what has none.
    pub runs: Vec<Run>,
}

/// A part of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamLine {
    /// Its bytes, in order.
    pub runs: Vec<Run>,
}

/// A segment of a map, as the sealed part and the hints name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentRef {
    /// SHA-256 of the segment's JSON lines.
    pub sha256: Sha256,
    /// SHA-256 of the canonical lines of its entries; of a stream, equal to `sha256`.
    pub listing: Sha256,
    /// Lines in it.
    pub entries: u64,
    /// Where the lines lie.
    pub runs: Vec<Run>,
}

/// One frame, placed: the chunk that begins at `start` of some text lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedChunk {
    /// Position of the chunk in the text that was cut.
    pub start: u64,
    /// Plain size of the chunk.
    pub size: u32,
    /// The pack.
    pub pack: Sha256,
    /// Where its frame begins in the decrypted pack.
    pub offset: u64,
    /// Length of its frame.
    pub length: u32,
}

/// The runs that give `from..to` of a text cut into `chunks`, which cover it in order without gaps.
pub fn runs_of(chunks: &[PlacedChunk], from: u64, to: u64) -> Vec<Run> {
    let first = chunks.partition_point(|chunk| chunk.start + u64::from(chunk.size) <= from);
    let mut runs: Vec<Run> = Vec::new();
    for chunk in chunks[first..].iter().take_while(|chunk| chunk.start < to) {
        let skip = from.saturating_sub(chunk.start);
        let size = (u64::from(chunk.size)).min(to - chunk.start) - skip;
        match runs.last_mut() {
            Some(run) if run.pack == chunk.pack && run.offset + run.length == chunk.offset => {
                run.length += u64::from(chunk.length);
                run.size += size;
            }
            _ => runs.push(Run { pack: chunk.pack, offset: chunk.offset, length: u64::from(chunk.length), skip, size }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(start: u64, size: u32, pack: u8, offset: u64) -> PlacedChunk {
        PlacedChunk { start, size, pack: Sha256([pack; 32]), offset, length: 10 }
    }

    #[test]
    fn neighbouring_frames_become_one_run() {
        let chunks = [chunk(0, 100, 1, 0), chunk(100, 100, 1, 10), chunk(200, 100, 2, 0), chunk(300, 50, 2, 30)];
        let run = |pack, offset, length, skip, size| Run { pack: Sha256([pack; 32]), offset, length, skip, size };
        assert_eq!(runs_of(&chunks, 0, 350), [run(1, 0, 20, 0, 200), run(2, 0, 10, 0, 100), run(2, 30, 10, 0, 50)]);
        assert_eq!(runs_of(&chunks, 150, 250), [run(1, 10, 10, 50, 50), run(2, 0, 10, 0, 50)]);
        assert_eq!(runs_of(&chunks, 120, 130), [run(1, 10, 10, 20, 10)]);
        assert_eq!(runs_of(&chunks, 50, 150), [run(1, 0, 20, 50, 100)]);
        assert!(runs_of(&chunks, 100, 100).is_empty());
    }
}
