//! `hourglass runbook`

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{CliError, ExitCode, Globals, Report, output::table};
use crate::{
    config::Config,
    model::{Plan, Problem, RunId, Seconds, StepId},
    orchestrator::{
        execute::BENDABLE_PARALLEL_MAX,
        runbook::{
            Finding, Runbook,
            forecast::of_plan,
            plan::Facts,
            read::{SIZE_MAX, read},
        },
        runs,
    },
};

/// Check runbooks and show what they would do
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass runbook lint runbooks/lab-databases.md")]
pub struct RunbookArgs {
    /// What to do
    #[command(subcommand)]
    pub command: RunbookCommand,
}

/// What to do with runbooks.
#[derive(Debug, Clone, Subcommand)]
pub enum RunbookCommand {
    /// Say all that is wrong with runbooks; with a configuration, names are looked up in it
    #[command(after_long_help = "Example:\n  hourglass runbook lint runbooks/lab-databases.md")]
    Lint {
        /// The runbooks
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Show steps, when each begins, and the longest way; nothing is asked of any store
    #[command(after_long_help = "Example:\n  hourglass runbook plan runbooks/lab-databases.md --var folder=/srv/recovered --var port=5433")]
    Plan {
        /// The runbook
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// A value of the runbook, may be repeated
        #[arg(long = "var", value_name = "NAME=VALUE", value_parser = value)]
        values: Vec<(String, String)>,
    },
}

/// `NAME=VALUE`.
pub(super) fn value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Runs it.
///
/// # Errors
/// A file cannot be read or is not a runbook; the configuration is there and wrong.
pub async fn run(args: RunbookArgs, globals: &Globals) -> Result<Report, CliError> {
    // Without a configuration the runbook alone is looked at.
    let config = if globals.config.is_some() || globals.config_path().is_ok() { Some(globals.load_config()?) } else { None };
    match args.command {
        RunbookCommand::Lint { files } => lint(&files, config.as_ref()),
        RunbookCommand::Plan { file, values } => {
            let config =
                config.ok_or_else(|| CliError::usage("a plan needs the configuration that says where systems are").hint("--config names it"))?;
            let (runbook, warnings) = load(&file, Some(&config))?;
            let now = globals.context().clock.now();
            let facts = Facts { run: RunId::new(now, runs::random()), config: &config, point: None, given: given(values), event: None, now };
            let plan = runbook.plan(facts).map_err(|problems| refused(&runbook.name, problems))?;
            Ok(show(&plan, &BTreeMap::new(), &warnings))
        }
    }
}

pub(super) fn given(values: Vec<(String, String)>) -> BTreeMap<String, String> {
    values.into_iter().collect()
}

/// That a runbook cannot be run as it is asked.
pub(super) fn refused(runbook: &str, problems: Vec<Problem>) -> CliError {
    let wrong = CliError::usage(format!("the runbook {runbook} cannot be run like this; nothing was begun"));
    CliError { problems, ..wrong }
}

/// The text of a runbook, as far as it has the size of one.
pub(super) fn text(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| CliError::file("reading", path, &error))?;
    file.take(SIZE_MAX + 1).read_to_string(&mut text).map_err(|error| CliError::file("reading", path, &error))?;
    if text.len() as u64 > SIZE_MAX {
        return Err(CliError::usage(format!("{} is larger than 1 MiB, and no runbook", path.display())));
    }
    Ok(text)
}

fn problem(path: &Path, finding: &Finding) -> Problem {
    let (at, warning) = (&finding.problem, if finding.is_warning { "warning: " } else { "" });
    Problem { subject: format!("{}:{}:{}", path.display(), at.line, at.column), what: format!("{warning}{}", at.sentence()) }
}

/// Reads a runbook; gives its warnings too.
pub(super) fn load(path: &Path, config: Option<&Config>) -> Result<(Runbook, Vec<Problem>), CliError> {
    let say = |findings: &[Finding]| findings.iter().map(|finding| problem(path, finding)).collect::<Vec<_>>();
    match read(&text(path)?, config) {
        Ok((runbook, warnings)) => Ok((runbook, say(&warnings))),
        Err(findings) => {
            let wrong = CliError::new(ExitCode::Usage, "runbook", format!("{} is not a valid runbook", path.display()));
            Err(CliError { problems: say(&findings), ..wrong })
        }
    }
}

fn lint(files: &[PathBuf], config: Option<&Config>) -> Result<Report, CliError> {
    let (mut said, mut problems, mut wrong) = (String::new(), Vec::new(), Vec::new());
    for file in files {
        match load(file, config) {
            Ok((runbook, warnings)) => {
                said += &format!("{}: {}, {} steps, good\n", file.display(), runbook.name, runbook.steps.len());
                problems.extend(warnings);
            }
            Err(error) if error.problems.is_empty() => return Err(error),
            Err(error) => {
                wrong.push(file.display().to_string());
                problems.extend(error.problems);
            }
        }
    }
    if wrong.is_empty() {
        return Ok(Report::new(json!({"good": files}), said).found(ExitCode::Succeeded, problems));
    }
    let invalid = CliError::new(ExitCode::Usage, "runbook", format!("not valid: {}", wrong.join(", ")));
    Err(CliError { problems, ..invalid })
}

/// A plan: what begins when, and the longest way. `measured` is how long steps took the last time.
pub(super) fn show(plan: &Plan, measured: &BTreeMap<StepId, Seconds>, warnings: &[Problem]) -> Report {
    let recovery = plan.recovery.as_ref().expect("it was made from a runbook");
    let takes = |id: &StepId| measured.get(id).copied().unwrap_or(recovery.terms[id].budget);
    let forecast = of_plan(plan, takes);
    let mut steps: Vec<_> = plan.steps.iter().collect();
    steps.sort_by_key(|step| forecast.spans[&step.id]);
    let row = |step: &&crate::model::Step| {
        let (begin, _) = forecast.spans[&step.id];
        let needs: Vec<&str> = step.needs.iter().map(StepId::as_str).collect();
        let later = if recovery.terms[&step.id].later { " (later)" } else { "" };
        vec![begin.to_string(), takes(&step.id).to_string(), format!("{}{later}", step.id), needs.join(", "), step.what.clone()]
    };
    let rows: Vec<_> = steps.iter().map(row).collect();
    let way: Vec<&str> = forecast.critical.iter().map(StepId::as_str).collect();
    let from = recovery.point.as_ref().map_or(String::new(), |point| format!(" from {point}"));
    let by = if measured.is_empty() { "budgets" } else { "the last run that succeeded" };
    let text = format!(
        "{}{from}; at most {BENDABLE_PARALLEL_MAX} steps at a time\n{}\nforecast by {by}: service after {} (objective {}), everything after {} (objective {})\n\
         the longest way: {}\n",
        plan.what,
        table(&["begins", "takes", "step", "needs", "what"], &rows),
        forecast.service,
        recovery.service,
        forecast.full,
        recovery.full,
        way.join(" -> ")
    );
    let spans: Vec<_> = steps.iter().map(|step| json!({"step": step.id, "begins": forecast.spans[&step.id].0, "takes": takes(&step.id)})).collect();
    let data = json!({"plan": plan, "forecast": {"steps": spans, "service": forecast.service, "full": forecast.full, "critical": forecast.critical},
        "dry_run": true});
    Report::new(data, text).found(ExitCode::Succeeded, warnings.to_vec())
}
