//! `hourglass runs retry|skip|done|approve|set`, and `abort` of a recovery: orders of people to a run.

use clap::Args;
use serde_json::json;

use super::known;
use crate::{
    cli::{CliError, ExitCode, Globals, Report, recover::desk},
    model::{RunId, StepId},
    orchestrator::{
        OrchestratorError,
        order::{Bend, Order, words},
        process::Life,
    },
};

/// Who gives an order, and why.
#[derive(Debug, Clone, Args)]
pub struct Word {
    /// Who says so; it stands in journal and report
    #[arg(long, value_name = "NAME", value_parser = words)]
    pub who: String,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
}

/// An order about a step.
#[derive(Debug, Clone, Args)]
pub struct OfStep {
    /// The run
    pub run: RunId,
    /// The step
    pub step: StepId,
    /// Who and why
    #[command(flatten)]
    pub word: Word,
}

/// Gives an order.
pub(super) async fn give(run: &RunId, bend: Bend, word: Word, globals: &Globals) -> Result<Report, CliError> {
    let (repo, known) = known(run, globals).await?;
    if known.state.ended.is_some() {
        return Err(OrchestratorError::Ended { run: run.clone() }.into());
    }
    if let Some(why) = known.state.refusal(&bend, &word.who) {
        return Err(CliError::usage(format!("run {run}, {}: {why}", bend.describe())).hint(format!("`hourglass runs show {run}` shows its steps")));
    }
    let desk = desk(&repo, &repo.operator()?, std::time::Duration::ZERO).await?;
    let taken = known.state.orders.last().map_or(0, |(order, _)| order.number);
    let what = bend.describe();
    let order = Order { format: 1, run: run.clone(), number: 0, written: globals.context().clock.now(), by: word.who, reason: word.reason, bend };
    let number = desk.give(run, taken, order).await.map_err(|error| match error {
        OrchestratorError::LostRun { .. } => CliError::new(ExitCode::Failed, "contended", format!("others give orders to run {run} all the time")),
        error => error.into(),
    })?;
    let next = match known.state.process.life() {
        Life::Gone => format!("nobody runs it: `hourglass runs resume {run}` goes on, and obeys"),
        Life::Alive | Life::Unknown => "the run takes it within seconds".to_owned(),
    };
    Ok(Report::new(json!({"run": run, "order": number, "what": what}), format!("order {number} to run {run}: {what}; {next}\n")))
}
