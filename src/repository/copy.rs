//! Brings points from one location to another: trust and vaults first, then what the points need, and the record last and in order,
//! so that an entry never arrives before what it names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

pub use super::courier::Side;
use super::{
    RepositoryError,
    courier::{Carried, Courier},
    fetch::{every_version, put_signature, read},
    keys::PublicKey,
    layout,
    needs::{Need, Needs, Part, Wrong},
    presence::Inventory,
    record::{Body, Copies, PointRef, Record, ValidEntry},
    repo::RepoFile,
    trust::TrustChain,
};
use crate::{
    model::{ByteCount, Context, EntryNumber, EpochId, ObjectKey, Progress, Sha256, StepId, Timestamp},
    pipeline::sha256,
    storage::{ObjectStore, PutOptions, list_all},
};

/// Objects that are on their way at a time.
const COPIES: usize = 8;

/// How to copy.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// Whether the destination locks objects: then each epoch's `retain_until` is carried over.
    pub lock: bool,
    /// Whose progress is told.
    pub step: StepId,
    /// Entries of the destination's record that this machine has read before.
    pub read_before: Copies,
}

/// Objects and their bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// How many.
    pub objects: u64,
    /// Their size.
    pub bytes: ByteCount,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, bytes: ByteCount) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// An object that could not be brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFault {
    /// Which.
    pub key: ObjectKey,
    /// What it is for.
    pub part: Part,
    /// Where it is wrong.
    pub side: Side,
    /// What is wrong.
    pub wrong: Wrong,
}

/// What became of one point.
#[derive(Debug, Clone)]
pub struct CopiedPoint {
    /// Which.
    pub point: PointRef,
    /// What was put at the destination. What several points need counts for the first of them.
    pub copied: Tally,
    /// What was there already.
    pub skipped: Tally,
    /// What is not there now.
    pub faults: Vec<CopyFault>,
}

impl CopiedPoint {
    /// Whether a restore finds everything at the destination.
    pub fn is_complete(&self) -> bool {
        self.faults.iter().all(|fault| fault.part.is_for_writer())
    }
}

/// What became of everything.
#[derive(Debug, Default, Clone)]
pub struct CopyReport {
    /// The points, in the order asked for.
    pub points: Vec<CopiedPoint>,
    /// Entries of the record that were put; it is at the destination up to the source's head now.
    pub entries: u64,
    /// Entries that the destination has above the source's head: one of them lags, or has lost them.
    pub ahead: u64,
    /// It was stopped at a safe point: the record was not written.
    pub cancelled: bool,
}

/// Copies `points` of `record`, which was read from `from`, and the record itself up to its head. What is there already is skipped; an
/// object that is missing or damaged is a fault of the points that need it, and the others go on. Safe to run again.
///
/// # Errors
/// A store failed; a point does not exist; the destination is another repository; it has other trust, vaults or entries under the same
/// numbers (`Forged`, `Fork`).
pub async fn copy_points(
    from: &dyn ObjectStore,
    to: &dyn ObjectStore,
    record: &Record,
    points: &[EntryNumber],
    options: &CopyOptions,
    ctx: &Context,
) -> Result<CopyReport, RepositoryError> {
    let mut courier = Courier::new(from, to, ctx);
    copy_foundation(&courier, record.trusts()).await?;
    let mut source = Inventory::new(from);
    let mut wanted = Vec::new();
    for number in points {
        let needs = source.needs(record, *number).await?;
        let (name, point) = record.point(*number).expect("its needs were found");
        courier.there.list(record.lineage(), &point.epoch).await?;
        wanted.push((name, point.epoch.clone(), needs));
    }
    let retention = Retention::new(record, options, ctx);
    let results = copy_objects(&courier, &wanted, &retention, options, ctx).await?;
    let Some(results) = results else { return Ok(CopyReport { cancelled: true, ..CopyReport::default() }) };
    let (entries, ahead) = copy_record(&courier, record, &retention, &options.read_before).await?;
    Ok(CopyReport { points: tell(wanted, results), entries, ahead, cancelled: false })
}

/// Until when the objects of each epoch are locked at the destination.
struct Retention(BTreeMap<EpochId, Timestamp>);

impl Retention {
    fn new(record: &Record, options: &CopyOptions, ctx: &Context) -> Retention {
        let now = ctx.clock.now();
        let epochs = record.state().epochs.iter().filter(|_| options.lock);
        // A store refuses a lock that has ended.
        let until = |epoch: &super::record::Epoch| epoch.open.retain_until.filter(|until| *until > now);
        Retention(epochs.filter_map(|(id, epoch)| Some((id.clone(), until(epoch)?))).collect())
    }

    fn of(&self, epoch: &EpochId) -> Option<Timestamp> {
        self.0.get(epoch).copied()
    }

    fn of_entry(&self, body: &Body) -> Option<Timestamp> {
        match body {
            Body::EpochOpen(open) => self.of(&open.epoch),
            Body::Point(point) => self.of(&point.epoch),
            _ => None,
        }
    }
}

