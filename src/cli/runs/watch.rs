//! `hourglass runs watch`: the clock of a run on another terminal, or another machine.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{keys, known};
use crate::{
    cli::{CliError, Globals, Report},
    model::{Action, Context, Event, Outcome, Problem, RunId, Seconds, StepId, Timestamp},
    orchestrator::{
        OrchestratorError,
        execute::LEASE,
        journal::read_after,
        process::Life,
        recovery::screen,
        runs::load,
        state::{JournalEvent, RunState, StepState},
    },
    storage,
};

/// How often the journal is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long the last record of a process that is gone may take to be seen.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How long a run may say nothing before nobody watches it any more.
const PATIENCE: Duration = Duration::from_secs(600);

/// Watches a run until it ends, or nobody works on it.
pub(super) async fn watch(run: RunId, globals: &Globals) -> Result<Report, CliError> {
    let (repo, _) = known(&run, globals).await?;
    let control = storage::open(&repo.config.control).await?;
    let found = load(control.as_ref(), &run, &keys(&repo)).await?;
    let (found, key) = found.ok_or_else(|| CliError::from(OrchestratorError::NoRun { run: run.clone() }))?;
    let ctx = globals.context();
    let mut watched = Watched { state: found.state, began: BTreeMap::new(), ctx: &ctx };
    watched.begin();
    let mut read = read_after(control.as_ref(), &run, 0, &key).await?.records.len() as u64;
    let (mut heard, mut is_late) = (Instant::now(), false);
    let outcome = loop {
        if let Some(outcome) = &watched.state.ended {
            break outcome.clone();
        }
        let news = read_after(control.as_ref(), &run, read, &key).await?;
        if !news.records.is_empty() {
            (heard, is_late) = (Instant::now(), false);
        }
        read += news.records.len() as u64;
        for record in news.records {
            watched.take(record.event, record.written)?;
        }
        let silent = heard.elapsed();
        if let Some(why) = watched.nobody(silent) {
            break Outcome::Stuck { problem: Problem { subject: run.to_string(), what: why } };
        }
        if silent > LEASE && !is_late {
            is_late = true;
            let what = format!("nothing was journalled for {} s: its process may hang, or its machine be lost", silent.as_secs());
            ctx.observer.event(&Event::Problem(Problem { subject: run.to_string(), what }));
        }
        if ctx.cancel.is_draining() {
            break Outcome::Cancelled { reason: "nobody watches any more; the run goes on".to_owned() };
        }
        watched.clock();
        tokio::time::sleep(EVERY).await;
    };
    let text = format!("run {run}: {}\n", watched.state.plan.what);
    Ok(Report::new(json!({"run": run, "ended": watched.state.ended}), text).ended(outcome))
}

/// A run, as far as its journal was read.
struct Watched<'a> {
    state: RunState,
    /// When each step that is being done was begun.
    began: BTreeMap<StepId, Timestamp>,
    ctx: &'a Context,
}

impl Watched<'_> {
    /// Tells what was so when nobody watched.
    fn begin(&mut self) {
        let plan = &self.state.plan;
        self.ctx.observer.event(&Event::RunStarted { run: plan.run.clone(), what: plan.what.clone(), steps: plan.steps.len() });
        for step in plan.steps.iter().map(|step| step.id.clone()).collect::<Vec<_>>() {
            match self.state.steps.get(&step) {
                Some(StepState::Started) => self.started(&step, self.ctx.clock.now()),
                Some(StepState::Ended(outcome, _)) => self.ctx.observer.event(&Event::StepEnded { step, outcome: outcome.clone() }),
                _ => {}
            }
        }
        self.state.unsatisfied().into_iter().for_each(|(step, _)| self.note(screen::failed(&self.state, step)));
    }

    fn note(&self, text: String) {
        if self.state.plan.recovery.is_some() {
            self.ctx.observer.event(&Event::Note { text });
        }
    }

    fn started(&mut self, step: &StepId, at: Timestamp) {
        self.began.insert(step.clone(), at);
        let Some(planned) = self.state.plan.steps.iter().find(|planned| planned.id == *step) else { return };
        self.ctx.observer.event(&Event::StepStarted { step: step.clone(), what: planned.what.clone() });
        if let Action::Approve { question } = &planned.action {
            self.note(screen::asked(&self.state, step, question));
        }
    }

    /// Takes in what was journalled, and tells it.
    fn take(&mut self, event: JournalEvent, written: Timestamp) -> Result<(), CliError> {
        self.state.advance(event.clone()).map_err(OrchestratorError::from)?;
        match event {
            JournalEvent::StepStarted { step } => self.started(&step, written),
            JournalEvent::StepEnded { step, outcome, .. } => {
                self.began.remove(&step);
                self.ctx.observer.event(&Event::StepEnded { step: step.clone(), outcome });
                if !self.state.satisfies(&step) {
                    self.note(screen::failed(&self.state, &step));
                }
            }
            JournalEvent::Ordered { order, refused } => {
                let verdict = refused.map_or(String::new(), |why| format!("; it changes nothing: {why}"));
                self.note(format!("{} orders: {} ({}){verdict}", order.by, order.bend.describe(), order.reason));
            }
            JournalEvent::Resumed { process } => {
                self.began.clear();
                self.note(format!("process {} of {} goes on", process.pid, process.machine));
            }
            JournalEvent::TakenOver { process, by, reason, .. } => {
                self.began.clear();
                self.note(format!("process {} of {} took it over: {by} decided so ({reason})", process.pid, process.machine));
            }
            JournalEvent::RunEnded { outcome } => {
                self.ctx.observer.event(&Event::RunEnded { run: self.state.plan.run.clone(), outcome });
            }
            JournalEvent::RunStarted { .. } | JournalEvent::Beat | JournalEvent::Checkpoint { .. } => {}
        }
        Ok(())
    }

    /// Why nobody works on it any more, if so.
    fn nobody(&self, silent: Duration) -> Option<String> {
        let run = &self.state.plan.run;
        match self.state.process.life() {
            // What it journalled last may not have been read yet.
            Life::Gone if silent > LAST_WORDS => Some(format!("its process is gone; `hourglass runs resume {run}` goes on")),
            Life::Unknown if silent > PATIENCE => Some(format!("it is silent; `hourglass runs takeover {run}` goes on from here")),
            Life::Gone | Life::Alive | Life::Unknown => None,
        }
    }

    fn clock(&self) {
        let now = self.ctx.clock.now();
        let since = self.began.iter().map(|(step, at)| (step.clone(), Seconds::between(*at, now))).collect();
        screen::clock(&self.state, &since, self.ctx);
    }
}
