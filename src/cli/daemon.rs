//! `hourglass daemon`

use clap::Args;

use super::{CliError, Globals, Report, globals::default_state_dir, output::to_stderr};
use crate::daemon::{
    leader::{self, Daemon},
    log::Log,
};

/// Keep the schedules of this site: make points when they are due, and account for every slot
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Several may run; one of them leads. It logs JSON lines to standard error.\n\
    Stopped once, it lets its runs reach a safe point; twice, it stops at once.\n\n\
    Example:\n  hourglass daemon\n  hourglass daemon --config /etc/hourglass/hourglass.yaml")]
pub struct DaemonArgs {}

/// Runs it.
///
/// # Errors
/// What it needs at its beginning is not there.
pub async fn run(_args: DaemonArgs, globals: &Globals) -> Result<Report, CliError> {
    let log = Log::new(|line| to_stderr(&format!("{line}\n")));
    let daemon = Daemon { config: globals.load_config()?, state_dir: default_state_dir(), ctx: globals.context(), log };
    leader::run(daemon).await?;
    Ok(Report::new(serde_json::json!({}), "the daemon has stopped; no run of it is under way\n"))
}
