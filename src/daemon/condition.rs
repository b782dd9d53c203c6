//! What is wrong for a while: begins, and is over. Alerts, notifications, events and the page all speak of these.

use serde::{Deserialize, Serialize};

use super::{
    decide::NO_DAEMON,
    slot::{SlotEnd, SlotStatus},
    status::{Objective, PolicyStatus, Status},
    tasks::{CoverageStatus, ReadyStatus, TaskStatus},
};
use crate::{config::Severity, orchestrator::coverage::State};

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
    /// A slot of a policy made no point, or one of a task failed, and none was done since.
    SlotFailed,
    /// A slot made a point that lacks something, or that nobody is known to open, or a task found something lacking; and none was done since.
    SlotIncomplete,
    /// No daemon ran when a slot was due, and none was done since.
    SlotMissed,
    /// A person paused the policy or the task.
    Paused,
    /// The ledger belongs to another installation, so nothing runs here.
    Foreign,
    /// Something exists that no policy covers, or nobody can tell.
    Uncovered,
    /// This site could not take the service over.
    NotReady,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 10] = [
        Kind::ObjectiveBroken,
        Kind::RecordUnreadable,
        Kind::RecordDamaged,
        Kind::SlotFailed,
        Kind::SlotIncomplete,
        Kind::SlotMissed,
        Kind::Paused,
        Kind::Foreign,
        Kind::Uncovered,
        Kind::NotReady,
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
            Kind::Uncovered => "uncovered",
            Kind::NotReady => "not-ready",
        }
    }

    /// How grave it is.
    pub fn severity(self) -> Severity {
        match self {
            Kind::ObjectiveBroken | Kind::RecordUnreadable | Kind::RecordDamaged | Kind::SlotFailed => Severity::Critical,
            Kind::SlotIncomplete | Kind::SlotMissed | Kind::Foreign | Kind::Uncovered | Kind::NotReady => Severity::Warning,
            Kind::Paused => Severity::Note,
        }
    }

    /// Whether the site has it, and neither a policy nor a task.
    pub fn is_of_site(self) -> bool {
        matches!(self, Kind::Uncovered | Kind::NotReady)
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
    /// Of what: a policy, a task, or the site.
    pub subject: String,
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong, in a sentence without its subject.
    pub text: String,
}

