use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn good(number: u64, ended: Timestamp) -> Candidate {
    Candidate { number: EntryNumber(number), ended, complete: true, proven: true, suspect: false, verified: false, held: false }
}

fn hourly(from: Timestamp, count: u64) -> Vec<Candidate> {
    (0..count).map(|hour| good(hour + 1, from + SignedDuration::from_hours(hour as i64))).collect()
}

fn kept(verdicts: &BTreeMap<EntryNumber, Verdict>) -> BTreeSet<u64> {
    verdicts.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Kept { .. })).map(|(number, _)| number.0).collect()
}

#[test]
fn slots_are_utc_calendar_buckets_across_clock_changes_and_leap_days() {
    // Europe changes its clocks on 25 October 2026 at 01:00 UTC: no hour is doubled or lost here.
    let october = hourly(at("2026-10-25T00:05:00Z"), 4);
    assert_eq!(kept(&decide(&october, &Keep { hourly: 10, ..Keep::default() }, at("2026-10-25T03:30:00Z"))), [1, 2, 3, 4].into());
    let days = ["2028-02-27T12:00:00Z", "2028-02-28T12:00:00Z", "2028-02-29T12:00:00Z", "2028-02-29T18:00:00Z", "2028-03-01T12:00:00Z"];
    let days: Vec<Candidate> = days.iter().enumerate().map(|(i, day)| good(i as u64 + 1, at(day))).collect();
    let keep = |keep: Keep| kept(&decide(&days, &keep, at("2028-03-01T13:00:00Z")));
    assert_eq!(keep(Keep { daily: 2, ..Keep::default() }), [2, 3, 5].into());
    assert_eq!(keep(Keep { monthly: 1, ..Keep::default() }), [1, 5].into());
    // 28 February 2028 is a Monday.
    assert_eq!(keep(Keep { weekly: 1, ..Keep::default() }), [1, 2, 5].into());
    assert_eq!(keep(Keep { yearly: 1, ..Keep::default() }), [1, 5].into());
    assert_eq!(keep(Keep { last: 2, ..Keep::default() }), [4, 5].into());
}

#[test]
fn a_thousand_forged_points_evict_nothing() {
    let now = at("2026-11-21T12:30:00Z");
    let real = hourly(at("2026-11-14T12:05:00Z"), 168);
    let keep = Keep { hourly: 24, daily: 14, monthly: 12, ..Keep::default() };
    let before = kept(&decide(&real, &keep, now));
    for shift in [-9000, -100, 0, 1, 5000] {
        let forged = (0..1000).map(|i| good(1000 + i, now + SignedDuration::from_mins(shift + i as i64 * 7)));
        let after = kept(&decide(&real.iter().cloned().chain(forged).collect::<Vec<_>>(), &keep, now));
        assert!(before.iter().filter(|number| **number < 168).all(|number| after.contains(number)), "shift {shift}");
        // The latest real one is in the calendar too.
        assert!(after.contains(&168));
    }
}

#[test]
fn points_dated_ahead_take_no_slot_from_those_that_follow() {
    let now = at("2026-11-21T12:30:00Z");
    let mut points = vec![good(1, at("2026-11-21T11:01:00Z")), good(2, at("2026-11-21T10:05:00Z")), good(3, at("2026-11-21T11:05:00Z"))];
    let verdicts = decide(&points, &Keep { hourly: 5, ..Keep::default() }, now);
    assert_eq!(kept(&verdicts), [1, 2, 3].into());
    assert_eq!(verdicts[&EntryNumber(1)], Verdict::Kept { reasons: [Reason::OutOfOrder].into() });
    points[0].ended = at("2027-01-01T00:00:00Z");
    assert_eq!(kept(&decide(&points, &Keep { hourly: 5, ..Keep::default() }, now)), [1, 2, 3].into());
}

#[test]
fn marking_a_liar_as_suspect_lets_the_others_expire_again() {
    let now = at("2026-11-21T12:30:00Z");
    let mut points = hourly(at("2026-11-20T12:05:00Z"), 24);
    points.push(good(100, at("1999-01-01T00:00:00Z")));
    points.push(good(101, at("9999-01-01T00:00:00Z")));
    let keep = Keep { hourly: 2, ..Keep::default() };
    // Of all points only the old-dated one itself may go.
    assert_eq!(kept(&decide(&points, &keep, now)).len(), 25);
    points[24].suspect = true;
    points[25].suspect = true;
    points.push(good(102, at("2026-11-21T12:05:00Z")));
    assert_eq!(kept(&decide(&points, &keep, now)), [23, 24, 102].into());
}

