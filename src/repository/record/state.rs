//! What a record says in sum, up to an entry.

use std::collections::BTreeMap;

use super::{
    body::{Body, Depth, EpochMode, EpochOpen, Promotion, ProofOutcome, Proven, Wrapping},
    entry::{Entry, PointRef},
    rules::VoidReason,
};
use crate::model::{EntryNumber, EpochId, RecoveryPointId, Sha256, Timestamp, VaultId};

/// One epoch.
#[derive(Debug, Clone)]
pub struct Epoch {
    /// The entry that opened it.
    pub opened: EntryNumber,
    /// When that was written, as its writer says.
    pub since: Timestamp,
    /// What that entry says.
    pub open: EpochOpen,
    /// The entry that closed it: its close, or the point of a `single` epoch.
    pub closed: Option<EntryNumber>,
    /// Its points.
    pub points: Vec<EntryNumber>,
    /// The entry that tells of its deletion.
    pub pruned: Option<EntryNumber>,
}

/// The decision that gave a point up.
#[derive(Debug, Clone)]
pub struct Expiry {
    /// The entry.
    pub by: EntryNumber,
    /// Why.
    pub reason: String,
    /// Nothing is deleted before.
    pub delete_after: Timestamp,
}

/// Everything that valid entries add up to.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// All epochs.
    pub epochs: BTreeMap<EpochId, Epoch>,
    /// All points: the digest of the entry, and the epoch.
    pub points: BTreeMap<EntryNumber, (Sha256, EpochId)>,
    /// Holds that this record lays, on points of any lineage: the entries. A release ends all of them for its point.
    pub holds: BTreeMap<PointRef, Vec<EntryNumber>>,
    /// Points of any lineage that this record calls suspect: the entries.
    pub suspects: BTreeMap<PointRef, Vec<EntryNumber>>,
    /// Points of this lineage that were given up.
    pub expired: BTreeMap<EntryNumber, Expiry>,
    /// All `expire` entries, and when each allows deletion.
    pub expires: BTreeMap<EntryNumber, Timestamp>,
    /// Vaults that somebody with a private key has opened: through which wrapping last.
    pub proven_vaults: BTreeMap<VaultId, Wrapping>,
    /// Points of any lineage that passed a proof of depth `restorable` or `restored`: the deepest.
    pub verified: BTreeMap<PointRef, Depth>,
    /// The promotion that the record begins with, if it does.
    pub promotion: Option<Promotion>,
}

impl State {
    /// The epochs that take points.
    pub fn open_epochs(&self) -> impl Iterator<Item = (&EpochId, &Epoch)> {
        self.epochs.iter().filter(|(_, epoch)| epoch.closed.is_none())
    }

    /// Whether the epoch takes points.
    pub fn is_open(&self, id: &EpochId) -> bool {
        self.epochs.get(id).is_some_and(|epoch| epoch.closed.is_none())
    }

    /// To what the packs of a point are encrypted.
    pub fn vault(&self, point: EntryNumber) -> Option<&VaultId> {
        let (_, epoch) = self.points.get(&point)?;
        Some(&self.epochs.get(epoch)?.open.vault)
    }

    /// Rule 6: whether `body` is possible now.
    pub(super) fn allows(&self, body: &Body) -> Result<(), VoidReason> {
        let open = |id: &EpochId| match self.epochs.get(id) {
            None => Err(VoidReason::UnknownEpoch(id.clone())),
            Some(epoch) if epoch.closed.is_some() => Err(VoidReason::EpochClosed(id.clone())),
            Some(epoch) => Ok(epoch),
        };
        match body {
            Body::EpochOpen(new) if self.epochs.contains_key(&new.epoch) => Err(VoidReason::EpochExists(new.epoch.clone())),
            Body::EpochClose(close) => open(&close.epoch).map(drop),
            Body::Point(point) if open(&point.epoch)?.open.vault != point.vault => Err(VoidReason::OtherVault(point.vault.clone())),
            Body::Expire(expire) => match expire.points.iter().find(|point| !self.points.contains_key(&point.number)) {
                Some(point) => Err(VoidReason::UnknownPoint(point.number)),
                None => Ok(()),
            },
            Body::Prune(prune) => match self.epochs.get(&prune.epoch) {
                None => Err(VoidReason::UnknownEpoch(prune.epoch.clone())),
                Some(epoch) if epoch.closed.is_none() => Err(VoidReason::EpochOpen(prune.epoch.clone())),
                Some(_) if !self.expires.contains_key(&prune.expire) => Err(VoidReason::NoExpire(prune.expire)),
                Some(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Adds a valid entry.
    pub(super) fn add(&mut self, entry: &Entry, sha256: Sha256) {
        let number = entry.number;
        match &entry.body {
            Body::EpochOpen(open) => {
                let epoch = Epoch { opened: number, since: entry.written, open: open.clone(), closed: None, points: Vec::new(), pruned: None };
                self.epochs.insert(open.epoch.clone(), epoch);
            }
            Body::EpochClose(close) => self.epoch(&close.epoch).closed = Some(number),
            Body::Point(point) => {
                self.points.insert(number, (sha256, point.epoch.clone()));
                let epoch = self.epoch(&point.epoch);
                epoch.points.push(number);
                epoch.closed = (epoch.open.mode == EpochMode::Single).then_some(number);
            }
            Body::Expire(expire) => {
                self.expires.insert(number, expire.delete_after);
                for point in &expire.points {
                    let expiry = Expiry { by: number, reason: point.reason.clone(), delete_after: expire.delete_after };
                    self.expired.entry(point.number).or_insert(expiry);
                }
            }
            Body::Prune(prune) => self.epoch(&prune.epoch).pruned = Some(number),
            Body::Hold(mark) => self.holds.entry(mark.point.clone()).or_default().push(number),
            Body::Release(mark) => drop(self.holds.remove(&mark.point)),
            Body::Suspect(mark) => self.suspects.entry(mark.point.clone()).or_default().push(number),
            Body::Proof(proof) => self.prove(&proof.of),
            Body::Promotion(promotion) => self.promotion = Some(promotion.clone()),
            Body::Run(_) | Body::Restore(_) | Body::Recovery(_) => {}
        }
    }

    fn epoch(&mut self, id: &EpochId) -> &mut Epoch {
        self.epochs.get_mut(id).expect("a valid entry names an epoch that exists")
    }

    fn prove(&mut self, proven: &Proven) {
        match proven {
            Proven::Vault { vault, wrapping } => drop(self.proven_vaults.insert(vault.clone(), *wrapping)),
            Proven::Point { point, depth, outcome: ProofOutcome::Passed, .. } if *depth >= Depth::Restorable => {
                let deepest = self.verified.entry(point.clone()).or_insert(*depth);
                *deepest = (*deepest).max(*depth);
            }
            Proven::Point { .. } => {}
        }
    }

    /// Whether this record holds the point.
    pub fn is_held(&self, id: &RecoveryPointId, sha256: Sha256) -> bool {
        self.holds.contains_key(&PointRef { id: id.clone(), sha256 })
    }
}
