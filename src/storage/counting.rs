//! How many requests a store got, and how many bytes went either way.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{ListPage, ObjectInfo, ObjectStore, ObjectVersion, OperationKind, PageToken, Put, PutOptions, StoreError};
use crate::model::{ByteCount, ObjectKey};

/// What was counted of one kind of operation.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Requests that have ended.
    pub requests: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Bytes of objects that were stored by them, or read.
    pub bytes: ByteCount,
}

#[derive(Debug, Default)]
struct Cell {
    requests: AtomicU64,
    failures: AtomicU64,
    bytes: AtomicU64,
}

/// Counts requests and bytes on their way to another store.
#[derive(Debug)]
pub struct Counting {
    inner: Arc<dyn ObjectStore>,
    cells: [Cell; OperationKind::ALL.len()],
}

impl Counting {
    /// Wraps `inner`, with all counts at zero.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Counting {
        Counting { inner, cells: Default::default() }
    }

    /// The count of one kind of operation so far.
    pub fn count(&self, kind: OperationKind) -> Count {
        let Cell { requests, failures, bytes } = &self.cells[kind as usize];
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Count { requests: read(requests), failures: read(failures), bytes: ByteCount(read(bytes)) }
    }

    /// Requests of all kinds so far.
    pub fn requests(&self) -> u64 {
        OperationKind::ALL.iter().map(|kind| self.count(*kind).requests).sum()
    }

    fn counted<T>(&self, kind: OperationKind, done: Result<T, StoreError>, bytes: impl Fn(&T) -> usize) -> Result<T, StoreError> {
        let cell = &self.cells[kind as usize];
        cell.requests.fetch_add(1, Ordering::Relaxed);
        match &done {
            Ok(done) => cell.bytes.fetch_add(bytes(done) as u64, Ordering::Relaxed),
            Err(_) => cell.failures.fetch_add(1, Ordering::Relaxed),
        };
        done
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_new(&self, key: &ObjectKey, body: Bytes, options: &PutOptions) -> Result<Put, StoreError> {
        let size = body.len();
        let done = self.inner.put_new(key, body, options).await;
        self.counted(OperationKind::Put, done, |put| if *put == Put::Created { size } else { 0 })
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        self.counted(OperationKind::Get, self.inner.get(key, range).await, Bytes::len)
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.counted(OperationKind::Head, self.inner.head(key).await, |_| 0)
    }

    async fn list(&self, prefix: &str, page: Option<PageToken>) -> Result<ListPage, StoreError> {
        self.counted(OperationKind::List, self.inner.list(prefix, page).await, |_| 0)
    }

    async fn folders(&self, prefix: &str) -> Result<BTreeSet<String>, StoreError> {
        self.counted(OperationKind::List, self.inner.folders(prefix).await, |_| 0)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.counted(OperationKind::Delete, self.inner.delete(key).await, |()| 0)
    }

    async fn versions(&self, key: &ObjectKey) -> Result<Vec<ObjectVersion>, StoreError> {
        self.counted(OperationKind::Versions, self.inner.versions(key).await, |_| 0)
    }

    async fn get_version(&self, key: &ObjectKey, version: &str) -> Result<Bytes, StoreError> {
        self.counted(OperationKind::GetVersion, self.inner.get_version(key, version).await, Bytes::len)
    }

    async fn delete_version(&self, key: &ObjectKey, version: &str) -> Result<(), StoreError> {
        self.counted(OperationKind::DeleteVersion, self.inner.delete_version(key, version).await, |()| 0)
    }

    fn describe(&self) -> String {
        format!("counting({})", self.inner.describe())
    }
}
