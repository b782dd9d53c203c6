//! Writes the point: pack lists and the sealed part, and last the manifest, which is the commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::{
    BackupError, Checkpoint,
    captured::MemberCapture,
    destination::Destination,
    job::{BackupJob, Captured, JobMember},
};
use crate::{
    model::{ByteCount, Context, EntryNumber, EpochId, Outcome, Problem, Sha256, Timestamp},
    pipeline::frame::DEFAULT_LEVEL,
    repository::{
        layout,
        packlist::{PACKS_MAX, PackInfo, PackList, Positions},
        record::{Body, MemberOutcome, PackListRef, Point, PointMember, PointRetention, RunEnd, RunWithoutPoint, Writer, append},
        sealed::SealedPoint,
    },
};

/// What a run ends with.
#[derive(Debug)]
pub struct Committed {
    /// The entry that was written.
    pub number: EntryNumber,
    /// How the point is.
    pub outcome: Outcome,
    /// Bytes that this run put.
    pub stored: ByteCount,
}

/// Writes the point; or, when no member was read at all, why there is none.
///
/// # Errors
/// When the repository cannot be written, or the epoch was closed meanwhile.
pub async fn commit(job: &BackupJob, epoch: &EpochId, ctx: &Context) -> Result<Committed, BackupError> {
    let captured = std::mem::take(&mut *job.captured.lock().expect("no holder of this lock panics"));
    let (mut read, mut failed) = (Vec::new(), BTreeMap::new());
    for member in &job.members {
        match captured.get(&member.name) {
            Some(Captured::Read(capture)) => read.push((member, capture.as_ref())),
            Some(Captured::Not(outcome)) => drop(failed.insert(member.name.clone(), outcome.clone())),
            None => drop(failed.insert(member.name.clone(), not_captured())),
        }
    }
    let cancelled = failed.values().any(|outcome| matches!(outcome, Outcome::Cancelled { .. }));
    if read.is_empty() || cancelled {
        return no_point(job, failed.into_values().collect(), cancelled, ctx).await;
    }
    let to = job.destination(epoch, ctx).await?;
    let point = make_point(job, &read, &failed, &to, ctx).await?;
    let outcome = outcome(job, &point, &read, &failed);
    let stored = point.stored_bytes;
    let appended = {
        let mut record = job.record.lock().await;
        let retain_until = to.retain_until;
        let writer = Writer { store: job.store.as_ref(), key: &job.keys.signing_key, clock: ctx.clock.as_ref(), retain_until };
        append(&writer, &mut record, Body::Point(Box::new(point))).await?
    };
    Ok(Committed { number: appended.number, outcome, stored })
}

fn not_captured() -> Outcome {
    Outcome::Failed { problem: Problem { subject: "capture".to_owned(), what: "it was not begun".to_owned() } }
}

async fn no_point(job: &BackupJob, ends: Vec<Outcome>, cancelled: bool, ctx: &Context) -> Result<Committed, BackupError> {
    let reason = ends.iter().find_map(|end| match end {
        Outcome::Failed { problem } if !cancelled => Some(problem.what.clone()),
        Outcome::Cancelled { reason } => Some(reason.clone()),
        _ => None,
    });
    let (ended, reason) = (if cancelled { RunEnd::Cancelled } else { RunEnd::Failed }, reason.unwrap_or_else(|| "no member was read".to_owned()));
    // What sources say may name private things; the entry is public.
    let public = if cancelled { "stopped" } else { "no member could be read" };
    let body = Body::Run(RunWithoutPoint { run: job.run.clone(), outcome: ended, reason: public.to_owned() });
    let mut record = job.record.lock().await;
    let writer = Writer { store: job.store.as_ref(), key: &job.keys.signing_key, clock: ctx.clock.as_ref(), retain_until: None };
    let appended = append(&writer, &mut record, body).await?;
    let outcome = match cancelled {
        true => Outcome::Cancelled { reason },
        false => Outcome::Failed { problem: Problem { subject: job.lineage.to_string(), what: format!("no point was made: {reason}") } },
    };
    Ok(Committed { number: appended.number, outcome, stored: ByteCount(0) })
}

type Read<'a> = (&'a JobMember, &'a MemberCapture);

