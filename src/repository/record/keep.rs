//! What a reader keeps of the entries of a record. They are judged one after the other, so nobody has to hold all of them.

use std::fmt::Debug;

use super::{point::Point, read::ValidEntry, state::State};
use crate::model::{EntryNumber, Sha256};

/// What is kept.
pub trait Keep: Debug + Clone + Default + Send + Sync {
    /// What is known of a point.
    type Point: Complete;

    /// Takes in the next valid entry; `state` has it already.
    fn keep(&mut self, valid: ValidEntry, state: &State);

    /// The digest of the valid entry of this number.
    fn sha256(&self, number: EntryNumber) -> Option<Sha256>;

    /// What is known of the point of this number.
    fn point(&self, number: EntryNumber) -> Option<&Self::Point>;
}

/// What can tell whether a point is complete.
pub trait Complete {
    /// Every required member succeeded and the skew was within the policy's bound.
    fn is_complete(&self) -> bool;
}

impl Complete for Point {
    fn is_complete(&self) -> bool {
        self.complete
    }
}

/// Every entry.
#[derive(Debug, Clone, Default)]
pub struct Whole {
    pub(super) entries: Vec<ValidEntry>,
}

impl Whole {
    pub(super) fn entry(&self, number: EntryNumber) -> Option<&ValidEntry> {
        let index = self.entries.binary_search_by_key(&number, |valid| valid.entry.number).ok()?;
        self.entries.get(index)
    }
}

impl Keep for Whole {
    type Point = Point;

    fn keep(&mut self, valid: ValidEntry, _: &State) {
        self.entries.push(valid);
    }

    fn sha256(&self, number: EntryNumber) -> Option<Sha256> {
        self.entry(number).map(|valid| valid.sha256)
    }

    fn point(&self, number: EntryNumber) -> Option<&Point> {
        self.entry(number)?.entry.body.point()
    }
}
