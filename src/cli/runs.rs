//! `hourglass runs`

use clap::{Args, Subcommand};
use serde_json::json;

mod orders;
mod watch;

use self::orders::{OfStep, Word, give};
use super::{
    CliError, ExitCode, Globals, Report, backup,
    output::table,
    recover::{self, Manner},
    repo::Repo,
    restore,
};
use crate::{
    config::PRIMARY,
    model::{Action, RunId},
    orchestrator::{
        OrchestratorError,
        execute::Taking,
        order::{Bend, words},
        process::Life,
        recovery::{screen, takeover},
        restore::{check_free, resume_restore},
        runs::{self, KnownRun},
        state::StepState,
    },
    pipeline::MacKey,
    repository::catalog::{Catalog, Selector},
    storage,
};

/// List, resume or abort runs
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass runs list")]
pub struct RunsArgs {
    /// What to do
    #[command(subcommand)]
    pub command: RunsCommand,
}

/// What to do with runs.
#[derive(Debug, Clone, Subcommand)]
pub enum RunsCommand {
    /// List runs, newest first, with phase and outcome
    #[command(after_long_help = "Example:\n  hourglass runs list")]
    List,
    /// Show the steps of a run
    #[command(after_long_help = "Example:\n  hourglass runs show 20261121T120000Z-0123abcd")]
    Show {
        /// The run
        run: RunId,
    },
    /// Watch a recovery or any other run from elsewhere until it ends: its clock, what begins and ends, who is asked
    #[command(
        after_long_help = "Ends with the status of the run. Interrupting it changes nothing.\n\nExample:\n  hourglass runs watch 20261121T120000Z-0123abcd"
    )]
    Watch {
        /// The run
        run: RunId,
    },
    /// Go on with a run that was interrupted
    #[command(after_long_help = "Example:\n  hourglass runs resume 20261121T120000Z-0123abcd")]
    Resume {
        /// The run
        run: RunId,
        /// How a recovery waits and reports
        #[command(flatten)]
        manner: Manner,
    },
    /// Go on with a recovery or restore whose process may not be gone: of another machine, or one that hangs
    #[command(
        after_long_help = "It is taken over at once when its process is gone from this machine, or when --stopped says that a person has made sure. Otherwise it is \
        watched: once nothing was journalled for longer than its process may act, it is taken over. A process that wakes up afterwards acts no more, \
        says who has the run, and ends with status 1.\n\n\
        Example:\n  hourglass runs takeover 20261121T120000Z-0123abcd --who Berta --reason \"the bastion is lost\""
    )]
    Takeover {
        /// The run
        run: RunId,
        /// Who and why
        #[command(flatten)]
        word: Word,
        /// I have made sure that the other process, and what it started, is stopped
        #[arg(long)]
        stopped: bool,
        /// How a recovery waits and reports
        #[command(flatten)]
        manner: Manner,
    },
    /// Give up a run that was interrupted, or a recovery that runs, at a safe point
    #[command(after_long_help = "Example:\n  hourglass runs abort 20261121T120000Z-0123abcd --reason \"disk replaced\"")]
    Abort {
        /// The run
        run: RunId,
        /// Why, for those who read the record
        #[arg(long, value_parser = words)]
        reason: String,
        /// Who says so; needed for a recovery that runs
        #[arg(long, value_name = "NAME", value_parser = words)]
        who: Option<String>,
        /// Of a recovery: take back what commands with an undo did; one that does not run does it when it is resumed
        #[arg(long, requires = "who")]
        undo: bool,
    },
    /// Of a recovery: try a step again that did not succeed
    #[command(after_long_help = "Example:\n  hourglass runs retry 20261121T120000Z-0123abcd start --who Berta --reason \"disk replaced\"")]
    Retry(OfStep),
    /// Of a recovery: go on without a step; the run ends incomplete
    #[command(after_long_help = "Example:\n  hourglass runs skip 20261121T120000Z-0123abcd warm-up --who Berta --reason \"no time\"")]
    Skip(OfStep),
    /// Of a recovery: take a step as done, because a person did it
    #[command(after_long_help = "Example:\n  hourglass runs done 20261121T120000Z-0123abcd dns --who Berta --reason \"set by hand\"")]
    Done(OfStep),
    /// Of a recovery: answer the question of a step with yes
    #[command(after_long_help = "Example:\n  hourglass runs approve 20261121T120000Z-0123abcd cutover --who Berta --reason \"tests passed\"")]
    Approve(OfStep),
    /// Of a recovery: give a variable, or the output of a step (step.output), another value
    #[command(after_long_help = "Example:\n  hourglass runs set 20261121T120000Z-0123abcd port 5434 --who Berta --reason \"5433 is taken\"")]
    Set {
        /// The run
        run: RunId,
        /// The name of the value
        name: String,
        /// The value
        value: String,
        /// Who and why
        #[command(flatten)]
        word: Word,
    },
}

