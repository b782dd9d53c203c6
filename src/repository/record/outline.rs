//! A record without most of what its entries say: what backups and the status need, and little however long the record is.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{
    body::Body,
    entry::Entry,
    keep::{Complete, Keep},
    point::Point,
    read::{Record, ValidEntry},
    state::State,
};
use crate::model::{ByteCount, EntryNumber, EpochId, RunId, Sha256, Timestamp};

/// Restores and recoveries that are kept, of each the newest.
const TOLD: usize = 10;

/// What is kept of a record to back up, and to tell how it stands.
#[derive(Debug, Clone, Default)]
pub struct Outline {
    /// All valid entries, in order.
    digests: Vec<(EntryNumber, Sha256)>,
    points: BTreeMap<EntryNumber, PointOutline>,
    /// The manifests of epochs that take more points, oldest first.
    open: BTreeMap<EpochId, Vec<Arc<Point>>>,
    without_point: BTreeSet<RunId>,
    restores: VecDeque<Arc<Entry>>,
    recoveries: VecDeque<Arc<Entry>>,
}

/// What is known of a point without its manifest, named as there.
#[derive(Debug, Clone)]
pub struct PointOutline {
    /// The run that made it.
    pub run: RunId,
    /// When the run began.
    pub started: Timestamp,
    /// When the last member was captured.
    pub ended: Timestamp,
    /// Begin of the time that its data represents: the earliest of its members.
    pub consistent_from: Timestamp,
    /// Every required member succeeded and the skew was within the policy's bound.
    pub complete: bool,
    /// Latest `consistent_to` minus earliest `consistent_from`, in milliseconds.
    pub skew_ms: u64,
    /// Bytes read, of all members.
    pub bytes: ByteCount,
    /// Size of the packs that a restore needs.
    pub needed_bytes: ByteCount,
    /// The part of them that this point uses.
    pub live_bytes: ByteCount,
    /// What its run added.
    pub stored_bytes: ByteCount,
}

impl From<&Point> for PointOutline {
    fn from(point: &Point) -> PointOutline {
        PointOutline {
            run: point.run.clone(),
            started: point.started,
            ended: point.ended,
            consistent_from: point.consistent_from(),
            complete: point.complete,
            skew_ms: point.skew_ms,
            bytes: point.members.iter().map(|member| member.bytes).sum(),
            needed_bytes: point.needed_bytes,
            live_bytes: point.live_bytes,
            stored_bytes: point.stored_bytes,
        }
    }
}

impl Complete for PointOutline {
    fn is_complete(&self) -> bool {
        self.complete
    }
}

impl Keep for Outline {
    type Point = PointOutline;

    fn keep(&mut self, valid: ValidEntry, state: &State) {
        let ValidEntry { entry, sha256 } = valid;
        self.digests.push((entry.number, sha256));
        match &entry.body {
            Body::Point(point) => {
                self.points.insert(entry.number, PointOutline::from(&**point));
                if state.is_open(&point.epoch) {
                    self.open.entry(point.epoch.clone()).or_default().push(Arc::new(Point::clone(point)));
                }
            }
            Body::EpochClose(close) => drop(self.open.remove(&close.epoch)),
            Body::Run(run) => drop(self.without_point.insert(run.run.clone())),
            Body::Restore(_) => keep_newest(&mut self.restores, entry),
            Body::Recovery(_) => keep_newest(&mut self.recoveries, entry),
            _ => {}
        }
    }

    fn sha256(&self, number: EntryNumber) -> Option<Sha256> {
        let index = self.digests.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.digests[index].1)
    }

    fn point(&self, number: EntryNumber) -> Option<&PointOutline> {
        self.points.get(&number)
    }
}

fn keep_newest(kept: &mut VecDeque<Arc<Entry>>, entry: Arc<Entry>) {
    kept.push_back(entry);
    if kept.len() > TOLD {
        kept.pop_front();
    }
}

impl Record<Outline> {
    /// The manifests of an epoch that takes more points, oldest first; of a closed one none.
    pub fn open_manifests(&self, epoch: &EpochId) -> &[Arc<Point>] {
        self.kept.open.get(epoch).map_or(&[], Vec::as_slice)
    }

    /// Whether an entry tells of this run that it made no point.
    pub fn is_without_point(&self, run: &RunId) -> bool {
        self.kept.without_point.contains(run)
    }

    /// The newest restores, then the newest recoveries; of each ten at most, oldest first.
    pub fn told(&self) -> impl DoubleEndedIterator<Item = &Body> {
        self.kept.restores.iter().chain(&self.kept.recoveries).map(|entry| &entry.body)
    }
}
