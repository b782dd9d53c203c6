//! A record as one location shows it.

use std::{pin::pin, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    append::MOST_VOIDS,
    body::Promotion,
    copies::Copies,
    entry::{Entry, PointRef},
    keep::{Keep, Whole},
    listing::{Numbered, Shown, find, numbers},
    rules::{Fold, Head, VoidReason},
    state::State,
};
use crate::{
    model::{EntryNumber, Lineage, RecoveryPointId, Sha256},
    repository::{
        RepositoryError,
        fetch::{Found, current, every_version, settle},
        layout,
        trust::TrustChain,
    },
    storage::ObjectStore,
};

/// Entries that are fetched at a time.
const FETCHES: usize = 16;

/// An entry that is valid, with the digest of its bytes.
#[derive(Debug, Clone)]
pub struct ValidEntry {
    /// The entry.
    pub entry: Arc<Entry>,
    /// Of its exact bytes.
    pub sha256: Sha256,
}

/// A number that holds no valid entry.
#[derive(Debug, Clone)]
pub struct Void {
    /// Which.
    pub number: EntryNumber,
    /// Why.
    pub reason: VoidReason,
    /// Of what lies there; `None` when it was too large to be read.
    pub sha256: Option<Sha256>,
}

/// Entries that are missing below others: loss, damage, or a copy that has not arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first missing number.
    pub number: EntryNumber,
    /// The highest number above it at which somebody who may has signed something.
    pub highest: EntryNumber,
    /// How many such numbers there are.
    pub above: u64,
}

/// A record, read from one location and judged. Of its entries `K` is kept.
#[derive(Debug, Clone)]
pub struct Record<K = Whole> {
    pub(super) fold: Fold,
    pub(super) kept: K,
    /// What the last valid entry names as the one before it.
    before_head: Sha256,
    pub(super) voids: Vec<Void>,
    pub(super) gap: Option<Gap>,
    pub(super) strays: Vec<EntryNumber>,
    pub(super) covered: Vec<EntryNumber>,
}

impl Record {
    /// Reads the record of `lineage`, every entry from the store, and keeps all of them. Objects that are missing or void are looked for among their older versions.
    ///
    /// Errors: the store's; `Fork` when two versions of one entry are both valid.
    pub async fn load(store: &dyn ObjectStore, trusts: &Arc<TrustChain>, lineage: &Lineage) -> Result<Record, RepositoryError> {
        Record::load_beside(store, trusts, lineage, &Copies::none()).await
    }

    /// The promotion that `lineage` begins with, if it does: nothing after its first valid entry is read.
    ///
    /// # Errors
    /// The store's; `Fork` when two versions of the entry are both valid.
    pub async fn opening(store: &dyn ObjectStore, trusts: &Arc<TrustChain>, lineage: &Lineage) -> Result<Option<Promotion>, RepositoryError> {
        let mut record = Record::<Whole>::empty(trusts, lineage)?;
        while record.head().is_none() && record.voids.len() < MOST_VOIDS && record.take(store, record.fold.next(), None).await? {}
        Ok(record.promotion().cloned())
    }

    /// The valid entries, in order.
    pub fn entries(&self) -> &[ValidEntry] {
        &self.kept.entries
    }

    /// The valid entry of this number.
    pub fn entry(&self, number: EntryNumber) -> Option<&ValidEntry> {
        self.kept.entry(number)
    }
}

impl<K: Keep> Record<K> {
    /// As [`Record::load`], but an entry of which `copies` has one, and that the listing shows unchanged, is not asked for again.
    ///
    /// Errors: those of [`Record::load`].
    pub async fn load_beside(
        store: &dyn ObjectStore,
        trusts: &Arc<TrustChain>,
        lineage: &Lineage,
        copies: &Copies,
    ) -> Result<Record<K>, RepositoryError> {
        let mut record = Record::<K>::empty(trusts, lineage)?;
        let mut found = pin!(stream::iter(numbers(store, lineage).await?).map(|at| find(store, lineage, copies, at)).buffered(FETCHES));
        let mut signed = Vec::new();
        let mut is_over = false;
        while let Some((listed, shown)) = found.try_next().await? {
            let number = listed.number;
            // A list may be stale; what it lacks is found by asking for one number after the other.
            while !is_over && record.fold.next() < number {
                is_over = !record.take(store, record.fold.next(), None).await?;
            }
            if is_over {
                record.look_above(number, shown, &mut signed);
            } else if record.fold.next() == number {
                is_over = !record.take_listed(store, &listed, shown, copies).await?;
            }
        }
        while !is_over {
            is_over = !record.take(store, record.fold.next(), None).await?;
        }
        record.gap = signed.last().map(|highest| Gap { number: record.fold.next(), highest: *highest, above: signed.len() as u64 });
        Ok(record)
    }

