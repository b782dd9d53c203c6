//! One pool of bytes for everything that holds data in memory: chunks in flight, open packs, uploads, restore windows.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::ByteCount;

/// Permits count pages, so that 32-bit permit numbers reach beyond any memory.
const PAGE: u64 = 4096;

/// A bounded pool of bytes, shared by its clones. First come, first served.
#[derive(Debug, Clone)]
pub struct Budget {
    pages: Arc<Semaphore>,
    total: u32,
}

impl Budget {
    /// A pool of `bytes`, rounded up to pages of 4 KiB.
    pub fn new(bytes: ByteCount) -> Budget {
        let total = pages(bytes.0).clamp(1, u32::MAX >> 3);
        Budget { pages: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits until `bytes` are free, and takes them. More than the whole pool counts as the whole pool, so that one large request
    /// waits its turn and is never stuck; a task that already holds a permit while it asks for more can be.
    pub async fn acquire(&self, bytes: u64) -> Permit {
        let wanted = pages(bytes).min(self.total);
        Permit(self.pages.clone().acquire_many_owned(wanted).await.expect("the pool is never closed"))
    }

    /// As [`Budget::acquire`], but `None` instead of waiting.
    pub fn try_acquire(&self, bytes: u64) -> Option<Permit> {
        self.pages.clone().try_acquire_many_owned(pages(bytes).min(self.total)).ok().map(Permit)
    }

    /// Bytes that nobody holds.
    pub fn available(&self) -> ByteCount {
        ByteCount(self.pages.available_permits() as u64 * PAGE)
    }
}

fn pages(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PAGE)).unwrap_or(u32::MAX)
}

/// The right to hold bytes in memory; dropping it gives them back.
#[derive(Debug)]
#[must_use = "dropping a permit gives its bytes back"]
pub struct Permit(OwnedSemaphorePermit);

impl Permit {
    /// Gives back all but `bytes`: when a chunk has become a smaller frame. Never grows.
    pub fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.0.num_permits().saturating_sub(pages(bytes) as usize);
        drop(self.0.split(surplus));
    }

    /// Adds the bytes of another permit of the same pool to this one.
    pub fn merge(&mut self, other: Permit) {
        self.0.merge(other.0);
    }

    /// Bytes held.
    pub fn bytes(&self) -> ByteCount {
        ByteCount(self.0.num_permits() as u64 * PAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pool_gives_what_it_has_and_gets_it_back() {
        let pool = Budget::new(ByteCount(64 << 10));
        let mut first = pool.acquire(40 << 10).await;
        assert!(pool.try_acquire(32 << 10).is_none());
        first.shrink_to(4096);
        assert_eq!(first.bytes(), ByteCount(4096));
        first.merge(pool.try_acquire(32 << 10).unwrap());
        assert_eq!((first.bytes(), pool.available()), (ByteCount(36 << 10), ByteCount(28 << 10)));
        drop(first);
        assert_eq!(pool.available(), ByteCount(64 << 10));
    }

    #[tokio::test]
    async fn a_request_above_the_whole_pool_waits_for_all_of_it_and_no_longer() {
        let pool = Budget::new(ByteCount(8 << 10));
        let small = pool.acquire(1).await;
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.acquire(u64::MAX).await.bytes() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(small);
        assert_eq!(waiting.await.unwrap(), ByteCount(8 << 10));
    }
}
