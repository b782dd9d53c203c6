//! `hourglass expire`

use clap::Args;

use crate::model::PolicyName;

/// Give up the points that the policy's retention does not keep, with a reason for each
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Nothing is deleted: `hourglass prune` does that, when the waiting time is over.\n\n\
    Example:\n  hourglass expire production --dry-run\n  hourglass expire production")]
pub struct ExpireArgs {
    /// The policy
    pub policy: PolicyName,
    /// Print the plan and do nothing
    #[arg(long)]
    pub dry_run: bool,
}
