//! `hourglass notify`

use clap::{Args, Subcommand};
use futures::future::join_all;
use serde_json::json;

use super::{CliError, ExitCode, Globals, Report, output::table};
use crate::{
    config::nearest,
    daemon::notify::{letter::Letter, send},
    model::{Problem, outcome::advise},
};

/// See that people can be told what the daemon finds
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass notify test")]
pub struct NotifyArgs {
    /// What to do
    #[command(subcommand)]
    pub command: NotifyCommand,
}

/// What to do with notifications.
#[derive(Debug, Clone, Subcommand)]
pub enum NotifyCommand {
    /// Send a test message through every channel, or through one
    #[command(after_long_help = "Exit status 1 when a channel does not take it.\n\n\
        Example:\n  hourglass notify test\n  hourglass notify test mail --output json")]
    Test {
        /// The channel
        channel: Option<String>,
    },
}

/// Runs it.
///
/// # Errors
/// The configuration has no channel, or none of this name.
pub async fn run(args: NotifyArgs, globals: &Globals) -> Result<Report, CliError> {
    let NotifyCommand::Test { channel: wanted } = args.command;
    let config = globals.load_config()?;
    let channels = &config.notify.channels;
    let known: Vec<&str> = channels.keys().map(String::as_str).collect();
    match &wanted {
        Some(name) if !channels.contains_key(name) => {
            let near = nearest(name, &known).map_or(format!("there are: {}", known.join(", ")), |near| format!("did you mean {near:?}?"));
            return Err(CliError::usage(format!("there is no channel {name:?}")).hint(near));
        }
        None if channels.is_empty() => {
            return Err(CliError::usage("the configuration has no channels").hint("docs/how-to/notifications.md shows some"));
        }
        _ => {}
    }
    let chosen = channels.iter().filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == *name));
    let site = &config.site;
    let sent = join_all(chosen.map(|(name, channel)| async move { (name, send(name, channel, site, &Letter::test(site, name)).await) })).await;
    let problems: Vec<Problem> = sent
        .iter()
        .filter_map(|(name, result)| {
            let error = result.as_ref().err()?;
            Some(Problem { subject: (*name).clone(), what: advise(error, error.hint()) })
        })
        .collect();
    let state = |result: &Result<(), _>| if result.is_ok() { "sent" } else { "NOT SENT" };
    let rows: Vec<Vec<String>> = sent.iter().map(|(name, result)| vec![(*name).clone(), state(result).to_owned()]).collect();
    let data: Vec<_> = sent.iter().map(|(name, result)| json!({"channel": name, "sent": result.is_ok()})).collect();
    let exit = if problems.is_empty() { ExitCode::Succeeded } else { ExitCode::Failed };
    Ok(Report::new(json!({"channels": data}), table(&["channel", "state"], &rows)).found(exit, problems))
}
