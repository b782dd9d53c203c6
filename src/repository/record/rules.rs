//! Validity: a pure function of bytes and their order. See `docs/format/record.md`.

use std::sync::Arc;

use super::{
    body::{Body, Depth, Proven},
    entry::{Entry, MAX_ENTRY, VoidRef},
    state::State,
};
use crate::{
    model::{EntryNumber, EpochId, Lineage, RepositoryId, Sha256, VaultId},
    repository::{
        keys::{PublicKey, sign::InvalidSignature},
        layout,
        trust::{Role, Signer, Trust, TrustChain},
    },
};

/// Why what lies under a number is not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoidReason {
    /// Rule 1.
    #[error("it is larger than 1 MiB")]
    TooLarge,
    /// Rule 1.
    #[error("it is not an entry of a known format")]
    Unreadable,
    /// Rule 1.
    #[error("it belongs to another repository")]
    OtherRepository,
    /// Rule 1.
    #[error("it belongs to the record of {0}")]
    OtherLineage(Lineage),
    /// Rule 1.
    #[error("it names the number {} instead of that of its key", .0.0)]
    OtherNumber(EntryNumber),
    /// Rule 2.
    #[error("it has no signature")]
    NoSignature,
    /// Rule 2.
    #[error("its signature is not valid: {0}")]
    BadSignature(InvalidSignature),
    /// Rule 3.
    #[error("it names trust object {0}, which is not a valid one")]
    UnknownTrust(u64),
    /// Rule 3.
    #[error("it names trust object {0}, and an entry before it names a later one")]
    OldTrust(u64),
    /// Rule 3.
    #[error("the key {0} may not write a {1} here")]
    NotAllowed(PublicKey, &'static str),
    /// Rule 3.
    #[error("the key {0} was revoked at this number")]
    Revoked(PublicKey),
    /// Rule 4.
    #[error("it does not name the valid entry before it")]
    WrongPrev,
    /// Rule 5.
    #[error("it does not list the void numbers before it")]
    WrongVoid,
    /// Rule 6.
    #[error("epoch {0} was not opened")]
    UnknownEpoch(EpochId),
    /// Rule 6.
    #[error("epoch {0} was opened before")]
    EpochExists(EpochId),
    /// Rule 6.
    #[error("epoch {0} is closed")]
    EpochClosed(EpochId),
    /// Rule 6.
    #[error("epoch {0} is not closed")]
    EpochOpen(EpochId),
    /// Rule 6.
    #[error("vault {0} is not that of the epoch, or not one that the trust names")]
    OtherVault(VaultId),
    /// Rule 6.
    #[error("there is no point {}", .0.0)]
    UnknownPoint(EntryNumber),
    /// Rule 6.
    #[error("a promotion is the first entry of its record")]
    NotFirst,
    /// Rule 6.
    #[error("it cannot continue {0}")]
    OtherParent(Lineage),
    /// Rule 6.
    #[error("entry {} is not an expire", .0.0)]
    NoExpire(EntryNumber),
}

/// The end of the valid entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of the last valid entry; 0 before the first.
    pub number: EntryNumber,
    /// Digest of its bytes; zeros before the first.
    pub sha256: Sha256,
}

/// Reads a record upwards, entry by entry.
#[derive(Debug, Clone)]
pub struct Fold {
    repository: RepositoryId,
    lineage: Lineage,
    trusts: Arc<TrustChain>,
    head: Head,
    trust: u64,
    voids: Vec<VoidRef>,
    state: State,
}

impl Fold {
    /// Before the first entry.
    pub fn new(repository: RepositoryId, lineage: Lineage, trusts: Arc<TrustChain>) -> Fold {
        let head = Head { number: EntryNumber(0), sha256: Sha256::ZERO };
        Fold { repository, lineage, trusts, head, trust: 0, voids: Vec::new(), state: State::default() }
    }

    /// Whose record.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// In which repository.
    pub fn repository(&self) -> &RepositoryId {
        &self.repository
    }

    /// Whom it believes.
    pub fn trusts(&self) -> &Arc<TrustChain> {
        &self.trusts
    }

    /// The last valid entry.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The void numbers since the last valid entry.
    pub fn voids(&self) -> &[VoidRef] {
        &self.voids
    }

    /// What the valid entries add up to.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The number to look at next.
    pub fn next(&self) -> EntryNumber {
        self.voids.last().map_or(self.head.number, |void| void.number).next()
    }

