//! What can be said of a site's policies: a pure function of records, ledgers and the present instant.

use serde::Serialize;

use super::{
    condition::{Condition, conditions as conditions_of},
    decide::Rules,
    ledger::{
        Entry,
        state::{Balance, Paused},
    },
    recovered::RecoveryStatus,
    slot::{SlotStatus, Slots, count, over},
    summary::Summary,
    tasks::{self, CoverageStatus, ReadStatus, ReadyStatus, TaskFacts, TaskStatus},
};
use crate::{
    model::{ByteCount, EntryNumber, Lineage, PolicyName, RecoveryPointId, RunId, Seconds, Sha256, SiteName, Timestamp},
    repository::record::Depth,
};

/// What is known of one policy.
#[derive(Debug)]
pub struct PolicyFacts {
    /// When it runs.
    pub rules: Rules,
    /// Largest age of the newest good point.
    pub rpo: Option<Seconds>,
    /// What its ledger adds up to.
    pub balance: Balance,
    /// The newest entries of its ledger.
    pub history: Vec<Entry>,
    /// What its record says; none when it could not be read.
    pub record: Option<Summary>,
}

/// A site at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Which.
    pub site: SiteName,
    /// When.
    pub now: Timestamp,
    /// Who leads, as the newest term says; none when nobody does.
    pub leader: Option<Leader>,
    /// Its policies.
    pub policies: Vec<PolicyStatus>,
    /// What the daemon does besides.
    pub tasks: Vec<TaskStatus>,
    /// What was found last of what policies cover; none when it was never asked.
    pub coverage: Option<CoverageStatus>,
    /// What was found last of whether this site could take the service over; none when it was never asked.
    pub ready: Option<ReadyStatus>,
    /// What checks that read a part at a time have read, by location.
    pub reads: Vec<ReadStatus>,
    /// The last recovery that each record tells of.
    pub recoveries: Vec<RecoveryStatus>,
    /// All that is wrong, the gravest first.
    pub conditions: Vec<Condition>,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leader {
    /// On which machine.
    pub machine: String,
    /// Its process.
    pub pid: u32,
    /// When it last said so.
    pub renewed: Timestamp,
}

/// Whether a policy keeps its objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The newest good point is young enough.
    Met,
    /// It is too old, or there is none.
    Broken,
    /// None is set.
    None,
    /// The record could not be read.
    Unknown,
}

/// What goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// No daemon ever kept it.
    Unkept,
    /// It waits for the next slot.
    Waiting,
    /// A run goes on.
    Running,
    /// A slot is going to be tried again.
    Retrying,
    /// A person paused it.
    Paused,
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 5] = [Phase::Unkept, Phase::Waiting, Phase::Running, Phase::Retrying, Phase::Paused];

    /// The phase that a ledger adds up to.
    pub(super) fn of(balance: &Balance) -> Phase {
        match &balance.open {
            Some(open) if open.run.is_some() => Phase::Running,
            Some(_) => Phase::Retrying,
            None if balance.paused.is_some() => Phase::Paused,
            None if balance.watched.is_none() => Phase::Unkept,
            None => Phase::Waiting,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Unkept => "unkept",
            Phase::Waiting => "waiting",
            Phase::Running => "running",
            Phase::Retrying => "retrying",
            Phase::Paused => "paused",
        }
    }
}

/// One policy at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyStatus {
    /// Which.
    pub policy: PolicyName,
    /// What it writes.
    pub lineage: Lineage,
    /// What goes on.
    pub phase: Phase,
    /// The run that goes on.
    pub run: Option<RunId>,
    /// Who paused it.
    pub paused: Option<Paused>,
    /// The next slot.
    pub next: Option<Timestamp>,
    /// The newest good point.
    pub good: Option<PointStatus>,
    /// The newest point, good or not.
    pub newest: Option<PointStatus>,
    /// How far back the newest good point lies.
    pub age: Option<Seconds>,
    /// How far it may.
    pub rpo: Option<Seconds>,
    /// Whether that is kept.
    pub objective: Objective,
    /// Slots by how they ended, as far back as the ledger was read.
    pub slots: Slots,
    /// The newest slots that are over, as far back as the ledger was read, oldest first.
    pub recent: Vec<SlotStatus>,
    /// The newest point that was verified with a key, and how deep.
    pub verified: Option<Verified>,
    /// Where its record ends.
    pub head: Option<HeadStatus>,
    /// Entries of its record that are void or lost.
    pub void: usize,
    /// The installation that its ledger belongs to.
    pub identity: Option<String>,
}

