//! `hourglass prune`

use clap::Args;

use crate::model::PolicyName;

/// Delete closed epochs none of whose points is live or held
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass prune production --dry-run\n  hourglass prune production")]
pub struct PruneArgs {
    /// The policy
    pub policy: PolicyName,
    /// Print the plan and do nothing
    #[arg(long)]
    pub dry_run: bool,
}
