//! `hourglass backup`

use clap::Args;

use crate::model::{MemberName, PolicyName};

/// Capture all members of a policy together, as one recovery point
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass backup production\n  hourglass backup production --member portal")]
pub struct BackupArgs {
    /// The policy
    pub policy: PolicyName,
    /// Capture only these members; without a required one the point is incomplete
    #[arg(long = "member", value_name = "NAME")]
    pub members: Vec<MemberName>,
}