    /// The promotion that it begins with, if it does.
    pub fn promotion(&self) -> Option<&Promotion> {
        self.state().promotion.as_ref()
    }

    fn empty(trusts: &Arc<TrustChain>, lineage: &Lineage) -> Result<Record<K>, RepositoryError> {
        let repository = trusts.repository().ok_or(RepositoryError::Trust { number: 1, problem: crate::repository::trust::TrustProblem::Missing })?;
        let fold = Fold::new(repository.clone(), lineage.clone(), trusts.clone());
        Ok(Record { fold, kept: K::default(), before_head: Sha256::ZERO, voids: Vec::new(), gap: None, strays: Vec::new(), covered: Vec::new() })
    }

    /// Judges the copy of what is listed, at the next number, or what lies there. False when nothing does.
    async fn take_listed(
        &mut self,
        store: &dyn ObjectStore,
        listed: &Numbered,
        shown: Option<Shown>,
        copies: &Copies,
    ) -> Result<bool, RepositoryError> {
        let number = listed.number;
        let stored = match shown {
            Some(Shown::Copy(copy)) => match copy.judge(|bytes, text| self.fold.judge(bytes, text)) {
                Ok(entry) => {
                    self.accept(entry, copy.sha256);
                    return Ok(true);
                }
                Err(_) => {
                    let lineage = self.fold.lineage();
                    current(store, &layout::record(lineage, number), |sha256| layout::signature(lineage, sha256)).await?
                }
            },
            Some(Shown::Object(stored)) => Some(stored),
            other => return self.take(store, number, other).await,
        };
        let is_there = self.take(store, number, stored.clone().map(Shown::Object)).await?;
        match stored.filter(|stored| self.shows(number, stored.sha256)) {
            Some(stored) => copies.keep(listed, &stored),
            None => copies.forget(number),
        }
        Ok(is_there)
    }

    /// Judges what lies at `number`, the next one. False when nothing does.
    pub(super) async fn take(&mut self, store: &dyn ObjectStore, number: EntryNumber, listed: Option<Shown>) -> Result<bool, RepositoryError> {
        let lineage = self.fold.lineage().clone();
        let key = layout::record(&lineage, number);
        let signature = |sha256| layout::signature(&lineage, sha256);
        let is_too_large = matches!(listed, Some(Shown::TooLarge));
        let shown = match listed {
            // What it lies over, if anything, may be ours.
            Some(Shown::TooLarge) => None,
            Some(Shown::Object(stored) | Shown::Copy(stored)) => Some(stored),
            None => current(store, &key, signature).await?,
        };
        let found = settle(store, &key, shown, signature, |bytes, text| self.fold.judge(bytes, text)).await?;
        match found {
            Found::Valid { value, sha256, covered } => {
                self.covered.extend(covered.then_some(number));
                self.accept(value, sha256);
            }
            Found::Two { one, other } => return Err(RepositoryError::Fork { lineage: lineage.into(), number, one, other }),
            Found::Missing if !is_too_large => return Ok(false),
            Found::Missing => self.reject(number, VoidReason::TooLarge, None),
            Found::Invalid { problem, sha256 } => {
                if problem == VoidReason::WrongPrev {
                    self.look_for_fork(store).await?;
                }
                self.reject(number, problem, Some(sha256));
            }
        }
        Ok(true)
    }

