//! The entry of a record. See `docs/format/record.md`.

use serde::{Deserialize, Serialize};

use super::body::Body;
use crate::{
    model::{ByteCount, EntryNumber, Lineage, RecoveryPointId, RepositoryId, Sha256, Timestamp},
    repository::{keys::PublicKey, layout::FORMAT},
};

/// No entry is larger.
pub const MAX_ENTRY: ByteCount = ByteCount(1 << 20);

/// One signed entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// [`crate::repository::layout::FORMAT`].
    pub format: u32,
    /// In which repository it is valid.
    pub repository: RepositoryId,
    /// In which record it is valid.
    pub lineage: Lineage,
    /// The number of its key.
    pub number: EntryNumber,
    /// SHA-256 of the bytes of the valid entry before it; zeros for the first.
    pub prev: Sha256,
    /// The trust that its writer knew.
    pub trust: TrustRef,
    /// The numbers skipped since the valid entry before it.
    pub void: Vec<VoidRef>,
    /// When its writer thinks that it wrote it. Never decides about validity.
    pub written: Timestamp,
    /// Who signed it.
    pub signer: PublicKey,
    /// What it says.
    pub body: Body,
}

impl Entry {
    /// Reads the bytes of an entry of this format. `None` when they are none; who signed them, and whether they belong here, is not looked at.
    pub fn parse(bytes: &[u8]) -> Option<Entry> {
        serde_json::from_slice(bytes).ok().filter(|entry: &Entry| entry.format == FORMAT)
    }

    /// The bytes that are stored and signed: one line of JSON and a line feed.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_line(self)
    }
}

/// One line of JSON and a line feed: the stored form of whatever is signed.
pub(crate) fn to_line(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("the format's types have string keys and no failing serializer");
    bytes.push(b'\n');
    bytes
}

/// A trust object, by number and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRef {
    /// Which.
    pub number: u64,
    /// Of its exact bytes.
    pub sha256: Sha256,
}

/// A number that holds no valid entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoidRef {
    /// Which.
    pub number: EntryNumber,
    /// Why, for a person.
    pub reason: String,
}

/// A recovery point, by id and by the exact bytes of its entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointRef {
    /// Which.
    pub id: RecoveryPointId,
    /// Of its entry's bytes.
    pub sha256: Sha256,
}
