//! The schedule ledger of a lineage in the control store: numbered objects, each written once. Whoever loses a put leads no more.

pub mod event;
pub mod state;
pub mod tail;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use self::{event::Happened, state::Balance};
use super::DaemonError;
use crate::{
    model::{Lineage, Timestamp},
    orchestrator::journal::signed_line,
    pipeline::MacKey,
    repository::{keys::CaptureFile, layout},
    storage::{ErrorKind, Listed, ObjectStore, Put, PutOptions, StoreError, list_after},
};

const CONTEXT: &str = "hourglass ledger 1";
/// Entries that are kept.
const KEPT: u64 = 2000;
/// How often older ones are removed, in entries.
const PRUNED_EVERY: u64 = 128;

/// One numbered object of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Version of the format: 1.
    pub format: u32,
    /// Whose.
    pub lineage: Lineage,
    /// From 1.
    pub number: u64,
    /// When it was written.
    pub written: Timestamp,
    /// What happened.
    pub event: Happened,
    /// What all entries until this one add up to.
    pub state: Balance,
}

/// The key of a lineage's ledger.
fn key(keys: &CaptureFile, lineage: &Lineage) -> MacKey {
    keys.lineage_chunk_key(lineage).derive(CONTEXT)
}

/// Where a ledger lies, and what it takes to believe it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The control store.
    pub store: Arc<dyn ObjectStore>,
    /// That of the lineage.
    pub key: MacKey,
    /// Whose.
    pub lineage: Lineage,
}

/// A ledger as it is, and goes on.
#[derive(Debug)]
pub struct Ledger {
    place: Place,
    number: u64,
    balance: Balance,
    /// Numbers above the newest good entry that nobody who may has written.
    strange: u64,
}

impl Place {
    /// That of `lineage` in the control store.
    pub fn of(store: &Arc<dyn ObjectStore>, keys: &CaptureFile, lineage: &Lineage) -> Place {
        Place { store: Arc::clone(store), key: key(keys, lineage), lineage: lineage.clone() }
    }

    fn failed(&self) -> impl FnOnce(StoreError) -> DaemonError + '_ {
        |source| DaemonError::Ledger { lineage: self.lineage.clone(), source }
    }

    /// The numbers that are there, in order.
    async fn numbers(&self) -> Result<Vec<u64>, DaemonError> {
        self.numbers_after(0).await
    }

    /// Those above `number`.
    async fn numbers_after(&self, number: u64) -> Result<Vec<u64>, DaemonError> {
        let (prefix, after) = (layout::ledger_prefix(&self.lineage), layout::ledger(&self.lineage, number));
        let mut numbers = Vec::new();
        let each = |object: Listed| numbers.extend(layout::number(&object.key));
        list_after(self.store.as_ref(), &prefix, &after, each).await.map_err(self.failed())?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The entry of a number: none where there is none, an error where it is not ours.
    async fn entry(&self, number: u64) -> Result<Option<Result<Entry, &'static str>>, DaemonError> {
        let bytes = match self.store.get(&layout::ledger(&self.lineage, number), None).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed()(error)),
        };
        let entry = signed_line::decode::<Entry>(&bytes, &self.key);
        let is_ours = |entry: &Entry| entry.format == layout::FORMAT && entry.lineage == self.lineage && entry.number == number;
        Ok(Some(entry.and_then(|entry| if is_ours(&entry) { Ok(entry) } else { Err("it is of another lineage or number") })))
    }

    /// The newest entries, oldest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn history(&self, most: usize) -> Result<Vec<Entry>, DaemonError> {
        let numbers = self.numbers().await?;
        let mut entries = Vec::new();
        for number in numbers.iter().skip(numbers.len().saturating_sub(most)) {
            entries.extend(self.entry(*number).await?.and_then(Result::ok));
        }
        Ok(entries)
    }
}

