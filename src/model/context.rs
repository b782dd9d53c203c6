//! What long work is given besides its inputs.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{ByteCount, Clock, Observer, Quiet, SystemClock};

/// Two-stage cancellation. First stage: begin nothing new, reach a safe point. Second: stop now.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    drain: CancellationToken,
    stop: CancellationToken,
}

impl Cancel {
    /// Raises the stage by one: the first call asks for a safe point, the second for an immediate stop.
    pub fn raise(&self) {
        if self.drain.is_cancelled() {
            self.stop.cancel();
        }
        self.drain.cancel();
    }

    /// Whether nothing new should begin.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Whether to stop now.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
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
