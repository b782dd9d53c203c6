//! What the status needs of a record, small however long the record is: the daemon keeps this, and not the record.

use super::{
    recovered::{self, RecoveryStatus},
    status::{HeadStatus, PointStatus},
};
use crate::{
    model::{RecoveryPointId, Timestamp},
    repository::{
        catalog::CatalogPoint,
        record::{Depth, Outline, PointOutline, Record},
    },
};

/// What a record says of its points, its last recovery and itself.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The newest good point.
    pub good: Option<PointStatus>,
    /// The newest point, good or not.
    pub newest: Option<PointStatus>,
    /// The newest good point that was verified with a key, how deep, and its `consistent_from`.
    pub verified: Option<(RecoveryPointId, Depth, Timestamp)>,
    /// The last recovery that it tells of.
    pub recovery: Option<RecoveryStatus>,
    /// Where it ends.
    pub head: Option<HeadStatus>,
    /// Entries that are void or lost.
    pub void: usize,
}

impl Summary {
    /// Of a record as it is now.
    pub fn of(record: &Record<Outline>) -> Summary {
        let points = || CatalogPoint::newest_first(record, &[]);
        let good = || points().filter(CatalogPoint::is_good);
        Summary {
            good: good().next().map(of_point),
            newest: points().next().map(of_point),
            verified: good().find_map(|point| Some((point.name.id, point.verified?, point.point.consistent_from))),
            recovery: recovered::last(&record.lineage().policy, record),
            head: record.head().map(|head| HeadStatus { number: head.number, sha256: head.sha256 }),
            void: record.voids().len() + usize::from(record.gap().is_some()),
        }
    }
}

fn of_point(point: CatalogPoint<'_, PointOutline>) -> PointStatus {
    let known = point.point;
    PointStatus {
        id: point.name.id,
        consistent_from: known.consistent_from,
        started: known.started,
        ended: known.ended,
        complete: known.complete,
        unproven: point.unproven,
        bytes: known.bytes,
        stored: known.stored_bytes,
        skew_ms: known.skew_ms,
    }
}
