//! What can go wrong in a repository.

use std::{io, path::PathBuf};

use super::{record::VoidReason, trust::TrustProblem};
use crate::{
    model::{EntryNumber, InvalidId, Lineage, ObjectKey, RecoveryPointId, Sha256, VaultId},
    pipeline::PipelineError,
    storage::StoreError,
};

/// Why something could not be done with a repository.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The object store failed.
    #[error("the object store failed")]
    Store(#[from] StoreError),
    /// An object that must be there is not.
    #[error("{key} is missing in {store}")]
    Missing {
        /// Which.
        key: ObjectKey,
        /// Where.
        store: String,
    },
    /// An object is not what it should be.
    #[error("{key} is damaged: {what}")]
    Damaged {
        /// Which.
        key: ObjectKey,
        /// In what way.
        what: String,
    },
    /// An object that should not have been there was put by somebody else.
    #[error("{key} holds something else than what belongs there: {what}")]
    Forged {
        /// Which.
        key: ObjectKey,
        /// What is wrong with it.
        what: String,
    },
    /// A trust object is void.
    #[error("trust object {number} is void: {problem}")]
    Trust {
        /// Which.
        number: u64,
        /// Why.
        problem: TrustProblem,
    },
    /// The root signed two different trust objects with one number.
    #[error("there are two valid trust objects with the number {number}")]
    TrustFork {
        /// Which.
        number: u64,
    },
    /// The new trust object would be void.
    #[error("the new trust object would be void: {problem}")]
    TrustRefused {
        /// Why.
        problem: TrustProblem,
    },
    /// Two different valid entries claim one number.
    #[error("the record of {lineage} is forked at {}: {one} and {other} are both valid", number.0)]
    Fork {
        /// Whose record.
        lineage: Box<Lineage>,
        /// Where.
        number: EntryNumber,
        /// Digest of one entry.
        one: Sha256,
        /// Digest of the other.
        other: Sha256,
    },
    /// What was seen before at a number is there no more.
    #[error("entry {} of {lineage} was {remembered} when it was read last, and now it is {found}", number.0)]
    Rewritten {
        /// Whose record.
        lineage: Box<Lineage>,
        /// Where.
        number: EntryNumber,
        /// Digest of what was seen.
        remembered: Sha256,
        /// What is there now: a digest, or `nothing`.
        found: String,
    },
    /// An entry is missing below others.
    #[error("entry {} of {lineage} is missing, and {} entries above it are there", number.0, above)]
    Gap {
        /// Whose record.
        lineage: Lineage,
        /// The first missing number.
        number: EntryNumber,
        /// How many signed entries lie above it.
        above: u64,
    },
    /// This location ends before what was seen in it.
    #[error("the record of {lineage} ends at {}, and it went on to {} when it was read last", found.0, remembered.0)]
    Behind {
        /// Whose record.
        lineage: Lineage,
        /// Its last number now.
        found: EntryNumber,
        /// Its last number then.
        remembered: EntryNumber,
    },
    /// The epoch of a point takes no further points.
    #[error("the epoch of this point was closed by another process before the point was written")]
    EpochClosed {
        /// Whose record.
        lineage: Lineage,
    },
    /// The entry would be void.
    #[error("a {kind} cannot be written to the record of {lineage} now: {reason}")]
    Refused {
        /// Whose record.
        lineage: Box<Lineage>,
        /// The kind of entry.
        kind: &'static str,
        /// Why.
        reason: VoidReason,
    },
    /// Too many objects in a row that are not entries.
    #[error("{voids} objects in a row in the record of {lineage} are not valid entries")]
    Stuck {
        /// Whose record.
        lineage: Lineage,
        /// How many.
        voids: usize,
    },
    /// Other writers were always faster.
    #[error("{tries} times another process was faster in writing to the record of {lineage}")]
    Contended {
        /// Whose record.
        lineage: Lineage,
        /// How often.
        tries: usize,
    },
    /// None of the given identities opens a vault.
    #[error("none of the given identities opens vault {vault}")]
    WrongIdentity {
        /// Which.
        vault: VaultId,
    },
    /// The trust does not name a vault.
    #[error("the trust names no vault {vault}")]
    UnknownVault {
        /// Which.
        vault: VaultId,
    },
    /// A vault's object does not hold the identity that the trust names.
    #[error("what {key} holds is not the identity of the vault that the trust names")]
    ForgedVault {
        /// Which object.
        key: ObjectKey,
    },
    /// Sealing or opening failed.
    #[error("cannot seal or open {what}")]
    Seal {
        /// What.
        what: String,
        /// Why.
        source: Box<PipelineError>,
    },
    /// An identity or state file could not be read or written.
    #[error("cannot read or write {}", path.display())]
    IdentityIo {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An identity or state file is not usable.
    #[error("{} is refused: {rule}", path.display())]
    IdentityRefused {
        /// Which.
        path: PathBuf,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// An identity file is of another kind.
    #[error("{} is a {found} file, and a {wanted} file is needed", path.display())]
    IdentityKind {
        /// Which.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What is needed.
        wanted: &'static str,
    },
    /// No point fits a selector.
    #[error("no recovery point of {lineage} fits {selector}: {why}")]
    NoPoint {
        /// Whose record.
        lineage: Lineage,
        /// What was asked for.
        selector: String,
        /// Why none fits.
        why: &'static str,
    },
    /// A point's objects were deleted.
    #[error("recovery point {point} was pruned")]
    Pruned {
        /// Which.
        point: RecoveryPointId,
    },
    /// A text is not an identifier.
    #[error("what was given cannot be used")]
    Invalid(#[from] InvalidId),
}

/// What a caller can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What is stored is incomplete or not what was written.
    Damage,
    /// Somebody put what does not belong there.
    Forgery,
    /// What was asked for is not there.
    NotFound,
    /// Other processes were faster; trying again is right.
    Conflict,
    /// The run must open a new epoch and write its point again.
    EpochClosed,
    /// Two histories: a person must choose.
    Fork,
    /// A person is needed before anything can be written.
    Stuck,
    /// The object store failed; see its own kind.
    Store,
    /// The signer may not do this, or the identity opens nothing.
    NotAllowed,
    /// What was given cannot be used.
    Input,
}

impl RepositoryError {
    /// The kind of the error, to branch on.
    pub fn kind(&self) -> ErrorKind {
        use RepositoryError as E;
        match self {
            E::Store(_) => ErrorKind::Store,
            E::Missing { .. } | E::NoPoint { .. } | E::Pruned { .. } | E::UnknownVault { .. } => ErrorKind::NotFound,
            E::Trust { problem: TrustProblem::Missing, number: 1 } => ErrorKind::NotFound,
            E::Trust { problem: TrustProblem::Missing | TrustProblem::NoSignature, .. } => ErrorKind::Damage,
            E::Damaged { .. } | E::Gap { .. } | E::Behind { .. } => ErrorKind::Damage,
            E::Forged { .. } | E::Trust { .. } | E::ForgedVault { .. } => ErrorKind::Forgery,
            E::Fork { .. } | E::TrustFork { .. } | E::Rewritten { .. } => ErrorKind::Fork,
            E::EpochClosed { .. } => ErrorKind::EpochClosed,
            E::Stuck { .. } => ErrorKind::Stuck,
            E::Contended { .. } => ErrorKind::Conflict,
            E::Refused { .. } | E::WrongIdentity { .. } => ErrorKind::NotAllowed,
            E::TrustRefused { .. } | E::IdentityIo { .. } | E::IdentityRefused { .. } | E::IdentityKind { .. } | E::Invalid(_) => ErrorKind::Input,
            E::Seal { source, .. } => match source.kind() {
                crate::pipeline::ErrorKind::WrongKey => ErrorKind::NotAllowed,
                crate::pipeline::ErrorKind::Invalid => ErrorKind::Input,
                _ => ErrorKind::Damage,
            },
        }
    }

    /// One thing to do or to check, when a person can mend it.
    pub fn hint(&self) -> Option<&'static str> {
        use RepositoryError as E;
        match self {
            E::Store(error) => error.hint(),
            E::Trust { problem: TrustProblem::Missing, number: 1 } => {
                Some("check the location's url: there is no repository, or its trust was not copied yet")
            }
            E::Trust { problem: TrustProblem::BadSignature(_), .. } => Some("compare `trust_root` in the configuration with the root's public key"),
            E::Trust { .. } => Some("read the repository from another location; a capture key needs no right to put under trust/"),
            E::Fork { .. } | E::TrustFork { .. } | E::Rewritten { .. } => {
                Some("stop writing, compare both entries with those of the other location, and find out who has the signing key")
            }
            E::Gap { .. } => Some("copy the missing entry from another location, or wait until replication has brought it"),
            E::Behind { .. } => Some("wait for replication, or read the other location; if nothing is replicated here, somebody removed entries"),
            E::EpochClosed { .. } => Some("run the backup again; it opens a new epoch"),
            E::Stuck { .. } => Some("find out who puts objects under record/, revoke that key, and promote the lineage"),
            E::Refused { .. } => Some("use a key that has the role for this, see `hourglass keys list`"),
            E::WrongIdentity { .. } => Some("give the operator file whose recipient the vault was wrapped to"),
            E::IdentityRefused { .. } => Some("give a key file that is yours alone: chmod 600"),
            E::ForgedVault { .. } => Some("use another wrapping of the vault, or read it from another location"),
            E::Seal { source, .. } => source.hint(),
            E::NoPoint { .. } => Some("see `hourglass points list`"),
            _ => None,
        }
    }
}
