//! What the page shows besides the status: points and where they are, runs that go on, restores and recoveries.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};

use super::{DaemonError, status::Status};
use crate::{
    config::{Config, PRIMARY},
    model::{ByteCount, PolicyName, RecoveryPointId, RunId, Seconds, Timestamp, outcome::explain},
    orchestrator::{repo::Repo, runs, state::StepState},
    pipeline::sha256,
    repository::{
        catalog::CatalogPoint,
        layout,
        record::{Body, Depth, MemberOutcome, Outline, PointOutline, PointRef, Record, RecoveryOutcome},
    },
    storage::{self, ErrorKind},
};

/// Points of each policy.
const MOST_POINTS: usize = 12;
/// Restores and recoveries.
const MOST_PROOFS: usize = 10;
/// Manifests that are asked for at a time.
const GETS: usize = 8;
/// Longest time for one location; one that is silent is shown as such.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the page shows.
#[derive(Debug, Clone)]
pub struct Picture {
    /// What is known without reading more.
    pub status: Status,
    /// The locations, `primary` first; of one that cannot be read, why.
    pub locations: Vec<(String, Option<String>)>,
    /// The newest points of each policy, newest first.
    pub points: BTreeMap<PolicyName, Vec<PointRow>>,
    /// The runs that go on.
    pub work: Vec<Work>,
    /// The last restores and recoveries, newest first.
    pub proofs: Vec<ProofRow>,
}

/// A point, and where it is.
#[derive(Debug, Clone)]
pub struct PointRow {
    /// Its name and the digest of its manifest.
    pub name: PointRef,
    /// When the last member was captured.
    pub ended: Timestamp,
    /// What may be said of it in a word.
    pub state: &'static str,
    /// What was read.
    pub bytes: ByteCount,
    /// How deep it was verified with a key.
    pub verified: Option<Depth>,
    /// Locations whose record holds its manifest.
    pub at: Vec<String>,
}

/// A run that goes on.
#[derive(Debug, Clone)]
pub struct Work {
    /// Of which policy.
    pub policy: PolicyName,
    /// Which.
    pub run: RunId,
    /// When it began.
    pub began: Timestamp,
    /// Steps that are done.
    pub done: usize,
    /// All steps.
    pub steps: usize,
    /// What goes on, for a person.
    pub now: Vec<String>,
}

/// A restore or a recovery.
#[derive(Debug, Clone)]
pub struct ProofRow {
    /// When it ended.
    pub ended: Timestamp,
    /// What it was.
    pub what: String,
    /// From which point.
    pub point: Option<RecoveryPointId>,
    /// How it ended.
    pub outcome: &'static str,
    /// How long it took; of a recovery, until the service was green.
    pub took: Option<Seconds>,
}

/// Draws it. What cannot be read is said, and the rest is shown.
///
/// # Errors
/// The primary location does not answer.
pub async fn draw(config: &Config, status: Status) -> Result<Picture, DaemonError> {
    let repo = Repo::connect(config.clone(), PRIMARY).await?;
    let mut records: Vec<Record<Outline>> = Vec::new();
    for lineage in repo.lineages() {
        // Why one cannot be read is among the conditions.
        records.extend(repo.outline(&lineage).await.map(|(record, _)| record).ok());
    }
    let mut points: BTreeMap<PolicyName, Vec<PointRow>> = BTreeMap::new();
    for record in &records {
        let others: Vec<&Record<Outline>> = records.iter().filter(|other| other.lineage() != record.lineage()).collect();
        let rows = CatalogPoint::newest_first(record, &others);
        let of = points.entry(record.lineage().policy.clone()).or_default();
        of.extend(rows.filter(|point| !point.pruned).map(row).take(MOST_POINTS));
        of.truncate(MOST_POINTS);
    }
    let mut locations = Vec::new();
    for name in config.locations.keys() {
        let found = tokio::time::timeout(PATIENCE, manifests(config, name, points.values().flatten())).await;
        let why = match found {
            Ok(Ok(held)) => {
                points.values_mut().flatten().filter(|row| held.contains(&row.name)).for_each(|row| row.at.push(name.clone()));
                None
            }
            Ok(Err(error)) => Some(explain(&error)),
            Err(_) => Some("it is silent".to_owned()),
        };
        locations.push((name.clone(), why));
    }
    locations.sort_by_key(|(name, _)| name != PRIMARY);
    let work = work(config, &repo, &status).await?;
    Ok(Picture { status, locations, points, work, proofs: proofs(&records) })
}

