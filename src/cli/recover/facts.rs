//! What a recovery came to, from its journal and the manifest of its point: the report as JSON, and its short form.

use std::collections::BTreeMap;

use serde::Serialize;

use super::word;
use crate::{
    cli::output::table,
    model::{Action, MemberName, Outcome, PolicyName, Problem, RecoveryPointId, RunId, Seconds, Sha256, SiteName, Step, StepId, Timestamp},
    orchestrator::{
        journal::JournalRecord,
        order::{Bend, Order},
        output::Output,
        recovery::{
            RecoveryEnd,
            timeline::{Bar, bars},
        },
        state::{Ground, JournalEvent, RunState, StepState},
    },
    repository::record::{Body, MemberOutcome, Point, PointRef, Recovery, RecoveryOutcome, RestoredMember},
};

/// Everything that the report tells.
#[derive(Debug, Serialize)]
pub(super) struct Facts {
    pub format: u32,
    pub run: RunId,
    pub runbook: String,
    pub runbook_sha256: Sha256,
    pub policy: PolicyName,
    pub site: SiteName,
    pub point: Option<RecoveryPointId>,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Whether the run has ended, and never goes on.
    pub ended: Option<Timestamp>,
    pub clocks: Clocks,
    pub members: Vec<Member>,
    pub steps: Vec<StepFacts>,
    pub attempts: Vec<Bar>,
    pub orders: Vec<OrderFacts>,
    /// When another process went on.
    pub resumed: Vec<Timestamp>,
    /// When one took the run from a process that may have been at work.
    pub takeovers: Vec<Takeover>,
}

/// A run that was taken over.
#[derive(Debug, Serialize)]
pub(super) struct Takeover {
    pub written: Timestamp,
    pub machine: String,
    pub by: String,
    pub reason: String,
    pub ground: Ground,
}

/// Clocks and objectives; times of the service and of everything count from the declaration.
#[derive(Debug, Serialize)]
pub(super) struct Clocks {
    pub event: Option<Timestamp>,
    pub declared: Timestamp,
    pub service_green: Option<Timestamp>,
    pub full_green: Option<Timestamp>,
    pub service_seconds: Option<Seconds>,
    pub full_seconds: Option<Seconds>,
    pub service_objective: Seconds,
    pub full_objective: Seconds,
    /// What persons took to answer; it is part of the above.
    pub decisions_seconds: Seconds,
}

/// A restore step and its member.
#[derive(Debug, Serialize)]
pub(super) struct Member {
    pub name: MemberName,
    pub step: StepId,
    #[serde(flatten)]
    pub outcome: Option<Outcome>,
    /// All that came back was read again and found equal.
    pub equal: bool,
    /// Why it is not, if it is not.
    pub reasons: Vec<Problem>,
    pub bytes: Option<u64>,
    pub items: Option<u64>,
    /// How many objects became what, and how many images were verified, where the source counts that.
    pub tally: BTreeMap<String, u64>,
    pub consistent_from: Option<Timestamp>,
    /// From there to the event, or else to the declaration: what was lost.
    pub rpo_seconds: Option<Seconds>,
    /// From the declaration until it was there.
    pub rto_seconds: Option<Seconds>,
}

/// A step, as it ended.
#[derive(Debug, Serialize)]
pub(super) struct StepFacts {
    pub id: StepId,
    pub title: String,
    pub needs: Vec<StepId>,
    pub later: bool,
    pub state: &'static str,
    pub budget: Seconds,
    /// From the first attempt to the end of the last.
    pub took: Option<Seconds>,
    pub attempts: usize,
    /// What was answered, who decided, what was made.
    pub said: String,
}

/// What a person ordered.
#[derive(Debug, Serialize)]
pub(super) struct OrderFacts {
    pub number: u64,
    pub by: String,
    pub what: String,
    pub reason: String,
    pub written: Timestamp,
    pub refused: Option<String>,
    pub is_approval: bool,
}

/// What a step left, in words.
fn said(output: &Output) -> String {
    match output {
        Output::Answered { before: Some(before), after } => format!("before: {before}; after: {after}"),
        Output::Answered { before: None, after } => after.clone(),
        Output::Decided { by } => format!("decided by {by}"),
        Output::Point { point } => point.to_string(),
        Output::Values { was_done: true, .. } => "was done already".to_owned(),
        Output::Restored { bytes, items, .. } => format!("{bytes}, {items} items"),
        _ => String::new(),
    }
}

