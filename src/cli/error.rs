//! Errors of all layers, as the user sees them: a message, its causes, what to do, and the exit code.

use std::error::Error;

use super::ExitCode;
use crate::{
    config::ConfigError,
    daemon::DaemonError,
    model::Problem,
    orchestrator::{OrchestratorError, repo::RepoError},
    repository::{self, RepositoryError},
    restore::RestoreError,
    storage::StoreError,
};

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct CliError {
    /// The exit status.
    pub exit: ExitCode,
    /// A stable word that callers branch on.
    pub kind: &'static str,
    /// What went wrong, doing what, to which object.
    pub message: String,
    /// Why, from the nearest cause to the farthest.
    pub causes: Vec<String>,
    /// One thing to do or to check.
    pub hint: Option<String>,
    /// Single things that are wrong, when there are several.
    pub problems: Vec<Problem>,
}

impl CliError {
    /// An error of the command itself, without a cause.
    pub fn new(exit: ExitCode, kind: &'static str, message: impl Into<String>) -> CliError {
        CliError { exit, kind, message: message.into(), causes: Vec::new(), hint: None, problems: Vec::new() }
    }

    /// A wrong use of the command line.
    pub fn usage(message: impl Into<String>) -> CliError {
        CliError::new(ExitCode::Usage, "usage", message)
    }

    /// An error of a lower layer with its causes.
    pub fn from_error(exit: ExitCode, kind: &'static str, error: &dyn Error) -> CliError {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        CliError { causes, ..CliError::new(exit, kind, error.to_string()) }
    }

    /// The same error with one thing to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> CliError {
        self.hint = Some(hint.into());
        self
    }

    /// Reading or writing a file of the user's.
    pub fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> CliError {
        let mut failed = CliError::new(ExitCode::Failed, "file", format!("{doing} {}", path.display()));
        failed.causes.push(error.to_string());
        failed
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> CliError {
        let mut shown = CliError::from_error(ExitCode::Usage, "config", &error);
        shown.hint = error.hint();
        if let ConfigError::Invalid { path, problems } = &error {
            shown.message = format!("{} is not a valid configuration", path.display());
            shown.problems =
                problems.iter().map(|p| Problem { subject: format!("{}:{}:{}", path.display(), p.line, p.column), what: p.sentence() }).collect();
        }
        shown
    }
}

impl From<RepositoryError> for CliError {
    fn from(error: RepositoryError) -> CliError {
        use repository::ErrorKind as Kind;
        let (exit, kind) = match error.kind() {
            Kind::Damage => (ExitCode::Damaged, "damage"),
            Kind::Forgery => (ExitCode::Damaged, "forgery"),
            Kind::NotFound => (ExitCode::Failed, "not-found"),
            Kind::Conflict => (ExitCode::Failed, "conflict"),
            Kind::EpochClosed => (ExitCode::Failed, "epoch-closed"),
            Kind::Fork => (ExitCode::Stuck, "fork"),
            Kind::Stuck => (ExitCode::Stuck, "stuck"),
            Kind::Store => (ExitCode::Failed, "store"),
            Kind::NotAllowed => (ExitCode::Failed, "not-allowed"),
            Kind::Input => (ExitCode::Usage, "input"),
        };
        CliError { hint: error.hint().map(str::to_owned), ..CliError::from_error(exit, kind, &error) }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> CliError {
        CliError { hint: error.hint().map(str::to_owned), ..CliError::from_error(ExitCode::Failed, "store", &error) }
    }
}

impl From<RepoError> for CliError {
    fn from(error: RepoError) -> CliError {
        let (exit, kind) = match error {
            RepoError::Repository(error) => return error.into(),
            RepoError::Store(error) => return error.into(),
            RepoError::NoLocation { .. } => (ExitCode::Usage, "usage"),
            RepoError::NoRoot | RepoError::Root(_) | RepoError::Foreign { .. } => (ExitCode::Usage, "config"),
            RepoError::Nothing { .. } => (ExitCode::Failed, "not-found"),
        };
        CliError { hint: error.hint(), ..CliError::from_error(exit, kind, &error) }
    }
}

impl From<DaemonError> for CliError {
    fn from(error: DaemonError) -> CliError {
        let (exit, kind) = match error {
            DaemonError::Repo(error) => return error.into(),
            DaemonError::Orchestrator(error) => return error.into(),
            DaemonError::Control(error) => return error.into(),
            DaemonError::Ledger { .. } => (ExitCode::Failed, "store"),
            DaemonError::Token { .. } | DaemonError::Tls { .. } => (ExitCode::Usage, "config"),
            DaemonError::Illegal(_) => (ExitCode::Damaged, "damage"),
            DaemonError::Deposed | DaemonError::Contended { .. } | DaemonError::Listen { .. } | DaemonError::Cluster(_) => {
                (ExitCode::Failed, "daemon")
            }
        };
        CliError { hint: error.hint(), ..CliError::from_error(exit, kind, &error) }
    }
}

impl From<OrchestratorError> for CliError {
    fn from(error: OrchestratorError) -> CliError {
        let (exit, kind) = match error {
            OrchestratorError::Repository(error) => return error.into(),
            OrchestratorError::Restore(error) => return error.into(),
            OrchestratorError::LostRun { .. } | OrchestratorError::TakenOver { .. } | OrchestratorError::LeaseLost { .. } => {
                (ExitCode::Failed, "lost-run")
            }
            OrchestratorError::NoRun { .. } => (ExitCode::Usage, "not-found"),
            OrchestratorError::Busy { .. } | OrchestratorError::Underway { .. } => (ExitCode::Failed, "busy"),
            OrchestratorError::Ended { .. } => (ExitCode::Usage, "ended"),
            OrchestratorError::Unplanned { .. } => (ExitCode::Usage, "unplanned"),
            OrchestratorError::Foreign { .. } => (ExitCode::Damaged, "forgery"),
            OrchestratorError::Illegal(_) => (ExitCode::Damaged, "damage"),
            OrchestratorError::Journal { .. } | OrchestratorError::Control(_) => (ExitCode::Failed, "store"),
            OrchestratorError::Backup(_) => (ExitCode::Failed, "backup"),
            OrchestratorError::TornDown | OrchestratorError::Fuse(_) => (ExitCode::Failed, "internal"),
        };
        CliError { hint: error.hint(), ..CliError::from_error(exit, kind, &error) }
    }
}

impl From<RestoreError> for CliError {
    fn from(error: RestoreError) -> CliError {
        let (exit, kind) = match error {
            RestoreError::Repository(error) => return error.into(),
            RestoreError::Store(error) => return error.into(),
            ref damage if damage.is_damage() => (ExitCode::Damaged, "damage"),
            RestoreError::Absent { .. } | RestoreError::Usage(_) => (ExitCode::Usage, "usage"),
            RestoreError::Cancelled => (ExitCode::Cancelled, "cancelled"),
            _ => (ExitCode::Failed, "restore"),
        };
        CliError { hint: error.hint(), ..CliError::from_error(exit, kind, &error) }
    }
}
