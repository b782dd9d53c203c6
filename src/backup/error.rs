//! What can go wrong while a point is made.

use std::io;

use crate::{model::ObjectKey, pipeline::PipelineError, repository::RepositoryError, sources::SourceError, storage::StoreError};

/// Why a backup, or a part of it, did not happen.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A codec failed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The repository refused.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// An object could not be put.
    #[error("cannot store {key}")]
    Put {
        /// Which.
        key: ObjectKey,
        /// Why not.
        source: StoreError,
    },
    /// An object that a writer uses could not be read.
    #[error("cannot read {key}")]
    Get {
        /// Which.
        key: ObjectKey,
        /// Why not.
        source: StoreError,
    },
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A snapshot repository cannot be brought to its mirror.
    #[error("{place} {what}")]
    Mirror {
        /// Which store.
        place: String,
        /// What is wrong with it.
        what: String,
        /// What a person can do.
        hint: &'static str,
    },
    /// A command that pauses writers, or lets them go on, failed.
    #[error("cannot pause writers, or let them go on")]
    Pause(#[source] SourceError),
    /// A member's turn came, and its snapshot is not open.
    #[error("its snapshot was not opened: {0}")]
    NotOpened(String),
    /// The plan names a member that the run does not have.
    #[error("the run has no member {0}")]
    NoMember(crate::model::MemberName),
    /// Reading failed in the middle of a component.
    #[error("reading the source broke off")]
    Read(#[source] io::Error),
    /// The spool for the index, in the directory for temporary files, failed.
    #[error("the temporary spool of the index failed")]
    Spool(#[source] io::Error),
    /// Progress cannot be journalled any more, so nothing more is stored.
    #[error("the journal of the run ended")]
    JournalLost,
    /// A blocking task was torn down with the runtime.
    #[error("the work was torn down")]
    TornDown,
    /// The run is being stopped.
    #[error("stopped")]
    Cancelled,
}

impl BackupError {
    /// One thing to do or to check.
    pub fn hint(&self) -> Option<String> {
        match self {
            BackupError::Source(error) | BackupError::Pause(error) => error.hint().map(str::to_owned),
            BackupError::Pipeline(error) => error.hint().map(str::to_owned),
            BackupError::Repository(error) => error.hint().map(|hint| hint.to_string()),
            BackupError::Put { source, .. } | BackupError::Get { source, .. } | BackupError::Store(source) => {
                source.hint().map(|hint| hint.to_string())
            }
            BackupError::Mirror { hint, .. } => Some((*hint).to_owned()),
            BackupError::Spool(_) => Some("check the free space where TMPDIR points".to_owned()),
            BackupError::JournalLost => Some("check the control store; then run the backup again: it goes on where this one stopped".to_owned()),
            BackupError::NotOpened(_) | BackupError::NoMember(_) | BackupError::Read(_) | BackupError::TornDown | BackupError::Cancelled => None,
        }
    }
}
