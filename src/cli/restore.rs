//! `hourglass restore`

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use serde_json::json;

mod choose;
mod targets;

pub use choose::Choice;
pub use targets::Into;
pub(super) use {
    choose::{Wanted, answers, find},
    targets::own_target,
};

use self::targets::{renaming, request};
use super::{CliError, ExitCode, Globals, Report, backup::print_plan, output::table, repo::Repo};
use crate::{
    config::{Config, PRIMARY, StoreConfig, StoreUrl},
    model::{Context, MemberName, Outcome, RunId, Timestamp},
    orchestrator::{
        output::Output,
        restore::{RestoreEnd, RestoreTools, run_restore},
        runs,
    },
    repository::{
        keys::{OperatorFile, vault},
        record::{Body, MemberOutcome, Point, PointRef, Restore, RestoredMember},
    },
    restore::{fetch::Location, opened::OpenedPoint, plan::plan},
    sources::{self, Source},
    storage::{self, ObjectStore},
};

/// How long a restore waits for the control store, which it can do without: it may be gone, and the clock is running.
const CONTROL_PATIENCE: Duration = Duration::from_secs(15);
/// How long a restore that is done tries to enter itself in the record of a location that may be gone.
const RECORD_PATIENCE: Duration = Duration::from_secs(60);

/// Restore members or paths of a recovery point, and compare them with what was saved
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "The target must be empty or absent.\n\nExample:\n  hourglass restore production@we/1:42 events --to /srv/restored\n  \
    hourglass restore production@we/1:42 events 2026/11 --to /srv/restored --dry-run\n  hourglass restore production@we/1:42 portal --into portal-dr shop --rename shop=shop_old\n  \
    hourglass restore production@we/1:42 portal --in-place portal")]
#[command(group(clap::ArgGroup::new("target").required(true).multiple(true).args(["to", "into", "in_place"])))]
pub struct RestoreArgs {
    /// The point (production@we/1:42), or a policy or a lineage (production@we/1) for its newest good point, or for the one that --at or --before chooses
    #[arg(value_name = "POINT")]
    pub point: Choice,
    /// The member; without it, all of them
    pub member: Option<MemberName>,
    /// Paths within the member; of a database member: databases (shop), tables (shop.orders)
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Restore into this folder, one folder per member
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Restore into the system that this source of the configuration describes: another server, another cluster. Of several members, each into its own
    #[arg(long, value_name = "[MEMBER=]SOURCE")]
    pub into: Vec<Into>,
    /// With --into: the new name of a database, a keyspace or an index
    #[arg(long, value_name = "OLD=NEW", value_parser = renaming, requires_all = ["into", "member"])]
    pub rename: Vec<(String, String)>,
    /// Restore to where it came from; the member's name has to be repeated here
    #[arg(long, value_name = "NAME", conflicts_with_all = ["to", "into"])]
    pub in_place: Option<MemberName>,
    /// The point that represents this time best: the newest that is consistent at or before it (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with = "before")]
    pub at: Option<Timestamp>,
    /// The newest point that was consistent before this time (RFC 3339): before the accident
    #[arg(long, value_name = "TIME")]
    pub before: Option<Timestamp>,
    /// Choose an incomplete point if nothing but this member is missing from it
    #[arg(long, value_name = "NAME", requires = "who")]
    pub accept_missing: Vec<MemberName>,
    /// Who accepts that; it is entered in the record
    #[arg(long, value_name = "WHO", requires = "accept_missing")]
    pub who: Option<String>,
    /// The location to read from; a pack that it lacks is read from any other
    #[arg(long, value_name = "LOCATION")]
    pub from: Option<String>,
    /// Print the plan and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl RestoreArgs {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { point: &self.point, at: self.at, before: self.before, from: self.from.as_deref(), accept_missing: &self.accept_missing }
    }
}

/// Runs it.
///
/// # Errors
/// There is no such point, member or path; the vault cannot be opened; the run cannot begin. What came back is in the report.
pub async fn run(args: RestoreArgs, globals: &Globals) -> Result<Report, CliError> {
    let config = globals.load_config()?;
    let ctx = globals.context();
    let (repo, point, manifest) = find(&config, &args.wanted()).await?;
    let operator = repo.operator()?;
    let opened = open(&repo, point, manifest, &operator, &ctx).await?;
    let request = request(&config, &opened, &args)?;
    let run = RunId::new(ctx.clock.now(), runs::random());
    let plan = plan(&run, &opened, &request)?;
    if args.dry_run {
        return Ok(Report::new(json!({"point": opened.point.id, "plan": plan, "dry_run": true}), print_plan(&plan)));
    }
    let (point, started) = (opened.point.clone(), ctx.clock.now());
    let (control, note) = journal_place(&config).await?;
    let end = run_restore(plan, tools(&config, opened, &operator, control), &ctx).await?;
    let mut report = finish(&config, &operator, point, started, end, &ctx).await?;
    report.text += &note.unwrap_or_default();
    Ok(report)
}

/// Where the journal goes: the control store, or else a folder of this machine. A disaster that took the control store must not keep anybody from restoring.
async fn journal_place(config: &Config) -> Result<(Arc<dyn ObjectStore>, Option<String>), CliError> {
    let reach = async {
        let control = storage::open(&config.control).await?;
        control.list("runs/", None).await.map(|_| control)
    };
    let why = match tokio::time::timeout(CONTROL_PATIENCE, reach).await {
        Ok(Ok(control)) => return Ok((control, None)),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer in {} s", CONTROL_PATIENCE.as_secs()),
    };
    let folder = config.state_dir.join("control");
    std::fs::create_dir_all(&folder).map_err(|error| CliError::file("creating", &folder, &error))?;
    let local = storage::open(&StoreConfig::at(StoreUrl::Directory(folder.clone()))).await?;
    let note = format!("the control store is out of reach ({why}); the journal is in {}, and this run cannot be resumed\n", folder.display());
    Ok((local, Some(note)))
}

