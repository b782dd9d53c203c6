//! The sealed part of a point: what only the holder of a vault's key may know. Format: docs/format/manifest.md.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{layout::FORMAT, map::SegmentRef};
use crate::{
    model::{MemberName, Problem, RunId, Sha256},
    sources::{Component, RowDigest, RowKey, Shape},
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
    /// See [`Component::stage`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stage: u8,
    /// See [`Component::about`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub about: BTreeMap<String, String>,
    /// The digest of its rows, where it has rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowDigest>,
}

fn is_zero(stage: &u8) -> bool {
    *stage == 0
}

impl SealedComponent {
    /// As its source knows it.
    pub fn component(&self) -> Component {
        Component { name: self.name.clone(), shape: self.shape, stage: self.stage, about: self.about.clone() }
    }
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
    /// Where the source's own logs stood.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub position: BTreeMap<String, String>,
    /// What the source could not preserve, and what a person who restores should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Problem>,
    /// The key of the digests of its rows, where it has rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_key: Option<RowKey>,
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
