//! When a policy is due: the slots of its schedule in its time zone. Pure; docs/format/ledger.md has the rules for clocks that change.

use std::{collections::BTreeSet, time::Duration};

use jiff::{
    SignedDuration,
    civil::Date,
    tz::{AmbiguousOffset, TimeZone},
};

use crate::{
    config::{Blackout, Schedule, Timing},
    model::{Lineage, Timestamp},
    pipeline::sha256,
};

/// Days after which a schedule that has named none is given up: leap days lie eight years apart at most.
const MOST_DAYS: usize = 9 * 366;
/// No clock was ever set back, or on, by more.
const FARTHEST: SignedDuration = SignedDuration::from_hours(25);
/// Slots of a day may lie this far beyond its ends, where the clock changes at midnight.
const OVERLAP: SignedDuration = SignedDuration::from_hours(3);

/// The slots of one policy.
#[derive(Debug, Clone)]
pub struct Timetable {
    /// What is written in the configuration.
    pub schedule: Schedule,
    /// Where.
    pub time_zone: TimeZone,
    jitter: Duration,
    blackouts: Vec<Blackout>,
    lineage: Lineage,
}

impl Timetable {
    /// The timetable of a policy or a task, if it has a schedule.
    pub fn new(lineage: Lineage, timing: &Timing) -> Option<Timetable> {
        let (jitter, blackouts) = (timing.jitter, timing.blackouts.clone());
        Some(Timetable { schedule: timing.schedule.clone()?, time_zone: timing.time_zone.clone(), jitter, blackouts, lineage })
    }

    /// Slots alone: nothing delays or forbids their begin.
    pub fn plain(lineage: Lineage, schedule: Schedule, time_zone: TimeZone) -> Timetable {
        Timetable { schedule, time_zone, jitter: Duration::ZERO, blackouts: Vec::new(), lineage }
    }

    /// The slots after an instant, in order.
    pub fn slots(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        let local = self.time_zone.to_datetime(after);
        // What the clock shows twice around midnight may belong to the day before.
        let day = if local.hour() < 3 { local.date().yesterday().ok() } else { Some(local.date()) };
        Slots { timetable: self, day, ready: BTreeSet::new(), after }
    }

    /// When the run of a slot may begin: the slot, and a delay that is the same whenever and by whomever it is asked.
    pub fn begin(&self, slot: Timestamp) -> Timestamp {
        let digest = sha256(format!("{} {slot}", self.lineage).as_bytes()).0;
        let random = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        slot + SignedDuration::from_millis((random % (self.jitter.as_millis() as u64 + 1)) as i64)
    }

    /// Whether nothing may begin at this instant.
    pub fn is_blackout(&self, at: Timestamp) -> bool {
        let local = self.time_zone.to_datetime(at);
        self.blackouts.iter().any(|blackout| blackout.covers(local))
    }

    /// The slots after an instant of one day of the clock on the wall.
    fn of_day(&self, day: Date, after: Timestamp) -> BTreeSet<Timestamp> {
        let mut slots = BTreeSet::new();
        if !self.schedule.names_day(day) {
            return slots;
        }
        let is_fixed = self.schedule.is_fixed_time();
        // Whatever changes, what lies so far back on the clock on the wall is over.
        let over = self.time_zone.to_datetime(after).saturating_sub(FARTHEST);
        for local in self.schedule.minutes().map(|time| day.to_datetime(time)).filter(|local| *local >= over) {
            match self.time_zone.to_ambiguous_timestamp(local).offset() {
                AmbiguousOffset::Unambiguous { offset } => slots.extend(offset.to_timestamp(local).ok()),
                // By the new offset the skipped time lies before the change.
                AmbiguousOffset::Gap { after, .. } if is_fixed => {
                    let before = after.to_timestamp(local).ok();
                    slots.extend(before.and_then(|before| self.time_zone.following(before).next()).map(|change| change.timestamp()));
                }
                AmbiguousOffset::Gap { .. } => {}
                AmbiguousOffset::Fold { before, after } => {
                    slots.extend(before.to_timestamp(local).ok());
                    slots.extend(after.to_timestamp(local).ok().filter(|_| !is_fixed));
                }
            }
        }
        slots.split_off(&(after + SignedDuration::from_nanos(1)))
    }
}

struct Slots<'a> {
    timetable: &'a Timetable,
    day: Option<Date>,
    ready: BTreeSet<Timestamp>,
    after: Timestamp,
}

