//! Takes the pieces of components, one component after the other: encodes what is new, fills packs, puts them, and draws the
//! maps once the store has acknowledged every pack that they name. Small components share packs.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use futures::StreamExt;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    BackupError,
    destination::Destination,
    finish::{Finished, HintSeed, Slot},
};
use crate::{
    model::ChunkId,
    pipeline::{
        Pace,
        hash::sha256,
        pack::{PackBuilder, Placement},
    },
    repository::{
        hints::KnownSegment,
        index::Place,
        map::{PlacedChunk, SegmentRef, StreamLine, TreeLine, runs_of},
        packlist::PackInfo,
    },
    sources::TreeEntry,
};

/// Packs that are being sealed or put at a time; each holds its bytes once.
const PUTS_MAX: usize = 3;
/// Entries that may wait for their packs; beyond, the open pack is put early.
const WAITING_MAX: usize = 16_384;

/// Plain bytes of a map in one frame.
const MAP_FRAME_MAX: usize = 4 << 20;

/// Packs of several lanes are smaller, so that together they take no more memory, but not smaller than this.
const LANE_PACK_MIN: usize = 8 << 20;

/// A part of a component, in the order of reading.
#[derive(Debug)]
pub enum Piece {
    /// A chunk that must be stored.
    New {
        /// Where it begins in the text of its segment.
        start: u64,
        /// Its plaintext.
        bytes: Bytes,
        /// Its id, in an epoch that shares chunks.
        id: Option<ChunkId>,
    },
    /// A chunk that is stored.
    Known {
        /// Where it begins in the text of its segment.
        start: u64,
        /// Where it lies.
        place: (PackInfo, Place),
    },
    /// The end of a segment, whose text the chunks since the last one make up.
    Segment(Draft),
    /// A segment that is stored.
    Reused(Box<KnownSegment>),
    /// The end of a component.
    End {
        /// Its number among those of its member.
        component: usize,
        /// Whether it was read whole; otherwise nothing of it is kept.
        whole: bool,
    },
}

/// What a segment of the map will say.
#[derive(Debug)]
pub struct Draft {
    /// The lines: entries of a tree, with where their content is in the segment's text.
    pub lines: DraftLines,
    /// What a later run needs to recognise it.
    pub hint: Option<HintSeed>,
}

/// Lines of a segment, before it is known where chunks lie.
#[derive(Debug)]
pub enum DraftLines {
    /// Entries and the span of their content.
    Tree(Vec<(TreeEntry, Range<u64>)>),
    /// The whole text.
    Stream(Range<u64>),
}

/// A chunk in a pack that may not be acknowledged yet.
#[derive(Debug, Clone, Copy)]
enum Spot {
    Stored(PlacedChunk),
    Open { start: u64, size: u32, serial: u32, placement: Placement },
}

/// A pack that is being filled.
#[derive(Debug)]
struct OpenPack {
    serial: u32,
    builder: PackBuilder,
    chunks: Vec<(ChunkId, Place)>,
}

/// A segment whose turn in the map has not come: those before it wait for packs, or it does.
#[derive(Debug)]
enum Waiting {
    Drawn(Vec<Spot>, Draft),
    Reused(Box<KnownSegment>),
    End(usize, bool),
}

impl Waiting {
    fn lines(&self) -> usize {
        match self {
            Waiting::Drawn(_, draft) => draft.lines.len(),
            Waiting::Reused(_) | Waiting::End(..) => 1,
        }
    }
}

/// What came of sealing and putting one pack.
type PutEnd = Result<(u32, PackInfo, Vec<(ChunkId, Place)>), BackupError>;

#[derive(Debug)]
struct Assembler {
    to: Arc<Destination>,
    /// Bytes of frames at which a pack is full, and packs that are put at a time.
    share: (usize, usize),
    data: OpenPack,
    maps: OpenPack,
    serials: u32,
    puts: JoinSet<PutEnd>,
    stored: HashMap<u32, PackInfo>,
    spots: Vec<Spot>,
    waiting: VecDeque<Waiting>,
    waiting_lines: usize,
    finished: Finished,
}

/// Stores the components that one of `lanes` lanes reads.
///
/// # Errors
/// When the store, a codec or a spool fails. What was put stays and is found by the next run.
pub async fn assemble(pieces: mpsc::Receiver<Piece>, to: Arc<Destination>, lanes: usize) -> Result<Finished, BackupError> {
    let target = (to.pack_target / lanes).max(LANE_PACK_MIN.min(to.pack_target));
    let mut assembler = Assembler::new(Arc::clone(&to), (target, (PUTS_MAX / lanes).max(1)));
    let source = futures::stream::unfold(pieces, |mut pieces| async move { pieces.recv().await.map(|piece| (piece, pieces)) });
    let (encoders, pace) = (to.pool.workers() + 2, Arc::new(Pace::default()));
    let mut encoded = source.map(|piece| encode(piece, Arc::clone(&to), Arc::clone(&pace))).buffered(encoders).boxed();
    while let Some(item) = encoded.next().await {
        assembler.take(item?).await?;
    }
    assembler.end().await
}