/// Where a record ends. Whoever keeps this elsewhere can tell later whether the record was cut or rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeadStatus {
    /// Number of the newest valid entry.
    pub number: EntryNumber,
    /// Digest of its bytes.
    pub sha256: Sha256,
}

/// One point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointStatus {
    /// Its name.
    pub id: RecoveryPointId,
    /// All its data is at least as new.
    pub consistent_from: Timestamp,
    /// When its run began.
    pub started: Timestamp,
    /// When the last member was captured.
    pub ended: Timestamp,
    /// Whether every required member is in it.
    pub complete: bool,
    /// Whether nobody was seen to open its vault.
    pub unproven: bool,
    /// What was read.
    pub bytes: ByteCount,
    /// What was stored anew.
    pub stored: ByteCount,
    /// How far its members lie apart.
    pub skew_ms: u64,
}

/// A point that was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Which.
    pub id: RecoveryPointId,
    /// How deep.
    pub depth: Depth,
    /// How far back it lies.
    pub age: Seconds,
}

/// What was found, besides policies.
#[derive(Debug, Default)]
pub struct CareFacts {
    /// Tasks.
    pub tasks: Vec<TaskFacts>,
    /// What policies cover.
    pub coverage: Option<CoverageStatus>,
    /// Whether this site is ready.
    pub ready: Option<ReadyStatus>,
    /// What was read.
    pub reads: Vec<ReadStatus>,
}

/// Computes it. `identity` is this installation, where it is known.
pub fn status(site: &SiteName, leader: Option<Leader>, policies: &[PolicyFacts], care: CareFacts, identity: Option<&str>, now: Timestamp) -> Status {
    let recoveries = policies.iter().filter_map(|facts| facts.record.as_ref()?.recovery.clone()).collect();
    let policies = policies.iter().map(|facts| of_policy(facts, now)).collect();
    let CareFacts { tasks, coverage, ready, reads } = care;
    let tasks = tasks.iter().map(|facts| tasks::status(facts, now)).collect();
    let conditions = Vec::new();
    let status = Status { site: site.clone(), now, leader, policies, tasks, coverage, ready, reads, recoveries, conditions };
    Status { conditions: conditions_of(&status, identity), ..status }
}

fn of_policy(facts: &PolicyFacts, now: Timestamp) -> PolicyStatus {
    let balance = &facts.balance;
    let record = facts.record.as_ref();
    let good = record.and_then(|record| record.good.clone());
    let age = good.as_ref().map(|point| Seconds::between(point.consistent_from, now));
    let objective = match (record, facts.rpo, age) {
        (None, ..) => Objective::Unknown,
        (_, None, _) => Objective::None,
        (_, Some(rpo), Some(age)) if age <= rpo => Objective::Met,
        (_, Some(_), _) => Objective::Broken,
    };
    let verified = record.and_then(|record| record.verified.clone());
    let verified = verified.map(|(id, depth, consistent_from)| Verified { id, depth, age: Seconds::between(consistent_from, now) });
    let run = balance.open.as_ref().and_then(|open| open.run.clone());
    PolicyStatus {
        policy: facts.rules.lineage.policy.clone(),
        lineage: facts.rules.lineage.clone(),
        phase: Phase::of(balance),
        run,
        paused: balance.paused.clone(),
        next: facts.rules.timetable.as_ref().and_then(|table| table.slots(now.max(balance.settled)).next()),
        good,
        newest: record.and_then(|record| record.newest.clone()),
        age,
        rpo: facts.rpo,
        objective,
        slots: count(&facts.history),
        recent: facts.history.iter().flat_map(over).collect(),
        verified,
        head: record.and_then(|record| record.head.clone()),
        void: record.map_or(0, |record| record.void),
        identity: balance.identity.clone(),
    }
}