/// What everything else stands on: `repo.json`, the trust with its signatures, the vaults' wrappings.
async fn copy_foundation(courier: &Courier<'_>, trusts: &TrustChain) -> Result<(), RepositoryError> {
    let key = layout::repo();
    let missing = |key: &ObjectKey| RepositoryError::Missing { key: key.clone(), store: courier.from.describe() };
    match RepoFile::load(courier.to).await? {
        Some(there) if Some(&there.repository) != trusts.repository() => {
            return Err(RepositoryError::Forged { key, what: format!("the destination is the repository {}", there.repository) });
        }
        Some(_) if read(courier.to, &key).await?.is_some() => {}
        _ => {
            let bytes = read(courier.from, &key).await?.ok_or_else(|| missing(&key))?;
            let _put = courier.put_numbered(&key, bytes, None).await?;
        }
    }
    let mut vaults = BTreeMap::new();
    for (trust, digest) in trusts.objects() {
        let key = layout::trust(trust.number);
        let is_there = read(courier.to, &key).await?.is_some_and(|bytes| sha256(&bytes) == digest);
        if !is_there || courier.to.head(&layout::trust_signature(digest)).await?.is_none() {
            let (bytes, signature) = signed(courier.from, &key, (digest, trust.to_bytes()), layout::trust_signature, trusts.root()).await?;
            put_signature_for(courier, (&key, layout::trust_signature(digest)), &bytes, signature, trusts.root(), None).await?;
            let _put = courier.put_numbered(&key, bytes, None).await?;
        }
        vaults.extend(trust.vaults.iter().map(|vault| (vault.id.clone(), ())));
    }
    for vault in vaults.into_keys() {
        for wrapping in list_all(courier.from, &layout::vault_prefix(&vault)).await? {
            let bytes = read(courier.from, &wrapping.key).await?.ok_or_else(|| missing(&wrapping.key))?;
            let _put = courier.put_numbered(&wrapping.key, bytes, None).await?;
        }
    }
    Ok(())
}

/// The bytes of a signed object and a signature that is valid, from any version of either.
async fn signed(
    store: &dyn ObjectStore,
    key: &ObjectKey,
    (digest, canonical): (Sha256, Vec<u8>),
    signature_key: impl Fn(Sha256) -> ObjectKey,
    signer: &PublicKey,
) -> Result<(Bytes, String), RepositoryError> {
    let is_valid = |bytes: &[u8], text: &str| signer.verify(key, bytes, text).is_ok();
    let canonical = Bytes::from(canonical);
    if sha256(&canonical) == digest
        && let Some(text) = read(store, &signature_key(digest)).await?.and_then(|text| String::from_utf8(text.to_vec()).ok())
        && is_valid(&canonical, &text)
    {
        return Ok((canonical, text));
    }
    for version in every_version(store, key, &signature_key).await?.into_iter().filter(|version| version.sha256 == digest) {
        if let Some(text) = version.signatures.iter().find(|text| is_valid(&version.bytes, text)) {
            return Ok((version.bytes.clone(), text.clone()));
        }
    }
    Err(RepositoryError::Damaged { key: key.clone(), what: "it or its signature has changed since the record was read".to_owned() })
}

async fn put_signature_for(
    courier: &Courier<'_>,
    (key, signature_key): (&ObjectKey, ObjectKey),
    bytes: &Bytes,
    signature: String,
    signer: &PublicKey,
    retain_until: Option<Timestamp>,
) -> Result<(), RepositoryError> {
    let options = PutOptions { retain_until, ..PutOptions::of(bytes) };
    put_signature(courier.to, &signature_key, signature, &options, |text| signer.verify(key, bytes, text).is_ok()).await
}

type Wanted = (PointRef, EpochId, Needs);

/// Brings every object that any of the points needs, once; packs first. `None` when it was stopped.
async fn copy_objects(
    courier: &Courier<'_>,
    wanted: &[Wanted],
    retention: &Retention,
    options: &CopyOptions,
    ctx: &Context,
) -> Result<Option<HashMap<ObjectKey, Carried>>, RepositoryError> {
    let mut each: BTreeMap<(Part, &ObjectKey), (&Need, &EpochId)> = BTreeMap::new();
    for (_, epoch, needs) in wanted {
        each.extend(needs.objects.iter().map(|need| ((need.part, &need.key), (need, epoch))));
    }
    let total = each.values().filter_map(|(need, _)| need.size).sum();
    let mut progress = Progress::new(ctx.observer.clone(), options.step.clone(), Some(total));
    let mut carried = stream::iter(each.into_values())
        .take_until(Box::pin(ctx.cancel.draining()))
        .map(|(need, epoch)| async move { Ok::<_, RepositoryError>((need.key.clone(), courier.carry(need, retention.of(epoch)).await?)) })
        .buffer_unordered(COPIES);
    let mut results = HashMap::new();
    while let Some((key, result)) = carried.try_next().await? {
        if let Carried::Copied(bytes) | Carried::Skipped(bytes) = &result {
            progress.add(bytes.0, 1);
        }
        results.insert(key, result);
    }
    progress.flush();
    Ok((!ctx.cancel.is_draining()).then_some(results))
}