enum Encoded {
    Frame { start: u64, size: u32, id: Option<ChunkId>, frame: Bytes },
    Known { start: u64, place: (PackInfo, Place) },
    Segment(Draft),
    Reused(Box<KnownSegment>),
    End(usize, bool),
}

async fn encode(piece: Piece, to: Arc<Destination>, pace: Arc<Pace>) -> Result<Encoded, BackupError> {
    Ok(match piece {
        Piece::New { start, bytes, id } => {
            let size = u32::try_from(bytes.len()).expect("a chunk has at most 4 MiB");
            let frame = to.encoder.encode_at(pace, bytes).await?;
            Encoded::Frame { start, size, id, frame }
        }
        Piece::Known { start, place } => Encoded::Known { start, place },
        Piece::Segment(draft) => Encoded::Segment(draft),
        Piece::Reused(segment) => Encoded::Reused(segment),
        Piece::End { component, whole } => Encoded::End(component, whole),
    })
}

impl Assembler {
    fn new(to: Arc<Destination>, share: (usize, usize)) -> Assembler {
        let open = |serial| OpenPack { serial, builder: PackBuilder::new(share.0), chunks: Vec::new() };
        Assembler {
            share,
            data: open(0),
            maps: open(1),
            serials: 2,
            puts: JoinSet::new(),
            stored: HashMap::new(),
            spots: Vec::new(),
            waiting: VecDeque::new(),
            waiting_lines: 0,
            finished: Finished::default(),
            to,
        }
    }

    async fn take(&mut self, item: Encoded) -> Result<(), BackupError> {
        match item {
            Encoded::Frame { start, size, id, frame } => {
                let placement = self.data.builder.append(&frame)?;
                let place = Place { pack: 0, offset: narrow(placement.offset), length: narrow(placement.length), size };
                self.data.chunks.extend(id.map(|id| (id, place)));
                self.spots.push(Spot::Open { start, size, serial: self.data.serial, placement });
                if self.data.builder.is_full() {
                    self.put_data().await?;
                }
            }
            Encoded::Known { start, place: (pack, place) } => {
                let Place { offset, length, size, .. } = place;
                self.finished.sizes.insert(pack.sha256, pack.size);
                self.spots.push(Spot::Stored(PlacedChunk { start, size, pack: pack.sha256, offset: u64::from(offset), length }));
            }
            Encoded::Segment(draft) => {
                let spots = std::mem::take(&mut self.spots);
                self.wait(Waiting::Drawn(spots, draft)).await?;
            }
            // It needs nothing, but those before it may: segments keep the order of the walk.
            Encoded::Reused(known) => self.wait(Waiting::Reused(known)).await?,
            Encoded::End(component, whole) => {
                // What a component that broke off has left of a segment.
                self.spots.clear();
                self.wait(Waiting::End(component, whole)).await?;
            }
        }
        self.settle(self.share.1).await?;
        self.draw().await
    }

    async fn wait(&mut self, segment: Waiting) -> Result<(), BackupError> {
        self.waiting_lines += segment.lines();
        self.waiting.push_back(segment);
        match self.waiting_lines > WAITING_MAX && !self.data.builder.is_empty() {
            true => self.put_data().await,
            false => Ok(()),
        }
    }

    /// Starts to seal and put the open data pack.
    async fn put_data(&mut self) -> Result<(), BackupError> {
        let next = self.fresh();
        let full = std::mem::replace(&mut self.data, next);
        self.put(full).await
    }

    async fn put_maps(&mut self) -> Result<(), BackupError> {
        let next = self.fresh();
        let full = std::mem::replace(&mut self.maps, next);
        self.put(full).await
    }

    fn fresh(&mut self) -> OpenPack {
        self.serials += 1;
        OpenPack { serial: self.serials - 1, builder: PackBuilder::new(self.share.0), chunks: Vec::new() }
    }

    async fn put(&mut self, full: OpenPack) -> Result<(), BackupError> {
        if full.builder.is_empty() {
            return Ok(());
        }
        self.settle(self.share.1 - 1).await?;
        let to = Arc::clone(&self.to);
        self.puts.spawn(async move { to.put_pack(full.builder).await.map(|info| (full.serial, info, full.chunks)) });
        Ok(())
    }

