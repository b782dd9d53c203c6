//! What people were told and are still to be told: the newest of numbered objects in the control store. Format: docs/format/notices.md.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    daemon::{DaemonError, condition::Condition},
    model::{SiteName, Timestamp},
    orchestrator::journal::signed_line,
    pipeline::MacKey,
    repository::{keys::CaptureFile, layout},
    storage::{ErrorKind, ObjectStore, Put, PutOptions, StoreError, list_all},
};

const CONTEXT: &str = "hourglass notices 1";
/// Numbers that are kept behind the newest.
const KEPT: u64 = 100;

/// What a notice says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A condition began.
    Began,
    /// It is over.
    Over,
    /// How everything is.
    Digest,
}

/// Something that people are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// From 1, without gaps.
    pub id: u64,
    /// When it was made.
    pub at: Timestamp,
    /// What it says.
    pub what: What,
    /// Of what; null in a digest.
    pub condition: Option<Condition>,
    /// Since when the condition lasts, or lasted.
    pub since: Timestamp,
    /// The text of a digest.
    pub text: Option<String>,
    /// Channels that have not taken it.
    pub owed: BTreeSet<String>,
}

/// A condition that lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lasting {
    /// Which, in the words of its beginning.
    pub condition: Condition,
    /// Since when.
    pub since: Timestamp,
}

/// All that is known of what people were told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Version of the format: 1.
    pub format: u32,
    /// Of which site.
    pub site: SiteName,
    /// From 1.
    pub number: u64,
    /// When it was written.
    pub written: Timestamp,
    /// The conditions that last.
    pub open: Vec<Lasting>,
    /// Notices that are owed, oldest first.
    pub outbox: Vec<Notice>,
    /// Id of the next notice.
    pub next: u64,
    /// The newest time of a digest that was made, or passed by.
    pub digested: Timestamp,
    /// Notices that were given up since the last digest.
    pub dropped: u64,
}

/// Reads and writes pages.
#[derive(Debug)]
pub struct Book {
    store: Arc<dyn ObjectStore>,
    key: MacKey,
    page: Page,
}

impl Book {
    /// Opens it at its newest page; with an empty one where there is none, as of `now`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn open(store: Arc<dyn ObjectStore>, keys: &CaptureFile, now: Timestamp) -> Result<Book, StoreError> {
        let (key, site) = (keys.chunk_key.derive(CONTEXT), keys.site.clone());
        let listed = list_all(store.as_ref(), &layout::notices_prefix(&site)).await?;
        let mut number = listed.iter().filter_map(|object| layout::number(&object.key)).max().unwrap_or(0);
        let empty = Page {
            format: layout::FORMAT,
            site: site.clone(),
            number,
            written: now,
            open: vec![],
            outbox: vec![],
            next: 1,
            digested: now,
            dropped: 0,
        };
        let mut book = Book { store, key, page: empty };
        let mut newest = None;
        // A list may be stale, and hold what nobody who may has written.
        for known in listed.iter().rev().filter_map(|object| layout::number(&object.key)) {
            newest = book.read(&site, known).await?;
            if newest.is_some() {
                break;
            }
        }
        while let Some(page) = book.read(&site, number + 1).await? {
            number += 1;
            newest = Some(page);
        }
        if let Some(page) = newest {
            book.page = Page { number, ..page };
        }
        Ok(book)
    }

    async fn read(&self, site: &SiteName, number: u64) -> Result<Option<Page>, StoreError> {
        match self.store.get(&layout::notices(site, number), None).await {
            Ok(bytes) => Ok(signed_line::decode::<Page>(&bytes, &self.key).ok().filter(|page| page.site == *site && page.number == number)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest page.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// Writes the next one; once this returns it survives a crash.
    ///
    /// # Errors
    /// [`DaemonError::Deposed`] when another process has written this number; else the store's.
    pub async fn turn(&mut self, page: Page, now: Timestamp) -> Result<(), DaemonError> {
        let page = Page { number: self.page.number + 1, written: now, ..page };
        let body = Bytes::from(signed_line::encode(&page, &self.key));
        let name = layout::notices(&page.site, page.number);
        let put = self.store.put_new(&name, body.clone(), &PutOptions::of(&body)).await?;
        // A retry whose first try was stored finds its own bytes.
        if put == Put::AlreadyThere && self.store.get(&name, None).await? != body {
            return Err(DaemonError::Deposed);
        }
        self.page = page;
        if let Some(old) = self.page.number.checked_sub(KEPT).filter(|old| *old > 0)
            && let Err(error) = self.store.delete(&layout::notices(&self.page.site, old)).await
        {
            tracing::warn!(%error, "an old page of notices stays");
        }
        Ok(())
    }
}