impl Ledger {
    /// Reads what a ledger adds up to.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn open(place: Place) -> Result<Ledger, DaemonError> {
        let numbers = place.numbers().await?;
        let mut number = numbers.last().copied().unwrap_or(0);
        let mut newest = None;
        // A list may be stale; what it lacks is found by asking for one number after the other.
        while let Some(entry) = place.entry(number + 1).await? {
            number += 1;
            newest = entry.ok().or(newest);
        }
        for known in numbers.iter().rev() {
            if newest.is_some() {
                break;
            }
            newest = place.entry(*known).await?.and_then(Result::ok);
        }
        let strange = number - newest.as_ref().map_or(0, |entry| entry.number);
        Ok(Ledger { place, number, balance: newest.map(|entry| entry.state).unwrap_or_default(), strange })
    }

    /// What all entries add up to.
    pub fn balance(&self) -> &Balance {
        &self.balance
    }

    /// The number of the newest entry.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many numbers above the newest good entry hold something else.
    pub fn strange(&self) -> u64 {
        self.strange
    }

    /// Enters an event; once this returns it survives a crash.
    ///
    /// # Errors
    /// [`DaemonError::Deposed`] when another process has written this number; else the store's.
    pub async fn enter(&mut self, event: Happened, now: Timestamp) -> Result<(), DaemonError> {
        let state = self.balance.clone().next(&event, now)?;
        let Place { store, key, lineage } = &self.place;
        let entry = Entry { format: layout::FORMAT, lineage: lineage.clone(), number: self.number + 1, written: now, event, state };
        let body = Bytes::from(signed_line::encode(&entry, key));
        let (name, options) = (layout::ledger(lineage, entry.number), PutOptions::of(&body));
        let put = store.put_new(&name, body.clone(), &options).await.map_err(self.place.failed())?;
        // A retry whose first try was stored finds its own bytes.
        if put == Put::AlreadyThere && store.get(&name, None).await.map_err(self.place.failed())? != body {
            return Err(DaemonError::Deposed);
        }
        (self.number, self.balance, self.strange) = (entry.number, entry.state, 0);
        // What is entered is entered, whether or not older entries can be removed.
        if self.number.is_multiple_of(PRUNED_EVERY)
            && let Err(error) = self.prune().await
        {
            tracing::warn!(%error, "old entries of a ledger stay");
        }
        Ok(())
    }

    async fn prune(&self) -> Result<(), DaemonError> {
        for number in self.place.numbers().await?.into_iter().filter(|number| number + KEPT < self.number) {
            self.place.store.delete(&layout::ledger(&self.place.lineage, number)).await.map_err(self.place.failed())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::SignedDuration;

    use super::{
        event::{End, Slot, Watched},
        tail::Tail,
        *,
    };
    use crate::{
        model::RunId,
        orchestrator::process::Process,
        pipeline::ChunkKey,
        storage::{Counting, DirectoryStore, Fault, Faults, OperationKind},
    };

    fn place(store: Arc<dyn ObjectStore>) -> Place {
        Place { store, key: ChunkKey::new([7; 32]).derive(CONTEXT), lineage: "p@s/1".parse().unwrap() }
    }

    fn led() -> Happened {
        Happened::Led { process: Process::current(), identity: "one".to_owned() }
    }

    #[tokio::test]
    async fn whoever_led_before_writes_no_more_and_what_nobody_who_may_wrote_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(DirectoryStore::open(folder.path()).unwrap());
        let now = "2026-11-28T12:00:00Z".parse().unwrap();
        let mut first = Ledger::open(place(Arc::clone(&store))).await.unwrap();
        first.enter(led(), now).await.unwrap();
        let mut second = Ledger::open(place(Arc::clone(&store))).await.unwrap();
        second.enter(led(), now + SignedDuration::from_secs(1)).await.unwrap();
        assert!(matches!(first.enter(led(), now).await, Err(DaemonError::Deposed)));
        let strange = Bytes::from_static(b"{}\nnothing\n");
        let third = layout::ledger(&"p@s/1".parse().unwrap(), 3);
        assert_eq!(store.put_new(&third, strange.clone(), &PutOptions::of(&strange)).await.unwrap(), Put::Created);
        let mut third = Ledger::open(place(Arc::clone(&store))).await.unwrap();
        assert_eq!((third.number(), third.strange(), third.balance().identity.as_deref()), (3, 1, Some("one")));
        third.enter(led(), now).await.unwrap();
        let history = place(Arc::clone(&store)).history(10).await.unwrap();
        assert_eq!(history.iter().map(|entry| entry.number).collect::<Vec<_>>(), [1, 2, 4]);
    }

    #[tokio::test]
    async fn who_looks_again_and_again_reads_what_is_new_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(DirectoryStore::open(folder.path()).unwrap());
        let counting = Arc::new(Counting::new(Arc::clone(&store)));
        let (seen, now) = (place(Arc::clone(&counting) as Arc<dyn ObjectStore>), "2026-11-28T12:00:00Z".parse().unwrap());
        let (mut tail, requests) = (Tail::default(), |kind| counting.count(kind).requests);
        tail.look(&seen).await.unwrap();
        assert_eq!((tail.entries().len(), tail.balance(seen.clone()).await.unwrap()), (0, Balance::default()));
        let mut ledger = Ledger::open(place(Arc::clone(&store))).await.unwrap();
        for _ in 0..3 {
            ledger.enter(led(), now).await.unwrap();
        }
        let strange = Bytes::from_static(b"{}\nnothing\n");
        assert_eq!(store.put_new(&layout::ledger(&ledger.place.lineage, 4), strange.clone(), &PutOptions::of(&strange)).await.unwrap(), Put::Created);
        let mut ledger = Ledger::open(place(Arc::clone(&store))).await.unwrap();
        ledger.enter(led(), now).await.unwrap();
        let before = (requests(OperationKind::List), requests(OperationKind::Get));
        tail.look(&seen).await.unwrap();
        assert_eq!(tail.entries().iter().map(|entry| entry.number).collect::<Vec<_>>(), [1, 2, 3, 5]);
        assert_eq!(&tail.balance(seen.clone()).await.unwrap(), ledger.balance());
        tail.look(&seen).await.unwrap();
        assert_eq!((requests(OperationKind::List) - before.0, requests(OperationKind::Get) - before.1), (0, 7));
    }

    /// What a daemon enters for two slots, as far as the ledger shows that it is still to be entered.
    async fn work(store: Arc<dyn ObjectStore>) -> Result<(), DaemonError> {
        let begin: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let mut ledger = Ledger::open(place(store)).await?;
        ledger.enter(led(), begin).await?;
        if ledger.balance().watched.is_none() {
            let watched = Watched { schedule: Some("0 * * * *".to_owned()), time_zone: "UTC".to_owned(), from: begin };
            ledger.enter(Happened::Watched(watched), begin).await?;
        }
        for hour in [1, 2] {
            let slot = Slot { at: begin + SignedDuration::from_hours(hour), order: None };
            let run = RunId::new(slot.at, 1);
            if ledger.balance().settled < slot.at {
                ledger.enter(Happened::Begun { slot, run: run.clone(), caught_up: None }, slot.at).await?;
            }
            if ledger.balance().open.as_ref().is_some_and(|open| open.slot == slot) {
                ledger.enter(Happened::Ended { slot, run: Some(run), end: End::Failed, point: None, why: None }, slot.at).await?;
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_death_before_or_after_any_put_loses_and_doubles_nothing() {
        for (number, after) in (1..=6).flat_map(|number| [(number, false), (number, true)]) {
            let folder = tempfile::tempdir().unwrap();
            let store: Arc<dyn ObjectStore> = Arc::new(DirectoryStore::open(folder.path()).unwrap());
            let puts = Mutex::new(0);
            let dying = Arc::new(Faults::new(Arc::clone(&store), move |operation| {
                let mut puts = puts.lock().unwrap();
                *puts += u64::from(operation.kind == OperationKind::Put);
                match operation.kind == OperationKind::Put && *puts == number {
                    true if after => Fault::CrashAfter,
                    true => Fault::Crash,
                    false => Fault::None,
                }
            }));
            assert!(work(dying).await.is_err(), "put {number} was never made");
            work(Arc::clone(&store)).await.unwrap();
            let history = place(store).history(100).await.unwrap();
            let count = |wanted: fn(&Happened) -> bool| history.iter().filter(|entry| wanted(&entry.event)).count();
            let counted = (count(|event| matches!(event, Happened::Begun { .. })), count(|event| matches!(event, Happened::Ended { .. })));
            assert_eq!(counted, (2, 2), "put {number}, after: {after}");
        }
    }
}
