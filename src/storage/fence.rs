//! Writes that are allowed while a lease lasts: whoever slept through its end writes nothing more.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;

use super::{ErrorKind, ListPage, ObjectInfo, ObjectStore, ObjectVersion, PageToken, Put, PutOptions, StoreError};
use crate::model::ObjectKey;

/// How long a write waits for a lease to be renewed: a store that is away for a while stops no run.
const PATIENCE: Duration = Duration::from_secs(600);
const STEP: Duration = Duration::from_millis(100);

/// A lease, as the one who holds it sees it. It ends by a clock that goes on while the machine sleeps, whether or not anybody is awake to notice.
#[derive(Debug, Default)]
pub struct Fence {
    until: AtomicI64,
    lost: CancellationToken,
}

/// An instant of a clock that goes on while the machine sleeps; it says nothing about the time of day.
fn uptime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl Fence {
    /// Writes are allowed until this [`Fence::uptime`].
    pub fn extend(&self, until: Duration) {
        self.until.store(i64::try_from(until.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// The clock that leases are measured by.
    pub fn uptime() -> Duration {
        uptime()
    }

    /// Writes are allowed never again.
    pub fn lose(&self) {
        self.lost.cancel();
    }

    /// Whether a write is allowed now.
    pub fn is_open(&self) -> bool {
        !self.lost.is_cancelled() && (uptime().as_millis() as i64) < self.until.load(Ordering::SeqCst)
    }

    /// Waits until writes are allowed never again.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    async fn pass(&self) -> bool {
        let began = uptime();
        while !self.is_open() {
            if self.lost.is_cancelled() || uptime() - began > PATIENCE {
                return false;
            }
            tokio::time::sleep(STEP).await;
        }
        true
    }
}

/// Lets writes through to another store while a lease lasts, has them wait while it is uncertain, and refuses them once it is lost.
#[derive(Debug)]
pub struct Fenced {
    inner: Arc<dyn ObjectStore>,
    fence: Arc<Fence>,
}

impl Fenced {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>, fence: Arc<Fence>) -> Fenced {
        Fenced { inner, fence }
    }

    async fn pass(&self, action: &'static str, key: &ObjectKey) -> Result<(), StoreError> {
        match self.fence.pass().await {
            true => Ok(()),
            false => Err(StoreError::new(ErrorKind::AccessDenied, action, key.as_str(), &self.describe()).note("another daemon leads now")),
        }
    }
}

#[async_trait]
impl ObjectStore for Fenced {
    async fn put_new(&self, key: &ObjectKey, body: Bytes, options: &PutOptions) -> Result<Put, StoreError> {
        self.pass("put", key).await?;
        self.inner.put_new(key, body, options).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str, page: Option<PageToken>) -> Result<ListPage, StoreError> {
        self.inner.list(prefix, page).await
    }

    async fn folders(&self, prefix: &str) -> Result<BTreeSet<String>, StoreError> {
        self.inner.folders(prefix).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.pass("delete", key).await?;
        self.inner.delete(key).await
    }

    async fn versions(&self, key: &ObjectKey) -> Result<Vec<ObjectVersion>, StoreError> {
        self.inner.versions(key).await
    }

    async fn get_version(&self, key: &ObjectKey, version: &str) -> Result<Bytes, StoreError> {
        self.inner.get_version(key, version).await
    }

    async fn delete_version(&self, key: &ObjectKey, version: &str) -> Result<(), StoreError> {
        self.pass("delete a version of", key).await?;
        self.inner.delete_version(key, version).await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::DirectoryStore;

    #[tokio::test]
    async fn writes_pass_while_the_lease_lasts_wait_while_it_is_uncertain_and_fail_once_it_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let fence = Arc::new(Fence::default());
        let store = Arc::new(Fenced::new(Arc::new(DirectoryStore::open(folder.path()).unwrap()), Arc::clone(&fence)));
        let put = |key: &str| {
            let (store, key) = (Arc::clone(&store), key.parse::<ObjectKey>().unwrap());
            tokio::spawn(async move { store.put_new(&key, Bytes::from_static(b"x"), &PutOptions::of(b"x")).await })
        };
        fence.extend(uptime() + Duration::from_secs(60));
        assert_eq!(put("a").await.unwrap().unwrap(), Put::Created);
        fence.extend(uptime());
        let waiting = put("b");
        tokio::time::sleep(STEP * 3).await;
        assert!(!waiting.is_finished() && store.head(&"b".parse().unwrap()).await.unwrap().is_none());
        fence.extend(uptime() + Duration::from_secs(60));
        assert_eq!(waiting.await.unwrap().unwrap(), Put::Created);
        fence.lose();
        assert_eq!(put("c").await.unwrap().unwrap_err().kind(), ErrorKind::AccessDenied);
        assert!(store.delete(&"a".parse().unwrap()).await.is_err() && store.head(&"a".parse().unwrap()).await.unwrap().is_some());
    }
}
