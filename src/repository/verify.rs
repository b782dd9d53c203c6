//! Looks at what points need, without any key: whether it is there, and whether its bytes are those that were signed.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    RepositoryError,
    fetch::read,
    needs::{Fault, Need, Wrong},
    presence::Inventory,
    record::{PointRef, Record},
};
use crate::{
    model::{ByteCount, Context, EntryNumber, ObjectKey, Progress, Sha256, StepId},
    pipeline::{Budget, CpuPool, sha256},
    storage::ObjectStore,
};

/// Objects that are read at a time.
const READS: usize = 8;
/// What an object whose size nobody has signed may take of the budget.
const UNKNOWN_SIZE: u64 = 4 << 20;

/// How deep to look without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Every object is listed, packs with their sizes.
    Present,
    /// Every object is read, and its bytes have the digest that its name or a proof says.
    Intact,
}

/// What was found about one point.
#[derive(Debug, Clone)]
pub struct CheckedPoint {
    /// Which.
    pub point: PointRef,
    /// How many objects it needs.
    pub objects: u64,
    /// The size of its packs.
    pub bytes: ByteCount,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

impl CheckedPoint {
    /// Whether a restore is not concerned.
    pub fn is_good(&self) -> bool {
        self.faults.iter().all(|fault| fault.part.is_for_writer())
    }
}

/// Checks `points` of `record` in `store`. What several points need is read once. Stops early, with `None`, when asked to.
///
/// # Errors
/// The store failed, or a point does not exist. What is wrong with objects is in the result.
pub async fn check_points(
    store: &dyn ObjectStore,
    record: &Record,
    points: &[EntryNumber],
    look: Look,
    step: &StepId,
    ctx: &Context,
) -> Result<Option<Vec<CheckedPoint>>, RepositoryError> {
    let mut inventory = Inventory::new(store);
    let (mut checked, mut wanted) = (Vec::new(), BTreeMap::new());
    for number in points {
        let presence = inventory.presence(record, *number).await?;
        let (point, _) = record.point(*number).expect("its needs were found");
        let needs = if look == Look::Intact { inventory.needs(record, *number).await?.objects } else { Vec::new() };
        let known: HashSet<ObjectKey> = presence.faults.iter().map(|fault| fault.key.clone()).collect();
        let readable: Vec<Need> = needs.into_iter().filter(|need| !known.contains(&need.key)).collect();
        for need in &readable {
            wanted.entry(need.key.clone()).or_insert_with(|| (need.sha256, need.size));
        }
        checked.push((CheckedPoint { point, objects: presence.objects, bytes: presence.bytes, faults: presence.faults }, readable));
    }
    let Some(wrong) = hash_all(store, wanted, step, ctx).await? else { return Ok(None) };
    let finish = |(mut point, needs): (CheckedPoint, Vec<Need>)| {
        let faults = needs.into_iter().filter_map(|Need { key, part, .. }| Some(Fault { wrong: wrong.get(&key)?.clone(), key, part }));
        point.faults.extend(faults);
        point
    };
    Ok(Some(checked.into_iter().map(finish).collect()))
}

/// Reads and hashes objects that points need; gives what is wrong with them. Stops early, with `None`, when asked to.
///
/// # Errors
/// The store failed.
pub async fn check_objects(store: &dyn ObjectStore, needs: Vec<Need>, step: &StepId, ctx: &Context) -> Result<Option<Vec<Fault>>, RepositoryError> {
    let wanted = needs.iter().map(|need| (need.key.clone(), (need.sha256, need.size))).collect();
    let Some(wrong) = hash_all(store, wanted, step, ctx).await? else { return Ok(None) };
    Ok(Some(needs.into_iter().filter_map(|Need { key, part, .. }| Some(Fault { wrong: wrong.get(&key)?.clone(), key, part })).collect()))
}

/// Reads and hashes objects; gives what is wrong with those that are not as their names say.
async fn hash_all(
    store: &dyn ObjectStore,
    wanted: BTreeMap<ObjectKey, (Sha256, Option<ByteCount>)>,
    step: &StepId,
    ctx: &Context,
) -> Result<Option<HashMap<ObjectKey, Wrong>>, RepositoryError> {
    let total = wanted.values().filter_map(|(_, size)| *size).sum();
    let mut progress = Progress::new(ctx.observer.clone(), step.clone(), Some(total));
    let (budget, pool) = (&Budget::new(ctx.limits.memory), &CpuPool::new(ctx.limits.workers));
    let one = |(key, (digest, size)): (ObjectKey, (Sha256, Option<ByteCount>))| async move {
        let _permit = budget.acquire(size.map_or(UNKNOWN_SIZE, |size| size.0)).await;
        let Some(bytes) = read(store, &key).await? else { return Ok((key, 0, Some(Wrong::Missing))) };
        let length = bytes.len() as u64;
        let hashed = pool.run(move || sha256(&bytes)).await;
        let found = hashed.map_err(|source| RepositoryError::Seal { what: key.to_string(), source: Box::new(source) })?;
        Ok::<_, RepositoryError>((key, length, (found != digest).then_some(Wrong::Digest)))
    };
    let mut reading = stream::iter(wanted).take_until(Box::pin(ctx.cancel.draining())).map(one).buffer_unordered(READS);
    let mut wrong = HashMap::new();
    while let Some((key, length, found)) = reading.try_next().await? {
        progress.add(length, 1);
        wrong.extend(found.map(|found| (key, found)));
    }
    progress.flush();
    Ok((!ctx.cancel.is_draining()).then_some(wrong))
}
