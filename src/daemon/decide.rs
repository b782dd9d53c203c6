//! What is due: a pure function of the timetable, what the ledger says, and the present instant. docs/format/ledger.md has the rules.

use std::time::Duration;

use jiff::SignedDuration;

use super::{
    ledger::{
        event::{End, Happened, Slot, Span, Watched},
        state::{Balance, Open},
    },
    timetable::Timetable,
};
use crate::{
    config::Timing,
    model::{Lineage, Timestamp},
};

/// Why slots are missed that nobody wanted to be.
pub const NO_DAEMON: &str = "no daemon ran in time";
/// A ledger that is ahead of the clock by more was written by a clock that was wrong; by less, by another machine's.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);
/// Slots that one entry speaks of at most.
const MOST_SLOTS: u64 = 10_000;
/// How often it is looked whether a blackout is over.
const BLACKOUT_STEP: SignedDuration = SignedDuration::from_mins(1);

/// What the configuration says of when a policy runs.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Whose.
    pub lineage: Lineage,
    /// Its slots; none without a schedule.
    pub timetable: Option<Timetable>,
    /// How late a slot may still be caught up.
    pub catch_up: SignedDuration,
    /// How often a slot is tried again.
    pub retries: u32,
}

impl Rules {
    /// Those of whatever runs by a timing.
    pub fn new(lineage: Lineage, timing: &Timing) -> Rules {
        let span = |duration: Duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Rules { timetable: Timetable::new(lineage.clone(), timing), lineage, catch_up: span(timing.catch_up), retries: timing.retries }
    }

