//! `hourglass runs`

use clap::{Args, Subcommand};

use crate::model::RunId;

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
    /// Go on with a run that was interrupted
    #[command(after_long_help = "Example:\n  hourglass runs resume 20261121T120000Z-0123abcd")]
    Resume {
        /// The run
        run: RunId,
    },
    /// Give up a run that was interrupted
    #[command(after_long_help = "Example:\n  hourglass runs abort 20261121T120000Z-0123abcd --reason \"disk replaced\"")]
    Abort {
        /// The run
        run: RunId,
        /// Why, for those who read the record
        #[arg(long)]
        reason: String,
    },
}
