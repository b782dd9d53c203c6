//! `hourglass restore`

use std::{path::PathBuf, str::FromStr};

use clap::Args;

use crate::model::{InvalidId, MemberName, PolicyName, RecoveryPointId, Timestamp};

/// Restore members or paths of a recovery point, and compare them with what was saved
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "The target must be empty or absent.\n\nExample:\n  hourglass restore production@we/1:42 events --to /srv/restored\n  \
    hourglass restore production@we/1:42 events 2026/11 --to /srv/restored --dry-run\n  hourglass restore production@we/1:42 portal --in-place portal")]
#[command(group(clap::ArgGroup::new("target").required(true).args(["to", "in_place"])))]
pub struct RestoreArgs {
    /// The point (production@we/1:42), or a policy for its newest complete point, or for the one that --at or --before chooses
    #[arg(value_name = "POINT")]
    pub point: Choice,
    /// The member; without it, all of them
    pub member: Option<MemberName>,
    /// Paths within the member
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Restore into this folder, one folder per member
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Restore to where it came from; the member's name has to be repeated here
    #[arg(long, value_name = "NAME")]
    pub in_place: Option<MemberName>,
    /// The point that represents this time best: the newest that is consistent at or before it (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with = "before")]
    pub at: Option<Timestamp>,
    /// The newest point that was consistent before this time (RFC 3339): before the accident
    #[arg(long, value_name = "TIME")]
    pub before: Option<Timestamp>,
    /// The location to read from; a pack that it lacks is read from any other
    #[arg(long, value_name = "LOCATION")]
    pub from: Option<String>,
    /// Print the plan and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Which point to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Point(RecoveryPointId),
    /// One of this policy's, chosen by time.
    Newest(PolicyName),
}

impl FromStr for Choice {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Choice, InvalidId> {
        match text.contains(['@', ':', '/']) {
            true => text.parse().map(Choice::Point),
            false => text.parse().map(Choice::Newest),
        }
    }
}