impl Condition {
    /// One of a policy, a task or the site.
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
    found.extend(status.tasks.iter().flat_map(of_task));
    found.extend(status.coverage.as_ref().and_then(uncovered).map(|text| Condition::new(Kind::Uncovered, &status.site, text)));
    found.extend(status.ready.as_ref().and_then(not_ready).map(|text| Condition::new(Kind::NotReady, &status.site, text)));
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
    of_slots(&policy.recent, |end| end == SlotEnd::Done, &mut say);
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

fn of_task(task: &TaskStatus) -> Vec<Condition> {
    let mut found = Vec::new();
    // What these two find lacking is a condition of the site: they are done once they have asked.
    let asks = ["coverage", "ready"].contains(&task.does);
    let is_done = |end| end == SlotEnd::Done || asks && end == SlotEnd::Incomplete;
    of_slots(&task.recent, is_done, &mut |kind, text| found.push(Condition::new(kind, &task.task, text)));
    if let Some(paused) = &task.paused {
        found.push(Condition::new(Kind::Paused, &task.task, format!("it was paused by {}: {}", paused.by, paused.reason)));
    }
    found
}

/// Each way in which slots ended that were not done, until a later one is done.
fn of_slots(recent: &[SlotStatus], is_done: impl Fn(SlotEnd) -> bool, say: &mut impl FnMut(Kind, String)) {
    let undone: Vec<&SlotStatus> = recent.iter().rev().take_while(|slot| !is_done(slot.end)).collect();
    let newest = |end: SlotEnd| {
        // What nobody wanted to run says nothing of whether it would have.
        let is_missed = |slot: &SlotStatus| end != SlotEnd::Missed || slot.why.as_deref() == Some(NO_DAEMON);
        undone.iter().find(|slot| slot.end == end && is_missed(slot))
    };
    let why = |slot: &SlotStatus| slot.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
    if let Some(slot) = newest(SlotEnd::Failed) {
        say(Kind::SlotFailed, format!("slot {} failed{}", slot.first, why(slot)));
    }
    if let Some(slot) = newest(SlotEnd::Incomplete) {
        say(Kind::SlotIncomplete, format!("slot {} is incomplete{}", slot.first, why(slot)));
    }
    if let Some(slot) = newest(SlotEnd::Missed) {
        say(Kind::SlotMissed, format!("{} slots were missed{}", slot.count, why(slot)));
    }
}

fn uncovered(found: &CoverageStatus) -> Option<String> {
    let first = found.lacking.first()?;
    let (uncovered, unknown) = (found.count(State::Uncovered), found.count(State::Unknown));
    let first = format!("{}/{}/{} ({})", first.source, first.kind, first.name, first.why);
    Some(format!("{uncovered} things are uncovered and {unknown} unknown, the first of them {first}; `hourglass coverage` says which"))
}

fn not_ready(found: &ReadyStatus) -> Option<String> {
    let first = match found.lacking.first() {
        _ if found.ready => return None,
        Some(check) => format!("{}: {}", check.about, check.what),
        None => "nothing is asked".to_owned(),
    };
    Some(format!("this site could not take the service over: {} questions are not met ({first}); `hourglass ready` says which", found.lacking.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::{slot::Slots, status::Phase};

    fn slot(end: SlotEnd, why: Option<&str>) -> SlotStatus {
        let at = "2026-11-28T12:00:00Z".parse().unwrap();
        SlotStatus { first: at, last: at, count: 1, end, point: None, why: why.map(str::to_owned) }
    }

    fn kinds(recent: &[SlotStatus]) -> Vec<Kind> {
        let mut found = Vec::new();
        of_slots(recent, |end| end == SlotEnd::Done, &mut |kind, _| found.push(kind));
        found
    }

    #[test]
    fn what_was_not_done_lasts_until_a_later_slot_is_done_whatever_ends_otherwise_in_between() {
        let (done, failed, incomplete) = (slot(SlotEnd::Done, None), slot(SlotEnd::Failed, None), slot(SlotEnd::Incomplete, None));
        let (missed, paused, caught_up) =
            (slot(SlotEnd::Missed, Some(NO_DAEMON)), slot(SlotEnd::Missed, Some("paused")), slot(SlotEnd::CaughtUp, None));
        assert_eq!(kinds(&[missed.clone(), incomplete.clone()]), [Kind::SlotIncomplete, Kind::SlotMissed]);
        assert_eq!(kinds(&[failed.clone(), missed.clone(), paused.clone()]), [Kind::SlotFailed, Kind::SlotMissed]);
        assert_eq!(kinds(&[done.clone(), failed.clone(), caught_up.clone()]), [Kind::SlotFailed]);
        assert_eq!(kinds(&[failed, incomplete, missed, done.clone(), paused.clone(), caught_up]), []);
        assert_eq!(kinds(&[done, paused]), []);
    }

    #[test]
    fn a_task_that_asks_is_done_once_it_has_asked() {
        let recent = vec![slot(SlotEnd::Failed, None), slot(SlotEnd::Incomplete, None)];
        let task = |does| TaskStatus {
            task: "asks".parse().unwrap(),
            does,
            phase: Phase::Waiting,
            paused: None,
            next: None,
            done: None,
            last: None,
            slots: Slots::default(),
            recent: recent.clone(),
        };
        assert_eq!(of_task(&task("coverage")), []);
        assert_eq!(of_task(&task("verify")).len(), 2);
    }

    #[test]
    fn every_kind_is_named_as_it_is_stored() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
