//! What the status needs of a record, small however long the record is: the daemon keeps this, and not the record.

use super::{
    recovered::{self, RecoveryStatus},
    status::{HeadStatus, PointStatus},
};
use crate::{
    model::{RecoveryPointId, Timestamp},
    repository::{
        catalog::{Catalog, CatalogPoint},
        record::{Depth, Record},
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
    pub fn of(record: &Record) -> Summary {
        let catalog = Catalog::new(record, &[]);
        let points = catalog.points();
        let verified = points.iter().rev().filter(|point| point.is_good()).find_map(|point| {
            let depth = point.verified?;
            Some((point.name.id.clone(), depth, of_point(point).consistent_from))
        });
        Summary {
            good: catalog.latest().map(of_point),
            newest: points.last().map(of_point),
            verified,
            recovery: recovered::last(&record.lineage().policy, record),
            head: record.head().map(|head| HeadStatus { number: head.number, sha256: head.sha256 }),
            void: record.voids().len() + usize::from(record.gap().is_some()),
        }
    }
}

fn of_point(point: &CatalogPoint<'_>) -> PointStatus {
    let manifest = point.point;
    PointStatus {
        id: point.name.id.clone(),
        consistent_from: manifest.members.iter().map(|member| member.consistent_from).min().unwrap_or(manifest.started),
        started: manifest.started,
        ended: manifest.ended,
        complete: manifest.complete,
        unproven: point.unproven,
        bytes: manifest.members.iter().map(|member| member.bytes).sum(),
        stored: manifest.stored_bytes,
        skew_ms: manifest.skew_ms,
    }
}
