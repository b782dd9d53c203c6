//! What went wrong, in our words, from the words of the driver.

use scylla::errors::{DbError, ExecutionError, NewSessionError, PrepareError, RequestAttemptError};

use super::error::{CassandraError, Refusal};
use crate::{config::CassandraConfig, sources::SourceErrorKind};

/// Which refusal it was; drivers and TLS libraries tell it in words only.
pub(super) fn refusal(config: &CassandraConfig, error: &NewSessionError) -> CassandraError {
    let what = error.to_string();
    let debug = format!("{error:?}");
    let holds = |words: &[&str]| words.iter().any(|word| what.contains(word) || debug.contains(word));
    let why = if holds(&["AuthenticationError", "BadCredentials", "Authentication is required", "MissingAuthentication"]) {
        Refusal::Password
    } else if holds(&["certificate verify failed", "UnknownIssuer", "invalid peer certificate"]) {
        Refusal::TheirCertificate
    } else if holds(&["HandshakeFailure", "handshake failure", "no cipher"]) && !holds(&["alert certificate", "bad certificate"]) {
        Refusal::Ciphers
    } else if holds(&["alert", "AlertReceived", "certificate"]) {
        Refusal::OurCertificate
    } else {
        Refusal::Other
    };
    // Each layer of the driver begins with the same words as the one below it.
    let cause = ["Last connection failed with: ", "reason: "].iter().fold(what.as_str(), |text, words| text.rsplit(words).next().unwrap_or(text));
    CassandraError::Connect { nodes: config.contact_points.join(", "), what: cause.to_owned(), why }
}

/// Whether another try may help, and what callers branch on.
fn judge(error: &RequestAttemptError) -> (bool, SourceErrorKind) {
    match error {
        RequestAttemptError::DbError(DbError::Unauthorized, _) => (false, SourceErrorKind::Denied),
        RequestAttemptError::DbError(
            DbError::SyntaxError
            | DbError::Invalid
            | DbError::AlreadyExists { .. }
            | DbError::ConfigError
            | DbError::FunctionFailure { .. }
            | DbError::AuthenticationError,
            _,
        ) => (false, SourceErrorKind::Failed),
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => (false, SourceErrorKind::Failed),
        _ => (true, SourceErrorKind::Io),
    }
}

/// The same of a request with all its tries inside the driver.
pub(super) fn judge_execution(error: &ExecutionError) -> (bool, SourceErrorKind) {
    match error {
        ExecutionError::LastAttemptError(error) | ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt: error }) => {
            judge(error)
        }
        ExecutionError::BadQuery(_) | ExecutionError::UseKeyspaceError(_) => (false, SourceErrorKind::Failed),
        ExecutionError::RequestTimeout(_) => (true, SourceErrorKind::TimedOut),
        _ => (true, SourceErrorKind::Io),
    }
}