#[test]
fn the_latest_good_point_and_the_latest_verified_one_are_kept_without_any_policy() {
    let mut points = hourly(at("2020-01-01T00:00:00Z"), 5);
    points[1].verified = true;
    points[4].suspect = true;
    assert_eq!(kept(&decide(&points, &Keep::default(), at("2026-01-01T00:00:00Z"))), [2, 4, 5].into());
}

#[test]
fn incomplete_points_go_when_a_newer_good_one_is_there_and_a_week_has_passed() {
    let mut points = hourly(at("2026-01-01T00:00:00Z"), 3);
    points[0].complete = false;
    let keep = |points: &[Candidate], now| kept(&decide(points, &Keep::default(), at(now)));
    assert_eq!(keep(&points, "2026-01-07T23:00:00Z"), [1, 3].into());
    assert_eq!(keep(&points, "2026-01-08T00:00:00Z"), [3].into());
    assert_eq!(keep(&points[..1], "2027-01-01T00:00:00Z"), [1].into());
    points[0].held = true;
    assert_eq!(keep(&points, "2027-01-01T00:00:00Z"), [1, 3].into());
}

#[test]
fn unproven_points_are_kept_and_take_no_slot() {
    let mut points = hourly(at("2026-01-01T00:00:00Z"), 2);
    points[1].ended = at("2026-01-01T00:30:00Z");
    points[0].proven = false;
    assert_eq!(kept(&decide(&points, &Keep { hourly: 1, ..Keep::default() }, at("2026-01-01T00:40:00Z"))), [1, 2].into());
}

fn any_points(first: u64) -> impl Strategy<Value = Vec<Candidate>> {
    let flags = (any::<bool>(), prop::bool::weighted(0.9), prop::bool::weighted(0.1), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    let one = (0_i64..90 * 24 * 60, flags);
    prop::collection::vec(one, 0..60).prop_map(move |raw| {
        let base = at("2026-01-01T00:00:00Z");
        let mut found = Vec::new();
        for (number, (minutes, (complete, proven, suspect, verified, held))) in (first..).zip(raw) {
            let (number, ended) = (EntryNumber(number), base + SignedDuration::from_mins(minutes));
            found.push(Candidate { number, ended, complete, proven, suspect, verified, held });
        }
        found
    })
}

proptest! {
    #[test]
    fn more_points_and_more_slots_never_evict_what_the_calendar_keeps(
        old in any_points(1), new in any_points(1000), hourly in 0..48_u32, daily in 0..30_u32, monthly in 0..4_u32, more in 0..9_u32, now in 0..100 * 24_i64,
    ) {
        let now = at("2026-01-01T00:00:00Z") + SignedDuration::from_hours(now);
        let keep = Keep { hourly, daily, monthly, ..Keep::default() };
        let verdicts = decide(&old, &keep, now);
        let both: Vec<Candidate> = old.iter().chain(&new).cloned().rev().collect();
        let after = kept(&decide(&both, &keep, now));
        // What a later point may take away: being the newest.
        let weak: BTreeSet<Reason> = [Reason::Latest, Reason::LatestVerified, Reason::Grace].into();
        for (number, verdict) in &verdicts {
            if let Verdict::Kept { reasons } = verdict && !reasons.is_subset(&weak) {
                prop_assert!(after.contains(&number.0), "{number:?} {reasons:?}");
            }
        }
        let wider = Keep { hourly: hourly + more, daily: daily + more, weekly: more, ..keep };
        prop_assert!(kept(&decide(&old, &wider, now)).is_superset(&kept(&verdicts)));
        prop_assert_eq!(&decide(&old.iter().rev().cloned().collect::<Vec<_>>(), &keep, now), &verdicts);
        let in_class = |class| verdicts.values().filter(|v| matches!(v, Verdict::Kept { reasons } if reasons.contains(&Reason::Slot(class)))).count();
        prop_assert!(in_class(Class::Hourly) <= hourly as usize + 1 && in_class(Class::Daily) <= daily as usize + 1);
        if let Some(latest) = old.iter().filter(|point| point.is_good()).map(|point| point.number.0).max() {
            prop_assert!(kept(&verdicts).contains(&latest));
        }
        prop_assert!(old.iter().filter(|point| point.held).all(|point| kept(&verdicts).contains(&point.number.0)));
    }
}
