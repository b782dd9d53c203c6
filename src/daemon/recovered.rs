//! What records say of the last recovery, drills among them: how it ended, and how long it took.

use serde::Serialize;

use crate::{
    model::{PolicyName, Seconds, Timestamp},
    repository::record::{Body, Outline, Record, RecoveryOutcome},
};

/// The last recovery of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecoveryStatus {
    /// Whose record tells of it.
    pub policy: PolicyName,
    /// By which runbook.
    pub runbook: String,
    /// How it ended.
    pub outcome: RecoveryOutcome,
    /// When its clock started.
    pub declared: Timestamp,
    /// From then until the service was there; none when it did not get so far.
    pub service: Option<Seconds>,
    /// From then until everything was; none when it did not get so far.
    pub full: Option<Seconds>,
}

/// The newest that a record tells of.
pub fn last(policy: &PolicyName, record: &Record<Outline>) -> Option<RecoveryStatus> {
    record.told().rev().find_map(|body| {
        let Body::Recovery(recovery) = body else { return None };
        let took = |until: Option<Timestamp>| until.map(|until| Seconds::between(recovery.declared, until));
        Some(RecoveryStatus {
            policy: policy.clone(),
            runbook: recovery.runbook.clone(),
            outcome: recovery.outcome,
            declared: recovery.declared,
            service: took(recovery.service_green),
            full: took(recovery.full_green),
        })
    })
}
