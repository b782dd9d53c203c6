//! `hourglass record`

use clap::{Args, Subcommand};

use crate::{
    config::PRIMARY,
    model::{EntryNumber, PolicyName},
};

/// Read the signed record of a policy
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass record show production")]
pub struct RecordArgs {
    /// What to do
    #[command(subcommand)]
    pub command: RecordCommand,
}

/// Which record.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// The policy, or a lineage such as production@we/1
    #[arg(value_name = "POLICY")]
    pub policy: String,
    /// The location to read
    #[arg(long, default_value = PRIMARY)]
    pub location: String,
}

/// What to do with a record.
#[derive(Debug, Clone, Subcommand)]
pub enum RecordCommand {
    /// List the entries, oldest first
    #[command(after_long_help = "Example:\n  hourglass record show production\n  hourglass record show production --number 7")]
    Show {
        /// Which record
        #[command(flatten)]
        which: Which,
        /// Show one entry in full
        #[arg(long, value_name = "N")]
        number: Option<u64>,
    },
    /// Print number and digest of the newest valid entry: keep it somewhere else to notice a rollback
    #[command(after_long_help = "Example:\n  hourglass record head production")]
    Head {
        /// Which record
        #[command(flatten)]
        which: Which,
    },
    /// Check signatures, chain and trust of all entries, in every location
    #[command(after_long_help = "Exit status 6: damage or forgery was found.\n\nExample:\n  hourglass record check production")]
    Check {
        /// The policy, or a lineage; without it, all policies
        #[arg(value_name = "POLICY")]
        policy: Option<String>,
    },
}
