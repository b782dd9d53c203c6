//! `hourglass ready`

use clap::Args;

use super::{CliError, ExitCode, Globals, Report, output::table};
use crate::{
    config::PRIMARY,
    model::Problem,
    orchestrator::{
        findings::{Findings, READY},
        readiness::readiness,
        repo::Repo,
    },
    storage,
};

/// Ask whether this site could take the service over
#[derive(Debug, Clone, Args)]
#[command(
    after_long_help = "It runs at the site that would recover, and asks what `ready` in the configuration names: points that are complete here, images in \
    the registry, nodes, room and kinds of clusters, certificates and licences, credentials. Nothing is changed.\n\n\
    Exit status 3: something is not ready, could not be asked, or nothing is asked.\n\nExample:\n  hourglass ready\n  hourglass ready --output json"
)]
pub struct ReadyArgs {}

/// Runs it.
///
/// # Errors
/// The configuration is wrong, or what was found cannot be kept where there is a capture file.
pub async fn run(_args: ReadyArgs, globals: &Globals) -> Result<Report, CliError> {
    let (config, ctx) = (globals.load_config()?, globals.context());
    let found = readiness(&config, &ctx).await;
    let row = |check: &crate::orchestrator::readiness::Check| {
        vec![check.about.clone(), if check.ready { "ready" } else { "NOT READY" }.to_owned(), check.what.clone()]
    };
    let text = match found.checks.is_empty() {
        true => "nothing is asked: say in `ready` what has to be\n".to_owned(),
        false => table(&["about", "state", "what"], &found.checks.iter().map(row).collect::<Vec<_>>()),
    };
    let not_ready = found.checks.iter().filter(|check| !check.ready);
    let problems: Vec<Problem> = not_ready.map(|check| Problem { subject: check.about.clone(), what: check.what.clone() }).collect();
    let exit = if found.is_ready() { ExitCode::Succeeded } else { ExitCode::Incomplete };
    if config.capture_key_file.exists() && config.trust_root.is_some() {
        let (control, repo) = (storage::open(&config.control).await?, Repo::at(config, PRIMARY).await?);
        Findings::new(control, &repo.capture_file()?).write(READY, &found, ctx.clock.as_ref()).await?;
    }
    Ok(Report::new(&found, text).found(exit, problems))
}
