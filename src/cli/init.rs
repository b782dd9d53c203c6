//! `hourglass init`

use std::path::PathBuf;

use clap::Args;

use crate::model::SiteName;

/// Make a repository: keys, trust, vault, and the proof that the vault can be opened
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Run again, it continues what was left undone and changes nothing that is done.\n\nExample:\n  \
    hourglass init --directory /srv/hourglass\n  hourglass init --config /etc/hourglass/hourglass.yaml --keys-dir /media/usb --write")]
pub struct InitArgs {
    /// Without a configuration file: write one, for a repository in this folder
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Name of the site in a configuration that --directory makes
    #[arg(long, value_name = "NAME", default_value = "main", requires = "directory")]
    pub site: SiteName,
    /// Where to put root.key, and the other key files unless the configuration names them; default: beside the configuration
    #[arg(long, value_name = "DIR")]
    pub keys_dir: Option<PathBuf>,
    /// Write trust_root into the configuration file rather than printing the line to add
    #[arg(long)]
    pub write: bool,
}