    fn watched(&self, from: Timestamp) -> Watched {
        let zone = self.timetable.as_ref().and_then(|table| table.time_zone.iana_name()).unwrap_or("UTC");
        Watched { schedule: self.timetable.as_ref().map(|table| table.schedule.to_string()), time_zone: zone.to_owned(), from }
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Enter this, then decide again.
    Enter(Happened),
    /// A run is under way in the ledger: wait for it, or find out what became of it.
    Settle,
    /// Begin a run for this slot, which stands for others too.
    Begin(Slot, Option<Span>),
    /// Nothing is due until then; never, if nothing will be.
    Sleep(Option<Timestamp>),
}

/// Decides.
pub fn decide(rules: &Rules, balance: &Balance, now: Timestamp) -> Decision {
    let open = balance.open.as_ref();
    if open.is_some_and(|open| open.run.is_some()) {
        return Decision::Settle;
    }
    if balance.settled > now + AHEAD {
        let early = open.filter(|open| open.slot.order.is_none() && open.slot.at > now);
        return Decision::Enter(early.map_or(Happened::SetBack { to: now }, |open| over(open, "the clock went back")));
    }
    let watched = balance.watched.as_ref();
    let is_watched = watched.is_some_and(|watched| *watched == rules.watched(watched.from));
    if !is_watched {
        return Decision::Enter(change(rules, balance, now));
    }
    let due = due(rules.timetable.as_ref(), rules.catch_up, balance, now);
    if let Some(missed) = due.missed {
        return Decision::Enter(missed);
    }
    if let Some(over) = open.and_then(|open| give_up(rules.retries, balance, open, due.newest)) {
        return Decision::Enter(over);
    }
    let blackout = |slot: Slot| slot.order.is_none() && rules.timetable.as_ref().is_some_and(|table| table.is_blackout(now));
    let ready = match (open, balance.wanted, due.newest) {
        (Some(open), ..) => Some((open.slot, None, open.not_before)),
        (None, Some(wanted), _) => Some((wanted, None, now)),
        (None, None, Some(slot)) => Some((Slot { at: slot, order: None }, due.older, now)),
        (None, None, None) => None,
    };
    match ready {
        Some((slot, ..)) if blackout(slot) => Decision::Sleep(Some(now + BLACKOUT_STEP)),
        Some((slot, older, not_before)) if not_before <= now => Decision::Begin(slot, older),
        Some((.., not_before)) => Decision::Sleep(Some(due.next.map_or(not_before, |next| next.min(not_before)))),
        None => Decision::Sleep(due.next),
    }
}

/// Another schedule: what the old one still owes is missed, then the new one is watched from now on.
fn change(rules: &Rules, balance: &Balance, now: Timestamp) -> Happened {
    let old = balance.watched.as_ref().and_then(|watched| {
        let (schedule, zone) = (watched.schedule.as_ref()?.parse().ok()?, jiff::tz::TimeZone::get(&watched.time_zone).ok()?);
        Some(Timetable::plain(rules.lineage.clone(), schedule, zone))
    });
    let owed = old.as_ref().and_then(|old| span(old.slots(balance.settled).take_while(|slot| *slot <= now)));
    match owed {
        Some(slots) => Happened::Missed { slots, why: "the schedule was changed before they were begun".to_owned() },
        None => Happened::Watched(rules.watched(now.max(balance.settled))),
    }
}

/// That an open slot is over without another run.
fn give_up(retries: u32, balance: &Balance, open: &Open, newer: Option<Timestamp>) -> Option<Happened> {
    let is_ordered = open.slot.order.is_some();
    let reason = match open.attempts {
        1 if retries == 0 => "it was tried once".to_owned(),
        attempts if attempts > retries => format!("it was tried {attempts} times"),
        _ if balance.paused.is_some() && !is_ordered => "the policy was paused before it was tried again".to_owned(),
        _ if newer.is_some() => "it gave way to the next slot".to_owned(),
        _ => return None,
    };
    Some(over(open, &reason))
}

fn over(open: &Open, reason: &str) -> Happened {
    let end = if open.point.is_some() { End::Incomplete } else { End::Failed };
    let why = open.why.as_ref().map_or(reason.to_owned(), |why| format!("{why} ({reason})"));
    Happened::Ended { slot: open.slot, run: open.last_run.clone(), end, point: open.point.clone(), why: Some(why) }
}

/// The slots that are due.
#[derive(Debug, Default)]
struct Due {
    /// Those that are over: to be entered first.
    missed: Option<Happened>,
    /// The newest that may be run.
    newest: Option<Timestamp>,
    /// The ones before it.
    older: Option<Span>,
    /// When the next one begins.
    next: Option<Timestamp>,
}

fn due(timetable: Option<&Timetable>, catch_up: SignedDuration, balance: &Balance, now: Timestamp) -> Due {
    let Some(table) = timetable else { return Due::default() };
    let mut due = Due::default();
    let mut missed: Option<(Span, &str)> = None;
    // Slots since the newest that may be run, which it is the first of.
    let mut since: Option<Span> = None;
    for slot in table.slots(balance.settled) {
        if table.begin(slot) > now {
            due.next = Some(table.begin(slot));
            break;
        }
        match (why_missed(table, catch_up, balance, slot, now), missed) {
            (Some(why), None) if since.is_none() => missed = Some((Span::extend(None, slot), why)),
            (Some(why), Some((slots, same))) if why == same && slots.count < MOST_SLOTS => missed = Some((Span::extend(Some(slots), slot), why)),
            (_, Some(_)) => break,
            // It is missed once the slot before it has begun, or stood for by a later one.
            (Some(_), None) => since = Some(Span::extend(since, slot)),
            (None, None) => {
                due.older = join(due.older, since);
                (due.newest, since) = (Some(slot), Some(Span::extend(None, slot)));
            }
        }
    }
    due.missed = missed.map(|(slots, why)| Happened::Missed { slots, why: paused(why, balance) });
    due
}

/// Why a slot that is due is missed, if it is.
fn why_missed(table: &Timetable, catch_up: SignedDuration, balance: &Balance, slot: Timestamp, now: Timestamp) -> Option<&'static str> {
    if slot < now.checked_sub(catch_up).unwrap_or(Timestamp::MIN) {
        Some(NO_DAEMON)
    } else if balance.paused.is_some() {
        Some("the policy was paused")
    } else if table.is_blackout(table.begin(slot)) {
        Some("it lies in a blackout")
    } else {
        None
    }
}

fn join(one: Option<Span>, other: Option<Span>) -> Option<Span> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Span { first: one.first, last: other.last, count: one.count + other.count }),
        (one, other) => one.or(other),
    }
}

fn paused(why: &str, balance: &Balance) -> String {
    match &balance.paused {
        Some(paused) if why.ends_with("paused") => format!("{why} by {}: {}", paused.by, paused.reason),
        _ => why.to_owned(),
    }
}

fn span(slots: impl Iterator<Item = Timestamp>) -> Option<Span> {
    slots.take(MOST_SLOTS as usize).fold(None, |span, slot| Some(Span::extend(span, slot)))
}
