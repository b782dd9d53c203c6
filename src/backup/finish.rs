//! What the components of a lane have become so far: their segments, the packs that they live in, and what a later run may be told.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use super::{BackupError, Checkpoint, destination::Destination};
use crate::{
    model::{ChunkId, Sha256},
    pipeline::pack::Placement,
    repository::{
        hints::{Hint, HintFragment, KnownSegment, PackTable},
        index::{Fragment, Place},
        map::{PlacedChunk, Run, SegmentRef},
        packlist::PackInfo,
    },
};

/// New packs between two checkpoints: what a crash can make a run put again.
const CHECKPOINT_PACKS: usize = 8;

/// What a hint says of a segment besides where it lies.
#[derive(Debug, Clone)]
pub struct HintSeed {
    /// See [`Hint::key`].
    pub key: String,
    /// See [`Hint::fingerprint`].
    pub fingerprint: String,
    /// See [`Hint::newest_ctime_ns`].
    pub newest_ctime_ns: i128,
    /// See [`Hint::bytes`].
    pub bytes: u64,
}

/// A segment whose map is written, perhaps into a pack that is not put yet.
#[derive(Debug)]
pub struct Slot {
    segment: SegmentRef,
    open: Option<(u32, Placement, u64)>,
    live: Vec<(Sha256, u64)>,
    hint: Option<HintSeed>,
}

impl Slot {
    /// A segment whose lines lie at `open` (pack serial, placement, plain size) and name `chunks`.
    pub fn new(segment: SegmentRef, open: (u32, Placement, u64), chunks: &[PlacedChunk], hint: Option<HintSeed>) -> Slot {
        let mut live: BTreeMap<Sha256, u64> = BTreeMap::new();
        chunks.iter().for_each(|chunk| *live.entry(chunk.pack).or_default() += u64::from(chunk.length));
        Slot { segment, open: Some(open), live: live.into_iter().collect(), hint }
    }
}

/// What components have become so far.
#[derive(Debug, Default)]
pub struct Finished {
    slots: Vec<Slot>,
    /// Components that were read whole: their numbers, and which slots are theirs.
    parts: Vec<(usize, Range<usize>)>,
    /// Where the slots of the component begin that is being read.
    begun: usize,
    open: Vec<usize>,
    /// Size of every pack that a segment names.
    pub sizes: HashMap<Sha256, u64>,
    /// Packs that this run put.
    pub new_packs: Vec<PackInfo>,
    /// Index fragments that this run wrote.
    pub index: Vec<Sha256>,
    /// Hint fragments that this run wrote.
    pub hints: Vec<Sha256>,
    new_chunks: Vec<(PackInfo, Vec<(ChunkId, Place)>)>,
    unsaid: Vec<usize>,
}

impl Finished {
    /// Takes a segment as it was.
    pub fn reuse(&mut self, known: KnownSegment) {
        let Hint { key, fingerprint, newest_ctime_ns, bytes, segment, .. } = known.hint;
        self.sizes.extend(known.live.iter().map(|(pack, _)| (pack.sha256, pack.size)));
        let live = known.live.iter().map(|(pack, bytes)| (pack.sha256, *bytes)).collect();
        self.unsaid.push(self.slots.len());
        self.slots.push(Slot { segment, open: None, live, hint: Some(HintSeed { key, fingerprint, newest_ctime_ns, bytes }) });
    }

    /// Takes a segment whose map was just written.
    pub fn drawn(&mut self, slot: Slot) {
        self.open.push(self.slots.len());
        self.slots.push(slot);
    }

    /// Takes notice of a pack that the store has acknowledged.
    pub fn stored(&mut self, pack: PackInfo, chunks: Vec<(ChunkId, Place)>) {
        self.sizes.insert(pack.sha256, pack.size);
        self.new_packs.push(pack);
        self.new_chunks.push((pack, chunks));
    }

    /// Fills in where maps lie whose packs are in `stored`.
    pub fn resolve(&mut self, stored: &HashMap<u32, PackInfo>) {
        for i in std::mem::take(&mut self.open) {
            let slot = &mut self.slots[i];
            let Some((serial, placement, size)) = slot.open else { continue };
            let Some(pack) = stored.get(&serial) else {
                self.open.push(i);
                continue;
            };
            let Placement { offset, length } = placement;
            slot.segment.runs = vec![Run { pack: pack.sha256, offset, length, skip: 0, size }];
            slot.live.push((pack.sha256, length));
            slot.open = None;
            self.unsaid.push(i);
        }
    }

