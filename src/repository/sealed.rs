//! The sealed part of a point: what only the holder of a vault's key may know. Format: docs/format/manifest.md.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{layout::FORMAT, map::SegmentRef};
use crate::{
    model::{MemberName, Problem, RunId, Sha256},
    sources::Shape,
};

/// A restorable part of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedComponent {
    /// Its name, unique within the member.
    pub name: String,
    /// What it is.
    pub shape: Shape,
    /// Bytes of content.
    pub bytes: u64,
    /// Entries of a tree; 1 for a stream.
    pub items: u64,
    /// Of a stream, the SHA-256 of its bytes; of a tree, that of its segments' listing digests.
    pub digest: Sha256,
    /// Where its map lies.
    pub segments: Vec<SegmentRef>,
}

/// A member, as only the vault's holder sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedMember {
    /// Its name.
    pub name: MemberName,
    /// What was read: paths, argument vectors, hosts.
    pub source: BTreeMap<String, String>,
    /// What is missing or notable.
    pub problems: Vec<Problem>,
    /// Its components.
    pub components: Vec<SealedComponent>,
}

/// The sealed part of a point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedPoint {
    /// Version of the format: 1.
    pub format: u32,
    /// The run that wrote it.
    pub run: RunId,
    /// The members.
    pub members: Vec<SealedMember>,
}

impl SealedPoint {
    /// Reads the text of a sealed part.
    ///
    /// # Errors
    /// When it is not one of this format.
    pub fn parse(text: &[u8]) -> serde_json::Result<SealedPoint> {
        let sealed: SealedPoint = serde_json::from_slice(text)?;
        if sealed.format == FORMAT { Ok(sealed) } else { Err(serde::de::Error::custom("its format is unknown")) }
    }
}

/// The sealed part of an `epoch-open`: the key that names chunks, for whoever holds the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedEpoch {
    /// The lineage's chunk-id key, in hex.
    pub chunk_key: String,
}