/// Those of the points whose manifests a location holds, byte by byte as the primary's.
async fn manifests(config: &Config, name: &str, points: impl Iterator<Item = &PointRow>) -> Result<BTreeSet<PointRef>, DaemonError> {
    let store = Repo::connect(config.clone(), name).await?.store;
    let held = |point: PointRef| {
        let store = Arc::clone(&store);
        async move {
            match store.get(&layout::record(&point.id.lineage, point.id.number), None).await {
                Ok(bytes) => Ok(Some(point).filter(|point| sha256(&bytes) == point.sha256)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        }
    };
    let wanted: Vec<_> = points.map(|row| held(row.name.clone())).collect();
    let held: Vec<_> = stream::iter(wanted).buffer_unordered(GETS).try_collect().await?;
    Ok(held.into_iter().flatten().collect())
}

fn row(point: CatalogPoint<'_, PointOutline>) -> PointRow {
    let state = match &point {
        point if point.suspect => "suspect",
        point if !point.point.complete => "incomplete",
        point if point.unproven => "unproven",
        point if point.expired.is_some() => "given up",
        point if point.held => "good, held",
        _ => "good",
    };
    PointRow { ended: point.point.ended, state, bytes: point.point.bytes, name: point.name, verified: point.verified, at: Vec::new() }
}

async fn work(config: &Config, repo: &Repo, status: &Status) -> Result<Vec<Work>, DaemonError> {
    let (control, keys) = (storage::open(&config.control).await?, repo.capture_file()?);
    let control: Arc<dyn storage::ObjectStore> = control;
    let mut found = Vec::new();
    for policy in &status.policies {
        let Some(run) = &policy.run else { continue };
        let key = runs::capture_key(&keys, &policy.lineage);
        // It may be about to begin.
        let Some((known, _)) = runs::load(control.as_ref(), run, &[key]).await? else { continue };
        let count = |wanted: fn(&StepState) -> bool| known.state.steps.values().filter(|state| wanted(state)).count();
        let is_started = |step: &crate::model::Step| matches!(known.state.steps.get(&step.id), Some(StepState::Started));
        found.push(Work {
            policy: policy.policy.clone(),
            run: run.clone(),
            began: known.began,
            done: count(|state| matches!(state, StepState::Ended(..))),
            steps: known.state.steps.len(),
            now: known.state.plan.steps.iter().filter(|step| is_started(step)).map(|step| step.what.clone()).collect(),
        });
    }
    Ok(found)
}

fn proofs(records: &[Record<Outline>]) -> Vec<ProofRow> {
    let mut found: Vec<ProofRow> = records.iter().flat_map(Record::told).filter_map(proof).collect();
    found.sort_by_key(|row| std::cmp::Reverse(row.ended));
    found.truncate(MOST_PROOFS);
    found
}

fn proof(body: &Body) -> Option<ProofRow> {
    match body {
        Body::Restore(restore) => {
            let is_whole = restore.members.iter().all(|member| member.outcome == MemberOutcome::Succeeded);
            let compared = restore.members.iter().all(|member| member.compared);
            let outcome = match (is_whole, compared) {
                (true, true) => "restored and compared",
                (true, false) => "restored, not compared",
                (false, _) => "incomplete",
            };
            let what = format!("restore of {} members", restore.members.len());
            let took = Some(Seconds::between(restore.started, restore.ended));
            Some(ProofRow { ended: restore.ended, what, point: Some(restore.point.id.clone()), outcome, took })
        }
        Body::Recovery(recovery) => {
            let outcome = match recovery.outcome {
                RecoveryOutcome::Succeeded => "succeeded",
                RecoveryOutcome::Incomplete => "incomplete",
                RecoveryOutcome::Cancelled => "cancelled",
            };
            let took = recovery.service_green.map(|green| Seconds::between(recovery.declared, green));
            let point = recovery.point.as_ref().map(|point| point.id.clone());
            Some(ProofRow { ended: recovery.ended, what: format!("recovery by {}", recovery.runbook), point, outcome, took })
        }
        _ => None,
    }
}
