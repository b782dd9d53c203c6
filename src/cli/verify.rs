//! `hourglass verify`

use clap::{Args, ValueEnum};

use crate::{config::PRIMARY, model::RecoveryPointId};

/// Check recovery points: their objects, digests, or a whole trial restore
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass verify --depth intact\n  hourglass verify production@we/1:42 --depth restorable --location other")]
pub struct VerifyArgs {
    /// The point; without it, all of this site's
    pub point: Option<RecoveryPointId>,
    /// How deep to look
    #[arg(long, value_enum, default_value_t)]
    pub depth: DepthArg,
    /// Where to look
    #[arg(long, default_value = PRIMARY)]
    pub location: String,
}

/// How deep a check goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DepthArg {
    /// Every object is there with its size; needs no key.
    Present,
    /// Every object has its digest; needs no key.
    #[default]
    Intact,
    /// Everything decrypts and decodes to its digest.
    Restorable,
    /// It is restored to a scratch target and compared.
    Restored,
}
