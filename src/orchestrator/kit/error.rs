//! What can go wrong with a kit.

use std::{io, path::PathBuf};

use crate::repository::RepositoryError;

/// Why a kit was not made, not believed, or not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// A file cannot be read or written.
    #[error("{doing} {path}")]
    Io {
        /// What we were doing.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A private key was about to be packed.
    #[error("{file} holds {what}; a kit never does")]
    PrivateKey {
        /// Where.
        file: String,
        /// What it looks like.
        what: &'static str,
    },
    /// It cannot be made, or unpacked there.
    #[error("{0}")]
    Refused(String),
    /// Bytes are missing or not those that were packed.
    #[error("the kit is damaged: {0}")]
    Damaged(String),
    /// Somebody else made it.
    #[error("the kit is not to be believed: {0}")]
    Forged(String),
    /// The repository refused.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A background task was torn down with the runtime.
    #[error("the work was torn down")]
    TornDown,
}

impl KitError {
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> KitError {
        let path = path.into();
        move |source| KitError::Io { doing, path, source }
    }

    /// One thing to do or to check.
    pub fn hint(&self) -> Option<String> {
        match self {
            KitError::PrivateKey { .. } => {
                Some("take the file out of the configuration or the runbook's files, and bring it by another way".to_owned())
            }
            KitError::Damaged(_) => Some("use another copy of it".to_owned()),
            KitError::Forged(_) => {
                Some("compare the trust root with what was written down; docs/format/kit.md says how to look at it by hand".to_owned())
            }
            KitError::Repository(error) => error.hint().map(str::to_owned),
            KitError::Io { .. } | KitError::Refused(_) | KitError::TornDown => None,
        }
    }
}
