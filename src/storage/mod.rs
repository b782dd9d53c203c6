//! The storage edge: objects of at most 64 MiB, each written once, whole, under its final name.
//!
//! It owns the trait [`ObjectStore`], the three kinds of store behind it (directory, S3, Azure Blob) and the wrappers around any of them (retry, counting, faults, fence).
//! It must not know what the objects mean: layout, keys and encryption belong to higher layers.

mod azure;
mod counting;
mod directory;
mod error;
mod faults;
mod fence;
mod limits;
mod object;
mod open;
mod operation;
mod probe;
mod random;
mod range;
mod retry;
mod s3;

pub use azure::AzureStore;
pub use counting::{Count, Counting};
pub use directory::DirectoryStore;
pub use error::{ErrorKind, StoreError};
pub use faults::{Fault, Faults};
pub use fence::{Fence, Fenced};
pub use object::{ListPage, Listed, ObjectInfo, ObjectVersion, PageToken, Put, PutOptions};
pub use open::{open, open_with, rules};
pub use operation::{Operation, OperationKind};
pub use probe::{ProbeReport, Role, probe};
pub use retry::{Budget, Retry};
pub use s3::{AccessKey, S3Store};

use std::{collections::BTreeSet, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::ObjectKey;

/// Objects are never larger than this, so that each is put whole, in one request.
pub const LARGEST_OBJECT: usize = 64 << 20;

/// A place for immutable objects. The required methods are few, so that a wrapper is short.
///
/// Every method fails with a [`StoreError`] that names the action, the object and the store; callers branch on its `kind()`.
#[async_trait]
pub trait ObjectStore: Send + Sync + std::fmt::Debug {
    /// Stores `body` under `key` unless an object is there already. Of concurrent callers exactly one is told [`Put::Created`].
    /// The object is durable, whole and readable when this returns.
    ///
    /// Errors: `ChecksumMismatch` when `body` is not what `options.sha256` says (nothing is stored); `Unsupported` when retention is asked of a store that has none.
    /// After a transient error the object may be there or not.
    async fn put_new(&self, key: &ObjectKey, body: Bytes, options: &PutOptions) -> Result<Put, StoreError>;

    /// Reads an object, or the bytes `range` of it.
    ///
    /// Errors: `NotFound`; `Invalid` when `range` is empty, or ends beyond the object. What is returned has the asked length.
    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError>;

    /// What the store knows of an object; `None` when there is none.
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError>;

    /// One page of the objects whose keys begin with `prefix` (any text: it need not end at a `/`), from the start or from where `page` says.
    /// A page may be empty and still not be the last. Keys ascend in byte order within a page, and across pages too in a directory, in S3 and in Azure;
    /// but some who speak S3 go folder by folder, so `a/b` before `a-b`: whoever needs the whole order takes [`list_all`].
    async fn list(&self, prefix: &str, page: Option<PageToken>) -> Result<ListPage, StoreError>;

    /// The names between `prefix`, which is empty or ends at a `/`, and the next `/` of each key that begins with it: what a file manager would call folders.
    /// One may be shown that holds nothing any more. Unless a store can do better, every key is looked at.
    async fn folders(&self, prefix: &str) -> Result<BTreeSet<String>, StoreError> {
        let (mut found, mut next) = (BTreeSet::new(), None);
        for _ in 0..MOST_PAGES {
            let page = self.list(prefix, next).await?;
            let name = |object: &Listed| Some(object.key.as_str().strip_prefix(prefix)?.split_once('/')?.0.to_owned());
            found.extend(page.objects.iter().filter_map(name));
            next = page.next;
            if next.is_none() {
                return Ok(found);
            }
        }
        Err(endless(prefix, &self.describe()))
    }

    /// Removes an object; one that is not there is success. In a versioned store its versions stay.
    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError>;

    /// All versions of an object, newest first, delete markers included. A store without versions shows the object itself, under the version `null`.
    async fn versions(&self, key: &ObjectKey) -> Result<Vec<ObjectVersion>, StoreError>;

    /// Reads one version of an object. Errors: `NotFound`.
    async fn get_version(&self, key: &ObjectKey, version: &str) -> Result<Bytes, StoreError>;

    /// Removes one version of an object for good; one that is not there may be success. Errors: `AccessDenied` while it is under retention.
    async fn delete_version(&self, key: &ObjectKey, version: &str) -> Result<(), StoreError>;

    /// Where and what this is, for people: a URL without secrets; wrappers show their nesting.
    fn describe(&self) -> String;
}

/// Pages that [`list_all`] reads at most: a million objects and more, and an end to a store that pages in circles.
pub const MOST_PAGES: usize = 10_000;

/// All objects whose keys begin with `prefix`, in byte order. Errors: those of [`ObjectStore::list`], and `Other` after [`MOST_PAGES`] pages.
pub async fn list_all(store: &dyn ObjectStore, prefix: &str) -> Result<Vec<Listed>, StoreError> {
    let mut found = Vec::new();
    list_each(store, prefix, |object| found.push(object)).await?;
    found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

/// Shows `each` all objects whose keys begin with `prefix`, in the order of [`ObjectStore::list`]. Errors: those of [`list_all`].
pub async fn list_each(store: &dyn ObjectStore, prefix: &str, each: impl FnMut(Listed) + Send) -> Result<(), StoreError> {
    list_from(store, prefix, None, each).await
}

/// As [`list_each`], but those alone whose keys come after `after`: how little is listed for that depends on the store.
pub async fn list_after(store: &dyn ObjectStore, prefix: &str, after: &ObjectKey, mut each: impl FnMut(Listed) + Send) -> Result<(), StoreError> {
    let newer = |object: Listed| {
        if object.key > *after {
            each(object);
        }
    };
    list_from(store, prefix, Some(PageToken::After(after.clone())), newer).await
}

async fn list_from(store: &dyn ObjectStore, prefix: &str, from: Option<PageToken>, mut each: impl FnMut(Listed) + Send) -> Result<(), StoreError> {
    let mut next = from;
    for _ in 0..MOST_PAGES {
        let page = store.list(prefix, next).await?;
        page.objects.into_iter().for_each(&mut each);
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
    Err(endless(prefix, &store.describe()))
}

fn endless(prefix: &str, store: &str) -> StoreError {
    StoreError::new(ErrorKind::Other, "list", prefix, store).note(format!("no end after {MOST_PAGES} pages"))
}
