//! `hourglass man`

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::{Cli, CliError, ExitCode, Globals, Report};

/// Print the manual page of a command, or write all pages
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass man points list | man -l -\n  hourglass man --dir /usr/local/share/man/man1")]
pub struct ManArgs {
    /// The command; without it, the page of hourglass itself
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub dir: Option<PathBuf>,
}

/// Prints or writes pages.
///
/// # Errors
/// There is no such command, or the folder cannot be written.
pub async fn run(args: ManArgs, _globals: &Globals) -> Result<Report, CliError> {
    let mut command = Cli::command();
    command.build();
    if let Some(dir) = args.dir {
        std::fs::create_dir_all(&dir)
            .and_then(|()| clap_mangen::generate_to(command, &dir))
            .map_err(|e| CliError::file("writing manual pages to", &dir, &e))?;
        return Ok(Report::new(serde_json::json!({ "dir": dir }), format!("wrote the manual pages to {}", dir.display())));
    }
    let mut page = &command;
    for name in &args.command {
        page = page.find_subcommand(name).ok_or_else(|| {
            CliError::usage(format!("there is no command {:?}", args.command.join(" "))).hint("`hourglass --help` lists the commands")
        })?;
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(page.clone()).render(&mut text).map_err(|e| CliError::from_error(ExitCode::Failed, "man", &e))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(Report::new(serde_json::json!({ "page": text }), text.clone()))
}
