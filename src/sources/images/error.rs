//! What registries say when they refuse, without what belongs to nobody: addresses that carry signatures of their own.

use oci_client::{
    Reference,
    errors::{OciDistributionError, OciErrorCode},
};

use crate::sources::{SourceError, SourceErrorKind};

/// An answer that says no.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("it is not there: {0}")]
    Absent(String),
    #[error("not allowed: {0}")]
    Denied(String),
    #[error("status {0}: {1}")]
    Status(u16, String),
}

/// What a registry's client reports, as an error of a source.
pub fn failed(doing: String, error: OciDistributionError) -> SourceError {
    let (kind, source): (SourceErrorKind, Box<dyn std::error::Error + Send + Sync>) = match error {
        OciDistributionError::UnauthorizedError { .. } => {
            (SourceErrorKind::Denied, Refusal::Denied("no account, or none that is known".to_owned()).into())
        }
        OciDistributionError::AuthenticationFailure(text) => (SourceErrorKind::Denied, Refusal::Denied(short(&text)).into()),
        OciDistributionError::RegistryError { envelope, .. } => {
            let kind = envelope.errors.first().map_or(SourceErrorKind::Failed, |error| kind_of(&error.code));
            let text = envelope.errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; ");
            match kind {
                SourceErrorKind::Vanished => (kind, Refusal::Absent(short(&text)).into()),
                SourceErrorKind::Denied => (kind, Refusal::Denied(short(&text)).into()),
                _ => (kind, short(&text).into()),
            }
        }
        OciDistributionError::ServerError { code, message, .. } => {
            let kind = match code {
                401 | 403 => SourceErrorKind::Denied,
                404 => SourceErrorKind::Vanished,
                408 | 429 | 500..=599 => SourceErrorKind::Io,
                _ => SourceErrorKind::Failed,
            };
            (kind, Refusal::Status(code, short(&message)).into())
        }
        OciDistributionError::RequestError(error) => {
            let status = error.status().map(|status| status.as_u16());
            let kind = match status {
                Some(401 | 403) => SourceErrorKind::Denied,
                Some(404) => SourceErrorKind::Vanished,
                _ if error.is_timeout() => SourceErrorKind::TimedOut,
                _ => SourceErrorKind::Io,
            };
            (kind, error.without_url().into())
        }
        OciDistributionError::IoError(error) => (SourceErrorKind::Io, error.into()),
        other => (SourceErrorKind::Failed, other.into()),
    };
    SourceError::Database { doing, kind, source }
}

fn kind_of(code: &OciErrorCode) -> SourceErrorKind {
    match code {
        OciErrorCode::BlobUnknown | OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound => SourceErrorKind::Vanished,
        OciErrorCode::Denied | OciErrorCode::Unauthorized => SourceErrorKind::Denied,
        OciErrorCode::Toomanyrequests => SourceErrorKind::Io,
        _ => SourceErrorKind::Failed,
    }
}

fn short(text: &str) -> String {
    text.trim().chars().take(300).collect()
}

/// An image that is not as it has to be.
pub fn refused(image: &Reference, why: String) -> SourceError {
    SourceError::Unfit { subject: image.to_string(), why, kind: SourceErrorKind::Failed, hint: None }
}
