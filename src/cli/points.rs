//! `hourglass points`

use clap::{Args, Subcommand};

use crate::{
    config::PRIMARY,
    model::{MemberName, PolicyName, RecoveryPointId},
};

/// List recovery points, look into them, hold them
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass points list")]
pub struct PointsArgs {
    /// What to do
    #[command(subcommand)]
    pub command: PointsCommand,
}

/// A decision about a point.
#[derive(Debug, Clone, Args)]
pub struct Decision {
    /// The point
    pub point: RecoveryPointId,
    /// Who decides
    #[arg(long, value_name = "NAME")]
    pub by: String,
    /// Why
    #[arg(long)]
    pub reason: String,
}

/// What to do with points.
#[derive(Debug, Clone, Subcommand)]
pub enum PointsCommand {
    /// List points, newest first, with what is known about each in each location
    #[command(after_long_help = "Example:\n  hourglass points list\n  hourglass points list production --location other")]
    List {
        /// The policy; without it, all
        policy: Option<PolicyName>,
        /// Only this location; without it, all
        #[arg(long)]
        location: Option<String>,
    },
    /// Show a point: members, sizes, times, vault, retention, holds
    #[command(after_long_help = "Example:\n  hourglass points show production@we/1:42")]
    Show {
        /// The point
        point: RecoveryPointId,
        /// The location to read
        #[arg(long, default_value = PRIMARY)]
        location: String,
    },
    /// Keep a point whatever retention says, until it is released
    #[command(after_long_help = "Example:\n  hourglass points hold production@we/1:42 --by \"A. Person\" --reason \"audit 2026\"")]
    Hold(Decision),
    /// End all holds on a point that this site has placed
    #[command(after_long_help = "Example:\n  hourglass points release production@we/1:42 --by \"A. Person\" --reason \"audit is over\"")]
    Release(Decision),
    /// Mark a point as suspect: it is not chosen by itself any more
    #[command(after_long_help = "Example:\n  hourglass points suspect production@we/1:42 --by \"A. Person\" --reason \"taken after the intrusion\"")]
    Suspect(Decision),
}

/// List the files of a member, without restoring it
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Needs an operator key.\n\nExample:\n  hourglass points tree production@we/1:42 events")]
pub struct TreeArgs {
    /// The point
    pub point: RecoveryPointId,
    /// The member
    pub member: MemberName,
}

/// Say what differs between two points
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Needs an operator key.\n\nExample:\n  hourglass points diff production@we/1:41 production@we/1:42")]
pub struct DiffArgs {
    /// The earlier point
    pub one: RecoveryPointId,
    /// The later point
    pub other: RecoveryPointId,
    /// Only this member
    #[arg(long, value_name = "NAME")]
    pub member: Option<MemberName>,
}