impl Iterator for Slots<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        for _ in 0..MOST_DAYS {
            let begin = self.day.and_then(|day| day.to_zoned(self.timetable.time_zone.clone()).ok()).map(|zoned| zoned.timestamp() - OVERLAP);
            match (self.ready.first().copied(), begin) {
                (Some(slot), Some(begin)) if slot < begin => return self.ready.pop_first(),
                (slot, None) => return slot.and_then(|_| self.ready.pop_first()),
                _ => {}
            }
            let day = self.day?;
            let after = self.after;
            self.ready.extend(self.timetable.of_day(day, after));
            self.day = day.tomorrow().ok();
        }
        self.ready.pop_first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timetable(schedule: &str, zone: &str) -> Timetable {
        Timetable::plain("p@s/1".parse().unwrap(), schedule.parse().unwrap(), TimeZone::get(zone).unwrap())
    }

    fn slots(schedule: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        timetable(schedule, zone).slots(after.parse().unwrap()).take(count).map(|slot| slot.strftime("%d %H:%M").to_string()).collect()
    }

    #[test]
    fn a_time_of_day_that_the_clock_skips_is_due_at_the_change_and_one_that_it_shows_twice_the_first_time() {
        assert_eq!(slots("30 2 * * *", "Europe/Brussels", "2026-03-28T00:00:00Z", 3), ["28 01:30", "29 01:00", "30 00:30"]);
        assert_eq!(slots("0,30 2 * * *", "Europe/Brussels", "2026-03-28T02:00:00Z", 3), ["29 01:00", "30 00:00", "30 00:30"]);
        assert_eq!(slots("0 2,3 * * *", "Europe/Brussels", "2026-03-28T02:30:00Z", 2), ["29 01:00", "30 00:00"]);
        assert_eq!(slots("30 2 * * *", "Europe/Brussels", "2026-10-24T12:00:00Z", 2), ["25 00:30", "26 01:30"]);
        assert_eq!(slots("30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", 2), ["08 07:00", "09 06:30"]);
        assert_eq!(slots("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", 2), ["01 05:30", "02 06:30"]);
        assert_eq!(slots("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 2), ["03 15:30", "04 15:15"]);
        assert_eq!(slots("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", 2), ["04 14:45", "05 15:15"]);
    }

    #[test]
    fn intervals_follow_the_time_that_passes() {
        assert_eq!(slots("0 * * * *", "Europe/Brussels", "2026-03-28T23:30:00Z", 3), ["29 00:00", "29 01:00", "29 02:00"]);
        assert_eq!(slots("0 * * * *", "Europe/Brussels", "2026-10-24T23:30:00Z", 3), ["25 00:00", "25 01:00", "25 02:00"]);
        assert_eq!(
            slots("*/20 1 * * *", "America/New_York", "2026-11-01T05:00:00Z", 6),
            ["01 05:20", "01 05:40", "01 06:00", "01 06:20", "01 06:40", "02 06:00"]
        );
        assert_eq!(slots("*/10 * * * *", "Australia/Lord_Howe", "2026-04-04T14:50:00Z", 4), ["04 15:00", "04 15:10", "04 15:20", "04 15:30"]);
        assert_eq!(slots("*/10 * * * *", "Australia/Lord_Howe", "2026-10-03T15:10:00Z", 3), ["03 15:20", "03 15:30", "03 15:40"]);
    }

    #[test]
    fn rare_days_come_and_leap_days_too() {
        let next = |schedule, after: &str| timetable(schedule, "UTC").slots(after.parse().unwrap()).next().map(|slot| slot.to_string());
        assert_eq!(next("0 0 29 2 *", "2026-11-28T00:00:00Z").unwrap(), "2028-02-29T00:00:00Z");
        assert_eq!(next("0 0 29 2 *", "2096-03-01T00:00:00Z").unwrap(), "2104-02-29T00:00:00Z");
        // A zone that once skipped a whole day.
        assert_eq!(slots("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 3), ["29 22:00", "30 10:00", "30 22:00"]);
    }

    /// Every minute around the changes of a year is asked whether the clock on the wall shows a named time; nothing here knows of changes.
    #[test]
    fn slots_are_those_of_a_walk_through_every_minute() {
        let spans = [("2026-03-01T00:00:00Z", "2026-04-10T00:00:00Z"), ("2026-10-01T00:00:00Z", "2026-11-05T00:00:00Z")];
        for (zone, (begin, end)) in ["Europe/Brussels", "America/New_York", "Australia/Lord_Howe", "UTC", "America/St_Johns"]
            .into_iter()
            .flat_map(|zone| spans.map(|span| (zone, span)))
        {
            let (begin, end): (Timestamp, Timestamp) = (begin.parse().unwrap(), end.parse().unwrap());
            let zone = TimeZone::get(zone).unwrap();
            let minutes = std::iter::successors(Some(begin), |now| Some(*now + SignedDuration::from_mins(1))).take_while(|now| *now <= end);
            let shown: Vec<(Timestamp, jiff::civil::DateTime)> = minutes.map(|now| (now, zone.to_datetime(now))).collect();
            for schedule in ["*/15 * * * *", "30 * * * *", "*/7 2 * * *", "5 1-3 * * *", "0 2,3 1,15,29 * 0", "59 23 * * 1-5", "0 0 * * *"] {
                let timetable = timetable(schedule, zone.iana_name().unwrap());
                let is_fixed = timetable.schedule.is_fixed_time();
                let (mut walked, mut highest) = (BTreeSet::new(), shown[0].1);
                for (now, local) in &shown {
                    // What the clock has skipped is due now.
                    let skipped = std::iter::successors(Some(highest), |local| Some(*local + SignedDuration::from_mins(1))).skip(1);
                    let is_new = *local > highest || *now == begin;
                    if skipped.take_while(|skipped| skipped < local).any(|skipped| is_fixed && timetable.schedule.names(skipped)) {
                        walked.insert(*now);
                    }
                    if timetable.schedule.names(*local) && (is_new || !is_fixed) {
                        walked.insert(*now);
                    }
                    highest = highest.max(*local);
                }
                let listed: BTreeSet<Timestamp> = timetable.slots(begin - SignedDuration::from_secs(1)).take_while(|slot| *slot <= end).collect();
                assert_eq!(listed, walked, "{schedule} in {zone:?}");
            }
        }
    }

    #[test]
    fn jitter_is_within_its_bound_differs_and_never_changes() {
        let table = Timetable { jitter: Duration::from_secs(300), ..timetable("0 * * * *", "UTC") };
        let slots: Vec<Timestamp> = table.slots("2026-01-01T00:00:00Z".parse().unwrap()).take(100).collect();
        let delays: BTreeSet<i64> = slots.iter().map(|slot| table.begin(*slot).duration_since(*slot).as_millis() as i64).collect();
        assert!(delays.len() > 90 && delays.iter().all(|delay| (0..=300_000).contains(delay)), "{delays:?}");
        assert_eq!(table.begin(slots[0]), table.begin(slots[0]));
    }
}
