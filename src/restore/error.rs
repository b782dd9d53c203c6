//! What can go wrong on the way back.

use crate::{
    model::{ObjectKey, Sha256},
    pipeline::PipelineError,
    repository::RepositoryError,
    sources::SourceError,
    storage::StoreError,
};

/// Why something could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The target could not be written or read.
    #[error(transparent)]
    Target(#[from] SourceError),
    /// A codec failed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The repository refused.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// An object is at no location as it should be.
    #[error("{key} cannot be read at any location: {tried}")]
    Nowhere {
        /// Which.
        key: ObjectKey,
        /// What each location said.
        tried: String,
    },
    /// A store failed in a way that is not about one object.
    #[error("cannot read from the store")]
    Store(#[from] StoreError),
    /// A pack that no signed list names, or in another size.
    #[error("a map names the pack {0}, which no pack list of the point holds")]
    UnknownPack(Sha256),
    /// What was decoded is not what the manifest promises.
    #[error("{what} is not what the manifest says")]
    Different {
        /// What: a map segment, a stream.
        what: String,
    },
    /// A map line that cannot be read.
    #[error("a map line of {what} cannot be read")]
    Line {
        /// Of which component.
        what: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// A member, component or path that the point does not have.
    #[error("the point has no {what} {name:?}")]
    Absent {
        /// What was asked for.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A target that does not fit the member.
    #[error("{0}")]
    Usage(String),
    /// A blocking task was torn down with the runtime.
    #[error("the work was torn down")]
    TornDown,
    /// The run is being stopped.
    #[error("stopped")]
    Cancelled,
}

impl RestoreError {
    /// Whether it shows damage or forgery in the repository.
    pub fn is_damage(&self) -> bool {
        match self {
            RestoreError::Nowhere { .. } | RestoreError::UnknownPack(_) | RestoreError::Different { .. } | RestoreError::Line { .. } => true,
            RestoreError::Pipeline(error) => error.kind() == crate::pipeline::ErrorKind::Damaged,
            _ => false,
        }
    }

    /// One thing to do or to check.
    pub fn hint(&self) -> Option<String> {
        match self {
            RestoreError::Target(error) => error.hint().map(str::to_owned),
            RestoreError::Pipeline(error) => error.hint().map(str::to_owned),
            RestoreError::Repository(error) => error.hint().map(|hint| hint.to_string()),
            RestoreError::Store(error) => error.hint().map(|hint| hint.to_string()),
            RestoreError::Nowhere { .. } | RestoreError::UnknownPack(_) | RestoreError::Different { .. } | RestoreError::Line { .. } => {
                Some("run `hourglass verify` at every location, or restore an earlier point with --before".to_owned())
            }
            RestoreError::Absent { .. } => Some("`hourglass points show` and `points tree` list what the point has".to_owned()),
            RestoreError::Usage(_) | RestoreError::TornDown | RestoreError::Cancelled => None,
        }
    }
}
