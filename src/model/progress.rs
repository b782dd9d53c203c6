//! Tells observers how far a step is, a few times a second.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{ByteCount, Event, Observer, StepId};

const INTERVAL: Duration = Duration::from_millis(200);

/// Counts the work of one step.
#[derive(Debug)]
pub struct Progress {
    observer: Arc<dyn Observer>,
    step: StepId,
    /// Bytes so far.
    pub bytes: u64,
    /// Items so far.
    pub items: u64,
    total: Option<ByteCount>,
    told: Instant,
}

impl Progress {
    /// Nothing done yet, of `total` bytes if that is known.
    pub fn new(observer: Arc<dyn Observer>, step: StepId, total: Option<ByteCount>) -> Progress {
        Progress { observer, step, bytes: 0, items: 0, total, told: Instant::now() }
    }

    /// Counts work that was done.
    pub fn add(&mut self, bytes: u64, items: u64) {
        self.bytes += bytes;
        self.items += items;
        if self.told.elapsed() >= INTERVAL {
            self.flush();
        }
    }

    /// Tells the count as it is.
    pub fn flush(&mut self) {
        self.told = Instant::now();
        let (bytes, total, items) = (ByteCount(self.bytes), self.total, self.items);
        self.observer.event(&Event::Progress { step: self.step.clone(), bytes, total, items });
    }
}