impl Facts {
    /// From a run's state and the records of its journal.
    pub(super) fn new(end: &RecoveryEnd, records: &[JournalRecord], manifest: Option<&Point>, site: &SiteName) -> Facts {
        let state = &end.state;
        let frame = frame(state);
        let attempts = bars(records);
        let green = green(state, &attempts);
        let ended = records.iter().find(|record| matches!(record.event, JournalEvent::RunEnded { .. })).map(|record| record.written);
        let resumed = records.iter().filter(|record| matches!(record.event, JournalEvent::Resumed { .. })).map(|record| record.written);
        let order = |(order, refused): &(Order, Option<String>)| OrderFacts {
            number: order.number,
            by: order.by.clone(),
            what: order.bend.describe(),
            reason: order.reason.clone(),
            written: order.written,
            refused: refused.clone(),
            is_approval: matches!(order.bend, Bend::Approve { .. }),
        };
        Facts {
            format: 1,
            run: state.plan.run.clone(),
            runbook: frame.runbook.clone(),
            runbook_sha256: frame.sha256,
            policy: frame.policy.clone(),
            site: site.clone(),
            point: frame.point.clone(),
            outcome: end.outcome.clone(),
            ended,
            clocks: clocks(state, &attempts, &green),
            members: members(state, manifest, &green),
            steps: state.plan.steps.iter().map(|step| step_facts(state, step, &attempts)).collect(),
            orders: state.orders.iter().map(order).collect(),
            resumed: resumed.collect(),
            takeovers: records.iter().filter_map(takeover).collect(),
            attempts,
        }
    }

    /// Orders that changed the course of the run.
    pub(super) fn deviations(&self) -> impl Iterator<Item = &OrderFacts> {
        self.orders.iter().filter(|order| !order.is_approval && order.refused.is_none())
    }

    /// The largest loss of a member.
    pub(super) fn rpo(&self) -> Option<Seconds> {
        self.members.iter().filter_map(|member| member.rpo_seconds).max()
    }

    /// The entry of the record; `None` while the run stays open.
    pub(super) fn entry(&self, point: Option<PointRef>, report: Sha256) -> Option<Body> {
        let outcome = match self.outcome {
            Outcome::Succeeded => RecoveryOutcome::Succeeded,
            Outcome::Incomplete { .. } => RecoveryOutcome::Incomplete,
            _ => RecoveryOutcome::Cancelled,
        };
        let mut members: BTreeMap<MemberName, RestoredMember> = BTreeMap::new();
        for member in &self.members {
            let of = |outcome: &Option<Outcome>| outcome.as_ref().map_or(MemberOutcome::Failed, Into::into);
            let fresh = RestoredMember { name: member.name.clone(), outcome: MemberOutcome::Succeeded, compared: true };
            let entry = members.entry(member.name.clone()).or_insert(fresh);
            if entry.outcome == MemberOutcome::Succeeded {
                entry.outcome = of(&member.outcome);
            }
            entry.compared &= member.equal;
        }
        Some(Body::Recovery(Box::new(Recovery {
            run: self.run.clone(),
            runbook: self.runbook.clone(),
            runbook_sha256: self.runbook_sha256,
            point,
            outcome,
            event: self.clocks.event,
            declared: self.clocks.declared,
            service_green: self.clocks.service_green,
            full_green: self.clocks.full_green,
            members: members.into_values().collect(),
            deviations: self.deviations().count() as u64,
            report,
            ended: self.ended?,
        })))
    }

    /// The short form.
    pub(super) fn text(&self) -> String {
        let green = |seconds: Option<Seconds>| seconds.map_or("NOT REACHED".to_owned(), |seconds| format!("after {seconds}"));
        let clocks = &self.clocks;
        let mut text = format!(
            "{} {}: service green {} (objective {}), all green {} (objective {})\n",
            self.runbook,
            word(&self.outcome),
            green(clocks.service_seconds),
            clocks.service_objective,
            green(clocks.full_seconds),
            clocks.full_objective
        );
        let row = |step: &StepFacts| {
            let took = step.took.map_or(String::new(), |took| took.to_string());
            vec![step.id.to_string(), step.state.to_owned(), took, step.budget.to_string(), step.said.clone()]
        };
        text += &table(&["step", "state", "took", "budget", ""], &self.steps.iter().map(row).collect::<Vec<_>>());
        for member in &self.members {
            let equal = if member.equal { "equal to what was saved" } else { "NOT compared as equal" };
            let rpo = member.rpo_seconds.map_or(String::new(), |rpo| format!(", {rpo} lost"));
            text += &format!("{}: {equal}{rpo}\n", member.name);
        }
        for order in self.deviations() {
            text += &format!("deviation: {} by {} ({})\n", order.what, order.by, order.reason);
        }
        text
    }

    /// What is missing or wrong.
    pub(super) fn problems(&self) -> Vec<Problem> {
        reasons(&self.outcome)
    }
}

fn takeover(record: &JournalRecord) -> Option<Takeover> {
    let JournalEvent::TakenOver { process, by, reason, ground } = &record.event else { return None };
    let (machine, by, reason) = (process.machine.clone(), by.clone(), reason.clone());
    Some(Takeover { written: record.written, machine, by, reason, ground: *ground })
}

