//! A store that fails as real ones do, when a script says so. For tests, those outside the crate included.

use std::{
    collections::BTreeSet,
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    ErrorKind, ListPage, ObjectInfo, ObjectStore, ObjectVersion, Operation, OperationKind, PageToken, Put, PutOptions, StoreError, random::Sequence,
};
use crate::model::{ObjectKey, Timestamp};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it succeeds.
    None,
    /// It is answered with a server error, and has no effect.
    Unavailable,
    /// It is answered with a request to slow down, and has no effect.
    Throttled,
    /// It is refused for want of rights, and has no effect.
    AccessDenied,
    /// It is never answered, and has no effect.
    Silence,
    /// It succeeds, this much later.
    Slow(Duration),
    /// It takes effect, and the answer is lost.
    LostAcknowledgement,
    /// The body of the answer breaks off; as [`Fault::LostAcknowledgement`] where there is none.
    CutBody,
    /// One bit of the body of the answer is not what was stored, and the store does not notice.
    FlippedBit,
    /// A listing does not know of objects that were stored at this instant or later.
    StaleList(Timestamp),
    /// The process dies before the request leaves: it and all later ones fail, without effect.
    Crash,
    /// The process dies after the request took effect: it and all later ones fail, those without effect.
    CrashAfter,
}

/// Says what happens to each request.
type Script = Box<dyn Fn(&Operation) -> Fault + Send + Sync>;

/// Makes requests fail, as a script says, on their way to another store. For tests.
pub struct Faults {
    inner: Arc<dyn ObjectStore>,
    script: Script,
    operations: AtomicU64,
    is_dead: AtomicBool,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faults({:?})", self.inner)
    }
}

impl Faults {
    /// Wraps `inner`; `script` is asked once for each request, in their order.
    pub fn new(inner: Arc<dyn ObjectStore>, script: impl Fn(&Operation) -> Fault + Send + Sync + 'static) -> Faults {
        Faults { inner, script: Box::new(script), operations: AtomicU64::new(0), is_dead: AtomicBool::new(false) }
    }

    /// Each request has one of the transient faults with the probability `share` (0 to 1); `seed` determines which.
    pub fn seeded(inner: Arc<dyn ObjectStore>, seed: u64, share: f64) -> Faults {
        let numbers = Sequence::from_seed(seed);
        Faults::new(inner, move |_| {
            const TRANSIENT: [Fault; 4] = [Fault::Unavailable, Fault::Throttled, Fault::LostAcknowledgement, Fault::CutBody];
            if numbers.fraction() < share { TRANSIENT[(numbers.next() % 4) as usize] } else { Fault::None }
        })
    }

    /// Whatever changes something is refused.
    pub fn read_only(inner: Arc<dyn ObjectStore>) -> Faults {
        Faults::new(inner, |operation| if operation.kind.is_write() { Fault::AccessDenied } else { Fault::None })
    }

    /// Requests so far.
    pub fn operations(&self) -> u64 {
        self.operations.load(Ordering::SeqCst)
    }

    fn fault(&self, kind: OperationKind, key: &str) -> Fault {
        if self.is_dead.load(Ordering::SeqCst) {
            return Fault::Crash;
        }
        let number = self.operations.fetch_add(1, Ordering::SeqCst) + 1;
        let fault = (self.script)(&Operation { number, kind, key: key.to_owned() });
        if matches!(fault, Fault::Crash | Fault::CrashAfter) {
            self.is_dead.store(true, Ordering::SeqCst);
        }
        fault
    }

    async fn apply<T>(
        &self,
        fault: Fault,
        action: &'static str,
        key: &str,
        request: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let fail = |kind, note: &str| Err(StoreError::new(kind, action, key, &self.inner.describe()).note(format!("injected: {note}")));
        match fault {
            Fault::None | Fault::FlippedBit | Fault::StaleList(_) => request.await,
            Fault::Unavailable => fail(ErrorKind::Unavailable, "status 500"),
            Fault::Throttled => fail(ErrorKind::Throttled, "status 429"),
            Fault::AccessDenied => fail(ErrorKind::AccessDenied, "status 403"),
            Fault::Crash => fail(ErrorKind::Other, "crashed"),
            Fault::Silence => std::future::pending().await,
            Fault::Slow(wait) => {
                tokio::time::sleep(wait).await;
                request.await
            }
            Fault::LostAcknowledgement => request.await.and_then(|_| fail(ErrorKind::Unavailable, "connection reset")),
            Fault::CutBody => request.await.and_then(|_| fail(ErrorKind::Unavailable, "the body broke off")),
            Fault::CrashAfter => request.await.and_then(|_| fail(ErrorKind::Other, "crashed")),
        }
    }
}

fn damaged(body: Bytes, fault: Fault) -> Bytes {
    if fault != Fault::FlippedBit || body.is_empty() {
        return body;
    }
    let mut bytes = body.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes.into()
}

#[async_trait]
impl ObjectStore for Faults {
    async fn put_new(&self, key: &ObjectKey, body: Bytes, options: &PutOptions) -> Result<Put, StoreError> {
        let fault = self.fault(OperationKind::Put, key.as_str());
        self.apply(fault, "put", key.as_str(), self.inner.put_new(key, body, options)).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        let fault = self.fault(OperationKind::Get, key.as_str());
        self.apply(fault, "get", key.as_str(), self.inner.get(key, range)).await.map(|body| damaged(body, fault))
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        let fault = self.fault(OperationKind::Head, key.as_str());
        self.apply(fault, "head", key.as_str(), self.inner.head(key)).await
    }

    async fn list(&self, prefix: &str, page: Option<PageToken>) -> Result<ListPage, StoreError> {
        let fault = self.fault(OperationKind::List, prefix);
        let mut page = self.apply(fault, "list", prefix, self.inner.list(prefix, page)).await?;
        if let Fault::StaleList(since) = fault {
            page.objects.retain(|object| object.modified < since);
        }
        Ok(page)
    }

    async fn folders(&self, prefix: &str) -> Result<BTreeSet<String>, StoreError> {
        let fault = self.fault(OperationKind::List, prefix);
        self.apply(fault, "list", prefix, self.inner.folders(prefix)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let fault = self.fault(OperationKind::Delete, key.as_str());
        self.apply(fault, "delete", key.as_str(), self.inner.delete(key)).await
    }

    async fn versions(&self, key: &ObjectKey) -> Result<Vec<ObjectVersion>, StoreError> {
        let fault = self.fault(OperationKind::Versions, key.as_str());
        self.apply(fault, "list the versions of", key.as_str(), self.inner.versions(key)).await
    }

    async fn get_version(&self, key: &ObjectKey, version: &str) -> Result<Bytes, StoreError> {
        let fault = self.fault(OperationKind::GetVersion, key.as_str());
        self.apply(fault, "get a version of", key.as_str(), self.inner.get_version(key, version)).await.map(|body| damaged(body, fault))
    }

    async fn delete_version(&self, key: &ObjectKey, version: &str) -> Result<(), StoreError> {
        let fault = self.fault(OperationKind::DeleteVersion, key.as_str());
        self.apply(fault, "delete a version of", key.as_str(), self.inner.delete_version(key, version)).await
    }

    fn describe(&self) -> String {
        format!("faults({})", self.inner.describe())
    }
}