    /// Takes note that all segments of a component were taken. What is not whole counts for nothing, whatever of it is stored.
    pub fn ended(&mut self, component: usize, whole: bool) {
        let slots = std::mem::replace(&mut self.begun, self.slots.len())..self.slots.len();
        if whole {
            self.parts.push((component, slots));
        }
    }

    /// The segments of every component that was read whole, with its number, once all are resolved.
    pub fn components(&self) -> impl Iterator<Item = (usize, Vec<SegmentRef>)> {
        self.parts.iter().map(|(component, slots)| (*component, self.slots[slots.clone()].iter().map(|slot| slot.segment.clone()).collect()))
    }

    /// Bytes that these segments use of each pack.
    pub fn live(&self) -> BTreeMap<PackInfo, u64> {
        let mut live = BTreeMap::new();
        let slots = self.parts.iter().flat_map(|(_, slots)| &self.slots[slots.clone()]);
        for (pack, bytes) in slots.flat_map(|slot| &slot.live) {
            let info = PackInfo { sha256: *pack, size: self.sizes[pack] };
            let used: &mut u64 = live.entry(info).or_default();
            *used = (*used + bytes).min(info.size);
        }
        live
    }

    /// Writes down, for this epoch's later runs, what was put since the last time; seldom unless `now`.
    ///
    /// # Errors
    /// When the store or the journal fails.
    pub async fn checkpoint(&mut self, to: &Destination, now: bool) -> Result<(), BackupError> {
        let enough = self.new_chunks.len() >= CHECKPOINT_PACKS || (now && !(self.new_chunks.is_empty() && self.unsaid.is_empty()));
        if !enough || !to.shares_chunks() {
            return Ok(());
        }
        let (mut index, mut hints) = (Vec::new(), Vec::new());
        let packs: Vec<PackInfo> = self.new_chunks.iter().map(|(pack, _)| *pack).collect();
        for fragment in self.take_fragments() {
            index.push(to.put_index(&fragment).await?);
        }
        for fragment in self.take_hints(to) {
            hints.push(to.put_hints(&fragment).await?);
        }
        self.index.extend(&index);
        self.hints.extend(&hints);
        to.checkpoint(Checkpoint { epoch: to.epoch.clone(), packs, index, hints }).await
    }

    fn take_fragments(&mut self) -> Vec<Fragment> {
        let mut fragments = Vec::new();
        let mut fragment = Fragment::default();
        for (pack, chunks) in std::mem::take(&mut self.new_chunks) {
            if fragment.chunks.len() + chunks.len() > crate::repository::index::FRAGMENT_CHUNKS_MAX {
                fragments.push(std::mem::take(&mut fragment));
            }
            let number = u32::try_from(fragment.packs.len()).expect("a fragment is bounded");
            fragment.packs.push(pack);
            fragment.chunks.extend(chunks.into_iter().map(|(id, place)| (id, Place { pack: number, ..place })));
        }
        fragments.push(fragment);
        fragments.retain(|fragment| !fragment.chunks.is_empty());
        for fragment in &mut fragments {
            fragment.chunks.sort_unstable();
            fragment.chunks.dedup_by_key(|(id, _)| *id);
        }
        fragments
    }

    fn take_hints(&mut self, to: &Destination) -> Vec<HintFragment> {
        let unsaid = std::mem::take(&mut self.unsaid);
        let mut fragments = Vec::new();
        for part in unsaid.chunks(crate::repository::hints::HINTS_MAX) {
            let mut table = PackTable::default();
            let hints: Vec<Hint> = part.iter().filter_map(|i| self.hint(*i, &mut table)).collect();
            if !hints.is_empty() {
                fragments.push(HintFragment { scan: to.scan, packs: table.packs, hints });
            }
        }
        fragments
    }

    fn hint(&self, slot: usize, table: &mut PackTable) -> Option<Hint> {
        let Slot { segment, live, hint, .. } = &self.slots[slot];
        let HintSeed { key, fingerprint, newest_ctime_ns, bytes } = hint.clone()?;
        let mut number = |pack: &Sha256| table.number(PackInfo { sha256: *pack, size: self.sizes[pack] });
        let live = live.iter().map(|(pack, bytes)| (number(pack), *bytes)).collect();
        Some(Hint { key, fingerprint, newest_ctime_ns, bytes, segment: segment.clone(), live })
    }
}
