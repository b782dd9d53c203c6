//! Tells observers how far a step is, a few times a second.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{ByteCount, Event, Observer, StepId};

const INTERVAL: Duration = Duration::from_millis(200);

/// Counts the work of one step. Clones count together, and each for itself.
#[derive(Debug, Clone)]
pub struct Progress {
    step: StepId,
    total: Option<ByteCount>,
    own: Count,
    shared: Arc<Shared>,
}

/// Bytes and items.
pub type Count = (u64, u64);

#[derive(Debug)]
struct Shared {
    observer: Arc<dyn Observer>,
    bytes: AtomicU64,
    items: AtomicU64,
    told: Mutex<Instant>,
}

impl Progress {
    /// Nothing done yet, of `total` bytes if that is known.
    pub fn new(observer: Arc<dyn Observer>, step: StepId, total: Option<ByteCount>) -> Progress {
        let shared = Shared { observer, bytes: AtomicU64::new(0), items: AtomicU64::new(0), told: Mutex::new(Instant::now()) };
        Progress { step, total, own: (0, 0), shared: Arc::new(shared) }
    }

    /// Counts work that was done.
    pub fn add(&mut self, bytes: u64, items: u64) {
        self.own = (self.own.0 + bytes, self.own.1 + items);
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared.items.fetch_add(items, Ordering::Relaxed);
        let mut told = self.shared.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= INTERVAL {
            *told = Instant::now();
            drop(told);
            self.flush();
        }
    }

    /// What this clone has counted.
    pub fn count(&self) -> Count {
        self.own
    }

    /// What this clone has counted since it had counted `before`.
    pub fn since(&self, before: Count) -> Count {
        (self.own.0 - before.0, self.own.1 - before.1)
    }

    /// Tells the count of all clones as it is.
    pub fn flush(&self) {
        let bytes = ByteCount(self.shared.bytes.load(Ordering::Relaxed));
        let items = self.shared.items.load(Ordering::Relaxed);
        self.shared.observer.event(&Event::Progress { step: self.step.clone(), bytes, total: self.total, items });
    }
}
