//! `hourglass schedule`

use clap::{Args, Subcommand};
use serde_json::json;

use super::{CliError, ExitCode, Globals, Report, output::table, repo::Repo};
use crate::{
    config::PRIMARY,
    daemon::{
        decide::Rules,
        ledger::{Ledger, Place, event::Wish},
        order::{self, Order},
    },
    model::{Clock, Lineage, PolicyName, SystemClock},
    orchestrator::order::words,
    repository::{keys::SigningKey, layout},
    storage,
};

/// Show what is due, have a run made now, pause and resume
#[derive(Debug, Clone, Args)]
#[command(
    after_long_help = "It acts through the control store, so from anywhere with a capture or an operator key; the daemon that leads obeys within seconds.\n\n\
    Example:\n  hourglass schedule list\n  hourglass schedule pause production --who Berta --reason \"database moves\""
)]
pub struct ScheduleArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ScheduleCommand,
}

/// What to do with schedules.
#[derive(Debug, Clone, Subcommand)]
pub enum ScheduleCommand {
    /// List policies and tasks: when they run next, what goes on, and who paused them
    #[command(after_long_help = "Example:\n  hourglass schedule list")]
    List,
    /// Show how the last slots of a policy or task ended
    #[command(after_long_help = "Example:\n  hourglass schedule show production")]
    Show {
        /// The policy or task
        policy: PolicyName,
        /// How many entries of the ledger
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=2000))]
        last: u32,
    },
    /// Have the daemon make a point, or do a task, now
    #[command(after_long_help = "Example:\n  hourglass schedule run production --who Berta --reason \"before the upgrade\"")]
    Run(OfPolicy),
    /// Let nothing begin by itself until it is resumed; slots are missed meanwhile
    #[command(after_long_help = "Example:\n  hourglass schedule pause production --who Berta --reason \"database moves\"")]
    Pause(OfPolicy),
    /// Let slots be due again
    #[command(after_long_help = "Example:\n  hourglass schedule resume production --who Berta --reason \"database moved\"")]
    Resume(OfPolicy),
}

/// A policy or task, and who wants what of it.
#[derive(Debug, Clone, Args)]
pub struct OfPolicy {
    /// The policy or task
    policy: PolicyName,
    /// Who says so
    #[arg(long, value_name = "NAME", value_parser = words)]
    who: String,
    /// Why, for those who read the ledger
    #[arg(long, value_name = "TEXT", value_parser = words)]
    reason: String,
}

/// Runs it.
///
/// # Errors
/// There is no such policy, no key, or the control store fails.
pub async fn run(args: ScheduleArgs, globals: &Globals) -> Result<Report, CliError> {
    match args.command {
        ScheduleCommand::List => list(globals).await,
        ScheduleCommand::Show { policy, last } => show(&policy, last as usize, globals).await,
        ScheduleCommand::Run(of) => give(of, Wish::Run, globals).await,
        ScheduleCommand::Pause(of) => give(of, Wish::Pause, globals).await,
        ScheduleCommand::Resume(of) => give(of, Wish::Resume, globals).await,
    }
}

/// The lineage of a policy, or the name under which a task's ledger lies.
fn ledger_of(repo: &Repo, name: &PolicyName) -> Result<Lineage, CliError> {
    match repo.config.tasks.contains_key(name) {
        true => Ok(repo.config.task_ledger(name)),
        false => repo.lineage(name.as_str()),
    }
}

async fn place(repo: &Repo, lineage: &Lineage) -> Result<Place, CliError> {
    let store = storage::open(&repo.config.control).await?;
    Ok(Place::of(&store, &repo.capture_file()?, lineage))
}

