//! Why the daemon cannot do something. What becomes of runs is in the ledger instead.

use super::{cluster::ClusterError, lease::LeaseError, ledger::state::IllegalEvent};
use crate::{
    model::Lineage,
    orchestrator::{OrchestratorError, repo::RepoError},
    storage::StoreError,
};

/// Why the daemon cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another process has written where this one was about to.
    #[error("another daemon leads now")]
    Deposed,
    /// The control store failed.
    #[error("cannot reach the ledger of {lineage}")]
    Ledger {
        /// Whose.
        lineage: Lineage,
        /// Why.
        source: StoreError,
    },
    /// An event that makes no sense.
    #[error("the ledger does not make sense")]
    Illegal(#[from] IllegalEvent),
    /// Too many write orders at once.
    #[error("others are always faster at writing orders for {lineage}")]
    Contended {
        /// Whose.
        lineage: Lineage,
    },
    /// The repository cannot be used.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The control store cannot be used.
    #[error(transparent)]
    Control(#[from] StoreError),
    /// The cluster that it runs in is no use.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Nothing can listen where the configuration says.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The token file is no use.
    #[error("the token file {path} {why}", path = path.display())]
    Token {
        /// Which.
        path: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What TLS is served with is no use.
    #[error("cannot serve TLS with {path}", path = path.display())]
    Tls {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A run's journal, or the control store.
    #[error(transparent)]
    Orchestrator(#[from] OrchestratorError),
}

impl From<LeaseError> for DaemonError {
    fn from(error: LeaseError) -> DaemonError {
        match error {
            LeaseError::Control(error) => error.into(),
            LeaseError::Cluster(error) => error.into(),
        }
    }
}

impl DaemonError {
    /// One thing to do or to check.
    pub fn hint(&self) -> Option<String> {
        match self {
            DaemonError::Ledger { source, .. } | DaemonError::Control(source) => source.hint().map(str::to_owned),
            DaemonError::Orchestrator(error) => error.hint(),
            DaemonError::Repo(error) => error.hint(),
            DaemonError::Listen { .. } => Some("is the port free, and the address one of this machine?".to_owned()),
            DaemonError::Token { .. } => Some("write at least 16 printable characters into it, with rights 0600".to_owned()),
            DaemonError::Tls { .. } => Some("check the files of daemon.tls: PEM, the certificate first, and the key that belongs to it".to_owned()),
            DaemonError::Contended { .. } => Some("try again".to_owned()),
            DaemonError::Illegal(_) => Some("the control store was written to by something else".to_owned()),
            DaemonError::Cluster(error) => error.hint(),
            DaemonError::Deposed => None,
        }
    }
}