/// Hands the results to the points.
fn tell(wanted: Vec<Wanted>, mut results: HashMap<ObjectKey, Carried>) -> Vec<CopiedPoint> {
    let mut points = Vec::new();
    for (point, _, needs) in wanted {
        let mut told = CopiedPoint { point, copied: Tally::default(), skipped: Tally::default(), faults: Vec::new() };
        for Need { key, part, .. } in needs.objects {
            let result = results.get_mut(&key).expect("every object that a point needs was brought");
            match result.clone() {
                Carried::Copied(bytes) => {
                    told.copied.add(bytes);
                    *result = Carried::Skipped(bytes);
                }
                Carried::Skipped(bytes) => told.skipped.add(bytes),
                Carried::Failed(side, wrong) => told.faults.push(CopyFault { key, part, side, wrong }),
            }
        }
        // A list that is missing or damaged was told above; what remains is a list that names what cannot be.
        let unusable = needs.unusable.into_iter().filter(|fault| matches!(fault.wrong, Wrong::Content(_)));
        told.faults.extend(unusable.map(|fault| CopyFault { key: fault.key, part: fault.part, side: Side::From, wrong: fault.wrong }));
        points.push(told);
    }
    points
}

/// Puts an entry and its signature where a delete marker hides them. What was put over them stays: neither replaces the other.
async fn uncover(courier: &Courier<'_>, record: &Record, valid: &ValidEntry, retention: &Retention) -> Result<(), RepositoryError> {
    let (lineage, signer) = (record.lineage(), &valid.entry.signer);
    let (key, of) = (layout::record(lineage, valid.entry.number), |digest| layout::signature(lineage, digest));
    let (bytes, text) = signed(courier.from, &key, (valid.sha256, valid.entry.to_bytes()), of, signer).await?;
    for (key, body) in [(of(valid.sha256), Bytes::from(text)), (key, bytes)] {
        let options = PutOptions { retain_until: retention.of_entry(&valid.entry.body), ..PutOptions::of(&body) };
        let _put = courier.to.put_new(&key, body, &options).await?;
    }
    Ok(())
}

/// Brings the record up to its head: all signatures, then the entries in order. What lies under void numbers is brought as it is, because
/// the entries above it count it. Gives the number of entries that were put, and of those that only the destination has.
async fn copy_record(courier: &Courier<'_>, record: &Record, retention: &Retention, read_before: &Copies) -> Result<(u64, u64), RepositoryError> {
    let lineage = record.lineage();
    let copies = read_before.clone().as_listed(courier.to, lineage, BTreeSet::new()).await?;
    let there: Record = Record::load_beside(courier.to, record.trusts(), lineage, &copies).await?;
    let head = record.head().map_or(EntryNumber(0), |head| head.number);
    let ahead = there.entries().iter().filter(|valid| valid.entry.number > head).count() as u64;
    let mut missing: Vec<&ValidEntry> = Vec::new();
    for valid in record.entries() {
        match there.entry(valid.entry.number) {
            Some(same) if same.sha256 == valid.sha256 => {
                if there.covered().contains(&valid.entry.number) {
                    uncover(courier, record, valid, retention).await?;
                }
            }
            Some(other) => {
                let (number, lineage) = (valid.entry.number, Box::new(lineage.clone()));
                return Err(RepositoryError::Fork { lineage, number, one: valid.sha256, other: other.sha256 });
            }
            None => missing.push(valid),
        }
    }
    let signatures = missing.iter().map(|valid| async move {
        let (key, signer) = (layout::record(lineage, valid.entry.number), &valid.entry.signer);
        let of = |digest| layout::signature(lineage, digest);
        let (bytes, text) = signed(courier.from, &key, (valid.sha256, valid.entry.to_bytes()), of, signer).await?;
        put_signature_for(courier, (&key, of(valid.sha256)), &bytes, text, signer, retention.of_entry(&valid.entry.body)).await?;
        Ok::<_, RepositoryError>((valid.entry.number, (bytes, retention.of_entry(&valid.entry.body))))
    });
    let mut entries: BTreeMap<EntryNumber, (Bytes, Option<Timestamp>)> = stream::iter(signatures).buffer_unordered(COPIES).try_collect().await?;
    let put = entries.len() as u64;
    for void in record.voids().iter().filter(|void| void.number < head && there.digest_at(void.number).is_none()) {
        if let Some(bytes) = read(courier.from, &layout::record(lineage, void.number)).await? {
            entries.insert(void.number, (bytes, None));
        }
    }
    for (number, (bytes, retain_until)) in entries {
        let key = layout::record(lineage, number);
        let _put = courier.put_numbered(&key, bytes, retain_until).await?;
    }
    Ok((put, ahead))
}
