//! Signed objects with their signatures, from a store where any of them may have been overwritten, hidden or never have been ours.

use bytes::Bytes;

use super::RepositoryError;
use crate::{
    model::{ByteCount, ObjectKey, Sha256},
    pipeline::sha256,
    storage::{ErrorKind, ObjectStore, ObjectVersion, Put, PutOptions, StoreError},
};

/// How many versions of one object are looked at, newest first.
const MOST_VERSIONS: usize = 100;
/// No signed object, signature or wrapping is larger: a version that is, is not ours.
const MOST_BYTES: ByteCount = ByteCount(1 << 20);

/// Bytes that claim to be a signed object, and whatever lies where its signature should be.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub bytes: Bytes,
    pub sha256: Sha256,
    pub signatures: Vec<String>,
}

impl Stored {
    /// The first verdict that is good, over all signatures; else the last that is not.
    pub fn judge<T, P>(&self, judge: impl Fn(&[u8], Option<&str>) -> Result<T, P>) -> Result<T, P> {
        let Some((first, rest)) = self.signatures.split_first() else { return judge(&self.bytes, None) };
        rest.iter().fold(judge(&self.bytes, Some(first)), |verdict, next| verdict.or_else(|_| judge(&self.bytes, Some(next))))
    }
}

/// The object, or `None`.
pub(super) async fn read(store: &dyn ObjectStore, key: &ObjectKey) -> Result<Option<Bytes>, StoreError> {
    match store.get(key, None).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn text(bytes: Bytes) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The object as a plain read shows it, and its signature.
pub(super) async fn current(
    store: &dyn ObjectStore,
    key: &ObjectKey,
    signature_key: impl Fn(Sha256) -> ObjectKey,
) -> Result<Option<Stored>, StoreError> {
    let Some(bytes) = read(store, key).await? else { return Ok(None) };
    let sha256 = sha256(&bytes);
    let signatures = read(store, &signature_key(sha256)).await?.map(text).into_iter().collect();
    Ok(Some(Stored { bytes, sha256, signatures }))
}

/// The versions of an object that have a body, newest first. None where versions cannot be seen.
async fn versions(store: &dyn ObjectStore, key: &ObjectKey) -> Result<Vec<ObjectVersion>, StoreError> {
    match store.versions(key).await {
        Ok(versions) => Ok(versions.into_iter().filter(|version| !version.is_delete_marker).take(MOST_VERSIONS).collect()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported | ErrorKind::AccessDenied) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

async fn version(store: &dyn ObjectStore, key: &ObjectKey, version: &str) -> Result<Option<Bytes>, StoreError> {
    match store.get_version(key, version).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// All bodies that versions of a small object have, newest first. Empty where versions cannot be seen.
pub(super) async fn bodies(store: &dyn ObjectStore, key: &ObjectKey) -> Result<Vec<Bytes>, StoreError> {
    let mut found: Vec<Bytes> = Vec::new();
    for ObjectVersion { version: name, size, .. } in versions(store, key).await? {
        if size <= MOST_BYTES
            && let Some(bytes) = version(store, key, &name).await?
            && !found.contains(&bytes)
        {
            found.push(bytes);
        }
    }
    Ok(found)
}

/// The version of an object that has the digest which its name promises, when a delete marker hides it or something was put over it.
///
/// # Errors
/// The store's.
pub async fn version_named(store: &dyn ObjectStore, key: &ObjectKey, digest: Sha256) -> Result<Option<(String, Bytes)>, StoreError> {
    for ObjectVersion { version: name, .. } in versions(store, key).await? {
        if let Some(bytes) = version(store, key, &name).await?.filter(|bytes| sha256(bytes) == digest) {
            return Ok(Some((name, bytes)));
        }
    }
    Ok(None)
}

/// Every version of the object, each with every version of its signature.
pub(super) async fn every_version(
    store: &dyn ObjectStore,
    key: &ObjectKey,
    signature_key: impl Fn(Sha256) -> ObjectKey,
) -> Result<Vec<Stored>, StoreError> {
    let mut found = Vec::new();
    for bytes in bodies(store, key).await? {
        let sha256 = sha256(&bytes);
        let signatures = bodies(store, &signature_key(sha256)).await?.into_iter().map(text).collect();
        found.push(Stored { bytes, sha256, signatures });
    }
    Ok(found)
}

/// What lies under the key of a signed object.
pub(super) enum Found<T, P> {
    /// One valid object; `covered` when a plain read does not show it and its signature.
    Valid { value: T, sha256: Sha256, covered: bool },
    /// Two different valid ones.
    Two { one: Sha256, other: Sha256 },
    /// Something, and no version of it is valid.
    Invalid { problem: P, sha256: Sha256 },
    /// Nothing.
    Missing,
}

/// Judges what a plain read showed; when that is not valid, all versions.
pub(super) async fn settle<T, P>(
    store: &dyn ObjectStore,
    key: &ObjectKey,
    shown: Option<Stored>,
    signature_key: impl Fn(Sha256) -> ObjectKey,
    judge: impl Fn(&[u8], Option<&str>) -> Result<T, P>,
) -> Result<Found<T, P>, StoreError> {
    let mut found = Found::Missing;
    if let Some(stored) = shown {
        match stored.judge(&judge) {
            Ok(value) => return Ok(Found::Valid { value, sha256: stored.sha256, covered: false }),
            Err(problem) => found = Found::Invalid { problem, sha256: stored.sha256 },
        }
    }
    for stored in every_version(store, key, signature_key).await? {
        match (stored.judge(&judge), &found) {
            (Ok(_), Found::Valid { sha256, .. }) => return Ok(Found::Two { one: *sha256, other: stored.sha256 }),
            (Ok(value), _) => found = Found::Valid { value, sha256: stored.sha256, covered: true },
            (Err(problem), Found::Missing) => found = Found::Invalid { problem, sha256: stored.sha256 },
            (Err(_), _) => {}
        }
    }
    Ok(found)
}

/// Puts the signature of an object. What is there already must be a valid signature too.
pub(super) async fn put_signature(
    store: &dyn ObjectStore,
    key: &ObjectKey,
    signature: String,
    options: &PutOptions,
    is_valid: impl Fn(&str) -> bool,
) -> Result<(), RepositoryError> {
    let options = PutOptions { sha256: sha256(signature.as_bytes()), ..*options };
    if store.put_new(key, Bytes::from(signature), &options).await? == Put::Created {
        return Ok(());
    }
    match read(store, key).await?.map(text) {
        Some(there) if is_valid(&there) => Ok(()),
        _ => Err(RepositoryError::Forged { key: key.clone(), what: "it is no signature of the object that its name gives".to_owned() }),
    }
}
