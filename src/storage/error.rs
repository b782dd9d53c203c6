//! What can go wrong at the storage edge, in the few kinds that callers tell apart.

use std::{error::Error, fmt, io, time::Duration};

/// What kind of failure it was. Callers branch on this, never on text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No such object, version, bucket, container or directory.
    NotFound,
    /// The credentials are not good, or not good enough; or the object is locked.
    AccessDenied,
    /// The store asks to be slower.
    Throttled,
    /// The store did not answer, answered with a server error, or broke off in the middle.
    Unavailable,
    /// The bytes are not what their checksum says.
    ChecksumMismatch,
    /// The store cannot do what was asked.
    Unsupported,
    /// What was asked makes no sense, or cannot be said to this store.
    Invalid,
    /// Anything else.
    Other,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::NotFound => "not found",
            ErrorKind::AccessDenied => "access denied",
            ErrorKind::Throttled => "the store asks to slow down",
            ErrorKind::Unavailable => "the store is unavailable",
            ErrorKind::ChecksumMismatch => "checksum mismatch",
            ErrorKind::Unsupported => "not supported by the store",
            ErrorKind::Invalid => "invalid request",
            ErrorKind::Other => "failed",
        })
    }
}

/// A failure of one action on one object of one store.
#[derive(Debug, thiserror::Error)]
pub struct StoreError {
    kind: ErrorKind,
    action: &'static str,
    key: Box<str>,
    store: Box<str>,
    note: Option<Box<str>>,
    hint: Option<&'static str>,
    pause: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoreError { kind, action, key, store, note, .. } = self;
        match key.is_empty() {
            true => write!(f, "cannot {action} {store}: {kind}")?,
            false => write!(f, "cannot {action} {key} in {store}: {kind}")?,
        }
        note.as_ref().map_or(Ok(()), |note| write!(f, " ({note})"))
    }
}

impl StoreError {
    /// A failure of `action` (a verb: `put`, `get`, …) on `key` (empty for the store itself) in what `store` describes.
    pub fn new(kind: ErrorKind, action: &'static str, key: impl Into<String>, store: &str) -> StoreError {
        StoreError { kind, action, key: key.into().into(), store: store.into(), note: None, hint: None, pause: None, source: None }
    }

    /// Adds its cause.
    pub fn because(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError { source: Some(source.into()), ..self }
    }

    /// Adds what else a reader should know; it follows the message, and earlier notes, in brackets.
    pub fn note(self, note: impl Into<String>) -> StoreError {
        let note = note.into();
        let all = self.note.map_or(note.clone(), |earlier| format!("{earlier}; {note}"));
        StoreError { note: Some(all.into()), ..self }
    }

    /// Puts a better hint in the place of the general one of its kind.
    pub fn advise(self, hint: &'static str) -> StoreError {
        StoreError { hint: Some(hint), ..self }
    }

    /// How long the store asks to wait: the value of a `Retry-After` header in seconds. A date is not understood.
    pub(super) fn pause_for(self, header: Option<&str>) -> StoreError {
        StoreError { pause: header.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs), ..self }
    }

    /// An answer of a cloud's API that means failure: its HTTP status, its own code, and its message.
    pub(super) fn answer(answer: (u16, &str, &str), action: &'static str, key: &str, store: &str) -> StoreError {
        let (status, code, message) = answer;
        let key = if matches!(code, "NoSuchBucket" | "ContainerNotFound") { "" } else { key };
        let failed =
            StoreError::new(kind_of(status, code), action, key, store).because(format!("status {status} {code} {message}").trim_end().to_owned());
        match code {
            "RequestTimeTooSkewed" => failed.advise("set this machine's clock"),
            _ => failed,
        }
    }

    /// A request that had no answer. Only the innermost cause is kept: those around it can show a URL with a signature in it.
    pub(super) fn silence(error: &(dyn Error + 'static), kind: ErrorKind, action: &'static str, key: &str, store: &str) -> StoreError {
        let mut cause = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        StoreError::new(kind, action, key, store).because(cause.to_string())
    }

    /// A failed operation of a file system.
    pub(crate) fn io(error: io::Error, action: &'static str, key: impl Into<String>, store: &str) -> StoreError {
        use io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::AccessDenied,
            Io::NotADirectory | Io::IsADirectory | Io::InvalidFilename => ErrorKind::Invalid,
            Io::Interrupted | Io::TimedOut | Io::StaleNetworkFileHandle | Io::UnexpectedEof => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        };
        let full = matches!(error.kind(), Io::StorageFull | Io::QuotaExceeded);
        let failed = StoreError::new(kind, action, key, store).because(error);
        if full { failed.advise("make room on the file system, or raise its quota") } else { failed }
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// How long the store asks to wait before the next attempt.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.pause
    }

    /// Whether it concerns one object, rather than the store.
    pub(super) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Throttled | ErrorKind::Unavailable)
    }

    /// One thing to do or to check, when the user can mend it.
    pub fn hint(&self) -> Option<&'static str> {
        self.hint.or(match self.kind {
            ErrorKind::NotFound if self.key.is_empty() => Some("create the bucket, container or directory, or correct the store's url"),
            ErrorKind::AccessDenied => Some("check the credentials, and that they carry the right to do this here"),
            ErrorKind::Throttled => Some("let fewer requests run at a time, or ask the provider for a higher limit"),
            ErrorKind::Unavailable => Some("check the network, the endpoint and the state of the store, and try again"),
            ErrorKind::Unsupported => Some("use a store that can do this, or do not ask for it in the configuration"),
            _ => None,
        })
    }
}

/// What an answer means. Codes go before status where clouds and clones use one status for several things.
fn kind_of(status: u16, code: &str) -> ErrorKind {
    match (status, code) {
        (_, "BadDigest" | "InvalidDigest" | "Md5Mismatch" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch") => {
            ErrorKind::ChecksumMismatch
        }
        (_, "SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequests" | "ServerBusy") | (429, _) => {
            ErrorKind::Throttled
        }
        (_, "RequestTimeout" | "ConditionalRequestConflict" | "OperationAborted" | "OperationTimedOut") => ErrorKind::Unavailable,
        (_, "ExpiredToken" | "InvalidAccessKeyId" | "InvalidToken" | "BlobImmutableDueToPolicy") | (401 | 403, _) => ErrorKind::AccessDenied,
        (404 | 410, _) => ErrorKind::NotFound,
        (_, "NotImplemented" | "FeatureNotSupported") | (501, _) => ErrorKind::Unsupported,
        (408 | 500.., _) => ErrorKind::Unavailable,
        (400..500, _) => ErrorKind::Invalid,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_action_object_and_store_and_leave_the_cause_to_source() {
        let error = StoreError::new(ErrorKind::AccessDenied, "put", "a/b", "s3://bucket").because("status 403").note("3 attempts in 2 s");
        assert_eq!(error.to_string(), "cannot put a/b in s3://bucket: access denied (3 attempts in 2 s)");
        assert_eq!(error.source().unwrap().to_string(), "status 403");
        assert!(error.hint().is_some() && !error.is_transient());
        assert_eq!(StoreError::new(ErrorKind::NotFound, "open", "", "file:///x").to_string(), "cannot open file:///x: not found");
    }
}
