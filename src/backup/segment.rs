//! Cuts a walk into segments: the unit of a map, and of what is not read again when nothing in it changed.

use crate::{
    pipeline::hash::ChunkKey,
    sources::{FileTime, Identity, TreeEntry, Walked},
};

/// A segment ends with the entry whose path's checksum has this many low bits clear: one in 512, wherever others come and go.
const BOUNDARY_BITS: u32 = 9;
/// Entries in a segment at most.
const ENTRIES_MAX: usize = 4096;
/// A segment ends once its files hold this much.
const BYTES_MAX: u64 = 64 << 20;

/// Neighbouring entries of a tree, not yet read.
#[derive(Debug, Default)]
pub struct Segment {
    /// In the order of the walk.
    pub entries: Vec<Walked>,
    bytes: u64,
}

impl Segment {
    /// Adds an entry; returns whether the segment is now complete.
    pub fn push(&mut self, walked: Walked) -> bool {
        self.bytes += walked.entry.size();
        let boundary = fnv(&walked.entry.path).trailing_zeros() >= BOUNDARY_BITS;
        self.entries.push(walked);
        boundary || self.entries.len() >= ENTRIES_MAX || self.bytes >= BYTES_MAX
    }

    /// Bytes of content that the entries claim.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The newest ctime in it, in nanoseconds since 1970.
    pub fn newest_ctime_ns(&self) -> i128 {
        let ns = |time: FileTime| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        self.entries.iter().map(|walked| ns(walked.identity.ctime)).max().unwrap_or(i128::MIN)
    }

    /// The key that finds its hint: says nothing to whoever lacks `key`.
    pub fn hint_key(&self, owner: &str, key: &ChunkKey) -> String {
        let mut text = Vec::from(owner.as_bytes());
        text.push(0);
        text.extend_from_slice(self.entries.first().map_or(&[][..], |walked| &walked.entry.path));
        key.id(&text).to_string()
    }

    /// A keyed digest of every entry's path and metadata: equal only when nothing that can be seen without reading changed.
    pub fn fingerprint(&self, key: &ChunkKey) -> String {
        let mut text = Vec::with_capacity(256 * self.entries.len());
        for walked in &self.entries {
            text.extend_from_slice(&metadata(&walked.entry, &walked.identity));
        }
        key.id(&text).to_string()
    }
}

fn metadata(entry: &TreeEntry, identity: &Identity) -> Vec<u8> {
    let mut line = entry.canonical_line();
    let Identity { device, inode, size, mtime, ctime } = identity;
    let numbers = [*device, *inode, *size];
    line.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    for time in [mtime, ctime] {
        line.extend(time.seconds.to_le_bytes());
        line.extend(time.nanos.to_le_bytes());
    }
    for extent in entry.extents() {
        line.extend(extent.offset.to_le_bytes());
        line.extend(extent.length.to_le_bytes());
    }
    line
}

/// FNV-1a: spreads paths evenly, and is the same on every machine and in every release (it places boundaries).
fn fnv(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3));
    // FNV's low bits mix poorly: fold the high ones in.
    hash ^ (hash >> 32)
}