    /// Waits until at most `most` packs are on their way; takes in what has arrived in any case.
    async fn settle(&mut self, most: usize) -> Result<(), BackupError> {
        loop {
            let ended = match self.puts.len() > most {
                true => self.puts.join_next().await,
                false => self.puts.try_join_next(),
            };
            let Some(ended) = ended else { return Ok(()) };
            let (serial, info, chunks) = ended.expect("putting a pack does not panic")?;
            self.to.remember(info, &chunks)?;
            self.finished.stored(info, chunks);
            self.stored.insert(serial, info);
            self.finished.resolve(&self.stored);
            self.finished.checkpoint(&self.to, false).await?;
        }
    }

    fn place(&self, spot: &Spot) -> Option<PlacedChunk> {
        match spot {
            Spot::Stored(chunk) => Some(*chunk),
            Spot::Open { start, size, serial, placement } => {
                let pack = self.stored.get(serial)?;
                Some(PlacedChunk { start: *start, size: *size, pack: pack.sha256, offset: placement.offset, length: narrow(placement.length) })
            }
        }
    }

    /// Writes the map of every segment, in order, whose packs are all acknowledged.
    async fn draw(&mut self) -> Result<(), BackupError> {
        while let Some(next) = self.waiting.front() {
            let chunks = match next {
                Waiting::Drawn(spots, _) => spots.iter().map(|spot| self.place(spot)).collect::<Option<Vec<_>>>(),
                Waiting::Reused(_) | Waiting::End(..) => Some(Vec::new()),
            };
            let Some(chunks) = chunks else { return Ok(()) };
            let next = self.waiting.pop_front().expect("it was there");
            self.waiting_lines -= next.lines();
            let draft = match next {
                Waiting::Drawn(_, draft) => draft,
                Waiting::Reused(known) => {
                    self.finished.reuse(*known);
                    continue;
                }
                Waiting::End(component, whole) => {
                    self.finished.ended(component, whole);
                    continue;
                }
            };
            let (text, listing, entries) = draft.lines.write(&chunks);
            let segment = SegmentRef { sha256: sha256(&text), listing, entries, runs: Vec::new() };
            let size = text.len() as u64;
            let placement = self.append_map(Bytes::from(text)).await?;
            self.finished.drawn(Slot::new(segment, (self.maps.serial, placement, size), &chunks, draft.hint));
            if self.maps.builder.is_full() {
                self.put_maps().await?;
            }
        }
        Ok(())
    }

    /// Appends the text of a map segment; a large one as several frames, side by side.
    async fn append_map(&mut self, text: Bytes) -> Result<Placement, BackupError> {
        let mut whole: Option<Placement> = None;
        let mut rest = text;
        while whole.is_none() || !rest.is_empty() {
            let part = rest.split_to(rest.len().min(MAP_FRAME_MAX));
            let frame = self.to.encoder.encode(part).await?;
            let placed = self.maps.builder.append(&frame)?;
            whole = Some(whole.map_or(placed, |whole| Placement { length: whole.length + placed.length, ..whole }));
        }
        Ok(whole.expect("the loop runs at least once"))
    }

    async fn end(mut self) -> Result<Finished, BackupError> {
        self.put_data().await?;
        self.settle(0).await?;
        self.draw().await?;
        self.put_maps().await?;
        self.settle(0).await?;
        self.finished.checkpoint(&self.to, true).await?;
        Ok(self.finished)
    }
}

fn narrow(n: u64) -> u32 {
    u32::try_from(n).expect("a pack is smaller than 64 MiB")
}

impl DraftLines {
    fn len(&self) -> usize {
        match self {
            DraftLines::Tree(lines) => lines.len(),
            DraftLines::Stream(_) => 1,
        }
    }

    /// The JSON lines, the listing digest and the number of lines.
    fn write(&self, chunks: &[PlacedChunk]) -> (Vec<u8>, crate::model::Sha256, u64) {
        let mut text = Vec::new();
        let mut listing = Vec::new();
        let mut push = |line: serde_json::Result<Vec<u8>>| {
            text.extend(line.expect("map lines are plain data"));
            text.push(b'\n');
        };
        match self {
            DraftLines::Tree(lines) => {
                for (entry, span) in lines {
                    listing.extend(entry.canonical_line());
                    push(serde_json::to_vec(&TreeLine { entry: entry.clone(), runs: runs_of(chunks, span.start, span.end) }));
                }
                let digest = sha256(&listing);
                (text, digest, lines.len() as u64)
            }
            DraftLines::Stream(span) => {
                push(serde_json::to_vec(&StreamLine { runs: runs_of(chunks, span.start, span.end) }));
                let digest = sha256(&text);
                (text, digest, 1)
            }
        }
    }
}