async fn make_point(
    job: &BackupJob,
    read: &[Read<'_>],
    failed: &BTreeMap<crate::model::MemberName, Outcome>,
    to: &Destination,
    ctx: &Context,
) -> Result<Point, BackupError> {
    let mut live: BTreeMap<PackInfo, u64> = BTreeMap::new();
    for (pack, bytes) in read.iter().flat_map(|(_, capture)| &capture.live) {
        let used = live.entry(*pack).or_default();
        *used = (*used + bytes).min(pack.size);
    }
    let new_packs: Vec<PackInfo> = read.iter().flat_map(|(_, capture)| capture.new_packs.iter().copied()).collect();
    let adopted: Vec<&Checkpoint> =
        job.adopted.iter().chain(read.iter().flat_map(|(_, capture)| &capture.adopted)).filter(|stored| stored.epoch == to.epoch).collect();
    let (pack_lists, names_adopted) = pack_lists(job, &live, &new_packs, &adopted, to).await?;
    let sealed = SealedPoint { format: 1, run: job.run.clone(), members: read.iter().map(|(_, capture)| capture.sealed.clone()).collect() };
    let sealed = serde_json::to_vec(&sealed).expect("sealed parts are plain data");
    let sealed = zstd::bulk::compress(&sealed, DEFAULT_LEVEL).map_err(BackupError::Read)?;
    let ended = ctx.clock.now();
    let members: Vec<PointMember> = job.members.iter().map(|member| public_member(member, read, failed, ended)).collect();
    let skew_ms = skew_ms(read);
    // An index is only good with a list that names its packs: without one a later point could not say what it needs.
    let adopted = adopted.into_iter().filter(|_| names_adopted);
    let whole = |member: &PointMember| !member.required || member.outcome == MemberOutcome::Succeeded;
    let paused = job.writers.as_ref().is_none_or(|writers| writers.problem().is_none());
    let complete = paused && members.iter().all(whole) && job.max_skew.is_none_or(|max| u128::from(skew_ms) <= max.as_millis());
    Ok(Point {
        run: job.run.clone(),
        epoch: to.epoch.clone(),
        vault: to.vault.id(),
        started: job.started,
        ended,
        complete,
        members,
        skew_ms,
        pack_lists,
        needed_bytes: live.keys().map(|pack| ByteCount(pack.size)).sum(),
        live_bytes: live.values().copied().map(ByteCount).sum(),
        stored_bytes: new_packs.iter().map(|pack| ByteCount(pack.size)).sum(),
        index: adopted.flat_map(|checkpoint| checkpoint.index.clone()).chain(read.iter().flat_map(|(_, c)| c.index.clone())).collect(),
        hints: read.iter().flat_map(|(_, capture)| capture.hints.clone()).collect(),
        sealed: to.put_sealed(&sealed).await?,
        retention: PointRetention { classes: job.classes(&to.epoch).await },
    })
}

fn public_member(member: &JobMember, read: &[Read<'_>], failed: &BTreeMap<crate::model::MemberName, Outcome>, now: Timestamp) -> PointMember {
    let capture = read.iter().find(|(read, _)| read.name == member.name).map(|(_, capture)| *capture);
    PointMember {
        name: member.name.clone(),
        required: member.required,
        source: member.source.kind().to_owned(),
        outcome: capture.map_or_else(|| failed.get(&member.name).map_or(MemberOutcome::Failed, MemberOutcome::from), |c| (&c.outcome).into()),
        consistent_from: capture.map_or(now, |capture| capture.consistent_from),
        consistent_to: capture.map_or(now, |capture| capture.consistent_to),
        bytes: ByteCount(capture.map_or(0, |capture| capture.bytes)),
        items: capture.map_or(0, |capture| capture.items),
        versions: capture.map(|capture| capture.versions.clone()).unwrap_or_default(),
    }
}

fn skew_ms(read: &[Read<'_>]) -> u64 {
    let from = read.iter().map(|(_, capture)| capture.consistent_from).min();
    let to = read.iter().map(|(_, capture)| capture.consistent_to).max();
    let skew = from.zip(to).map_or(0, |(from, to)| to.duration_since(from).as_millis());
    u64::try_from(skew).unwrap_or(0)
}

/// Puts this run's lists, and names in them and in those of earlier points of the epoch every pack that the point uses. Tells also whether all of
/// this run's lists are named: one of which the point uses nothing is not.
async fn pack_lists(
    job: &BackupJob,
    live: &BTreeMap<PackInfo, u64>,
    new: &[PackInfo],
    adopted: &[&Checkpoint],
    to: &Destination,
) -> Result<(Vec<PackListRef>, bool), BackupError> {
    let mut missing: BTreeSet<PackInfo> = live.keys().copied().collect();
    let mut refs = Vec::new();
    let adopted = adopted.iter().flat_map(|stored| &stored.packs);
    let earlier = earlier_lists(job, to).await?;
    let listed: BTreeSet<PackInfo> = earlier.values().flat_map(|list| &list.packs).copied().collect();
    // What a lost or damaged list named, and the store still has, is listed again: the chain goes on.
    let unlisted = live.keys().filter(|pack| !listed.contains(*pack));
    let own: BTreeSet<PackInfo> = new.iter().chain(adopted).chain(unlisted).copied().collect();
    let own: Vec<PackInfo> = own.into_iter().collect();
    for packs in own.chunks(PACKS_MAX) {
        let (repository, lineage, epoch) = (job.repository.clone(), job.lineage.clone(), to.epoch.clone());
        let list = PackList { format: 1, repository, lineage, epoch, run: job.run.clone(), packs: packs.to_vec() };
        let mut bytes = serde_json::to_vec(&list).expect("pack lists are plain data");
        bytes.push(b'\n');
        let digest = to.put_pack_list(Bytes::from(bytes)).await?;
        take(&mut missing, digest, &list, &mut refs);
    }
    let names_own = refs.len() == own.chunks(PACKS_MAX).len();
    for (digest, list) in earlier {
        take(&mut missing, digest, &list, &mut refs);
    }
    debug_assert!(missing.is_empty(), "every pack is in a list: {missing:?}");
    Ok((refs, names_own))
}

fn take(missing: &mut BTreeSet<PackInfo>, digest: Sha256, list: &PackList, refs: &mut Vec<PackListRef>) {
    let needed: Positions = list.packs.iter().enumerate().filter(|(_, pack)| missing.remove(pack)).map(|(i, _)| i).collect();
    if !needed.is_empty() {
        refs.push(PackListRef { sha256: digest, needed: needed.to_string() });
    }
}

async fn earlier_lists(job: &BackupJob, to: &Destination) -> Result<HashMap<Sha256, PackList>, BackupError> {
    let points = job.record.lock().await.open_manifests(&to.epoch).to_vec();
    let mut lists = HashMap::new();
    for list in points.iter().flat_map(|point| &point.pack_lists) {
        if lists.contains_key(&list.sha256) {
            continue;
        }
        let key = layout::packlist(&job.lineage, &to.epoch, list.sha256);
        let bytes = match job.store.get(&key, None).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == crate::storage::ErrorKind::NotFound => continue,
            Err(source) => return Err(BackupError::Get { key, source }),
        };
        // A damaged list is passed over as a lost one is.
        if crate::pipeline::sha256(&bytes) == list.sha256
            && let Ok(parsed) = PackList::parse(&bytes)
        {
            lists.insert(list.sha256, parsed);
        }
    }
    Ok(lists)
}

fn outcome(job: &BackupJob, point: &Point, read: &[Read<'_>], failed: &BTreeMap<crate::model::MemberName, Outcome>) -> Outcome {
    let mut missing = Vec::new();
    for (name, outcome) in failed {
        let what = match outcome {
            Outcome::Failed { problem } => problem.what.clone(),
            _ => "it was not captured".to_owned(),
        };
        missing.push(Problem { subject: name.to_string(), what });
    }
    for (_, capture) in read {
        missing.extend(capture.sealed.problems.iter().cloned());
    }
    if let Some(what) = job.writers.as_ref().and_then(|writers| writers.problem()) {
        missing.push(Problem { subject: job.lineage.to_string(), what });
    }
    if let Some(max) = job.max_skew.filter(|max| u128::from(point.skew_ms) > max.as_millis()) {
        let what = format!("its members lie {} ms apart, and the policy allows {} ms", point.skew_ms, max.as_millis());
        missing.push(Problem { subject: job.lineage.to_string(), what });
    }
    match missing.is_empty() {
        true => Outcome::Succeeded,
        false => Outcome::Incomplete { missing },
    }
}
