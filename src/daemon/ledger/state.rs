//! What the entries of a ledger add up to. Small, whatever has happened, so every entry carries it.

use serde::{Deserialize, Serialize};

use super::event::{Happened, Slot, Watched, Wish};
use crate::model::{RecoveryPointId, RunId, Timestamp};

/// What is known of the slots of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    /// The schedule in force; none before the first.
    pub watched: Option<Watched>,
    /// All slots until then are begun or over.
    pub settled: Timestamp,
    /// The slot that is begun and not over.
    pub open: Option<Open>,
    /// Who paused it, and why.
    pub paused: Option<Paused>,
    /// An order to run that is not begun.
    pub wanted: Option<Slot>,
    /// The last order that was taken.
    pub orders: u64,
    /// The installation that this ledger belongs to; none before the first leader.
    pub identity: Option<String>,
}

/// A slot that is begun and not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// Which.
    pub slot: Slot,
    /// Its run, while one is under way, or was when its process died.
    pub run: Option<RunId>,
    /// The run before, if none is under way.
    pub last_run: Option<RunId>,
    /// How many runs count against the retries.
    pub attempts: u32,
    /// When it may be tried again.
    pub not_before: Timestamp,
    /// The newest incomplete point.
    pub point: Option<RecoveryPointId>,
    /// Why the last run made no complete point.
    pub why: Option<String>,
}

/// Who paused a policy, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paused {
    /// Who.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// An event that cannot follow what came before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot follow: {why}")]
pub struct IllegalEvent {
    /// The event.
    pub event: String,
    /// Why not.
    pub why: &'static str,
}

impl Balance {
    /// The state after one more event, which was written at `now`.
    ///
    /// # Errors
    /// When the event cannot follow.
    pub fn next(mut self, event: &Happened, now: Timestamp) -> Result<Balance, IllegalEvent> {
        if let Some(why) = self.refusal(event) {
            return Err(IllegalEvent { event: format!("{event:?}"), why });
        }
        match event {
            Happened::Led { identity, .. } => self.identity = self.identity.or_else(|| Some(identity.clone())),
            Happened::Watched(watched) => {
                self.settled = watched.from;
                self.watched = Some(watched.clone());
            }
            Happened::Begun { slot, run, .. } => match (&mut self.open, slot.order) {
                (Some(open), _) => open.run = Some(run.clone()),
                (none, order) => {
                    *none = Some(Open::new(*slot, run.clone(), now));
                    match order {
                        Some(_) => self.wanted = None,
                        None => self.settled = slot.at,
                    }
                }
            },
            Happened::Tried { run, point, why, counts, not_before } => {
                let open = self.open.as_mut().expect("the event was allowed");
                (open.run, open.last_run) = (None, Some(run.clone()));
                open.attempts += u32::from(*counts);
                open.not_before = *not_before;
                open.point = point.clone().or(open.point.take());
                open.why = Some(why.clone());
            }
            Happened::Ended { .. } => self.open = None,
            Happened::Missed { slots, .. } => self.settled = slots.last,
            Happened::Ordered { number, what, by, reason, refused } => {
                self.orders = *number;
                match what.filter(|_| refused.is_none()) {
                    Some(Wish::Pause) => self.paused = Some(Paused { by: by.clone(), reason: reason.clone(), since: now }),
                    Some(Wish::Resume) => self.paused = None,
                    Some(Wish::Run) => self.wanted = Some(Slot { at: now, order: Some(*number) }),
                    None => {}
                }
            }
            Happened::SetBack { to } => self.settled = *to,
        }
        Ok(self)
    }

    /// Why an event cannot follow, if so.
    fn refusal(&self, event: &Happened) -> Option<&'static str> {
        let running = self.open.as_ref().and_then(|open| open.run.as_ref());
        match event {
            Happened::Begun { .. } if running.is_some() => Some("a run is under way"),
            Happened::Begun { slot, caught_up, .. } => match &self.open {
                Some(open) if open.slot != *slot => Some("another slot is open"),
                Some(_) if caught_up.is_some() => Some("a slot that is tried again stands for no other anew"),
                Some(_) => None,
                None if slot.order.is_some() => (self.wanted != Some(*slot)).then_some("nobody has ordered it"),
                None => (slot.at <= self.settled || caught_up.is_some_and(|span| span.first <= self.settled || span.last >= slot.at))
                    .then_some("the slot is settled"),
            },
            Happened::Tried { run, .. } => (running != Some(run)).then_some("this run is not under way"),
            Happened::Ended { slot, .. } => (self.open.as_ref().map(|open| open.slot) != Some(*slot)).then_some("the slot is not open"),
            Happened::Missed { slots, .. } => (slots.first <= self.settled || slots.last < slots.first).then_some("the slots are settled"),
            Happened::Ordered { number, .. } => (*number != self.orders + 1).then_some("it is not the next order"),
            Happened::SetBack { to } => (*to >= self.settled).then_some("nothing was said of later slots"),
            Happened::Watched(watched) => (watched.from < self.settled).then_some("slots after that are settled"),
            Happened::Led { .. } => None,
        }
    }
}

impl Open {
    fn new(slot: Slot, run: RunId, now: Timestamp) -> Open {
        Open { slot, run: Some(run), last_run: None, attempts: 0, not_before: now, point: None, why: None }
    }
}
