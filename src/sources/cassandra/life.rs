//! When cells were written and when they end, told to a target.

use std::collections::BTreeMap;

use super::{parts::Part, values::Values};

/// The second at which cells end, if they do, and the microsecond at which they were written.
pub(super) type Times = (Option<i64>, i64);

/// When a row was read, and when it is written: seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub read_at: i64,
    pub now: i64,
}

impl Moment {
    /// Whether a cell has not ended yet.
    pub(super) fn lives(self, part: &Part<'_>) -> bool {
        part.expires.is_none_or(|at| at > self.now)
    }

    /// Seconds that are left; 0 for ever.
    pub(super) fn ttl(self, expires: Option<i64>) -> i64 {
        expires.map_or(0, |at| at - self.now)
    }
}

/// Time of writing and time to live.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    /// Microseconds.
    pub time: i64,
    /// Seconds; 0 for ever.
    pub ttl: i64,
}

impl Life {
    /// As `USING TIMESTAMP ? AND TTL ?` takes them.
    pub(super) fn put(self, values: &mut Values) {
        /// The longest that Cassandra takes: 20 years.
        const LONGEST: i64 = 630_720_000;
        values.push(&self.time.to_be_bytes());
        values.push(&i32::try_from(self.ttl.min(LONGEST)).expect("20 years in seconds fit").to_be_bytes());
    }
}

/// The newest time in a row; that of its reading where none is told.
pub(super) fn newest(parts: &[Part<'_>], moment: Moment) -> i64 {
    parts.iter().filter_map(|part| part.time).max().unwrap_or(moment.read_at.saturating_mul(1_000_000))
}

/// Living cells by end and time.
pub(super) fn groups<'p, 'a>(parts: &'p [Part<'a>], moment: Moment) -> BTreeMap<Times, Vec<&'p Part<'a>>> {
    let fallback = newest(parts, moment);
    let mut groups: BTreeMap<Times, Vec<&Part<'_>>> = BTreeMap::new();
    for part in parts.iter().filter(|part| moment.lives(part)) {
        groups.entry((part.expires, part.time.unwrap_or(fallback))).or_default().push(part);
    }
    groups
}
