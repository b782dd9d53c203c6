//! Which objects a check reads when it reads a part at a time: everything is read again and again, each time within the same span. Pure.
//!
//! Objects fall into buckets by the digest of their key, so a bucket's objects are always read together, and an object that is new belongs to one that
//! is read anyway. State and rule: docs/format/findings.md.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{
    model::{ObjectKey, Timestamp},
    pipeline::sha256,
};

/// How many buckets there are.
const BUCKETS: u16 = 256;

/// When each bucket was read last, whole and without a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// When the first check began.
    pub began: Timestamp,
    /// When the last check began.
    pub last: Timestamp,
    /// Of each bucket; null when it never was.
    pub read: Vec<Option<Timestamp>>,
}

impl Sampling {
    /// Before the first check.
    pub fn begin(now: Timestamp) -> Sampling {
        Sampling { began: now, last: now, read: vec![None; usize::from(BUCKETS)] }
    }

    /// Whether it has the form that this version writes.
    pub fn is_sound(&self) -> bool {
        self.read.len() == usize::from(BUCKETS)
    }

    /// The buckets that a check at `now` reads, so that each is read again within a span: as many as the time since the last check asks for, those that
    /// were read longest ago first; never less than one.
    pub fn due(&self, within: SignedDuration, now: Timestamp) -> BTreeSet<u16> {
        let elapsed = now.duration_since(self.last).max(SignedDuration::ZERO).as_millis();
        let share = (elapsed.unsigned_abs() * u128::from(BUCKETS)).div_ceil(within.as_millis().unsigned_abs().max(1));
        let count = usize::try_from(share).unwrap_or(usize::MAX).clamp(1, usize::from(BUCKETS));
        let mut order: Vec<u16> = (0..BUCKETS).collect();
        order.sort_by_key(|bucket| (self.read_at(*bucket), *bucket));
        // Whatever would be late at a next check that comes as late as this one.
        let late = |bucket: &u16| now.duration_since(self.read_at(*bucket).unwrap_or(self.began)).as_millis() + elapsed >= within.as_millis();
        let overdue = order.iter().skip(count).copied().filter(late).collect::<Vec<_>>();
        order.into_iter().take(count).chain(overdue).collect()
    }

    fn read_at(&self, bucket: u16) -> Option<Timestamp> {
        self.read.get(usize::from(bucket)).copied().flatten()
    }

    /// After a check that began at `now`, read the buckets of `due`, and found faults in those of `faulty`: what has a fault is not called read.
    pub fn after(mut self, due: &BTreeSet<u16>, faulty: &BTreeSet<u16>, now: Timestamp) -> Sampling {
        for bucket in due.difference(faulty) {
            self.read[usize::from(*bucket)] = Some(now);
        }
        Sampling { last: now, ..self }
    }

    /// Everything that was there at this instant has been read since, as far as it is still there; none until each bucket was read once.
    pub fn all_read_since(&self) -> Option<Timestamp> {
        self.read.iter().copied().min().flatten()
    }

    /// How many buckets were never read.
    pub fn never_read(&self) -> usize {
        self.read.iter().filter(|read| read.is_none()).count()
    }
}

/// The bucket of an object.
pub fn bucket(key: &ObjectKey) -> u16 {
    u16::from(sha256(key.as_str().as_bytes()).0[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks at these distances; gives the longest time that a bucket went unread, its first time included.
    fn longest(within: SignedDuration, gaps: &[SignedDuration]) -> SignedDuration {
        let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut state = Sampling::begin(now);
        let mut longest = SignedDuration::ZERO;
        for gap in gaps {
            let due = state.due(within, now);
            for bucket in &due {
                longest = longest.max(now.duration_since(state.read_at(*bucket).unwrap_or(state.began)));
            }
            state = state.after(&due, &BTreeSet::new(), now);
            now += *gap;
        }
        assert_eq!(state.never_read(), 0);
        longest.max(now.duration_since(state.all_read_since().unwrap()) - gaps.last().copied().unwrap())
    }

    #[test]
    fn every_bucket_is_read_within_the_span_however_often_checks_run() {
        let (day, month) = (SignedDuration::from_hours(24), SignedDuration::from_hours(30 * 24));
        for gap in [SignedDuration::from_hours(1), day, day * 7, SignedDuration::from_mins(997)] {
            let longest = longest(month, &vec![gap; 2200]);
            assert!(longest <= month, "every {gap}: {longest}");
        }
        // Checks that fail to come for a while: what is late is read at once.
        let mut gaps = vec![day; 40];
        gaps.extend([day * 25, day, day * 29, day]);
        gaps.extend(vec![day; 40]);
        assert!(longest(month, &gaps) <= month * 2);
    }

    #[test]
    fn a_part_is_read_at_a_time_and_what_has_a_fault_is_read_again_and_again() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let (day, month) = (SignedDuration::from_hours(24), SignedDuration::from_hours(30 * 24));
        let first = Sampling::begin(now);
        let due = first.due(month, now);
        assert_eq!(due.len(), 1);
        let second = first.after(&due, &due, now);
        assert_eq!((second.never_read(), second.all_read_since()), (256, None));
        let next = second.due(month, now + day);
        assert!(next.is_superset(&due) && next.len() == 9, "{next:?}");
    }
}
