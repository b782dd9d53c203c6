//! What long work is given besides its inputs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{ByteCount, Clock, Observer, Quiet, SystemClock};

/// Two-stage cancellation. First stage: begin nothing new, reach a safe point. Second: stop now.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    drain: CancellationToken,
    stop: CancellationToken,
    lease: Option<Lease>,
}

/// For how long this process may act without hearing that it still may. Whoever asks [`Cancel::is_stopped`] before an effect asks this too, so that
/// a process that was frozen does nothing when it wakes.
#[derive(Debug, Clone)]
pub struct Lease {
    since: Instant,
    /// Milliseconds after `since`.
    until: Arc<AtomicU64>,
    length: Duration,
}

impl Lease {
    /// One that begins now.
    pub fn new(length: Duration) -> Lease {
        let lease = Lease { since: Instant::now(), until: Arc::default(), length };
        lease.renew(lease.since);
        lease
    }

    /// What was asked at this moment was granted. One that was ended stays so.
    pub fn renew(&self, asked: Instant) {
        let until = (asked + self.length).saturating_duration_since(self.since).as_millis() as u64;
        let later = |now| (now != ENDED && until > now).then_some(until);
        // Nothing to do is no failure.
        let _ = self.until.fetch_update(SeqCst, SeqCst, later);
    }

    /// It never counts again. Returns whether it was not ended before.
    pub fn end(&self) -> bool {
        self.until.swap(ENDED, SeqCst) != ENDED
    }

    /// How much of it is left; nothing when it has run out.
    pub fn left(&self) -> Option<Duration> {
        match self.until.load(SeqCst) {
            ENDED => None,
            until => Duration::from_millis(until).checked_sub(self.since.elapsed()).filter(|left| !left.is_zero()),
        }
    }
}

const ENDED: u64 = u64::MAX;

impl Cancel {
    /// The same, which ends with a lease too; and can be stopped without stopping what it came from.
    pub fn within(&self, lease: Lease) -> Cancel {
        Cancel { drain: self.drain.child_token(), stop: self.stop.child_token(), lease: Some(lease) }
    }

    /// Stops now.
    pub fn stop(&self) {
        self.drain.cancel();
        self.stop.cancel();
    }

    fn has_run_out(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.left().is_none())
    }

    /// Raises the stage by one: the first call asks for a safe point, the second for an immediate stop.
    pub fn raise(&self) {
        if self.drain.is_cancelled() {
            self.stop.cancel();
        }
        self.drain.cancel();
    }

    /// Whether nothing new should begin.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled() || self.has_run_out()
    }

    /// Whether to stop now.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled() || self.has_run_out()
    }

    /// Waits until nothing new should begin.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Waits until everything should stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

/// Ceilings that do not depend on the data.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes in open packs, uploads, windows and codecs together.
    pub memory: ByteCount,
    /// Threads that hash, compress and encrypt.
    pub workers: usize,
    /// Requests to one object store at a time.
    pub requests: usize,
    /// Bytes of frames at which a pack is full; the format allows any size, and small ones show in little data what large ones do in much.
    pub pack: ByteCount,
}

impl Default for Limits {
    fn default() -> Limits {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Limits { memory: ByteCount(128 << 20), workers, requests: 16, pack: ByteCount(16 << 20) }
    }
}

/// The last argument of whatever works for long.
#[derive(Debug, Clone)]
pub struct Context {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who is told.
    pub observer: Arc<dyn Observer>,
    /// Whether to go on.
    pub cancel: Cancel,
    /// How much to use.
    pub limits: Limits,
}

impl Default for Context {
    fn default() -> Context {
        Context { clock: Arc::new(SystemClock), observer: Arc::new(Quiet), cancel: Cancel::default(), limits: Limits::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_ran_out_or_was_ended_stops_and_only_the_first_can_be_renewed() {
        let cancel = Cancel::default();
        let lease = Lease::new(Duration::from_millis(1));
        let within = cancel.within(lease.clone());
        std::thread::sleep(Duration::from_millis(20));
        assert!(within.is_stopped() && within.is_draining() && !cancel.is_stopped());
        let later = Lease::new(Duration::from_secs(3600));
        let within = cancel.within(later.clone());
        assert!(!within.is_stopped() && later.left().is_some());
        later.renew(Instant::now());
        later.end();
        later.renew(Instant::now());
        assert!(within.is_stopped() && later.left().is_none());
        within.stop();
        assert!(!cancel.is_stopped() && !cancel.is_draining());
        cancel.raise();
        assert!(cancel.is_draining());
    }
}
