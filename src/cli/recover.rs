//! `hourglass recover`

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use serde_json::json;

mod chart;
mod facts;
mod page;

use self::facts::Facts;
use super::{
    CliError, ExitCode, Globals, Report, backup, promote,
    repo::Repo,
    restore::{self, Choice, Wanted, find},
    runbook::{self, refused},
};
use crate::{
    config::{Config, PRIMARY, parse_duration},
    model::{Context, Event, Lineage, Outcome, PolicyName, RunId, Timestamp},
    orchestrator::{
        execute::Taking,
        journal,
        order::Desk,
        recovery::{self, RecoveryEnd, SecretsKey, Tools, foresee::foresee, timeline},
        runbook::{Runbook, plan},
        runs::{self, KnownRun},
    },
    pipeline::sha256,
    repository::{
        keys::OperatorFile,
        record::{Body, Point, PointRef},
    },
    storage,
};

/// How long a recovery that is done tries to enter itself in the record of a location that may be gone.
const RECORD_PATIENCE: Duration = Duration::from_secs(60);

/// Rebuild a platform by a runbook, against its clock, and prove that it equals what was saved
#[derive(Debug, Clone, Args)]
#[command(
    after_long_help = "A step that fails does not end the run: it is shown with the commands that bend it (`hourglass runs retry`, `skip`, `done`, `set`).\n\n\
    Example:\n  hourglass recover runbooks/lab-databases.md --plan --var folder=/srv/recovered --var port=5433\n  \
    hourglass recover runbooks/lab-databases.md --var folder=/srv/recovered --var port=5433 --event-time 2026-11-21T12:00:00Z"
)]
pub struct RecoverArgs {
    /// The runbook
    #[arg(value_name = "RUNBOOK")]
    pub runbook: PathBuf,
    /// The point (production@we/1:42), or a policy or a lineage for its newest good one; otherwise that of the runbook's policy
    #[arg(long, value_name = "POINT")]
    pub point: Option<Choice>,
    /// The newest point that is consistent at or before this time (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with = "before")]
    pub at: Option<Timestamp>,
    /// The newest point that was consistent before this time (RFC 3339): before the accident
    #[arg(long, value_name = "TIME")]
    pub before: Option<Timestamp>,
    /// A value of the runbook, may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = runbook::value)]
    pub values: Vec<(String, String)>,
    /// When the disaster happened, if that is known (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub event_time: Option<Timestamp>,
    /// Print the plan with its forecast, and do nothing
    #[arg(long)]
    pub plan: bool,
    /// How it is waited and reported
    #[command(flatten)]
    pub manner: Manner,
}

