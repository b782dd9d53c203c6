//! The index: what a writer has stored already. Format: docs/format/index.md.
//!
//! Chunks lie in sorted spool files that are searched by position, so that memory does not grow with the repository;
//! only what came since the last flush is in memory. What is here is believed: callers add only what a valid entry,
//! a journal with a valid MAC, or an acknowledged put of this run vouches for.

use std::{
    collections::{BinaryHeap, HashMap},
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::FileExt,
};

use super::packlist::PackInfo;
use crate::model::{ChunkId, Sha256};

const MAGIC: &[u8; 8] = b"HGINDEX1";
const RECORD: usize = 48;
/// Chunks of one fragment at most: keeps it below the size limit of an object.
pub const FRAGMENT_CHUNKS_MAX: usize = 1_000_000;
/// Chunks in memory before they go to a spool file.
const RECENT_MAX: usize = 200_000;
/// Spool files before they are merged into one.
const RUNS_MAX: usize = 6;

/// Where a chunk's frame lies; `pack` counts in a table of packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Position in the table of packs.
    pub pack: u32,
    /// Where the frame begins in the decrypted pack.
    pub offset: u32,
    /// Length of the frame.
    pub length: u32,
    /// Plain size of the chunk.
    pub size: u32,
}

/// Why a fragment could not be read: it is damaged or forged.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("index fragment is damaged: {0}")]
pub struct BadFragment(&'static str);

fn record(id: &ChunkId, place: &Place) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes[..32].copy_from_slice(&id.0);
    for (i, field) in [place.pack, place.offset, place.length, place.size].iter().enumerate() {
        bytes[32 + 4 * i..36 + 4 * i].copy_from_slice(&field.to_le_bytes());
    }
    bytes
}

fn parse(bytes: &[u8; RECORD]) -> (ChunkId, Place) {
    let field = |i: usize| u32::from_le_bytes(bytes[32 + 4 * i..36 + 4 * i].try_into().expect("four bytes"));
    let id = ChunkId(bytes[..32].try_into().expect("thirty-two bytes"));
    (id, Place { pack: field(0), offset: field(1), length: field(2), size: field(3) })
}

/// A fragment: the chunks of one span of a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The packs that `Place::pack` counts in.
    pub packs: Vec<PackInfo>,
    /// The chunks, sorted by id.
    pub chunks: Vec<(ChunkId, Place)>,
}

impl Fragment {
    /// The plaintext of the fragment.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + 40 * self.packs.len() + RECORD * self.chunks.len());
        out.extend_from_slice(MAGIC);
        for count in [self.packs.len(), self.chunks.len()] {
            out.extend_from_slice(&u32::try_from(count).expect("a fragment is bounded").to_le_bytes());
        }
        for pack in &self.packs {
            out.extend_from_slice(&pack.sha256.0);
            out.extend_from_slice(&pack.size.to_le_bytes());
        }
        self.chunks.iter().for_each(|(id, place)| out.extend_from_slice(&record(id, place)));
        out
    }

    /// Reads a fragment back.
    ///
    /// # Errors
    /// When it is not exactly what [`Fragment::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Fragment, BadFragment> {
        let (head, rest) = bytes.split_at_checked(16).ok_or(BadFragment("it is too short"))?;
        let count = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes")) as usize;
        let (packs, chunks) = (count(8), count(12));
        if &head[..8] != MAGIC {
            return Err(BadFragment("it does not begin as an index"));
        }
        if rest.len() as u64 != 40 * packs as u64 + RECORD as u64 * chunks as u64 {
            return Err(BadFragment("its length does not agree with its counts"));
        }
        let (pack_bytes, chunk_bytes) = rest.split_at(40 * packs);
        let pack = |b: &[u8]| PackInfo {
            sha256: Sha256(b[..32].try_into().expect("thirty-two bytes")),
            size: u64::from_le_bytes(b[32..].try_into().expect("eight bytes")),
        };
        let chunks: Vec<_> = chunk_bytes.chunks_exact(RECORD).map(|b| parse(b.try_into().expect("one record"))).collect();
        if chunks.iter().any(|(_, place)| place.pack as usize >= packs) {
            return Err(BadFragment("a chunk names a pack that is not there"));
        }
        if !chunks.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(BadFragment("its chunks are not sorted"));
        }
        Ok(Fragment { packs: pack_bytes.chunks_exact(40).map(pack).collect(), chunks })
    }
}

/// A sorted spool file, already unlinked.
#[derive(Debug)]
struct Spool {
    file: File,
    chunks: u64,
}

impl Spool {
    fn write(chunks: impl Iterator<Item = (ChunkId, Place)>) -> io::Result<Spool> {
        let mut out = BufWriter::new(tempfile::tempfile()?);
        let mut count = 0;
        for (id, place) in chunks {
            out.write_all(&record(&id, &place))?;
            count += 1;
        }
        Ok(Spool { file: out.into_inner().map_err(io::IntoInnerError::into_error)?, chunks: count })
    }

