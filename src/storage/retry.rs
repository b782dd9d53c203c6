//! Trying again, within a budget.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    ErrorKind, ListPage, ObjectInfo, ObjectStore, ObjectVersion, PageToken, Put, PutOptions, StoreError, limits, object::sha256, random::Sequence,
};
use crate::model::ObjectKey;

/// How often and how long to try.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Attempts at most, the first one included.
    pub attempts: u32,
    /// No attempt begins after this.
    pub total: Duration,
    /// One attempt is given up after this.
    pub attempt: Duration,
    /// The first wait is at most this; each next one at most twice the last.
    pub first_wait: Duration,
    /// No wait is longer, but that the store may ask for as much again.
    pub longest_wait: Duration,
}

impl Default for Budget {
    /// Outlasts a store that is away for some minutes.
    fn default() -> Budget {
        Budget {
            attempts: 10,
            total: Duration::from_secs(600),
            attempt: limits::ATTEMPT + Duration::from_secs(10),
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(30),
        }
    }
}

/// Repeats what failed for a transient reason, after a wait of random length ("full jitter") that grows exponentially, and that begins
/// when the time is over for which the store asks to be left alone.
///
/// A put whose answer was lost is settled: when a repeated put finds the key taken, the object there is compared with the body.
/// Equal means [`Put::Created`], which is right whoever wrote it: the key has the caller's bytes. So two callers that put the *same* bytes may both be told so.
#[derive(Debug)]
pub struct Retry {
    inner: Arc<dyn ObjectStore>,
    budget: Budget,
    jitter: Sequence,
}

impl Retry {
    /// Wraps `inner`; `seed` determines the waits.
    pub fn new(inner: Arc<dyn ObjectStore>, budget: Budget, seed: u64) -> Retry {
        Retry { inner, budget, jitter: Sequence::from_seed(seed) }
    }

    /// Runs `work` until it succeeds, fails for good, or the budget is spent. Tells how many attempts it took.
    async fn run<T, F>(&self, action: &'static str, key: &str, work: impl Fn() -> F + Send + Sync) -> Result<(T, u32), StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let began = Instant::now();
        let mut longest = self.budget.first_wait;
        let mut attempt = 1;
        loop {
            let done = tokio::time::timeout(self.budget.attempt, work()).await.unwrap_or_else(|_| {
                let silent = StoreError::new(ErrorKind::Unavailable, action, key, &self.inner.describe());
                Err(silent.note(format!("no answer within {:.1?}", self.budget.attempt)))
            });
            let error = match done {
                Ok(done) => return Ok((done, attempt)),
                Err(error) if !error.is_transient() => return Err(error),
                Err(error) => error,
            };
            let pause = error.pause().unwrap_or_default().min(self.budget.longest_wait);
            let wait = pause + longest.mul_f64(self.jitter.fraction());
            if attempt >= self.budget.attempts || began.elapsed() + wait > self.budget.total {
                return Err(error.note(format!("gave up after {attempt} attempts in {:.1?}", began.elapsed())));
            }
            tracing::debug!(%error, attempt, ?wait, "will try again");
            tokio::time::sleep(wait).await;
            longest = (longest * 2).min(self.budget.longest_wait);
            attempt += 1;
        }
    }

    /// Whether the object at `key` has the bytes that `options` names.
    async fn is_ours(&self, key: &ObjectKey, size: u64, options: &PutOptions) -> Result<bool, StoreError> {
        match self.head(key).await? {
            Some(info) if info.size.0 != size => Ok(false),
            Some(info) if info.sha256.is_some() => Ok(info.sha256 == Some(options.sha256)),
            _ => Ok(sha256(&self.get(key, None).await?) == options.sha256),
        }
    }
}

#[async_trait]
impl ObjectStore for Retry {
    async fn put_new(&self, key: &ObjectKey, body: Bytes, options: &PutOptions) -> Result<Put, StoreError> {
        let size = body.len() as u64;
        match self.run("put", key.as_str(), || self.inner.put_new(key, body.clone(), options)).await? {
            (Put::AlreadyThere, 2..) if self.is_ours(key, size, options).await? => Ok(Put::Created),
            (put, _) => Ok(put),
        }
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        self.run("get", key.as_str(), || self.inner.get(key, range.clone())).await.map(|(body, _)| body)
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.run("head", key.as_str(), || self.inner.head(key)).await.map(|(info, _)| info)
    }

    async fn list(&self, prefix: &str, page: Option<PageToken>) -> Result<ListPage, StoreError> {
        self.run("list", prefix, || self.inner.list(prefix, page.clone())).await.map(|(page, _)| page)
    }

    async fn folders(&self, prefix: &str) -> Result<BTreeSet<String>, StoreError> {
        self.run("list", prefix, || self.inner.folders(prefix)).await.map(|(names, _)| names)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.run("delete", key.as_str(), || self.inner.delete(key)).await.map(|_| ())
    }

    async fn versions(&self, key: &ObjectKey) -> Result<Vec<ObjectVersion>, StoreError> {
        self.run("list the versions of", key.as_str(), || self.inner.versions(key)).await.map(|(versions, _)| versions)
    }

    async fn get_version(&self, key: &ObjectKey, version: &str) -> Result<Bytes, StoreError> {
        self.run("get a version of", key.as_str(), || self.inner.get_version(key, version)).await.map(|(body, _)| body)
    }

    async fn delete_version(&self, key: &ObjectKey, version: &str) -> Result<(), StoreError> {
        self.run("delete a version of", key.as_str(), || self.inner.delete_version(key, version)).await.map(|_| ())
    }

    fn describe(&self) -> String {
        format!("retry({})", self.inner.describe())
    }
}
