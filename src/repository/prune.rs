//! Which epochs may be closed and deleted, decided from the records alone; and the deletion, which decides nothing.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::SignedDuration;
use serde::Serialize;

use super::{
    RepositoryError, layout,
    presence::Inventory,
    record::{Epoch, EpochMode, PointRef, Record},
};
use crate::{
    model::{ByteCount, Context, EntryNumber, EpochId, ObjectKey, Problem, RecoveryPointId, Sha256, Timestamp, outcome::explain},
    storage::{ErrorKind, ObjectStore, StoreError, list_all},
};

/// An open epoch that no run uses any more is closed after this: longer than the longest run.
const STALE: SignedDuration = SignedDuration::from_hours(48);
/// An epoch in which no run ended is deleted this long after it was closed.
const WAIT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Objects that are deleted at a time.
const DELETES: usize = 8;

/// An epoch and a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Which.
    pub epoch: EpochId,
    /// Why, for a person.
    pub why: String,
}

/// An epoch that is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deletion {
    /// Which.
    pub epoch: EpochId,
    /// The entry that allows it.
    pub expire: EntryNumber,
    /// Its points, all given up.
    pub points: Vec<EntryNumber>,
    /// Sealed parts that nothing else names.
    pub sealed: BTreeSet<Sha256>,
}

/// What a prune does.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct PrunePlan {
    /// Epochs to close first. Plan again afterwards: a point may have been written meanwhile.
    pub close: Vec<Reason>,
    /// Epochs to delete.
    pub delete: Vec<Deletion>,
    /// Epochs that stay.
    pub keep: Vec<Reason>,
}

/// Decides at the time `now` about every epoch of `record` that is not pruned. `others` are the records of all other configured lineages:
/// what any of them holds is kept.
///
/// # Errors
/// `Gap` when a record is not whole: a hold may be missing from it.
pub fn plan(record: &Record, others: &[&Record], now: Timestamp) -> Result<PrunePlan, RepositoryError> {
    for record in others.iter().chain([&record]) {
        record.without_gap()?;
    }
    let state = record.state();
    let rolling = state.epochs.iter().filter(|(_, epoch)| epoch.open.mode == EpochMode::Rolling);
    let newest = rolling.max_by_key(|(_, epoch)| epoch.opened).map(|(id, _)| id);
    let mut plan = PrunePlan::default();
    for (id, epoch) in state.epochs.iter().filter(|(_, epoch)| epoch.pruned.is_none()) {
        let told = |why: String| Reason { epoch: id.clone(), why };
        match (verdict(record, others, epoch, now), epoch.closed) {
            (Err(why), Some(_)) => plan.keep.push(told(why)),
            (Ok(expire), Some(_)) => {
                let (points, sealed) = (epoch.points.clone(), sealed_of(record, id));
                plan.delete.push(Deletion { epoch: id.clone(), expire, points, sealed });
            }
            (_, None) if newest == Some(id) => plan.keep.push(told("it is the newest one, the next run uses it".to_owned())),
            (_, None) if all_expired(record, epoch) => plan.close.push(told("all its points are given up, and a newer epoch is in use".to_owned())),
            (_, None) if now.duration_since(written(record, epoch.opened)) > STALE => plan.close.push(told("no run uses it any more".to_owned())),
            (_, None) => plan.keep.push(told("it was opened less than two days ago, a run may be using it".to_owned())),
        }
    }
    Ok(plan)
}

fn written(record: &Record, number: EntryNumber) -> Timestamp {
    record.entry(number).map_or(Timestamp::MAX, |valid| valid.entry.written)
}

fn all_expired(record: &Record, epoch: &Epoch) -> bool {
    !epoch.points.is_empty() && epoch.points.iter().all(|number| record.state().expired.contains_key(number))
}

/// The entry that allows the deletion of an epoch, or why it must be kept.
fn verdict(record: &Record, others: &[&Record], epoch: &Epoch, now: Timestamp) -> Result<EntryNumber, String> {
    let state = record.state();
    if let Some(until) = epoch.open.retain_until.filter(|until| *until > now) {
        return Err(format!("its objects are locked until {until}"));
    }
    let mut expire = None;
    for number in &epoch.points {
        let Some((sha256, _)) = state.points.get(number) else { continue };
        let name = PointRef { id: RecoveryPointId { lineage: record.lineage().clone(), number: *number }, sha256: *sha256 };
        let Some(expiry) = state.expired.get(number) else { return Err(format!("{} is not given up", name.id)) };
        if expiry.delete_after > now {
            return Err(format!("{} may be deleted after {}", name.id, expiry.delete_after));
        }
        if let Some(holder) = others.iter().chain([&record]).find(|record| record.state().holds.contains_key(&name)) {
            return Err(format!("{} is held in the record of {}", name.id, holder.lineage()));
        }
        expire = expire.max(Some(expiry.by));
    }
    if epoch.points.is_empty() {
        let closed = epoch.closed.map_or(Timestamp::MAX, |number| written(record, number));
        if now.duration_since(closed) <= WAIT {
            return Err("it has no points, and was closed less than a week ago".to_owned());
        }
        // Nothing of it was ever worth keeping; the format still wants an entry that speaks of deletion.
        expire = state.expires.iter().rev().find(|(_, after)| **after <= now).map(|(number, _)| *number);
    }
    expire.ok_or_else(|| "it has no points, and nothing was ever given up in this record".to_owned())
}

