//! Reads what the status is computed from: records, ledgers, and who leads.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    DaemonError,
    decide::Rules,
    lease,
    ledger::{Ledger, Place, key},
    status::{CareFacts, PolicyFacts, Status, status},
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
    repository::{keys::CaptureFile, layout, record::Record, sample::Sampling},
    storage::{self, ObjectStore},
};

/// Entries of each ledger that are counted.
const COUNTED: usize = 200;

/// Reads facts again and again, and records only when they have grown.
#[derive(Debug, Default)]
pub struct Reader {
    records: BTreeMap<Lineage, Record>,
}

impl Reader {
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
            let place = Place { store: Arc::clone(&control), key: key(&keys, &lineage), lineage: lineage.clone() };
            facts.push(PolicyFacts {
                rules: Rules::new(lineage.clone(), policy),
                rpo: policy.rpo.map(Seconds::from),
                history: place.history(COUNTED).await?,
                balance: Ledger::open(place).await?.balance().clone(),
                record: self.record(&repo, &lineage).await.inspect_err(|error| tracing::warn!(%error, "a record cannot be read")).ok(),
            });
        }
        let care = care(config, &control, &keys).await?;
        let leader = lease::leader(config, control.as_ref(), &keys).await?;
        let now: Timestamp = SystemClock.now();
        Ok(status(&config.site, leader, &facts, care, now))
    }

    async fn record(&mut self, repo: &Repo, lineage: &Lineage) -> Result<Record, DaemonError> {
        if let Some(known) = self.records.get(lineage) {
            let next = known.head().map_or(EntryNumber(1), |head| head.number.next());
            let is_current = known.voids().is_empty() && repo.store.head(&layout::record(lineage, next)).await?.is_none();
            if is_current && known.trusts().head() == repo.trusts.head() {
                return Ok(known.clone());
            }
        }
        let (record, _) = repo.record(lineage).await?;
        self.records.insert(lineage.clone(), record.clone());
        Ok(record)
    }
}

/// What is known of tasks and of what they found.
async fn care(config: &Config, control: &Arc<dyn ObjectStore>, keys: &CaptureFile) -> Result<CareFacts, DaemonError> {
    let mut care = CareFacts::default();
    for (name, task) in &config.tasks {
        let lineage = config.task_ledger(name);
        let place = Place { store: Arc::clone(control), key: key(keys, &lineage), lineage: lineage.clone() };
        care.tasks.push(TaskFacts {
            rules: Rules::timed(lineage, &task.timing),
            does: task.work.kind(),
            history: place.history(COUNTED).await?,
            balance: Ledger::open(place).await?.balance().clone(),
        });
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

/// The status of a site now, read once.
///
/// # Errors
/// See [`Reader::read`].
pub async fn now(config: &Config) -> Result<Status, DaemonError> {
    Reader::default().read(config).await
}
