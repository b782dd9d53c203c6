//! Which points are kept: a pure function of the points, the policy and an instant.
//!
//! A slot is a UTC calendar bucket: the current hour (day, ISO week, month, year) and as many before it as the policy says, so that at any moment
//! `daily: 14` covers 14 whole days. Slots are counted back from `now`, never from the points, and the first good point in a slot is the one that
//! is kept: whoever writes false points later, with whatever dates, evicts nothing from the calendar. (`last` counts points, so a flood can
//! push others out of it; rely on the calendar.) Three more are kept whatever the policy says: the latest good point; the latest that somebody
//! verified with a private key, which capture cannot forge; and every point that claims to have ended later than `now` or than a point written
//! after it, because one of the two lies. Marking the liar as suspect ends that.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Zoned, civil, tz::TimeZone};
use serde::Serialize;

use super::record::Class;
pub use crate::config::Keep;
use crate::model::{EntryNumber, Timestamp};

/// How long an incomplete point is kept beside newer good ones: somebody may want what is in it.
pub const INCOMPLETE_GRACE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long a suspect point is kept beside newer good ones: somebody may want to know what happened.
pub const SUSPECT_GRACE: SignedDuration = SignedDuration::from_hours(30 * 24);

fn calendar(keep: &Keep) -> [(Class, u32); 5] {
    [
        (Class::Hourly, keep.hourly),
        (Class::Daily, keep.daily),
        (Class::Weekly, keep.weekly),
        (Class::Monthly, keep.monthly),
        (Class::Yearly, keep.yearly),
    ]
}

/// What retention looks at in a point that is not expired yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its place in the record; points are judged in this order.
    pub number: EntryNumber,
    /// When it ended, as its manifest says.
    pub ended: Timestamp,
    /// Every required member is in it.
    pub complete: bool,
    /// Somebody has opened its vault.
    pub proven: bool,
    /// Somebody marked it.
    pub suspect: bool,
    /// Somebody read it back with a private key, or restored it.
    pub verified: bool,
    /// A record, of any lineage, holds it.
    pub held: bool,
}

impl Candidate {
    fn is_good(&self) -> bool {
        self.complete && self.proven && !self.suspect
    }
}

/// Why a point is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A person holds it.
    Held,
    /// It is the newest good one.
    Latest,
    /// It is the newest good one that was verified.
    LatestVerified,
    /// It is the first in a slot of this class, or among the last ones.
    Slot(Class),
    /// Nobody has opened its vault yet, so nobody knows what would be lost.
    Unproven,
    /// Its claimed end lies ahead of the clock, or of that of a later point.
    OutOfOrder,
    /// It is incomplete or suspect, and there is nothing newer that is good, or it is young.
    Grace,
}

/// What becomes of a point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// It stays.
    Kept {
        /// All reasons, at least one.
        reasons: BTreeSet<Reason>,
    },
    /// It may go.
    Expired {
        /// Why, for a person.
        reason: &'static str,
    },
}

/// The verdict on each point, by number. `now` is when the decision is made.
pub fn decide(points: &[Candidate], keep: &Keep, now: Timestamp) -> BTreeMap<EntryNumber, Verdict> {
    let mut points: Vec<&Candidate> = points.iter().collect();
    points.sort_by_key(|point| point.number);
    let mut reasons: BTreeMap<EntryNumber, BTreeSet<Reason>> = BTreeMap::new();
    let mut add = |point: &Candidate, reason| {
        reasons.entry(point.number).or_default().insert(reason);
    };

    let ordered = in_order(&points, now);
    let good: Vec<&Candidate> = points.iter().copied().filter(|point| point.is_good()).collect();
    let slots: Vec<&Candidate> = good.iter().copied().filter(|point| ordered.contains(&point.number)).collect();
    for point in points.iter().filter(|point| point.held) {
        add(point, Reason::Held);
    }
    for point in points.iter().filter(|point| !ordered.contains(&point.number)) {
        add(point, Reason::OutOfOrder);
    }
    for point in points.iter().filter(|point| point.complete && !point.proven && !point.suspect) {
        add(point, Reason::Unproven);
    }
    for (class, count) in calendar(keep) {
        for point in first_in_slots(&slots, class, count, now) {
            add(point, Reason::Slot(class));
        }
    }
    for point in good.iter().rev().take(keep.last as usize) {
        add(point, Reason::Slot(Class::Last));
    }
    if let Some(point) = good.last() {
        add(point, Reason::Latest);
    }
    if let Some(point) = good.iter().rev().find(|point| point.verified) {
        add(point, Reason::LatestVerified);
    }
    for point in points.iter().filter(|point| !point.complete || point.suspect) {
        let grace = if point.suspect { SUSPECT_GRACE } else { INCOMPLETE_GRACE };
        let has_newer = good.last().is_some_and(|newest| newest.number > point.number);
        let age = now.duration_since(point.ended);
        if !has_newer || (SignedDuration::ZERO..grace).contains(&age) {
            add(point, Reason::Grace);
        }
    }
    let mut verdict = |point: &Candidate| match reasons.remove(&point.number) {
        Some(reasons) => Verdict::Kept { reasons },
        None if point.suspect => Verdict::Expired { reason: "suspect, and newer good points are there" },
        None if !point.complete => Verdict::Expired { reason: "incomplete, and newer complete points are there" },
        None => Verdict::Expired { reason: "not the first in any slot that the policy keeps" },
    };
    points.iter().map(|point| (point.number, verdict(point))).collect()
}

/// The points that claim an end that is neither ahead of `now` nor of that of any point after them. Suspects neither count nor are judged.
fn in_order(points: &[&Candidate], now: Timestamp) -> BTreeSet<EntryNumber> {
    let mut earliest = now;
    let mut ordered = BTreeSet::new();
    for point in points.iter().rev() {
        if point.suspect {
            ordered.insert(point.number);
        } else if point.ended <= earliest {
            earliest = point.ended;
            ordered.insert(point.number);
        }
    }
    ordered
}

fn first_in_slots<'a>(points: &[&'a Candidate], class: Class, count: u32, now: Timestamp) -> Vec<&'a Candidate> {
    if count == 0 {
        return Vec::new();
    }
    let (current, mut seen) = (slot(class, now), BTreeSet::new());
    let mut is_first = |point: &Candidate| {
        let slot = slot(class, point.ended);
        current - slot <= i64::from(count) && seen.insert(slot)
    };
    points.iter().copied().filter(|point| is_first(point)).collect()
}

/// The number of a calendar bucket; consecutive buckets have consecutive numbers.
fn slot(class: Class, at: Timestamp) -> i64 {
    let zoned: Zoned = at.to_zoned(TimeZone::UTC);
    let days = zoned.date().duration_since(civil::date(1970, 1, 5)).as_hours().div_euclid(24);
    match class {
        Class::Last => i64::MIN,
        Class::Hourly => at.as_second().div_euclid(3600),
        Class::Daily => days,
        Class::Weekly => days.div_euclid(7),
        Class::Monthly => i64::from(zoned.year()) * 12 + i64::from(zoned.month()),
        Class::Yearly => i64::from(zoned.year()),
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
