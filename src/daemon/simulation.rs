//! Years of schedule with a clock that tests set: pauses, crashes at every entry, clocks that jump, runs that are slow. Every slot is accounted for once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, tz::TimeZone};

use super::{
    decide::{Decision, Rules, decide},
    fate::{Fate, judge},
    ledger::{
        event::{End, Happened, Slot, Wish},
        state::Balance,
    },
    timetable::Timetable,
};
use crate::{
    model::{RecoveryPointId, RunId, Timestamp},
    orchestrator::process::Process,
};

/// A generator of numbers that a failure can be repeated with.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn once_in(&mut self, many: u64) -> bool {
        many > 0 && self.below(many) == 0
    }
}

/// How rough it is: once in so many chances, or never.
#[derive(Clone, Copy)]
struct Weather {
    crash: u64,
    jump: u64,
    pause: u64,
    slow: u64,
    failure: u64,
}

const CALM: Weather = Weather { crash: 0, jump: 0, pause: 0, slow: 0, failure: 0 };

/// What is left when a process dies.
struct World {
    rules: Rules,
    now: Timestamp,
    /// What was put, as it was written.
    store: Vec<(Timestamp, Vec<u8>, Vec<u8>)>,
    /// The record: which runs made points, and whether complete.
    points: BTreeMap<RunId, bool>,
    runs: u32,
    dice: Dice,
    weather: Weather,
}

/// The process died.
struct Crash;

impl World {
    fn new(schedule: &str, zone: &str, begin: Timestamp, weather: Weather, seed: u64) -> World {
        let lineage: crate::model::Lineage = "p@s/1".parse().unwrap();
        let table = Timetable::plain(lineage.clone(), schedule.parse().unwrap(), TimeZone::get(zone).unwrap());
        let rules = Rules { lineage, timetable: Some(table), catch_up: SignedDuration::from_hours(24), retries: 2 };
        World { rules, now: begin, store: Vec::new(), points: BTreeMap::new(), runs: 0, dice: Dice(seed), weather }
    }

    fn balance(&self) -> Balance {
        self.store.last().map(|(_, _, state)| serde_json::from_slice(state).unwrap()).unwrap_or_default()
    }

    /// As the ledger does; the process may die before the put, or after it.
    fn enter(&mut self, event: Happened) -> Result<(), Crash> {
        let state = self.balance().next(&event, self.now).unwrap_or_else(|illegal| panic!("{illegal}"));
        self.maybe_crash()?;
        self.store.push((self.now, serde_json::to_vec(&event).unwrap(), serde_json::to_vec(&state).unwrap()));
        self.maybe_crash()
    }

    fn maybe_crash(&mut self) -> Result<(), Crash> {
        if self.dice.once_in(self.weather.crash) { Err(Crash) } else { Ok(()) }
    }

    /// One process, from its start until it dies or the time is over.
    fn process(&mut self, end: Timestamp) -> Result<(), Crash> {
        self.enter(Happened::Led { process: Process::current(), identity: "one".to_owned() })?;
        while self.now < end {
            self.maybe_crash()?;
            if self.dice.once_in(self.weather.pause) {
                let balance = self.balance();
                let what = match (&balance.paused, self.dice.below(4)) {
                    (_, 0) => Wish::Run,
                    (Some(_), _) => Wish::Resume,
                    (None, _) => Wish::Pause,
                };
                self.enter(Happened::Ordered {
                    number: balance.orders + 1,
                    what: Some(what),
                    by: "Berta".into(),
                    reason: "test".into(),
                    refused: None,
                })?;
            }
            match decide(&self.rules, &self.balance(), self.now) {
                Decision::Enter(event) => self.enter(event)?,
                Decision::Begin(slot, caught_up) => {
                    self.runs += 1;
                    let run = RunId::new(self.now, self.runs);
                    self.enter(Happened::Begun { slot, run: run.clone(), caught_up })?;
                    self.run(&run)?;
                }
                // Another process began it: what the record has of it decides.
                Decision::Settle => {
                    let open = self.balance().open.unwrap();
                    let run = open.run.clone().unwrap();
                    let fate = self.fate(&run).unwrap_or(Fate::Lost);
                    self.enter(judge(&open, &run, fate, self.now))?;
                }
                Decision::Sleep(until) => {
                    let longest = self.now + SignedDuration::from_mins(30);
                    self.now = until.map_or(longest, |until| until.clamp(self.now + SignedDuration::from_millis(1), longest));
                }
            }
            self.jump();
        }
        Ok(())
    }

