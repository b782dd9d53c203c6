//! What people are told while a recovery runs: how late it is, and what can be done about a step that lets nothing go on.

use std::collections::BTreeMap;

use crate::{
    model::{Context, Event, Outcome, Question, Seconds, StepId},
    orchestrator::{
        runbook::forecast::{Forecast, of_plan},
        state::{RunState, StepState},
    },
};

/// When everything is going to be done, from now, as far as budgets say. `since` knows how long running steps have run.
pub fn forecast(state: &RunState, since: &BTreeMap<StepId, Seconds>) -> Forecast {
    of_plan(&state.plan, |id| {
        let budget = state.plan.recovery.as_ref().and_then(|recovery| recovery.terms.get(id)).map_or(Seconds(0), |terms| terms.budget);
        match state.steps.get(id) {
            Some(StepState::Ended(..)) if state.satisfies(id) => Seconds(0),
            _ => Seconds(budget.0.saturating_sub(since.get(id).map_or(0, |ran| ran.0))),
        }
    })
}

/// Tells the observer how late it is.
pub fn clock(state: &RunState, since: &BTreeMap<StepId, Seconds>, ctx: &Context) {
    let Some(recovery) = &state.plan.recovery else { return };
    let elapsed = Seconds::between(recovery.declared, ctx.clock.now());
    ctx.observer.event(&Event::Clock {
        run: state.plan.run.clone(),
        elapsed,
        objective: recovery.service,
        forecast: Seconds(elapsed.0 + forecast(state, since).service.0),
        done: state.steps.keys().filter(|id| state.satisfies(id)).count(),
        steps: state.steps.len(),
        stuck: state.unsatisfied().len(),
    });
}

/// What failed, why, what waits for it, and the commands that bend it.
pub fn failed(state: &RunState, step: &StepId) -> String {
    let run = &state.plan.run;
    let why = match state.steps.get(step) {
        Some(StepState::Ended(Outcome::Failed { problem } | Outcome::Stuck { problem }, _)) => problem.what.clone(),
        Some(StepState::Ended(Outcome::Cancelled { reason }, _)) => reason.clone(),
        Some(StepState::Ended(Outcome::Incomplete { missing }, _)) => {
            let named: Vec<String> = missing.iter().take(20).map(|problem| format!("{}: {}", problem.subject, problem.what)).collect();
            format!("it ended, and {} things are missing or differ:\n    {}", missing.len(), named.join("\n    "))
        }
        _ => String::new(),
    };
    let waiting: Vec<&str> = state.plan.steps.iter().filter(|other| other.needs.contains(step)).map(|other| other.id.as_str()).collect();
    let waiting = if waiting.is_empty() { "nothing".to_owned() } else { waiting.join(", ") };
    let values = state.plan.recovery.as_ref().is_some_and(|recovery| !recovery.variables.is_empty());
    let set = if values {
        format!("  hourglass runs set {run} NAME VALUE --who NAME --reason TEXT   a value was wrong; then retry\n")
    } else {
        String::new()
    };
    format!(
        "STEP {step} NEEDS A PERSON: {why}\n  waits for it: {waiting}. Everything else goes on. What can be done:\n{set}\
         \x20 hourglass runs retry {run} {step} --who NAME --reason TEXT   the cause is mended: try it again\n\
         \x20 hourglass runs done {run} {step} --who NAME --reason TEXT    it was done by hand\n\
         \x20 hourglass runs skip {run} {step} --who NAME --reason TEXT    go on without it; the run ends incomplete\n\
         \x20 hourglass runs abort {run} --who NAME --reason TEXT          give up"
    )
}

/// A question, and how it is answered.
pub fn asked(state: &RunState, step: &StepId, question: &Question) -> String {
    let who = if question.by.is_empty() { "NAME".to_owned() } else { question.by.join("|") };
    format!("STEP {step} ASKS: {}\n  hourglass runs approve {} {step} --who {who} --reason TEXT", question.text, state.plan.run)
}
