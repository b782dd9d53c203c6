//! What entries say: a closed set. See `docs/format/record.md`.

use serde::{Deserialize, Serialize};

use super::{
    entry::PointRef,
    point::{MemberOutcome, Point},
};
use crate::model::{Accepted, ByteCount, EntryNumber, EpochId, Lineage, MemberName, RunId, Sha256, Timestamp, VaultId};
pub use crate::model::{Class, EpochMode};

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Body {
    /// Points may be written to a new epoch.
    EpochOpen(EpochOpen),
    /// An epoch takes no further points.
    EpochClose(EpochClose),
    /// A recovery point: its manifest.
    Point(Box<Point>),
    /// A run made no point.
    Run(RunWithoutPoint),
    /// Points are given up.
    Expire(Expire),
    /// An epoch's objects were deleted.
    Prune(Prune),
    /// A point must be kept.
    Hold(Mark),
    /// All holds that this record laid on a point end.
    Release(Mark),
    /// A point is not chosen by itself any more.
    Suspect(Mark),
    /// Somebody looked.
    Proof(Proof),
    /// A restore ended.
    Restore(Restore),
    /// A recovery ended.
    Recovery(Box<Recovery>),
    /// This site writes the policy from here on.
    Promotion(Promotion),
}

impl Body {
    /// The manifest, of a point.
    pub fn point(&self) -> Option<&Point> {
        if let Body::Point(point) = self { Some(point) } else { None }
    }

    /// The name of its kind, as stored.
    pub fn kind(&self) -> &'static str {
        match self {
            Body::EpochOpen(_) => "epoch-open",
            Body::EpochClose(_) => "epoch-close",
            Body::Point(_) => "point",
            Body::Run(_) => "run",
            Body::Expire(_) => "expire",
            Body::Prune(_) => "prune",
            Body::Hold(_) => "hold",
            Body::Release(_) => "release",
            Body::Suspect(_) => "suspect",
            Body::Proof(_) => "proof",
            Body::Restore(_) => "restore",
            Body::Recovery(_) => "recovery",
            Body::Promotion(_) => "promotion",
        }
    }
}

/// Body of `epoch-open`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochOpen {
    /// Its name, never used before in this record.
    pub epoch: EpochId,
    /// How many points it takes.
    pub mode: EpochMode,
    /// To what its packs are encrypted.
    pub vault: VaultId,
    /// The retention classes that share it.
    pub classes: Vec<Class>,
    /// Until when its objects are locked in the store.
    pub retain_until: Option<Timestamp>,
    /// The sealed chunk-id key.
    pub sealed: Sha256,
}

/// Body of `epoch-close`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochClose {
    /// Which.
    pub epoch: EpochId,
    /// Why, for a person.
    pub reason: String,
}

/// Body of `run`: a run that made no point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunWithoutPoint {
    /// Which.
    pub run: RunId,
    /// How it ended.
    pub outcome: RunEnd,
    /// Why, for a person.
    pub reason: String,
}

/// How a run ends without a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunEnd {
    /// It could not.
    Failed,
    /// A person or a signal ended it.
    Cancelled,
    /// It never began.
    Missed,
}

/// Body of `expire`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expire {
    /// What is given up.
    pub points: Vec<ExpiredPoint>,
    /// The time that the decision was made with.
    pub seen: Timestamp,
    /// Nothing of it is deleted before.
    pub delete_after: Timestamp,
}

/// One point that is given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpiredPoint {
    /// Which, in this record.
    pub number: EntryNumber,
    /// Why, for a person.
    pub reason: String,
}

/// Body of `prune`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prune {
    /// Whose objects were deleted.
    pub epoch: EpochId,
    /// The `expire` entry that allows it.
    pub expire: EntryNumber,
    /// How many objects.
    pub objects: u64,
    /// Their size.
    pub bytes: ByteCount,
}

/// Body of `hold`, `release` and `suspect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Which point; may be of another lineage.
    pub point: PointRef,
    /// The person who decided.
    pub by: String,
    /// Why, for a person.
    pub reason: String,
}

/// Body of `proof`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Of what.
    pub of: Proven,
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Proven {
    /// Somebody with a private key opened a vault.
    Vault {
        /// Which.
        vault: VaultId,
        /// Through which wrapping.
        wrapping: Wrapping,
    },
    /// Somebody checked a point.
    Point {
        /// Which; may be of another lineage.
        point: PointRef,
        /// Where, as the configuration names it.
        location: String,
        /// How deep.
        depth: Depth,
        /// What came out.
        outcome: ProofOutcome,
        /// How many things are wrong.
        problems: u64,
    },
}

/// A wrapping that opened its vault, with what it takes to see without a key that it is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrapping {
    /// Its number.
    pub number: u64,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// How many they are.
    pub size: ByteCount,
}

/// How deep a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// Every object is there with its size.
    Present,
    /// Every object has its digest.
    Intact,
    /// Everything decrypts and decodes to its digest.
    Restorable,
    /// All of its members were restored and compared.
    Restored,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofOutcome {
    /// Everything as it should be.
    Passed,
    /// Something is wrong.
    Failed,
}

/// Body of `restore`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The run that restored.
    pub run: RunId,
    /// From what; may be of another lineage.
    pub point: PointRef,
    /// What became of its members.
    pub members: Vec<RestoredMember>,
    /// Who took a point that lacks members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

/// One member of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoredMember {
    /// Which.
    pub name: MemberName,
    /// How it ended.
    pub outcome: MemberOutcome,
    /// Whether what came back was read and found equal.
    pub compared: bool,
}

/// Body of `recovery`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// The run.
    pub run: RunId,
    /// Name of its runbook.
    pub runbook: String,
    /// Of the runbook's bytes.
    pub runbook_sha256: Sha256,
    /// From what; may be of another lineage; null when nothing was restored.
    pub point: Option<PointRef>,
    /// How it ended.
    pub outcome: RecoveryOutcome,
    /// When the disaster happened, if that is known.
    pub event: Option<Timestamp>,
    /// When the clock started.
    pub declared: Timestamp,
    /// When everything that the service needs was done; null when that was not reached.
    pub service_green: Option<Timestamp>,
    /// When everything was done; null when that was not reached.
    pub full_green: Option<Timestamp>,
    /// What became of the members that were restored.
    pub members: Vec<RestoredMember>,
    /// How many orders of people changed its course.
    pub deviations: u64,
    /// Of the report, as JSON.
    pub report: Sha256,
    /// When it ended.
    pub ended: Timestamp,
}

/// Body of `promotion`: the first entry of a lineage that continues another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// Where the record that it continues ended.
    pub parent: HeadRef,
    /// The recovery that did it, if one did.
    pub run: Option<RunId>,
    /// The person who decided.
    pub by: String,
    /// Why, for a person.
    pub reason: String,
}

/// The head of a record, by number and exact bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadRef {
    /// Whose record.
    pub lineage: Lineage,
    /// Number of its last valid entry; 0 when there is none.
    pub number: EntryNumber,
    /// Of that entry's bytes; zeros when there is none.
    pub sha256: Sha256,
}

/// How a recovery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveryOutcome {
    /// Everything was done and checked.
    Succeeded,
    /// Required steps were skipped.
    Incomplete,
    /// A person gave it up.
    Cancelled,
}
