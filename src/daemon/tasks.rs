//! What can be said of a site's tasks and of what they found: a pure function of ledgers, findings and the present instant.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    decide::Rules,
    ledger::{
        Entry,
        event::{End, Happened},
        state::{Balance, Paused},
    },
    slot::{SlotStatus, Slots, count, over},
    status::Phase,
};
use crate::{
    model::{PolicyName, Timestamp},
    orchestrator::{
        coverage::{Coverage, Covered, State},
        findings::Finding,
        readiness::{Check, Readiness},
    },
    repository::sample::Sampling,
};

/// Things that are not covered and are named; more are counted.
const MOST_LACKING: usize = 100;

/// What is known of one task.
#[derive(Debug)]
pub struct TaskFacts {
    /// When it runs.
    pub rules: Rules,
    /// Its kind.
    pub does: &'static str,
    /// What its ledger adds up to.
    pub balance: Balance,
    /// The newest entries of its ledger.
    pub history: Vec<Entry>,
}

/// One task at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskStatus {
    /// Which.
    pub task: PolicyName,
    /// Its kind.
    pub does: &'static str,
    /// What goes on.
    pub phase: Phase,
    /// Who paused it.
    pub paused: Option<Paused>,
    /// The next slot.
    pub next: Option<Timestamp>,
    /// When it was done last, as far back as the ledger was read.
    pub done: Option<Timestamp>,
    /// How its newest slot that was begun ended.
    pub last: Option<TaskEnd>,
    /// Slots by how they ended, as far back as the ledger was read.
    pub slots: Slots,
    /// The newest slots that are over, as far back as the ledger was read, oldest first.
    pub recent: Vec<SlotStatus>,
}

/// How a slot of a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskEnd {
    /// When.
    pub at: Timestamp,
    /// How.
    pub end: End,
    /// Why it is not done.
    pub why: Option<String>,
}

/// Computes it.
pub fn status(facts: &TaskFacts, now: Timestamp) -> TaskStatus {
    let balance = &facts.balance;
    let ends = facts.history.iter().rev().filter_map(|entry| match &entry.event {
        Happened::Ended { end, why, .. } => Some(TaskEnd { at: entry.written, end: *end, why: why.clone() }),
        _ => None,
    });
    let ends: Vec<TaskEnd> = ends.collect();
    TaskStatus {
        task: facts.rules.lineage.policy.clone(),
        does: facts.does,
        phase: Phase::of(balance),
        paused: balance.paused.clone(),
        next: facts.rules.timetable.as_ref().and_then(|table| table.slots(now.max(balance.settled)).next()),
        done: ends.iter().find(|end| end.end == End::Done).map(|end| end.at),
        last: ends.into_iter().next(),
        slots: count(&facts.history),
        recent: facts.history.iter().flat_map(over).collect(),
    }
}

/// What was found last of what policies cover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CoverageStatus {
    /// When the sources were asked.
    pub asked: Timestamp,
    /// By kind, how many things are covered, excluded, uncovered, unknown.
    pub counts: BTreeMap<String, [usize; 4]>,
    /// The first of those that are uncovered or unknown.
    pub lacking: Vec<Covered>,
}

/// What was found last of whether this site could take the service over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadyStatus {
    /// When it was asked.
    pub asked: Timestamp,
    /// Whether everything was as it has to be.
    pub ready: bool,
    /// How many questions had the answer that they have to have.
    pub met: usize,
    /// Those that had not.
    pub lacking: Vec<Check>,
}

impl ReadyStatus {
    /// From what was found.
    pub fn of(found: Finding<Readiness>) -> ReadyStatus {
        let (asked, ready) = (found.written, found.found.is_ready());
        let (met, lacking): (Vec<Check>, Vec<Check>) = found.found.checks.into_iter().partition(|check| check.ready);
        ReadyStatus { asked, ready, met: met.len(), lacking }
    }
}

/// What checks that read a part at a time have read at a location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadStatus {
    /// Where.
    pub location: String,
    /// Everything that was there then has been read since; none until all was read once.
    pub all_read_since: Option<Timestamp>,
    /// Of 256 parts, how many were never read.
    pub never_read: usize,
    /// When the last check began.
    pub last: Timestamp,
}

impl CoverageStatus {
    /// How many things are in a state.
    pub fn count(&self, state: State) -> usize {
        self.counts.values().map(|counts| counts[place(state)]).sum()
    }

    /// `4 covered, 1 excluded, 0 uncovered, 0 unknown`.
    pub fn sentence(&self) -> String {
        State::ALL.map(|state| format!("{} {}", self.count(state), state.as_str())).join(", ")
    }

    /// From what was found.
    pub fn of(found: Finding<Coverage>) -> CoverageStatus {
        let mut counts: BTreeMap<String, [usize; 4]> = BTreeMap::new();
        for thing in &found.found.things {
            counts.entry(thing.kind.clone()).or_default()[place(thing.state)] += 1;
        }
        let lacks = |thing: &Covered| matches!(thing.state, State::Uncovered | State::Unknown);
        let lacking = found.found.things.into_iter().filter(lacks).take(MOST_LACKING).collect();
        CoverageStatus { asked: found.written, counts, lacking }
    }
}

fn place(state: State) -> usize {
    State::ALL.iter().position(|one| *one == state).expect("all states are there")
}

impl ReadStatus {
    /// From what is known of a location.
    pub fn of(location: &str, read: &Sampling) -> ReadStatus {
        ReadStatus { location: location.to_owned(), all_read_since: read.all_read_since(), never_read: read.never_read(), last: read.last }
    }
}