/// Runs it.
///
/// # Errors
/// There is no such run, it is not free, or the control store fails.
pub async fn run(args: RunsArgs, globals: &Globals) -> Result<Report, CliError> {
    match args.command {
        RunsCommand::List => list(globals).await,
        RunsCommand::Show { run } => show(&run, globals).await,
        RunsCommand::Watch { run } => watch::watch(run, globals).await,
        RunsCommand::Resume { run, manner } => resume(run, None, &manner, globals).await,
        RunsCommand::Takeover { run, word, stopped, manner } => takeover(run, word, stopped, &manner, globals).await,
        RunsCommand::Abort { run, reason, who, undo } => abort(&run, reason, who, undo, globals).await,
        RunsCommand::Retry(OfStep { run, step, word }) => give(&run, Bend::Retry { step }, word, globals).await,
        RunsCommand::Skip(OfStep { run, step, word }) => give(&run, Bend::Skip { step }, word, globals).await,
        RunsCommand::Done(OfStep { run, step, word }) => give(&run, Bend::Done { step }, word, globals).await,
        RunsCommand::Approve(OfStep { run, step, word }) => give(&run, Bend::Approve { step }, word, globals).await,
        RunsCommand::Set { run, name, value, word } => give(&run, Bend::Set { name, value }, word, globals).await,
    }
}

/// The keys of this machine that journals may be authenticated with.
fn keys(repo: &Repo) -> Vec<MacKey> {
    let capture = repo.capture_file().ok();
    let of_lineages = capture.iter().flat_map(|file| repo.lineages().into_iter().map(|lineage| runs::capture_key(file, &lineage)));
    let of_operator = repo.operator().ok().map(|file| runs::operator_key(&file.signing_key));
    of_operator.into_iter().chain(of_lineages).collect()
}

async fn known(run: &RunId, globals: &Globals) -> Result<(Repo, KnownRun), CliError> {
    let repo = Repo::open(globals, PRIMARY).await?;
    let control = storage::open(&repo.config.control).await?;
    let found = runs::load(control.as_ref(), run, &keys(&repo)).await?;
    let (known, _) = found.ok_or_else(|| CliError::from(OrchestratorError::NoRun { run: run.clone() }))?;
    Ok((repo, known))
}

async fn list(globals: &Globals) -> Result<Report, CliError> {
    let repo = Repo::open(globals, PRIMARY).await?;
    let control = storage::open(&repo.config.control).await?;
    let keys = keys(&repo);
    let (mut rows, mut data) = (Vec::new(), Vec::new());
    for run in runs::ids(control.as_ref()).await?.into_iter().rev() {
        match runs::load(control.as_ref(), &run, &keys).await? {
            Some((known, _)) => {
                let last = known.last.strftime("%F %T").to_string();
                rows.push(vec![run.to_string(), known.phase().to_owned(), last, known.state.plan.what.clone()]);
                data.push(json!({"run": run, "phase": known.phase(), "began": known.began, "last": known.last, "what": known.state.plan.what}));
            }
            None => {
                rows.push(vec![run.to_string(), "unreadable".to_owned(), String::new(), "its journal is not of this machine's keys".to_owned()]);
                data.push(json!({"run": run, "phase": "unreadable"}));
            }
        }
    }
    let text = if rows.is_empty() { "there are no runs\n".to_owned() } else { table(&["run", "phase", "last", "what"], &rows) };
    Ok(Report::new(json!({"runs": data}), text))
}

