//! `hourglass coverage`

use clap::Args;

use super::{CliError, ExitCode, Globals, Report, output::table};
use crate::{
    model::Problem,
    orchestrator::{
        coverage::{Covered, State, coverage},
        findings::{COVERAGE, Findings},
        repo::Repo,
    },
    storage,
};

/// Ask what exists, and whether a policy covers it
#[derive(Debug, Clone, Args)]
#[command(
    after_long_help = "Every source is asked what its system holds. What is neither captured by a member of a policy nor left out with a reason \
    (`excluded` in the configuration) is uncovered; a source that cannot tell is unknown. It compares with the configuration: what a point really \
    holds is in its manifest.\n\nExit status 3: something is uncovered or unknown.\n\nExample:\n  hourglass coverage\n  hourglass coverage --output json"
)]
pub struct CoverageArgs {
    /// Show what is covered and excluded too
    #[arg(long)]
    pub all: bool,
}

/// Runs it.
///
/// # Errors
/// The configuration is wrong, or what was found cannot be kept where there is a capture file.
pub async fn run(args: CoverageArgs, globals: &Globals) -> Result<Report, CliError> {
    let (config, ctx) = (globals.load_config()?, globals.context());
    let found = coverage(&config, &ctx).await;
    let is_good = |thing: &&Covered| matches!(thing.state, State::Covered | State::Excluded);
    let rows: Vec<Vec<String>> = found.things.iter().filter(|thing| args.all || !is_good(thing)).map(row).collect();
    let counts = State::ALL.map(|state| format!("{} {}", found.count(state), state.as_str())).join(", ");
    let mut text = format!("{counts}\n");
    if !rows.is_empty() {
        text += &table(&["source", "kind", "name", "state", "why"], &rows);
    }
    let problem = |thing: &Covered| Problem {
        subject: format!("{}/{}/{}", thing.source, thing.kind, thing.name),
        what: format!("{}: {}", thing.state.as_str(), thing.why),
    };
    let problems: Vec<Problem> = found.things.iter().filter(|thing| !is_good(thing)).map(problem).collect();
    let exit = if problems.is_empty() { ExitCode::Succeeded } else { ExitCode::Incomplete };
    if config.capture_key_file.exists() && config.trust_root.is_some() {
        let (control, repo) = (storage::open(&config.control).await?, Repo::at(config, crate::config::PRIMARY).await?);
        Findings::new(control, &repo.capture_file()?).write(COVERAGE, &found, ctx.clock.as_ref()).await?;
    }
    Ok(Report::new(&found, text).found(exit, problems))
}

fn row(thing: &Covered) -> Vec<String> {
    vec![thing.source.to_string(), thing.kind.clone(), thing.name.clone(), thing.state.as_str().to_owned(), thing.why.clone()]
}
