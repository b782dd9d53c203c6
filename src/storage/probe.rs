//! Whether a store keeps the promises that a repository rests on: found out by trying, before anything is entrusted to it.

use std::time::Duration;

use bytes::Bytes;

use super::{ErrorKind, ObjectInfo, ObjectStore, Put, PutOptions, StoreError};
use crate::model::{ByteCount, ObjectKey, Timestamp};

/// How long the probe of a locked store stays locked: longer than clocks differ.
const LOCKED_FOR: Duration = Duration::from_secs(120);
/// What to do about a store that does not lock.
const NO_LOCK: &str = "create the bucket with object lock, or the container with version-level immutability, or do not ask for a lock";

/// What the store is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The repository.
    Data {
        /// Whether objects are put with a retention date.
        lock: bool,
    },
    /// Journals and the schedule ledger, which must be free to go.
    Control,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// It keeps a SHA-256 that it has checked, and shows it: completeness can be told without reading.
    pub keeps_sha256: bool,
    /// It keeps versions.
    pub is_versioned: bool,
    /// It refused to delete what is under retention; `None` when that was not asked for. To credentials that may not delete at all every store seems to do so.
    pub enforces_retention: Option<bool>,
    /// The probe, where it could not be removed again.
    pub left_behind: Option<ObjectKey>,
}

/// Puts a small object twice, reads it back whole and in part, and looks at it, as far as `role` asks; then removes it. `now` is the present instant.
///
/// Errors: `Unsupported`, with a hint, when the store ignores the condition of a put, does not keep or enforce retention though `role` asks for it, or puts
/// everything under retention though `role` is control. `ChecksumMismatch` when it does not give back what it got. Those of the requests.
pub async fn probe(store: &dyn ObjectStore, role: Role, now: Timestamp) -> Result<ProbeReport, StoreError> {
    let fail = |kind, note: &str, hint| Err(StoreError::new(kind, "use", "", &store.describe()).note(note).advise(hint));
    let lock = role == Role::Data { lock: true };
    let key = fresh_key(store)?;
    let (first, second) = (Bytes::from(format!("{key} first")), Bytes::from(format!("{key} second")));
    let retain_until = lock.then(|| now + LOCKED_FOR);
    let put = store.put_new(&key, first.clone(), &PutOptions { retain_until, ..PutOptions::of(&first) }).await?;
    let again = store.put_new(&key, second.clone(), &PutOptions { retain_until, ..PutOptions::of(&second) }).await?;
    if (put, again) != (Put::Created, Put::AlreadyThere) {
        return fail(
            ErrorKind::Unsupported,
            "it let an object be put over another",
            "use a store, or a version of it, that honours If-None-Match on a put, or a directory on a file system with hard links",
        );
    }
    read_back(store, &key, &first).await?;
    let Some(info) = store.head(&key).await? else {
        return fail(ErrorKind::NotFound, "an object that was just put is not there", "use a store that is consistent after a write");
    };
    if info.size != ByteCount(first.len() as u64) {
        return fail(ErrorKind::ChecksumMismatch, "it shows a wrong size", "use a store that tells the size of objects");
    }
    if role == Role::Control && info.retain_until.is_some() {
        return fail(
            ErrorKind::Unsupported,
            "it puts every object under retention",
            "use a bucket or container of its own, without default retention, for the control store",
        );
    }
    if lock && retain_until.is_some_and(|asked| info.retain_until.is_none_or(|kept| kept.as_second() < asked.as_second())) {
        return fail(ErrorKind::Unsupported, "it does not keep the retention date", NO_LOCK);
    }
    let is_removed = remove(store, &info).await?;
    if lock && is_removed {
        return fail(ErrorKind::Unsupported, "it let an object under retention be deleted", NO_LOCK);
    }
    Ok(ProbeReport {
        keeps_sha256: info.sha256.is_some(),
        is_versioned: info.version.is_some(),
        enforces_retention: lock.then_some(!is_removed),
        left_behind: (!is_removed).then_some(key),
    })
}

fn fresh_key(store: &dyn ObjectStore) -> Result<ObjectKey, StoreError> {
    let number = getrandom::u64().map_err(|error| StoreError::new(ErrorKind::Other, "probe", "", &store.describe()).because(error.to_string()))?;
    Ok(format!("probes/{number:016x}").parse().expect("a folder and hex digits are a key"))
}

async fn read_back(store: &dyn ObjectStore, key: &ObjectKey, body: &Bytes) -> Result<(), StoreError> {
    let whole = store.get(key, None).await?;
    let part = store.get(key, Some(3..7)).await?;
    match whole == body && part == body.slice(3..7) {
        true => Ok(()),
        false => Err(StoreError::new(ErrorKind::ChecksumMismatch, "probe", key.as_str(), &store.describe()).note("it gave back other bytes")),
    }
}

/// Removes the very version that was put. False when the store refused.
async fn remove(store: &dyn ObjectStore, info: &ObjectInfo) -> Result<bool, StoreError> {
    let done = match &info.version {
        Some(version) => store.delete_version(&info.key, version).await,
        None => store.delete(&info.key).await,
    };
    match done {
        Ok(()) => Ok(true),
        // Some stores refuse for a lock with 400 rather than with 403.
        Err(error) if matches!(error.kind(), ErrorKind::AccessDenied | ErrorKind::Invalid) => Ok(false),
        Err(error) => Err(error),
    }
}