/// The sealed parts of an epoch and its points, without those that another epoch names too.
fn sealed_of(record: &Record, id: &EpochId) -> BTreeSet<Sha256> {
    let epochs = &record.state().epochs;
    let of = |epoch: &Epoch| {
        let points = epoch.points.iter().filter_map(|number| record.point(*number)).map(|(_, point)| point.sealed);
        points.chain([epoch.open.sealed]).collect::<Vec<_>>()
    };
    let others: BTreeSet<Sha256> =
        epochs.iter().filter(|(other, epoch)| *other != id && epoch.pruned.is_none()).flat_map(|(_, epoch)| of(epoch)).collect();
    epochs.get(id).map(of).unwrap_or_default().into_iter().filter(|digest| !others.contains(digest)).collect()
}

/// What was deleted.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Deleted {
    /// Objects that are gone.
    pub objects: u64,
    /// Their size.
    pub bytes: ByteCount,
    /// Objects that the store keeps, and why.
    pub refused: Vec<Problem>,
    /// It was stopped before the end.
    pub cancelled: bool,
}

impl Deleted {
    /// Whether nothing is left.
    pub fn is_finished(&self) -> bool {
        self.refused.is_empty() && !self.cancelled
    }
}

/// Deletes an epoch's objects, all versions of each: hints, index, packs, pack lists, then the sealed parts. What nothing else names goes
/// last, so that a deletion that was interrupted is found again. Safe to run again.
///
/// # Errors
/// The store failed. An object that it refuses to delete is in the result.
pub async fn delete_epoch(store: &dyn ObjectStore, record: &Record, deletion: &Deletion, ctx: &Context) -> Result<Deleted, RepositoryError> {
    let lineage = record.lineage();
    let mut deleted = Deleted::default();
    let named = named(store, record, deletion).await?;
    for prefix in layout::epoch_prefixes(lineage, &deletion.epoch) {
        let mut objects: Vec<_> = list_all(store, &prefix).await?.into_iter().map(|object| (object.key, object.size)).collect();
        let listed: BTreeSet<ObjectKey> = objects.iter().map(|(key, _)| key.clone()).collect();
        for key in named.iter().filter(|key| key.as_str().starts_with(&prefix) && !listed.contains(*key)) {
            objects.extend(hidden(store, key).await?);
        }
        delete_all(store, objects, &mut deleted, ctx).await?;
        if !deleted.is_finished() {
            return Ok(deleted);
        }
    }
    let mut sealed = Vec::new();
    for digest in &deletion.sealed {
        let key = layout::sealed(lineage, *digest);
        match store.head(&key).await? {
            Some(found) => sealed.push((key, found.size)),
            None => sealed.extend(hidden(store, &key).await?),
        }
    }
    delete_all(store, sealed, &mut deleted, ctx).await?;
    Ok(deleted)
}

/// What the points of an epoch name. A listing does not show what a delete marker hides, and that is stored and paid for too.
async fn named(store: &dyn ObjectStore, record: &Record, deletion: &Deletion) -> Result<BTreeSet<ObjectKey>, RepositoryError> {
    let (mut inventory, mut named) = (Inventory::new(store), BTreeSet::new());
    for number in &deletion.points {
        named.extend(inventory.needs(record, *number).await?.objects.into_iter().map(|need| need.key));
    }
    Ok(named)
}

/// An object that is not shown, when it has versions: it, and their size.
async fn hidden(store: &dyn ObjectStore, key: &ObjectKey) -> Result<Option<(ObjectKey, ByteCount)>, StoreError> {
    match store.versions(key).await {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported) => Ok(None),
        Err(error) => Err(error),
        Ok(versions) => Ok((!versions.is_empty()).then(|| (key.clone(), versions.iter().map(|version| version.size).sum()))),
    }
}

async fn delete_all(
    store: &dyn ObjectStore,
    objects: Vec<(ObjectKey, ByteCount)>,
    deleted: &mut Deleted,
    ctx: &Context,
) -> Result<(), RepositoryError> {
    let one = |(key, size): (ObjectKey, ByteCount)| async move {
        match delete_versions(store, &key).await {
            Ok(()) => Ok((size, None)),
            // Under retention, or without the right to delete: it stays, and the next run tries again.
            Err(error) if error.kind() == ErrorKind::AccessDenied => Ok((size, Some(Problem { subject: key.to_string(), what: explain(&error) }))),
            Err(error) => Err(error),
        }
    };
    let mut ended = stream::iter(objects).take_until(Box::pin(ctx.cancel.draining())).map(one).buffer_unordered(DELETES);
    while let Some((size, refused)) = ended.try_next().await? {
        match refused {
            Some(problem) => deleted.refused.push(problem),
            None => {
                deleted.objects += 1;
                deleted.bytes += size;
            }
        }
    }
    deleted.cancelled = ctx.cancel.is_draining();
    Ok(())
}

/// Deletes every version of an object, so that no delete marker hides what is still stored and paid for.
async fn delete_versions(store: &dyn ObjectStore, key: &ObjectKey) -> Result<(), StoreError> {
    let versions = match store.versions(key).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => return store.delete(key).await,
        versions => versions?,
    };
    for version in versions {
        store.delete_version(key, &version.version).await?;
    }
    Ok(())
}

/// The epochs that `record` calls pruned, as deletions: for a location that got its copies of them before.
pub fn leftovers(record: &Record) -> Vec<Deletion> {
    let pruned = record.state().epochs.iter().filter_map(|(id, epoch)| Some((id, epoch, epoch.pruned?)));
    let one = |(id, epoch, pruned): (&EpochId, &Epoch, EntryNumber)| Deletion {
        epoch: id.clone(),
        expire: pruned,
        points: epoch.points.clone(),
        sealed: sealed_of(record, id),
    };
    pruned.map(one).collect()
}

#[cfg(test)]
#[path = "prune_tests.rs"]
mod tests;