/// What an outcome says is missing or wrong.
fn reasons(outcome: &Outcome) -> Vec<Problem> {
    match outcome {
        Outcome::Succeeded => Vec::new(),
        Outcome::Incomplete { missing } => missing.clone(),
        Outcome::Failed { problem } | Outcome::Stuck { problem } => vec![problem.clone()],
        Outcome::Cancelled { reason } => vec![Problem { subject: "run".to_owned(), what: reason.clone() }],
    }
}

fn frame(state: &RunState) -> &crate::model::Recovery {
    state.plan.recovery.as_deref().expect("it is the plan of a recovery")
}

/// When each step ended last. One that a person took as done ended with that word.
fn green<'a>(state: &'a RunState, attempts: &'a [Bar]) -> BTreeMap<&'a StepId, Timestamp> {
    let mut green: BTreeMap<&StepId, Timestamp> = attempts.iter().map(|bar| (&bar.step, bar.ended)).collect();
    for order in state.obeyed() {
        if let Bend::Done { step } | Bend::Skip { step } = &order.bend {
            green.insert(step, order.written);
        }
    }
    green
}

fn clocks(state: &RunState, attempts: &[Bar], green: &BTreeMap<&StepId, Timestamp>) -> Clocks {
    let frame = frame(state);
    let done = |id: &&StepId| matches!(state.steps.get(*id), Some(StepState::Ended(Outcome::Succeeded, _)));
    let all_green = |later: bool| {
        let steps: Vec<&StepId> = state.plan.steps.iter().map(|step| &step.id).filter(|id| later || !frame.terms[*id].later).collect();
        if steps.iter().all(done) { steps.iter().filter_map(|id| green.get(id)).max().copied() } else { None }
    };
    let (service_green, full_green) = (all_green(false), all_green(true));
    let since = |at: Timestamp| Seconds::between(frame.declared, at);
    let asks = |id: &StepId| state.plan.steps.iter().any(|step| step.id == *id && matches!(step.action, Action::Approve { .. }));
    let decisions = attempts.iter().filter(|bar| asks(&bar.step)).map(|bar| Seconds::between(bar.began, bar.ended).0).sum();
    Clocks {
        event: frame.event,
        declared: frame.declared,
        service_green,
        full_green,
        service_seconds: service_green.map(since),
        full_seconds: full_green.map(since),
        service_objective: frame.service,
        full_objective: frame.full,
        decisions_seconds: Seconds(decisions),
    }
}

fn step_facts(state: &RunState, step: &Step, attempts: &[Bar]) -> StepFacts {
    let bars: Vec<&Bar> = attempts.iter().filter(|bar| bar.step == step.id).collect();
    let last = state.obeyed().rfind(|order| order.bend.step() == Some(&step.id));
    let is_skipped = last.is_some_and(|order| matches!(order.bend, Bend::Skip { .. }));
    let (word, said) = match state.steps.get(&step.id) {
        Some(StepState::Ended(_, Output::Decided { by })) if is_skipped => ("skipped", format!("by {by}")),
        Some(StepState::Ended(outcome, output)) => (word(outcome), said(output)),
        Some(StepState::Started) => ("begun", String::new()),
        _ => ("waiting", String::new()),
    };
    let (terms, id) = (frame(state).terms[&step.id], step.id.clone());
    let took = bars.first().zip(bars.last()).map(|(first, last)| Seconds::between(first.began, last.ended));
    let (title, needs, attempts) = (step.what.clone(), step.needs.clone(), bars.len());
    StepFacts { id, title, needs, later: terms.later, state: word, budget: terms.budget, took, attempts, said }
}

fn members(state: &RunState, manifest: Option<&Point>, green: &BTreeMap<&StepId, Timestamp>) -> Vec<Member> {
    let frame = frame(state);
    let one = |step: &Step| {
        let Action::Restore { member: name, .. } = &step.action else { return None };
        let saved = manifest.and_then(|manifest| manifest.members.iter().find(|member| member.name == *name));
        let (outcome, output) = match state.steps.get(&step.id) {
            Some(StepState::Ended(outcome, output)) => (Some(outcome.clone()), Some(output)),
            _ => (None, None),
        };
        let (bytes, items, compared, tally) = match output {
            Some(Output::Restored { bytes, items, compared, tally, .. }) => (Some(bytes.0), Some(*items), *compared, tally.clone()),
            _ => (None, None, false, BTreeMap::new()),
        };
        let consistent_from = saved.map(|member| member.consistent_from);
        let good = outcome.as_ref().is_some_and(Outcome::is_success);
        Some(Member {
            name: name.clone(),
            step: step.id.clone(),
            equal: compared && good,
            reasons: outcome.as_ref().map(reasons).unwrap_or_default(),
            outcome,
            bytes,
            items,
            tally,
            rpo_seconds: consistent_from.map(|from| Seconds::between(from, frame.event.unwrap_or(frame.declared))),
            consistent_from,
            rto_seconds: green.get(&step.id).filter(|_| good).map(|at| Seconds::between(frame.declared, *at)),
        })
    };
    state.plan.steps.iter().filter_map(one).collect()
}
