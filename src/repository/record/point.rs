//! The manifest: the body of a `point`. See `docs/format/manifest.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::body::Class;
use crate::model::{ByteCount, EpochId, MemberName, Outcome, RunId, Sha256, Timestamp, VaultId};

/// Body of `point`: the public part of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The run that made it.
    pub run: RunId,
    /// Where its packs lie.
    pub epoch: EpochId,
    /// To what they are encrypted.
    pub vault: VaultId,
    /// When the run began.
    pub started: Timestamp,
    /// When the last member was captured.
    pub ended: Timestamp,
    /// Every required member succeeded and the skew was within the policy's bound.
    pub complete: bool,
    /// What was captured, by name.
    pub members: Vec<PointMember>,
    /// Latest `consistent_to` minus earliest `consistent_from`, in milliseconds.
    pub skew_ms: u64,
    /// Every pack that a restore needs.
    pub pack_lists: Vec<PackListRef>,
    /// Size of these packs.
    pub needed_bytes: ByteCount,
    /// The part of them that this point uses.
    pub live_bytes: ByteCount,
    /// What this run added.
    pub stored_bytes: ByteCount,
    /// Index fragments that a later run of this epoch may use.
    pub index: Vec<Sha256>,
    /// Hint fragments that a later run of this epoch may use.
    pub hints: Vec<Sha256>,
    /// The sealed part of the manifest.
    pub sealed: Sha256,
    /// What the policy wanted when it was made.
    pub retention: PointRetention,
}

impl Point {
    /// Begin of the time that its data represents: the earliest of its members; of a point without members, when the run began.
    pub fn consistent_from(&self) -> Timestamp {
        self.members.iter().map(|member| member.consistent_from).min().unwrap_or(self.started)
    }
}

/// One member of a point, in public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointMember {
    /// Which.
    pub name: MemberName,
    /// Whether the point is incomplete without it.
    pub required: bool,
    /// Kind of source: `files`, `command`.
    pub source: String,
    /// How its capture ended.
    pub outcome: MemberOutcome,
    /// Begin of the time that its data represents.
    pub consistent_from: Timestamp,
    /// End of the time that its data represents.
    pub consistent_to: Timestamp,
    /// Bytes read.
    pub bytes: ByteCount,
    /// Files, rows or objects.
    pub items: u64,
    /// Versions of what was read, by name.
    pub versions: BTreeMap<String, String>,
}

/// How a member's capture ended, without what only the vault may tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OutcomeWire", into = "OutcomeWire")]
pub enum MemberOutcome {
    /// Everything was read and checked.
    Succeeded,
    /// Something is missing; the sealed part says what.
    Incomplete {
        /// How many things.
        missing: u64,
    },
    /// Nothing of it is stored.
    Failed,
}

/// As stored. (A tagged enum would let unknown keys pass beside variants without fields.)
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeWire {
    outcome: OutcomeKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missing: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OutcomeKind {
    Succeeded,
    Incomplete,
    Failed,
}

impl TryFrom<OutcomeWire> for MemberOutcome {
    type Error = &'static str;
    fn try_from(wire: OutcomeWire) -> Result<Self, &'static str> {
        match (wire.outcome, wire.missing) {
            (OutcomeKind::Succeeded, None) => Ok(MemberOutcome::Succeeded),
            (OutcomeKind::Incomplete, Some(missing)) => Ok(MemberOutcome::Incomplete { missing }),
            (OutcomeKind::Failed, None) => Ok(MemberOutcome::Failed),
            _ => Err("`missing` goes with `incomplete`, and with nothing else"),
        }
    }
}

impl From<MemberOutcome> for OutcomeWire {
    fn from(outcome: MemberOutcome) -> OutcomeWire {
        match outcome {
            MemberOutcome::Succeeded => OutcomeWire { outcome: OutcomeKind::Succeeded, missing: None },
            MemberOutcome::Incomplete { missing } => OutcomeWire { outcome: OutcomeKind::Incomplete, missing: Some(missing) },
            MemberOutcome::Failed => OutcomeWire { outcome: OutcomeKind::Failed, missing: None },
        }
    }
}

impl From<&Outcome> for MemberOutcome {
    /// A capture that was cancelled or is stuck has failed.
    fn from(outcome: &Outcome) -> MemberOutcome {
        match outcome {
            Outcome::Succeeded => MemberOutcome::Succeeded,
            Outcome::Incomplete { missing } => MemberOutcome::Incomplete { missing: missing.len() as u64 },
            Outcome::Failed { .. } | Outcome::Cancelled { .. } | Outcome::Stuck { .. } => MemberOutcome::Failed,
        }
    }
}

/// The packs of one list that a point needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackListRef {
    /// The list.
    pub sha256: Sha256,
    /// Positions in it, from 0: `0-17,19`.
    pub needed: String,
}

/// What the policy wanted of a point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointRetention {
    /// The classes that it may be kept by.
    pub classes: Vec<Class>,
}