async fn list(globals: &Globals) -> Result<Report, CliError> {
    let repo = Repo::open(globals, PRIMARY).await?;
    let (mut rows, mut data) = (Vec::new(), Vec::new());
    let policies = repo.written().into_iter().map(|lineage| (lineage.clone(), repo.config.policies[&lineage.policy].timing.clone()));
    let tasks = repo.config.tasks.iter().map(|(name, task)| (repo.config.task_ledger(name), task.timing.clone()));
    for (lineage, timing) in policies.chain(tasks) {
        let rules = Rules::new(lineage.clone(), &timing);
        let ledger = Ledger::open(place(&repo, &lineage).await?).await?;
        let balance = ledger.balance();
        let now = SystemClock.now();
        let next = rules.timetable.as_ref().and_then(|table| table.slots(now.max(balance.settled)).next());
        let state = match (&balance.open, &balance.paused, &balance.watched) {
            (Some(open), ..) if open.run.is_some() => format!("running for {}", open.slot.at.strftime("%F %TZ")),
            (Some(open), ..) => format!("to be tried again for {}", open.slot.at.strftime("%F %TZ")),
            (None, Some(paused), _) => format!("paused by {}: {}", paused.by, paused.reason),
            (None, None, None) => "never kept by a daemon".to_owned(),
            (None, None, Some(_)) => "waiting".to_owned(),
        };
        let schedule = rules.timetable.as_ref().map_or("none".to_owned(), |table| table.schedule.to_string());
        let shown = next.map_or("never".to_owned(), |next| next.strftime("%F %TZ").to_string());
        rows.push(vec![lineage.policy.to_string(), schedule.clone(), shown, state]);
        data.push(json!({"policy": lineage.policy, "lineage": lineage, "schedule": schedule, "next": next, "balance": balance}));
    }
    let text = if rows.is_empty() { "there are no policies and no tasks\n".to_owned() } else { table(&["name", "schedule", "next", "state"], &rows) };
    Ok(Report::new(json!({"schedules": data}), text))
}

async fn show(policy: &PolicyName, last: usize, globals: &Globals) -> Result<Report, CliError> {
    let repo = Repo::open(globals, PRIMARY).await?;
    let lineage = ledger_of(&repo, policy)?;
    let history = place(&repo, &lineage).await?.history(last).await?;
    let rows: Vec<Vec<String>> =
        history.iter().rev().map(|entry| vec![entry.written.strftime("%F %TZ").to_string(), entry.event.sentence()]).collect();
    let text = if rows.is_empty() { "the ledger is empty: no daemon has kept this policy\n".to_owned() } else { table(&["written", "what"], &rows) };
    Ok(Report::new(json!({"lineage": lineage, "entries": history}), text))
}

async fn give(of: OfPolicy, what: Wish, globals: &Globals) -> Result<Report, CliError> {
    let repo = Repo::open(globals, PRIMARY).await?;
    let lineage = ledger_of(&repo, &of.policy)?;
    let store = storage::open(&repo.config.control).await?;
    let order = Order { format: layout::FORMAT, lineage, number: 1, written: SystemClock.now(), by: of.who, reason: of.reason, what };
    let number = order::give(store.as_ref(), &signing_key(&repo)?, order).await?;
    let text = match what {
        Wish::Run => format!("ordered: a run of {} begins as soon as no other of it goes on", of.policy),
        Wish::Pause => format!("ordered: {} begins nothing by itself any more", of.policy),
        Wish::Resume => format!("ordered: slots of {} are due again", of.policy),
    };
    Ok(Report::new(json!({"policy": of.policy, "order": number, "what": what}), text))
}

/// An operator's key, where there is one; else the cluster's.
fn signing_key(repo: &Repo) -> Result<SigningKey, CliError> {
    if let Ok(operator) = repo.operator() {
        return Ok(operator.signing_key);
    }
    match repo.capture_file() {
        Ok(capture) => Ok(capture.signing_key),
        Err(error) => {
            Err(CliError { causes: vec![error.to_string()], ..CliError::new(ExitCode::Usage, "config", "this needs an operator or a capture key") })
        }
    }
}