/// How a recovery waits and reports.
#[derive(Debug, Clone, Args)]
pub struct Manner {
    /// How long a question, or a step that failed, waits for a person, for example 90s or 30m
    #[arg(long, value_name = "SPAN", default_value = "30m", value_parser = parse_duration)]
    pub patience: Duration,
    /// Where the report goes, with one as JSON beside it; otherwise recovery-RUN.html in the current folder
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// What a recovery is from, opened.
struct Chosen {
    repo: Repo,
    point: Option<(PointRef, Point)>,
}

/// Runs it.
///
/// # Errors
/// The runbook, a value or the configuration is wrong; there is no such point; another recovery is under way. What came of it is in the report.
pub async fn run(args: RecoverArgs, globals: &Globals) -> Result<Report, CliError> {
    let (config, ctx) = (globals.load_config()?, globals.context());
    let now = ctx.clock.now();
    let (book, warnings) = runbook::load(&args.runbook, Some(&config))?;
    if let Some(site) = book.to.as_ref().filter(|site| **site != config.site) {
        return Err(CliError::usage(format!("the runbook {} is for the site {site}, and the configuration is of {}", book.name, config.site)));
    }
    if let Some(event) = args.event_time.filter(|event| *event > now) {
        return Err(
            CliError::usage(format!("--event-time {event} is in the future")).hint("write it with its zone, for example 2026-11-21T13:00:00+01:00")
        );
    }
    let given = runbook::given(args.values.clone());
    book.values(&given).map_err(|problems| refused(&book.name, problems))?;
    let chosen = choose(&book, &args, &config, globals).await?;
    let known =
        |(point, manifest): &(PointRef, Point)| (point.id.clone(), manifest.members.iter().map(|member| member.name.clone()).collect::<Vec<_>>());
    let point = chosen.point.as_ref().map(known);
    let facts = plan::Facts { run: RunId::new(now, runs::random()), config: &config, point, given, event: args.event_time, now };
    let plan = book.plan(facts).map_err(|problems| refused(&book.name, problems))?;
    let operator = chosen.repo.operator()?;
    let desk = desk(&chosen.repo, &operator, args.manner.patience).await?;
    let begun = Begun { run: plan.run.clone(), declared: now };
    let tools = tools(&chosen, &operator, begun, args.manner.patience, globals, &ctx).await?;
    let objections = match &tools.point {
        Some(point) => foresee(&plan, point, &config, &ctx).await?,
        None => Vec::new(),
    };
    if args.plan {
        let shown = runbook::show(&plan, &timeline::measured(&desk, &book.policy, &book.name).await?, &warnings);
        return Ok(if objections.is_empty() { shown } else { shown.found(ExitCode::Usage, objections) });
    }
    if !objections.is_empty() {
        return Err(refused(&book.name, objections)
            .hint("decide in restore of the target's source (secrets, residue_allowed, or a change), then begin again"));
    }
    warnings.into_iter().for_each(|warning| ctx.observer.event(&Event::Problem(warning)));
    let end = recovery::recover(plan, &book.policy, tools, &desk, &ctx).await?;
    finish(&chosen, &operator, &desk, end, &args.manner).await
}

/// Goes on with a recovery whose process is gone, or that is taken over.
pub(super) async fn resume(known: KnownRun, repo: Repo, taking: Option<Taking>, manner: &Manner, globals: &Globals) -> Result<Report, CliError> {
    let operator = repo.operator()?;
    let desk = desk(&repo, &operator, manner.patience).await?;
    let frame = known.state.plan.recovery.as_ref().expect("it was asked for");
    let (point, declared) = (frame.point.clone(), frame.declared);
    let chosen = match point {
        None => Chosen { repo, point: None },
        Some(id) => {
            let (repo, point, manifest) = find(&repo.config, &Wanted::new(&Choice::Point(id))).await?;
            Chosen { repo, point: Some((point, manifest)) }
        }
    };
    let ctx = globals.context();
    let begun = Begun { run: known.run.clone(), declared };
    let tools = tools(&chosen, &operator, begun, manner.patience, globals, &ctx).await?;
    let end = recovery::resume(known, tools, taking, &desk, &ctx).await?;
    finish(&chosen, &operator, &desk, end, manner).await
}

async fn choose(book: &Runbook, args: &RecoverArgs, config: &Config, globals: &Globals) -> Result<Chosen, CliError> {
    if !book.restores() {
        return Ok(Chosen { repo: Repo::open(globals, PRIMARY).await?, point: None });
    }
    let choice = match (&args.point, &book.from) {
        (Some(choice), _) => choice.clone(),
        (None, Some(site)) if *site != config.site => {
            // Another site's newest generation; the primary location has all that was copied.
            let ours = |lineage: &Lineage| lineage.policy == book.policy && lineage.site == *site;
            let lineages = Repo::at(config.clone(), PRIMARY).await?.all_lineages().await?;
            let newest = lineages.into_iter().filter(ours).max_by_key(|lineage| lineage.generation);
            let fresh = Lineage { policy: book.policy.clone(), site: site.clone(), generation: 1 };
            Choice::NewestOf(newest.unwrap_or(fresh))
        }
        (None, _) => Choice::Newest(book.policy.clone()),
    };
    let wanted = Wanted { at: args.at, before: args.before, ..Wanted::new(&choice) };
    let (repo, point, manifest) = find(config, &wanted).await?;
    Ok(Chosen { repo, point: Some((point, manifest)) })
}

pub(super) async fn desk(repo: &Repo, operator: &OperatorFile, patience: Duration) -> Result<Desk, CliError> {
    let store = storage::open(&repo.config.control).await?;
    Ok(Desk { store, key: runs::operator_key(&operator.signing_key), patience })
}

/// Which run, and since when.
struct Begun {
    run: RunId,
    declared: Timestamp,
}

/// What the protection of the recovered policy decides, when its point is another site's: that this site goes on with it.
async fn promotion(chosen: &Chosen, operator: &OperatorFile, run: RunId) -> Result<Option<promote::Decision>, CliError> {
    let lineage = chosen.point.as_ref().map(|(point, _)| &point.id.lineage);
    let Some(parent) = lineage.filter(|lineage| lineage.site != chosen.repo.config.site) else { return Ok(None) };
    let head = promote::head(&chosen.repo, parent).await?;
    let (by, reason) = (operator.name.clone(), format!("recovery {run}"));
    Ok(Some(promote::Decision { policy: parent.policy.clone(), parent: head, run: Some(run), by, reason }))
}

async fn tools(
    chosen: &Chosen,
    operator: &OperatorFile,
    begun: Begun,
    patience: Duration,
    globals: &Globals,
    ctx: &Context,
) -> Result<Tools, CliError> {
    let point = match &chosen.point {
        Some((point, manifest)) => Some(restore::open(&chosen.repo, point.clone(), manifest.clone(), operator, ctx).await?),
        None => None,
    };
    let globals = Globals { observer: Some(Arc::clone(&ctx.observer)), ..globals.clone() };
    let since = begun.declared;
    let decision = promotion(chosen, operator, begun.run).await?;
    let protect = move |policy, cancel| -> futures::future::LocalBoxFuture<'static, _> {
        let (globals, decision) = (Globals { cancel, ..globals.clone() }, decision.clone().filter(|decision| decision.policy == policy));
        Box::pin(async move { backup::protect(policy, since, decision, &globals).await })
    };
    let secrets = SecretsKey::of(&operator.signing_key);
    Ok(Tools { config: chosen.repo.config.clone(), point, secrets, patience, protect: Box::new(protect) })
}

