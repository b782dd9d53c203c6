//! `hourglass demo`

use std::path::PathBuf;

use clap::Args;

/// See it all once: protect a small platform, destroy it, recover it in another region, prove it
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Needs no service, no network and no rights.\n\nExample:\n  hourglass demo --dir /tmp/demo --keep")]
pub struct DemoArgs {
    /// Where to work; a temporary folder without it
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Keep the folder afterwards
    #[arg(long)]
    pub keep: bool,
}