    /// Somebody continued another entry than our head. When that one is a hidden version of the head, the record is forked.
    async fn look_for_fork(&self, store: &dyn ObjectStore) -> Result<(), RepositoryError> {
        let Some(head) = self.head() else { return Ok(()) };
        let (lineage, number) = (self.fold.lineage(), head.number);
        let key = layout::record(lineage, number);
        for stored in every_version(store, &key, |sha256| layout::signature(lineage, sha256)).await? {
            let other = stored.judge(|bytes, text| self.fold.authentic(number, bytes, text));
            if stored.sha256 != head.sha256 && other.is_ok_and(|other| other.prev == self.before_head) {
                let (one, other) = (head.sha256, stored.sha256);
                return Err(RepositoryError::Fork { lineage: Box::new(lineage.clone()), number, one, other });
            }
        }
        Ok(())
    }

    /// Whether a plain read shows this number as a valid entry of these bytes.
    fn shows(&self, number: EntryNumber, sha256: Sha256) -> bool {
        self.head() == Some(Head { number, sha256 }) && self.covered.last() != Some(&number)
    }

    /// `number` lies above a missing one. Only what is signed makes that a gap: anybody who can put could put something far away.
    fn look_above(&mut self, number: EntryNumber, shown: Option<Shown>, signed: &mut Vec<EntryNumber>) {
        match shown {
            _ if number <= self.fold.next() => {}
            None => {}
            Some(Shown::Object(stored) | Shown::Copy(stored)) if stored.judge(|bytes, text| self.fold.authentic(number, bytes, text)).is_ok() => {
                signed.push(number);
            }
            Some(_) => self.strays.push(number),
        }
    }

    pub(super) fn accept(&mut self, entry: Entry, sha256: Sha256) {
        self.fold.accept(&entry, sha256);
        self.before_head = entry.prev;
        self.kept.keep(ValidEntry { entry: Arc::new(entry), sha256 }, self.fold.state());
    }

    pub(super) fn reject(&mut self, number: EntryNumber, reason: VoidReason, sha256: Option<Sha256>) {
        self.fold.reject(&reason);
        self.voids.push(Void { number, reason, sha256 });
    }

    /// Whose record.
    pub fn lineage(&self) -> &Lineage {
        self.fold.lineage()
    }

    /// The void numbers, in order.
    pub fn voids(&self) -> &[Void] {
        &self.voids
    }

    /// Valid entries that a plain read does not show, or not with their signatures: they were read from older versions.
    pub fn covered(&self) -> &[EntryNumber] {
        &self.covered
    }

    /// Whether entries are missing below others.
    pub fn gap(&self) -> Option<Gap> {
        self.gap
    }

    /// Numbers above the first missing one under which lies what nobody who may has signed.
    pub fn strays(&self) -> &[EntryNumber] {
        &self.strays
    }

    /// The last valid entry; `None` in an empty record.
    pub fn head(&self) -> Option<Head> {
        Some(self.fold.head()).filter(|head| head.number.0 > 0)
    }

    /// What the valid entries add up to.
    pub fn state(&self) -> &State {
        self.fold.state()
    }

    /// Whom it believes.
    pub fn trusts(&self) -> &Arc<TrustChain> {
        self.fold.trusts()
    }

    /// The digest of whatever lies under this number, valid or void.
    pub fn digest_at(&self, number: EntryNumber) -> Option<Sha256> {
        let void = || self.voids.iter().find(|void| void.number == number).and_then(|void| void.sha256);
        self.kept.sha256(number).or_else(void)
    }

    /// What is known of the point of this number, and its name.
    pub fn point(&self, number: EntryNumber) -> Option<(PointRef, &K::Point)> {
        let point = self.kept.point(number)?;
        let (sha256, _) = self.state().points.get(&number)?;
        let id = RecoveryPointId { lineage: self.lineage().clone(), number };
        Some((PointRef { id, sha256: *sha256 }, point))
    }

    /// Errors when entries are missing below others.
    pub fn without_gap(&self) -> Result<&Record<K>, RepositoryError> {
        match self.gap {
            Some(gap) => Err(RepositoryError::Gap { lineage: self.lineage().clone(), number: gap.number, above: gap.above }),
            None => Ok(self),
        }
    }
}
