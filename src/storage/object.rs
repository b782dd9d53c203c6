//! What goes into a store and what it tells, as data.

use crate::model::{ByteCount, ObjectKey, Sha256, Timestamp};

/// How an object is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutOptions {
    /// SHA-256 of the body. Sent with it, so that a store that checks refuses a body that was damaged on the way.
    pub sha256: Sha256,
    /// Nobody may remove the object before this instant.
    pub retain_until: Option<Timestamp>,
}

impl PutOptions {
    /// Options for `body`, without retention.
    pub fn of(body: &[u8]) -> PutOptions {
        PutOptions { sha256: sha256(body), retain_until: None }
    }
}

/// SHA-256 of bytes in memory.
pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    Sha256(digest.as_ref().try_into().expect("a SHA-256 digest has 32 bytes"))
}

/// How a conditional put ended.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object was stored.
    Created,
    /// Another object has the key; nothing was changed.
    AlreadyThere,
}

/// What a store knows of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name.
    pub key: ObjectKey,
    /// Its length.
    pub size: ByteCount,
    /// The SHA-256 that the store computed or checked itself at the put, and keeps. A claim that it merely repeats is not shown here.
    pub sha256: Option<Sha256>,
    /// When it was stored, by the store's clock.
    pub modified: Timestamp,
    /// Its version, in a versioned store.
    pub version: Option<String>,
    /// Until when nobody may remove it.
    pub retain_until: Option<Timestamp>,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub key: ObjectKey,
    /// Its length.
    pub size: ByteCount,
    /// When it was stored, by the store's clock.
    pub modified: Timestamp,
}

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageToken {
    /// After what a page has shown. Valid for the store and the prefix that gave it.
    Next(String),
    /// After this key, where the store can begin there; where it cannot, from the start.
    After(ObjectKey),
}

/// A part of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPage {
    /// The objects, by ascending key. Names that are not valid keys are not ours and are left out.
    pub objects: Vec<Listed>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<PageToken>,
}

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    /// Its name, opaque.
    pub version: String,
    /// It says that the object was deleted, and has no body.
    pub is_delete_marker: bool,
    /// It is what a plain read answers.
    pub is_latest: bool,
    /// Its length.
    pub size: ByteCount,
    /// When it was stored, by the store's clock.
    pub modified: Timestamp,
}
