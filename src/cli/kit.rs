//! `hourglass kit`

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};

mod check;
mod create;
mod unpack;

use super::{CliError, ExitCode, Globals, Report};
use crate::{
    config::{Config, parse_duration},
    orchestrator::kit::KitError,
    repository::keys::PublicKey,
};

/// Make a kit: one signed file with all that a recovery needs but its keys
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass kit create --runbook runbooks/apim.md --to kit.tar")]
pub struct KitArgs {
    /// What to do
    #[command(subcommand)]
    pub command: KitCommand,
}

/// What to do with kits.
#[derive(Debug, Clone, Subcommand)]
pub enum KitCommand {
    /// Make one: program, configuration, runbooks and the files that they name, trust, heads; never a private key
    #[command(after_long_help = "Example:\n  hourglass kit create --runbook runbooks/apim.md --image hourglass-image.tar --to kit.tar")]
    Create(CreateArgs),
    /// Say what is missing in a kit, or has changed since: nothing is written
    #[command(after_long_help = "Example:\n  hourglass kit check kit.tar")]
    Check(CheckArgs),
    /// Unpack one into an empty folder, in which `hourglass recover` then works; run again after an interruption
    #[command(
        after_long_help = "The root's public key is the one that was written down when the repository was made: whoever forges a kit forges the key in it too.\n\n\
        Example:\n  hourglass kit unpack kit.tar --to recovery --trust-root /media/usb/root.pub"
    )]
    Unpack(UnpackArgs),
}

/// What goes into a kit.
#[derive(Debug, Clone, Args)]
pub struct CreateArgs {
    /// A runbook, may be repeated
    #[arg(long = "runbook", value_name = "FILE", required = true)]
    pub runbooks: Vec<PathBuf>,
    /// The file to make
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    /// The container image of this program, as a tar archive
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// One more file or folder below the folder of the configuration, may be repeated
    #[arg(long = "include", value_name = "PATH")]
    pub include: Vec<String>,
    /// The program to pack, for the machine that is going to recover; otherwise this one
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// How long it counts as fresh, for example 30d
    #[arg(long, value_name = "SPAN", default_value = "90d", value_parser = parse_duration)]
    pub valid: Duration,
    /// Sign with this root file rather than with the operator's key
    #[arg(long, value_name = "FILE")]
    pub root_key: Option<PathBuf>,
}

/// Which kit is checked, and against what.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The kit
    #[arg(value_name = "KIT")]
    pub kit: PathBuf,
    /// The public key of the root, or a file that holds it; otherwise that of the configuration
    #[arg(long, value_name = "KEY")]
    pub trust_root: Option<String>,
    /// Ask no store
    #[arg(long)]
    pub offline: bool,
}

/// Which kit is unpacked, and where.
#[derive(Debug, Clone, Args)]
pub struct UnpackArgs {
    /// The kit
    #[arg(value_name = "KIT")]
    pub kit: PathBuf,
    /// A folder that is empty or not there
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// The public key of the root, from where it was written down, or a file that holds it
    #[arg(long, value_name = "KEY")]
    pub trust_root: String,
}

/// Runs it.
///
/// # Errors
/// A kit cannot be made, or is not to be believed. What is missing in it is in the report.
pub async fn run(args: KitArgs, globals: &Globals) -> Result<Report, CliError> {
    match args.command {
        KitCommand::Create(args) => create::run(args, globals).await,
        KitCommand::Check(args) => check::run(args, globals).await,
        KitCommand::Unpack(args) => unpack::run(args, globals).await,
    }
}

impl From<KitError> for CliError {
    fn from(error: KitError) -> CliError {
        let (exit, kind) = match error {
            KitError::Repository(error) => return error.into(),
            KitError::Io { .. } => (ExitCode::Failed, "file"),
            KitError::PrivateKey { .. } => (ExitCode::Usage, "private-key"),
            KitError::Refused(_) => (ExitCode::Usage, "usage"),
            KitError::Damaged(_) => (ExitCode::Damaged, "damage"),
            KitError::Forged(_) => (ExitCode::Damaged, "forgery"),
            KitError::TornDown => (ExitCode::Failed, "internal"),
        };
        CliError { hint: error.hint(), ..CliError::from_error(exit, kind, &error) }
    }
}

/// Folder of a configuration.
fn folder(config: &Config) -> PathBuf {
    let folder = config.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// The public key of the root, or that in a file of minisign's.
fn root(text: &str) -> Result<PublicKey, CliError> {
    let in_file = || std::fs::read_to_string(text).ok()?.lines().find_map(|line| line.trim().parse().ok());
    text.parse()
        .ok()
        .or_else(in_file)
        .ok_or_else(|| CliError::usage(format!("--trust-root {text} is neither a public key of minisign's (RW…) nor a file that holds one")))
}

/// Work that reads and writes large files, away from the threads that wait for others.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, CliError> + Send + 'static) -> Result<T, CliError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(KitError::TornDown.into()))
}