    /// Rules 1 to 3, without what depends on the entries before: whether somebody who may has signed this for this place.
    pub fn authentic(&self, number: EntryNumber, bytes: &[u8], signature: Option<&str>) -> Result<Entry, VoidReason> {
        if bytes.len() as u64 > MAX_ENTRY.0 {
            return Err(VoidReason::TooLarge);
        }
        let entry = Entry::parse(bytes).ok_or(VoidReason::Unreadable)?;
        if entry.repository != self.repository {
            return Err(VoidReason::OtherRepository);
        }
        if entry.lineage != self.lineage {
            return Err(VoidReason::OtherLineage(entry.lineage));
        }
        if entry.number != number {
            return Err(VoidReason::OtherNumber(entry.number));
        }
        let signature = signature.ok_or(VoidReason::NoSignature)?;
        entry.signer.verify(&layout::record(&self.lineage, number), bytes, signature).map_err(VoidReason::BadSignature)?;
        let trust = self.trusts.get(&entry.trust).ok_or(VoidReason::UnknownTrust(entry.trust.number))?;
        if !trust.signers.iter().any(|signer| signer.key == entry.signer && may_write(signer, &self.lineage, &entry.body)) {
            return Err(VoidReason::NotAllowed(entry.signer, entry.body.kind()));
        }
        match self.trusts.is_revoked(trust.number, &entry.signer, &self.lineage, number) {
            true => Err(VoidReason::Revoked(entry.signer)),
            false => Ok(entry),
        }
    }

    /// All rules, for what lies under [`Fold::next`].
    pub fn judge(&self, bytes: &[u8], signature: Option<&str>) -> Result<Entry, VoidReason> {
        let entry = self.authentic(self.next(), bytes, signature)?;
        if entry.trust.number < self.trust {
            return Err(VoidReason::OldTrust(entry.trust.number));
        }
        if entry.prev != self.head.sha256 {
            return Err(VoidReason::WrongPrev);
        }
        if !entry.void.iter().map(|void| void.number).eq(self.voids.iter().map(|void| void.number)) {
            return Err(VoidReason::WrongVoid);
        }
        let trust = self.trusts.get(&entry.trust).ok_or(VoidReason::UnknownTrust(entry.trust.number))?;
        self.possible(&entry.body, trust)?;
        Ok(entry)
    }

    /// Rule 6.
    fn possible(&self, body: &Body, trust: &Trust) -> Result<(), VoidReason> {
        match body {
            Body::EpochOpen(open) if trust.vault(&open.vault).is_none() => Err(VoidReason::OtherVault(open.vault.clone())),
            Body::Promotion(_) if self.head.number != EntryNumber(0) => Err(VoidReason::NotFirst),
            Body::Promotion(promotion) if !self.may_continue(&promotion.parent.lineage) => {
                Err(VoidReason::OtherParent(promotion.parent.lineage.clone()))
            }
            _ => self.state.allows(body),
        }
    }

    /// Of the same policy, at another site or of an earlier generation.
    fn may_continue(&self, parent: &Lineage) -> bool {
        let own = &self.lineage;
        parent.policy == own.policy && (parent.site != own.site || parent.generation < own.generation)
    }

    /// Takes in an entry that [`Fold::judge`] found valid.
    pub fn accept(&mut self, entry: &Entry, sha256: Sha256) {
        self.head = Head { number: entry.number, sha256 };
        self.trust = entry.trust.number;
        self.voids.clear();
        self.state.add(entry, sha256);
    }

    /// Takes notice that [`Fold::next`] holds no valid entry.
    pub fn reject(&mut self, reason: &VoidReason) {
        let number = self.next();
        self.voids.push(VoidRef { number, reason: reason.to_string() });
    }
}

/// The table of kinds and roles.
fn may_write(signer: &Signer, lineage: &Lineage, body: &Body) -> bool {
    match signer.role {
        Role::Operator => true,
        Role::Expire => matches!(body, Body::Expire(_) | Body::Prune(_) | Body::EpochClose(_)),
        Role::Verify => matches!(body, Body::Proof(_)),
        Role::Capture if signer.site.as_ref() != Some(&lineage.site) => false,
        Role::Capture => match body {
            Body::EpochOpen(_) | Body::EpochClose(_) | Body::Point(_) | Body::Run(_) => true,
            Body::Proof(proof) => matches!(&proof.of, Proven::Point { depth: Depth::Present | Depth::Intact, .. }),
            _ => false,
        },
    }
}
