//! `hourglass copy`

use clap::Args;

use crate::{config::PRIMARY, model::RecoveryPointId};

/// Copy recovery points to another location, and verify what arrived
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass copy --to other\n  hourglass copy production@we/1:42 --to other")]
pub struct CopyArgs {
    /// The points; without any, all that are not there yet
    #[arg(value_name = "POINT")]
    pub points: Vec<RecoveryPointId>,
    /// The location to copy to
    #[arg(long, value_name = "LOCATION")]
    pub to: String,
    /// The location to copy from
    #[arg(long, value_name = "LOCATION", default_value = PRIMARY)]
    pub from: String,
}