    /// Work on a run until it has ended, and what follows.
    fn run(&mut self, run: &RunId) -> Result<(), Crash> {
        let longest = if self.dice.once_in(self.weather.slow) { 300 } else { 12 };
        self.now += SignedDuration::from_mins(self.dice.below(longest) as i64);
        self.maybe_crash()?;
        let fails = self.dice.once_in(self.weather.failure);
        if !fails {
            let complete = !self.dice.once_in(self.weather.failure);
            self.points.insert(run.clone(), complete);
        }
        self.maybe_crash()?;
        let fate = self.fate(run).unwrap_or(Fate::Nothing("no".into()));
        let open = self.balance().open.unwrap();
        self.enter(judge(&open, run, fate, self.now))
    }

    fn fate(&self, run: &RunId) -> Option<Fate> {
        let point: RecoveryPointId = "p@s/1:7".parse().unwrap();
        self.points.get(run).map(|complete| if *complete { Fate::Complete(point) } else { Fate::Incomplete(point, "a part".into()) })
    }

    fn jump(&mut self) {
        if self.dice.once_in(self.weather.jump) {
            let minutes = self.dice.below(6 * 1440) as i64;
            let back = self.dice.once_in(2);
            self.now += SignedDuration::from_mins(if back { -minutes } else { minutes });
        }
    }

    fn live(&mut self, end: Timestamp) {
        while self.now < end && self.process(end).is_err() {
            // It takes a while until another one leads.
            let away = if self.dice.once_in(20) { 3000 } else { 3 };
            self.now += SignedDuration::from_mins(self.dice.below(away) as i64);
        }
        self.weather = CALM;
        let owed = self.process(self.now + SignedDuration::from_hours(2));
        assert!(owed.is_ok());
    }

    /// Reads the ledger as an auditor would, and checks that it speaks of each slot once, and of success only where there is a point.
    fn audit(&self, why: &str) -> Tally {
        let mut audit = Audit { table: self.rules.timetable.as_ref().unwrap(), over: BTreeMap::new(), tally: Tally::default() };
        let (mut from, mut settled) = (None, Timestamp::MIN);
        for (_, event, state) in &self.store {
            let event: Happened = serde_json::from_slice(event).unwrap();
            if let Happened::Watched(watched) = &event {
                from.get_or_insert(watched.from);
            }
            audit.take(&event, &self.points, why);
            settled = serde_json::from_slice::<Balance>(state).unwrap().settled;
        }
        let from = from.unwrap();
        let expected: BTreeSet<Timestamp> = audit.table.slots(from).take_while(|slot| *slot <= settled).collect();
        let accounted: BTreeSet<Timestamp> = audit.over.keys().copied().collect();
        // A clock that went back before the first slot left nothing to account for.
        let lost: Vec<_> = expected.difference(&accounted).collect();
        assert!(lost.is_empty(), "{why}: lost {lost:?}");
        assert!(accounted.iter().all(|slot| *slot <= settled), "{why}");
        assert!(audit.over.values().all(|how| *how != "open"), "{why}: a slot is open for ever");
        assert!(audit.table.slots(settled).next().unwrap() > self.now - SignedDuration::from_mins(31), "{why}: slots were forgotten");
        audit.tally
    }
}

#[derive(Debug, Default)]
struct Tally {
    done: usize,
    other: usize,
    missed: u64,
    caught_up: u64,
    set_back: usize,
}

struct Audit<'a> {
    table: &'a Timetable,
    over: BTreeMap<Timestamp, &'static str>,
    tally: Tally,
}

