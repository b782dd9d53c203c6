//! What is wrong for a while: begins, and is over. Alerts, notifications, events and the page all speak of these.

use serde::{Deserialize, Serialize};

use super::{
    decide::NO_DAEMON,
    status::{Objective, PolicyStatus, SlotEnd, SlotStatus, Status},
};
use crate::config::Severity;

/// Kinds of conditions. A closed set, and a label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The newest good point is too old, or there is none.
    ObjectiveBroken,
    /// The record cannot be read.
    RecordUnreadable,
    /// Somebody wrote entries into the record who may not, or entries are lost.
    RecordDamaged,
    /// The last slot made no point.
    SlotFailed,
    /// The last slot made a point that lacks something, or that nobody is known to open.
    SlotIncomplete,
    /// No daemon ran when the last slot was due.
    SlotMissed,
    /// A person paused the policy.
    Paused,
    /// The ledger belongs to another installation, so nothing runs here.
    Foreign,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 8] = [
        Kind::ObjectiveBroken,
        Kind::RecordUnreadable,
        Kind::RecordDamaged,
        Kind::SlotFailed,
        Kind::SlotIncomplete,
        Kind::SlotMissed,
        Kind::Paused,
        Kind::Foreign,
    ];

    /// Its name, as stored and as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::ObjectiveBroken => "objective-broken",
            Kind::RecordUnreadable => "record-unreadable",
            Kind::RecordDamaged => "record-damaged",
            Kind::SlotFailed => "slot-failed",
            Kind::SlotIncomplete => "slot-incomplete",
            Kind::SlotMissed => "slot-missed",
            Kind::Paused => "paused",
            Kind::Foreign => "foreign",
        }
    }

    /// How grave it is.
    pub fn severity(self) -> Severity {
        match self {
            Kind::ObjectiveBroken | Kind::RecordUnreadable | Kind::RecordDamaged | Kind::SlotFailed => Severity::Critical,
            Kind::SlotIncomplete | Kind::SlotMissed | Kind::Foreign => Severity::Warning,
            Kind::Paused => Severity::Note,
        }
    }

    /// Whether it is found in the record, so that nobody knows of it while that cannot be read.
    pub fn is_of_record(self) -> bool {
        matches!(self, Kind::ObjectiveBroken | Kind::RecordDamaged)
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// What kind of thing.
    pub kind: Kind,
    /// Of what: a policy, or the site.
    pub subject: String,
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong, in a sentence without its subject.
    pub text: String,
}

impl Condition {
    /// One of a policy or the site.
    pub fn new(kind: Kind, subject: &impl ToString, text: impl Into<String>) -> Condition {
        Condition { kind, subject: subject.to_string(), severity: kind.severity(), text: text.into() }
    }

    /// Whether both are the same thing, whatever their words.
    pub fn is_same(&self, other: &Condition) -> bool {
        self.kind == other.kind && self.subject == other.subject
    }
}

/// All that is wrong, the gravest first. `identity` is this installation, where it is known.
pub fn conditions(status: &Status, identity: Option<&str>) -> Vec<Condition> {
    let mut found: Vec<Condition> = status.policies.iter().flat_map(|policy| of_policy(policy, identity)).collect();
    found.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| (&a.subject, a.kind).cmp(&(&b.subject, b.kind))));
    found
}

fn of_policy(policy: &PolicyStatus, identity: Option<&str>) -> Vec<Condition> {
    let mut found = Vec::new();
    let mut say = |kind: Kind, text: String| found.push(Condition::new(kind, &policy.policy, text));
    let rpo = policy.rpo.map_or(String::new(), |rpo| rpo.to_string());
    match (policy.objective, policy.age) {
        (Objective::Unknown, _) => say(Kind::RecordUnreadable, "its record cannot be read".to_owned()),
        (Objective::Broken, Some(age)) => say(Kind::ObjectiveBroken, format!("its newest good point is {age} old, and {rpo} is allowed")),
        (Objective::Broken, None) => say(Kind::ObjectiveBroken, format!("it has no good point, and one of at most {rpo} is wanted")),
        (Objective::Met | Objective::None, _) => {}
    }
    if policy.void > 0 {
        say(Kind::RecordDamaged, format!("{} entries of its record are void or lost; `hourglass record check` says which", policy.void));
    }
    // What nobody wanted to run says nothing of whether it would have.
    let tells = |slot: &&SlotStatus| match slot.end {
        SlotEnd::Missed => slot.why.as_deref() == Some(NO_DAEMON),
        end => end != SlotEnd::CaughtUp,
    };
    if let Some(last) = policy.recent.iter().rev().find(tells) {
        let why = last.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
        match last.end {
            SlotEnd::Failed => say(Kind::SlotFailed, format!("slot {} failed{why}", last.first)),
            SlotEnd::Incomplete => say(Kind::SlotIncomplete, format!("slot {} is incomplete{why}", last.first)),
            SlotEnd::Missed => say(Kind::SlotMissed, format!("{} slots were missed{why}", last.count)),
            SlotEnd::Done | SlotEnd::CaughtUp => {}
        }
    }
    if let Some(paused) = &policy.paused {
        say(Kind::Paused, format!("it was paused by {}: {}", paused.by, paused.reason));
    }
    if let (Some(own), Some(of)) = (identity, &policy.identity)
        && own != of
    {
        say(Kind::Foreign, format!("its ledger belongs to installation {of}, and this one ({own}) only reports"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_named_as_it_is_stored() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