/// Opens a point with an operator's keys; packs are read from any location.
pub(super) async fn open(repo: &Repo, point: PointRef, manifest: Point, operator: &OperatorFile, ctx: &Context) -> Result<OpenedPoint, CliError> {
    let unlocked = vault::unlock(repo.store.as_ref(), &repo.trusts, &manifest.vault, &operator.identities).await?;
    let mut locations = vec![Location { name: repo.location.clone(), store: Arc::clone(&repo.store) }];
    for (name, config) in repo.config.locations.iter().filter(|(name, _)| **name != repo.location) {
        // A location that is out of reach is what the others are for.
        if let Ok(store) = storage::open(config).await {
            locations.push(Location { name: name.clone(), store });
        }
    }
    Ok(OpenedPoint::open(point, manifest, Arc::new(unlocked.identity), locations, ctx).await?)
}

/// What the steps of a restore work with.
pub(super) fn tools(config: &Config, point: OpenedPoint, operator: &OperatorFile, control: Arc<dyn ObjectStore>) -> RestoreTools {
    let sources: BTreeMap<MemberName, Arc<dyn Source>> = config.sources.iter().map(|(name, source)| (name.clone(), sources::open(source))).collect();
    RestoreTools { point, sources, control, key: runs::operator_key(&operator.signing_key) }
}

pub(super) fn restored_members(end: &RestoreEnd) -> Vec<RestoredMember> {
    let mut members: BTreeMap<MemberName, RestoredMember> = BTreeMap::new();
    for (step, outcome, output) in &end.steps {
        let Some(name) = step.as_str().split('/').nth(1).and_then(|name| name.parse::<MemberName>().ok()) else { continue };
        let fresh = RestoredMember { name: name.clone(), outcome: MemberOutcome::Succeeded, compared: true };
        let member = members.entry(name).or_insert(fresh);
        if member.outcome == MemberOutcome::Succeeded {
            member.outcome = outcome.into();
        }
        member.compared &= matches!(output, Output::Restored { compared: true, .. });
    }
    members.into_values().collect()
}

/// Records the restore in this site's record and reports it.
pub(super) async fn finish(
    config: &Config,
    operator: &OperatorFile,
    point: PointRef,
    started: Timestamp,
    end: RestoreEnd,
    ctx: &Context,
) -> Result<Report, CliError> {
    let ended = ctx.clock.now();
    let members = restored_members(&end);
    let body = Body::Restore(Restore {
        run: end.run.clone(),
        point: point.clone(),
        members: members.clone(),
        accepted: end.accepted.clone(),
        started,
        ended,
    });
    let no_answer =
        |_| Err(CliError::new(ExitCode::Failed, "timeout", format!("the primary location gave no answer in {} s", RECORD_PATIENCE.as_secs())));
    let recorded = tokio::time::timeout(RECORD_PATIENCE, record(config, operator, &point, body)).await.unwrap_or_else(no_answer);
    let seconds = ended.duration_since(started).as_secs_f64();
    let rows: Vec<Vec<String>> = end.steps.iter().filter_map(|(step, outcome, output)| row(step.as_str(), outcome, output)).collect();
    let verb = match &end.outcome {
        Outcome::Succeeded if members.iter().all(|member| member.compared) => "was restored and found equal to what was saved",
        Outcome::Succeeded => "was restored; what was loaded arrived whole, and not all of it could be read back to compare it,",
        Outcome::Incomplete { .. } => "was restored, and DIFFERS from what was saved",
        _ => "was NOT restored",
    };
    let mut text = format!("{} {verb} in {seconds:.1} s\n", point.id);
    text += &table(&["member", "content", "items", "fetched"], &rows);
    if let Err(why) = &recorded {
        text += &format!("the restore was not entered in the record: {}\n", why.message);
    }
    let steps: Vec<_> = end.steps.iter().map(|(step, outcome, output)| json!({"step": step, "end": outcome, "moved": output})).collect();
    let data = json!({"run": end.run, "point": point.id, "steps": steps, "seconds": seconds, "entry": recorded.ok()});
    let damaged = end.steps.iter().any(|(_, _, output)| *output == Output::Damaged);
    let mut report = Report::new(data, text).ended(end.outcome);
    if damaged {
        report = report.found(ExitCode::Damaged, Vec::new());
    }
    if matches!(report.exit, ExitCode::Cancelled | ExitCode::Failed) {
        report.text += &format!("`hourglass runs resume {}` goes on\n", end.run);
    }
    Ok(report)
}

async fn record(config: &Config, operator: &OperatorFile, point: &PointRef, body: Body) -> Result<crate::model::EntryNumber, CliError> {
    answers(config, PRIMARY).await?;
    let repo = Repo::at(config.clone(), PRIMARY).await?;
    let lineage = repo.lineage(point.id.lineage.policy.as_str())?;
    let mut record = repo.record_to_write(&lineage).await?;
    Ok(repo.decide(&mut record, operator, body).await?.number)
}

fn row(step: &str, outcome: &Outcome, output: &Output) -> Option<Vec<String>> {
    let (_, name) = step.split_once('/')?;
    match output {
        Output::Restored { bytes, items, fetched, .. } => Some(vec![name.to_owned(), bytes.to_string(), items.to_string(), fetched.to_string()]),
        _ if outcome.is_success() => None,
        _ => Some(vec![name.to_owned(), "failed".to_owned(), String::new(), String::new()]),
    }
}
