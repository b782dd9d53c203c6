//! Reads what the status is computed from: records, ledgers, and who leads.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    DaemonError,
    decide::Rules,
    heap, lease,
    ledger::{Entry, Place, state::Balance, tail::Tail},
    status::{CareFacts, PolicyFacts, Status, status},
    summary::Summary,
    tasks::{CoverageStatus, ReadStatus, ReadyStatus, TaskFacts},
};
use crate::{
    config::{Config, PRIMARY},
    model::{Clock, EntryNumber, Lineage, Seconds, SystemClock, Timestamp},
    orchestrator::{
        coverage::Coverage,
        findings::{self, Findings},
        readiness::Readiness,
        repo::Repo,
    },
    repository::{keys::CaptureFile, layout, record::TrustRef, sample::Sampling},
    storage::{self, ObjectStore},
};

/// What is known of a record, and what it is known from.
#[derive(Debug)]
struct Known {
    summary: Summary,
    /// The number after its head.
    next: EntryNumber,
    trust: Option<TrustRef>,
}

/// Reads facts again and again, and of records and ledgers only what is new.
#[derive(Debug, Default)]
pub struct Reader {
    /// This installation, where it is known.
    identity: Option<String>,
    records: BTreeMap<Lineage, Known>,
    histories: BTreeMap<Lineage, Tail>,
}

impl Reader {
    /// One that knows which installation this is.
    pub fn of(identity: &str) -> Reader {
        Reader { identity: Some(identity.to_owned()), ..Reader::default() }
    }

    /// The status of a site now.
    ///
    /// # Errors
    /// The repository or the control store does not answer.
    pub async fn read(&mut self, config: &Config) -> Result<Status, DaemonError> {
        let repo = Repo::connect(config.clone(), PRIMARY).await?;
        let (control, keys) = (storage::open(&config.control).await?, repo.capture_file()?);
        let mut facts = Vec::new();
        for lineage in repo.written() {
            let policy = &config.policies[&lineage.policy];
            let (history, balance) = self.history(Place::of(&control, &keys, &lineage)).await?;
            facts.push(PolicyFacts {
                rules: Rules::new(lineage.clone(), &policy.timing),
                rpo: policy.rpo.map(Seconds::from),
                history,
                balance,
                record: self.record(&repo, &lineage).await.inspect_err(|error| tracing::warn!(%error, "a record cannot be read")).ok(),
            });
        }
        let care = self.care(config, &control, &keys).await?;
        let leader = lease::leader(config, control.as_ref(), &keys).await?;
        let now: Timestamp = SystemClock.now();
        Ok(status(&config.site, leader, &facts, care, self.identity.as_deref(), now))
    }

    /// What is known of tasks and of what they found.
    async fn care(&mut self, config: &Config, control: &Arc<dyn ObjectStore>, keys: &CaptureFile) -> Result<CareFacts, DaemonError> {
        let mut care = CareFacts::default();
        for (name, task) in &config.tasks {
            let lineage = config.task_ledger(name);
            let (history, balance) = self.history(Place::of(control, keys, &lineage)).await?;
            care.tasks.push(TaskFacts { rules: Rules::new(lineage, &task.timing), does: task.work.kind(), history, balance });
        }
        let findings = Findings::new(Arc::clone(control), keys);
        care.coverage = findings.newest::<Coverage>(findings::COVERAGE).await?.map(CoverageStatus::of);
        care.ready = findings.newest::<Readiness>(findings::READY).await?.map(ReadyStatus::of);
        for location in config.locations.keys() {
            let read = findings.newest::<Sampling>(&findings::read_at(location)).await?;
            care.reads.extend(read.filter(|finding| finding.found.is_sound()).map(|finding| ReadStatus::of(location, &finding.found)));
        }
        Ok(care)
    }

    /// The newest entries of a ledger, and what all of them add up to.
    async fn history(&mut self, place: Place) -> Result<(Vec<Entry>, Balance), DaemonError> {
        let tail = self.histories.entry(place.lineage.clone()).or_default();
        tail.look(&place).await?;
        Ok((tail.entries().to_vec(), tail.balance(place).await?))
    }

    async fn record(&mut self, repo: &Repo, lineage: &Lineage) -> Result<Summary, DaemonError> {
        if let Some(known) = self.records.get(lineage) {
            let is_current = known.summary.void == 0 && repo.store.head(&layout::record(lineage, known.next)).await?.is_none();
            if is_current && known.trust == repo.trusts.head() {
                return Ok(known.summary.clone());
            }
        }
        let (record, _) = repo.outline(lineage).await?;
        let next = record.head().map_or(EntryNumber(1), |head| head.number.next());
        let known = Known { summary: Summary::of(&record), next, trust: repo.trusts.head() };
        let summary = known.summary.clone();
        drop(record);
        heap::give_back();
        self.records.insert(lineage.clone(), known);
        Ok(summary)
    }
}

/// The status of a site now, read once.
///
/// # Errors
/// See [`Reader::read`].
pub async fn now(config: &Config) -> Result<Status, DaemonError> {
    Reader::default().read(config).await
}
