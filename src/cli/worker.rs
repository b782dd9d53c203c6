//! `hourglass worker`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    CliError, ExitCode, Globals, Report,
    repo::Repo,
    restore::{self, Choice, Wanted, find},
};
use crate::{
    backup::BackupError,
    config::PRIMARY,
    model::{Lineage, MemberName, RunId},
    orchestrator::{
        OrchestratorError,
        part::{
            PartId, Place,
            worker::{CaptureTools, capture_part, compare_part, point_of, restore_part},
        },
        runs,
    },
    repository::keys::IdentityFile,
    restore::{RestoreError, opened::OpenedPoint},
    sources::SourceErrorKind,
    storage,
};

/// Do one part of a run that was planned elsewhere: for Jobs in a cluster
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "`backup` and `restore` start Jobs that run this; by hand it repeats what such a Job did.\n\n\
    Example:\n  hourglass worker restore --run 20261121T120000Z-0123abcd --member portal --part 0")]
pub struct WorkerArgs {
    /// What to do
    #[command(subcommand)]
    pub command: WorkerCommand,
}

/// What a worker does.
#[derive(Debug, Clone, Subcommand)]
pub enum WorkerCommand {
    /// Capture a folder, with the keys of a capture
    #[command(after_long_help = "Example:\n  hourglass worker capture --run 20261121T120000Z-0123abcd --member kps --part 0 --lineage p@we/1")]
    Capture {
        /// Which part
        #[command(flatten)]
        part: PartArgs,
        /// Whose point it belongs to
        #[arg(long)]
        lineage: Lineage,
        /// Which of the shares that follow the part, from 0: the index of a pod in an Indexed Job
        #[arg(long, value_name = "N", default_value_t = 0)]
        share: u32,
    },
    /// Restore a folder and compare it, with an operator's keys
    #[command(after_long_help = "Example:\n  hourglass worker restore --run 20261121T120000Z-0123abcd --member portal --part 0")]
    Restore {
        /// Which part
        #[command(flatten)]
        part: PartArgs,
    },
    /// Compare a folder with what was saved, with an operator's keys
    #[command(after_long_help = "Example:\n  hourglass worker compare --run 20261121T120000Z-0123abcd --member portal --part 0")]
    Compare {
        /// Which part
        #[command(flatten)]
        part: PartArgs,
    },
}

/// Which part of a run, and where.
#[derive(Debug, Clone, Args)]
pub struct PartArgs {
    /// The run
    #[arg(long)]
    pub run: RunId,
    /// The member
    #[arg(long)]
    pub member: MemberName,
    /// The number of the part
    #[arg(long)]
    pub part: u32,
    /// The folder to read or to write
    #[arg(long, value_name = "DIR", default_value = "/volume")]
    pub at: PathBuf,
}

impl PartArgs {
    fn id(&self) -> PartId {
        PartId { run: self.run.clone(), member: self.member.clone(), number: self.part }
    }
}

/// Runs it.
///
/// # Errors
/// The part is not planned, or cannot be done. What came of it is in the control store.
pub async fn run(args: WorkerArgs, globals: &Globals) -> Result<Report, CliError> {
    let part = match args.command {
        WorkerCommand::Capture { part, lineage, share } => {
            let part = PartArgs { part: part.part.saturating_add(share), ..part };
            capture(&part, &lineage, globals).await?;
            part
        }
        WorkerCommand::Restore { part } => {
            let (place, opened) = open(&part, globals).await?;
            restore_part(&part.id(), &opened, &place, &part.at, &globals.context()).await.map_err(lasting)?;
            part
        }
        WorkerCommand::Compare { part } => {
            let (place, opened) = open(&part, globals).await?;
            compare_part(&part.id(), &opened, &place, &part.at).await.map_err(lasting)?;
            part
        }
    };
    let text = format!("part {} of {} in run {} is done\n", part.part, part.member, part.run);
    Ok(Report::new(json!({"run": part.run, "member": part.member, "part": part.part}), text))
}

async fn capture(args: &PartArgs, lineage: &Lineage, globals: &Globals) -> Result<(), CliError> {
    let repo = Repo::open(globals, PRIMARY).await?;
    let (record, _) = repo.outline(lineage).await?;
    let keys = repo.capture_file()?;
    let place = Place { store: storage::open(&repo.config.control).await?, key: runs::capture_key(&keys, lineage) };
    let tools = CaptureTools { repository: repo.id, store: repo.store, record, keys, place };
    capture_part(&args.id(), tools, &args.at, &globals.context()).await.map_err(lasting)
}

/// Where a part is told of, and the point that it is about.
async fn open(args: &PartArgs, globals: &Globals) -> Result<(Place, OpenedPoint), CliError> {
    let (config, ctx) = (globals.load_config()?, globals.context());
    let path =
        config.operator_key_file.as_ref().ok_or_else(|| CliError::usage("a restore needs an operator key, and the configuration names none"))?;
    let operator = IdentityFile::open_operator(path)?;
    let place = Place { store: storage::open(&config.control).await?, key: runs::operator_key(&operator.signing_key) };
    let id = point_of(&args.id(), &place).await?;
    let (repo, point, manifest) = find(&config, &Wanted::new(&Choice::Point(id))).await?;
    Ok((place, restore::open(&repo, point, manifest, &operator, &ctx).await?))
}

/// An error that the next attempt would meet too needs a person, and no further attempt.
fn lasting(error: OrchestratorError) -> CliError {
    let kind = match &error {
        OrchestratorError::Backup(BackupError::Source(error)) | OrchestratorError::Restore(RestoreError::Target(error)) => Some(error.kind()),
        _ => None,
    };
    let lasts = matches!(kind, Some(SourceErrorKind::Usage | SourceErrorKind::Occupied | SourceErrorKind::Denied));
    let shown = CliError::from(error);
    if lasts { CliError { exit: ExitCode::Stuck, ..shown } } else { shown }
}