    fn get(&self, id: &ChunkId) -> io::Result<Option<Place>> {
        let (mut low, mut high) = (0, self.chunks);
        let mut bytes = [0; RECORD];
        while low < high {
            let middle = u64::midpoint(low, high);
            self.file.read_exact_at(&mut bytes, middle * RECORD as u64)?;
            let (found, place) = parse(&bytes);
            match found.cmp(id) {
                std::cmp::Ordering::Equal => return Ok(Some(place)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    fn iter(&self) -> io::Result<impl Iterator<Item = io::Result<(ChunkId, Place)>>> {
        let mut file = self.file.try_clone()?;
        io::Seek::rewind(&mut file)?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        Ok((0..self.chunks).map(move |_| {
            let mut bytes = [0; RECORD];
            reader.read_exact(&mut bytes).map(|()| parse(&bytes))
        }))
    }
}

/// All chunks that a run may point to instead of storing them again.
#[derive(Debug, Default)]
pub struct ChunkIndex {
    packs: Vec<PackInfo>,
    numbers: HashMap<Sha256, u32>,
    recent: HashMap<ChunkId, Place>,
    spools: Vec<Spool>,
}

impl ChunkIndex {
    /// Adds a fragment that somebody trustworthy named.
    ///
    /// # Errors
    /// When the spool cannot be written.
    pub fn add_fragment(&mut self, fragment: Fragment) -> io::Result<()> {
        let numbers: Vec<u32> = fragment.packs.iter().map(|pack| self.number_of(*pack)).collect();
        let chunks = fragment.chunks.into_iter().map(|(id, place)| (id, Place { pack: numbers[place.pack as usize], ..place }));
        self.spools.push(Spool::write(chunks)?);
        self.merge_when_many()
    }

    /// Adds the chunks of a pack whose put was acknowledged.
    ///
    /// # Errors
    /// When the spool cannot be written.
    pub fn add_pack(&mut self, pack: PackInfo, chunks: &[(ChunkId, Place)]) -> io::Result<()> {
        let number = self.number_of(pack);
        self.recent.extend(chunks.iter().map(|(id, place)| (*id, Place { pack: number, ..*place })));
        if self.recent.len() >= RECENT_MAX {
            let mut sorted: Vec<_> = self.recent.drain().collect();
            sorted.sort_unstable();
            self.spools.push(Spool::write(sorted.into_iter())?);
        }
        self.merge_when_many()
    }

    /// Where a chunk lies, if it is known.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn get(&self, id: &ChunkId) -> io::Result<Option<(PackInfo, Place)>> {
        let mut found = self.recent.get(id).copied();
        for spool in self.spools.iter().rev() {
            if found.is_some() {
                break;
            }
            found = spool.get(id)?;
        }
        Ok(found.map(|place| (self.packs[place.pack as usize], place)))
    }

    fn number_of(&mut self, pack: PackInfo) -> u32 {
        *self.numbers.entry(pack.sha256).or_insert_with(|| {
            self.packs.push(pack);
            u32::try_from(self.packs.len() - 1).expect("an epoch holds fewer than 2^32 packs")
        })
    }

    fn merge_when_many(&mut self) -> io::Result<()> {
        if self.spools.len() <= RUNS_MAX {
            return Ok(());
        }
        let mut sources = self.spools.iter().map(Spool::iter).collect::<io::Result<Vec<_>>>()?;
        let mut heap = BinaryHeap::new();
        for (i, source) in sources.iter_mut().enumerate() {
            if let Some(next) = source.next() {
                heap.push(std::cmp::Reverse((next?, i)));
            }
        }
        let mut out = BufWriter::new(tempfile::tempfile()?);
        let (mut count, mut last) = (0, None);
        while let Some(std::cmp::Reverse(((id, place), i))) = heap.pop() {
            if last != Some(id) {
                out.write_all(&record(&id, &place))?;
                (count, last) = (count + 1, Some(id));
            }
            if let Some(next) = sources[i].next() {
                heap.push(std::cmp::Reverse((next?, i)));
            }
        }
        drop(sources);
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        self.spools = vec![Spool { file, chunks: count }];
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> ChunkId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
        ChunkId(bytes)
    }

    fn pack(n: u8) -> PackInfo {
        PackInfo { sha256: Sha256([n; 32]), size: 1000 }
    }

    fn fragment(n: u8, chunks: std::ops::Range<u32>) -> Fragment {
        let mut chunks: Vec<_> = chunks.map(|c| (id(c), Place { pack: 0, offset: c, length: 7, size: 9 })).collect();
        chunks.sort_unstable();
        Fragment { packs: vec![pack(n)], chunks }
    }

    #[test]
    fn fragments_read_back_and_refuse_damage() {
        let whole = fragment(3, 0..100);
        let bytes = whole.encode();
        assert_eq!(Fragment::decode(&bytes), Ok(whole));
        for cut in [0, 8, 15, 16, 55, bytes.len() - 1] {
            assert!(Fragment::decode(&bytes[..cut]).is_err(), "{cut}");
        }
        let mut unsorted = bytes.clone();
        unsorted[56] ^= 0xff;
        assert!(Fragment::decode(&unsorted).is_err());
        let mut elsewhere = bytes;
        elsewhere[56 + 32] = 1;
        assert!(Fragment::decode(&elsewhere).is_err());
    }

    #[test]
    fn chunks_are_found_through_memory_spools_and_merges() {
        let mut index = ChunkIndex::default();
        for n in 0..20u8 {
            index.add_fragment(fragment(n, u32::from(n) * 50..u32::from(n) * 50 + 60)).unwrap();
        }
        assert!(index.spools.len() <= RUNS_MAX);
        index.add_pack(pack(99), &[(id(5000), Place { pack: 0, offset: 1, length: 2, size: 3 })]).unwrap();
        for n in 0..1010 {
            let (found, place) = index.get(&id(n)).unwrap().unwrap();
            assert!(place.offset == n && u32::from(found.sha256.0[0]) * 50 <= n && n < u32::from(found.sha256.0[0]) * 50 + 60);
        }
        assert_eq!(index.get(&id(5000)).unwrap().unwrap().0, pack(99));
        assert!(index.get(&id(4000)).unwrap().is_none());
    }
}