async fn show(run: &RunId, globals: &Globals) -> Result<Report, CliError> {
    let (_, known) = known(run, globals).await?;
    let state = |step| match known.state.steps.get(step) {
        Some(StepState::Ended(outcome, _)) => json!(outcome)["outcome"].as_str().unwrap_or_default().to_owned(),
        Some(StepState::Started) => "begun".to_owned(),
        _ => "waiting".to_owned(),
    };
    let rows: Vec<Vec<String>> = known.state.plan.steps.iter().map(|step| vec![step.id.to_string(), state(&step.id), step.what.clone()]).collect();
    let mut text = format!("{}: {}, {}\n", known.run, known.state.plan.what, known.phase());
    text += &table(&["step", "state", "what"], &rows);
    text += &format!("checkpoints: {}\n", known.state.checkpoints.len());
    for (order, refused) in &known.state.orders {
        let refused = refused.as_ref().map_or(String::new(), |why| format!(": refused: {why}"));
        text += &format!("order {}: {} by {} ({}){refused}\n", order.number, order.bend.describe(), order.by, order.reason);
    }
    if known.state.ended.is_none() && known.state.plan.recovery.is_some() {
        let stuck = known.state.unsatisfied().into_iter().map(|(step, _)| screen::failed(&known.state, step));
        text += &stuck.map(|screen| screen + "\n").collect::<String>();
    }
    if let Some(broken) = &known.broken {
        text += &format!("{broken}\n");
    }
    let steps: Vec<_> = known.state.plan.steps.iter().map(|step| json!({"step": step.id, "state": state(&step.id), "what": step.what})).collect();
    let data = json!({"run": known.run, "phase": known.phase(), "began": known.began, "last": known.last, "steps": steps,
        "process": known.state.process, "checkpoints": known.state.checkpoints.len(), "broken": known.broken});
    Ok(Report::new(data, text))
}

/// A backup is not resumed as such: a new run goes on with what the old one stored, so that all members are captured together.
async fn resume(run: RunId, taking: Option<Taking>, manner: &Manner, globals: &Globals) -> Result<Report, CliError> {
    let (repo, known) = known(&run, globals).await?;
    if taking.is_none() {
        check_free(&known)?;
    }
    if known.state.plan.recovery.is_some() {
        return recover::resume(known, repo, taking, manner, globals).await;
    }
    let point = known.state.plan.steps.iter().find_map(|step| match &step.action {
        Action::Restore { point, .. } => Some(point.clone()),
        _ => None,
    });
    let Some(id) = point else {
        let policy = known.state.plan.steps.iter().find_map(|step| match &step.action {
            Action::Commit { lineage, .. } => Some(lineage.policy.clone()),
            _ => None,
        });
        let policy = policy.ok_or_else(|| CliError::new(ExitCode::Failed, "internal", "the run is neither a backup nor a restore"))?;
        return backup::run(backup::BackupArgs { policy, members: Vec::new(), dry_run: false }, globals).await;
    };
    let (ctx, operator) = (globals.context(), repo.operator()?);
    let record = repo.record(&id.lineage).await?.0;
    let catalog = Catalog::new(&record, &[]);
    let point = catalog.resolve(&Selector::Number(id.number))?;
    let (name, manifest) = (point.name.clone(), point.point.clone());
    let opened = restore::open(&repo, name.clone(), manifest, &operator, &ctx).await?;
    let tools = restore::tools(&repo.config, opened, &operator, storage::open(&repo.config.control).await?);
    let began = known.began;
    let end = resume_restore(known, tools, taking, &ctx).await?;
    restore::finish(&repo.config, &operator, name, began, end, &ctx).await
}

/// Waits until the run may be taken, then goes on with it.
async fn takeover(run: RunId, word: Word, stopped: bool, manner: &Manner, globals: &Globals) -> Result<Report, CliError> {
    let (repo, known) = known(&run, globals).await?;
    let restores = known.state.plan.steps.iter().any(|step| matches!(step.action, Action::Restore { .. }));
    if !restores && known.state.plan.recovery.is_none() {
        return Err(CliError::usage(format!("run {run} is a backup: a new one goes on with what it stored")).hint("`hourglass backup` begins one"));
    }
    let desk = recover::desk(&repo, &repo.operator()?, manner.patience).await?;
    let (ground, after) = takeover::ground(&known, stopped, &desk, &globals.context()).await?;
    let Word { who: by, reason } = word;
    resume(run, Some(Taking { by, reason, ground, after }), manner, globals).await
}

/// A recovery that runs, or that is to be undone, is told to end by an order; any other run has to be gone.
async fn abort(run: &RunId, reason: String, who: Option<String>, undo: bool, globals: &Globals) -> Result<Report, CliError> {
    let (repo, known) = known(run, globals).await?;
    let recovers = known.state.plan.recovery.is_some() && known.state.ended.is_none();
    if let Some(who) = who.filter(|_| recovers && (undo || known.state.process.life() != Life::Gone)) {
        return give(run, Bend::Abort { undo }, Word { who, reason }, globals).await;
    }
    let control = storage::open(&repo.config.control).await?;
    let was_open = runs::abort(&control, run, &keys(&repo), &reason, &globals.context()).await?;
    let text = if was_open { format!("run {run} is ended and never goes on") } else { format!("run {run} had ended already") };
    Ok(Report::new(json!({"run": run, "was_open": was_open}), text))
}