impl Audit<'_> {
    fn end(&mut self, slot: Timestamp, how: &'static str, why: &str) {
        let before = self.over.insert(slot, how);
        assert!(before.is_none() || before == Some("open"), "{why}: {slot} is {} and {how}", before.unwrap());
    }

    fn span(&mut self, first: Timestamp, last: Timestamp, count: u64, how: &'static str, why: &str) {
        let slots: Vec<Timestamp> = self.table.slots(first - SignedDuration::from_nanos(1)).take_while(|slot| *slot <= last).collect();
        assert_eq!((slots.len() as u64, slots.first(), slots.last()), (count, Some(&first), Some(&last)), "{why}");
        slots.into_iter().for_each(|slot| self.end(slot, how, why));
    }

    fn take(&mut self, event: &Happened, points: &BTreeMap<RunId, bool>, why: &str) {
        match event {
            Happened::Begun { slot: Slot { at, order: None }, caught_up, .. } => {
                if self.over.get(at) != Some(&"open") {
                    self.end(*at, "open", why);
                }
                if let Some(span) = caught_up {
                    self.tally.caught_up += span.count;
                    self.span(span.first, span.last, span.count, "caught up", why);
                }
            }
            Happened::Ended { slot, run, end, .. } => {
                let made = run.as_ref().and_then(|run| points.get(run));
                assert_eq!(*end == End::Done, made == Some(&true), "{why}: {slot:?} is {end:?} and its run made {made:?}");
                *(if *end == End::Done { &mut self.tally.done } else { &mut self.tally.other }) += 1;
                // After the clock went back, the slot may lie where nothing is said any more.
                if slot.order.is_none() && self.over.contains_key(&slot.at) {
                    self.end(slot.at, end.as_str(), why);
                }
            }
            Happened::Missed { slots, .. } => {
                self.tally.missed += slots.count;
                self.span(slots.first, slots.last, slots.count, "missed", why);
            }
            Happened::SetBack { to } => {
                self.tally.set_back += 1;
                self.over.retain(|slot, _| slot <= to);
            }
            _ => {}
        }
    }
}

const YEAR: [(&str, &str); 3] = [("0 * * * *", "Europe/Brussels"), ("15 1,2 * * *", "America/New_York"), ("*/30 * * * *", "Australia/Lord_Howe")];

fn live_a_year(schedule: &str, zone: &str, weather: Weather, seed: u64) -> (World, Tally) {
    // A leap year, and clocks that change both ways in every zone.
    let (begin, end): (Timestamp, Timestamp) = ("2028-01-01T00:00:00Z".parse().unwrap(), "2029-01-01T00:00:00Z".parse().unwrap());
    let mut world = World::new(schedule, zone, begin, weather, seed);
    world.live(end);
    let tally = world.audit(&format!("{schedule} in {zone}, seed {seed}"));
    (world, tally)
}

#[test]
fn a_calm_year_has_every_slot_done() {
    for ((schedule, zone), slots) in YEAR.into_iter().zip([8784, 732, 17568]) {
        let (world, tally) = live_a_year(schedule, zone, CALM, 1);
        assert!((tally.done as i64 - slots).abs() <= 8, "{schedule} in {zone}: {tally:?}");
        assert_eq!((tally.other, tally.missed, tally.caught_up, tally.set_back), (0, 0, 0, 0), "{schedule} in {zone}");
        assert_eq!(world.points.len(), tally.done, "a run was doubled");
    }
}

#[test]
fn a_year_of_slow_runs_and_failures_accounts_for_every_slot_once() {
    for (schedule, zone) in YEAR {
        let (_, tally) = live_a_year(schedule, zone, Weather { slow: 5, failure: 6, ..CALM }, 2);
        assert!(tally.done > 500 && tally.other > 0, "{tally:?}");
    }
}

#[test]
fn a_year_of_crashes_at_every_entry_pauses_and_jumping_clocks_accounts_for_every_slot_once() {
    for (schedule, zone) in YEAR {
        for seed in 3..5 {
            let (_, tally) = live_a_year(schedule, zone, Weather { crash: 40, jump: 400, pause: 100, slow: 10, failure: 10 }, seed);
            assert!(tally.done > 100 && tally.missed > 10 && tally.caught_up > 10 && tally.set_back > 0, "{schedule} {tally:?}");
        }
    }
}
