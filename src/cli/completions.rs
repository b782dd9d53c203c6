//! `hourglass completions`

use clap::{Args, CommandFactory};

use super::{Cli, CliError, Globals, Report};

/// Print a completion script for a shell
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass completions bash > /etc/bash_completion.d/hourglass")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Prints the script.
///
/// # Errors
/// None.
pub async fn run(args: CompletionsArgs, _globals: &Globals) -> Result<Report, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hourglass", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Ok(Report::new(serde_json::json!({ "script": script }), script.clone()))
}
