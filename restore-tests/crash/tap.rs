//! A store that lets a test act before and after each request: kill the process, or do what another process would do just then.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use hourglass::{
    model::ObjectKey,
    storage::{ListPage, ObjectInfo, ObjectStore, ObjectVersion, Operation, OperationKind, PageToken, Put, PutOptions, StoreError},
};

use super::world::Stores;

/// When a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

pub type Hook = Arc<dyn Fn(When, Operation) -> BoxFuture<'static, ()> + Send + Sync>;

/// Calls a hook around each request. Requests of all taps that share a counter are numbered together.
pub struct Tap {
    inner: Arc<dyn ObjectStore>,
    counter: Arc<AtomicU64>,
    hook: Hook,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tap({:?})", self.inner)
    }
}

/// Both stores of a run, tapped.
pub fn tapped(stores: &Stores, hook: Hook) -> Stores {
    let counter = Arc::new(AtomicU64::new(0));
    let tap = |inner: &Arc<dyn ObjectStore>| Arc::new(Tap { inner: Arc::clone(inner), counter: Arc::clone(&counter), hook: Arc::clone(&hook) });
    Stores { data: tap(&stores.data), control: tap(&stores.control) }
}

impl Tap {
    async fn around<T>(&self, kind: OperationKind, key: &str, request: impl Future<Output = T> + Send) -> T {
        let number = self.counter.fetch_add(1, Ordering::SeqCst) + 1;
        let operation = Operation { number, kind, key: key.to_owned() };
        (self.hook)(When::Before, operation.clone()).await;
        let done = request.await;
        (self.hook)(When::After, operation).await;
        done
    }
}

#[async_trait]
impl ObjectStore for Tap {
    async fn put_new(&self, key: &ObjectKey, body: Bytes, options: &PutOptions) -> Result<Put, StoreError> {
        self.around(OperationKind::Put, key.as_str(), self.inner.put_new(key, body, options)).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        self.around(OperationKind::Get, key.as_str(), self.inner.get(key, range)).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.around(OperationKind::Head, key.as_str(), self.inner.head(key)).await
    }

    async fn list(&self, prefix: &str, page: Option<PageToken>) -> Result<ListPage, StoreError> {
        self.around(OperationKind::List, prefix, self.inner.list(prefix, page)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.around(OperationKind::Delete, key.as_str(), self.inner.delete(key)).await
    }

    async fn versions(&self, key: &ObjectKey) -> Result<Vec<ObjectVersion>, StoreError> {
        self.around(OperationKind::Versions, key.as_str(), self.inner.versions(key)).await
    }

    async fn get_version(&self, key: &ObjectKey, version: &str) -> Result<Bytes, StoreError> {
        self.around(OperationKind::GetVersion, key.as_str(), self.inner.get_version(key, version)).await
    }

    async fn delete_version(&self, key: &ObjectKey, version: &str) -> Result<(), StoreError> {
        self.around(OperationKind::DeleteVersion, key.as_str(), self.inner.delete_version(key, version)).await
    }

    fn describe(&self) -> String {
        format!("tap({})", self.inner.describe())
    }
}