/// Writes the report, enters its digest in this site's record, and says how it went.
async fn finish(chosen: &Chosen, operator: &OperatorFile, desk: &Desk, end: RecoveryEnd, manner: &Manner) -> Result<Report, CliError> {
    let run = end.state.plan.run.clone();
    let records = journal::read(desk.store.as_ref(), &run, &desk.key).await?.records;
    let facts = Facts::new(&end, &records, chosen.point.as_ref().map(|(_, manifest)| manifest), &chosen.repo.config.site);
    let path = manner.report.clone().unwrap_or_else(|| PathBuf::from(format!("recovery-{run}.html")));
    let bytes = serde_json::to_vec_pretty(&facts).expect("facts have text keys");
    let written = write(&path, page::page(&facts).as_bytes()).and_then(|()| write(&path.with_extension("json"), &bytes));
    let mut text = facts.text();
    text += &match &written {
        Ok(()) => format!("report: {}\n", path.display()),
        Err(error) => format!("the report was not written: {}: {}\n", error.message, error.causes.join(": ")),
    };
    let entry = match facts.entry(chosen.point.as_ref().map(|(point, _)| point.clone()), sha256(&bytes)) {
        None => None,
        Some(body) => {
            let silent = |_| Err(CliError::new(ExitCode::Failed, "timeout", format!("no answer in {} s", RECORD_PATIENCE.as_secs())));
            match tokio::time::timeout(RECORD_PATIENCE, record(chosen, operator, &facts.policy, body)).await.unwrap_or_else(silent) {
                Ok(number) => Some(number),
                Err(why) => {
                    text += &format!("the recovery was not entered in the record: {}\n", why.message);
                    None
                }
            }
        }
    };
    if end.state.ended.is_none() {
        text += &format!("the run stays open: `hourglass runs resume {run}` goes on\n");
    }
    let data = json!({"run": run, "facts": facts, "report": written.is_ok().then_some(&path), "entry": entry});
    Ok(Report::new(data, text).ended(end.outcome))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    std::fs::write(path, bytes).map_err(|error| CliError::file("writing", path, &error))
}

async fn record(chosen: &Chosen, operator: &OperatorFile, policy: &PolicyName, body: Body) -> Result<crate::model::EntryNumber, CliError> {
    let config = chosen.repo.config.clone();
    restore::answers(&config, PRIMARY).await?;
    let repo = Repo::at(config, PRIMARY).await?;
    let lineage = repo.lineage(policy.as_str())?;
    let mut record = repo.record_to_write(&lineage).await?;
    Ok(repo.decide(&mut record, operator, body).await?.number)
}

/// An outcome in one word.
pub(super) fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Incomplete { .. } => "incomplete",
        Outcome::Failed { .. } => "failed",
        Outcome::Cancelled { .. } => "cancelled",
        Outcome::Stuck { .. } => "stuck",
    }
}
