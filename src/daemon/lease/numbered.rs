//! The lease in the control store: numbered objects, of which the newest is the lease.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{MOST_PUTS, VACANT};
use crate::{
    daemon::status::Leader,
    model::{SiteName, Timestamp},
    orchestrator::{journal::signed_line, process::Process},
    pipeline::MacKey,
    repository::{keys::CaptureFile, layout},
    storage::{ErrorKind, Fence, ObjectStore, Put, PutOptions, StoreError, list_all},
};

const CONTEXT: &str = "hourglass lease 1";
/// Numbers that are kept behind the newest.
const KEPT: u64 = 100;

/// A term of a leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Term {
    /// Version of the format: 1.
    format: u32,
    /// Of which site.
    site: SiteName,
    /// From 1.
    number: u64,
    /// When it was written.
    written: Timestamp,
    /// Who leads.
    process: Process,
    /// Tells processes apart that look the same from another machine.
    nonce: String,
    /// Whoever led has stopped, and nobody need wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    given_up: bool,
}

/// One candidate.
#[derive(Debug)]
pub struct Candidate {
    store: Arc<dyn ObjectStore>,
    key: MacKey,
    site: SiteName,
    process: Process,
    nonce: String,
    /// The newest number that is known, and when it was first seen.
    number: u64,
    seen: Duration,
}

/// Who leads a site, as the newest term says; none when nobody does.
///
/// # Errors
/// When the store does not answer.
pub async fn leader(store: &dyn ObjectStore, keys: &CaptureFile, site: &SiteName) -> Result<Option<Leader>, StoreError> {
    let Some(number) = highest(store, site).await? else { return Ok(None) };
    let bytes = store.get(&layout::lease(site, number), None).await?;
    let term = signed_line::decode::<Term>(&bytes, &keys.chunk_key.derive(CONTEXT)).ok();
    Ok(term.filter(|term| !term.given_up).map(|term| Leader { machine: term.process.machine, pid: term.process.pid, renewed: term.written }))
}

async fn highest(store: &dyn ObjectStore, site: &SiteName) -> Result<Option<u64>, StoreError> {
    let listed = list_all(store, &layout::lease_prefix(site)).await?;
    Ok(listed.iter().filter_map(|object| layout::number(&object.key)).max())
}

impl Candidate {
    /// A candidate for a site.
    pub fn new(store: Arc<dyn ObjectStore>, keys: &CaptureFile, nonce: String) -> Candidate {
        let (key, site) = (keys.chunk_key.derive(CONTEXT), keys.site.clone());
        Candidate { store, key, site, process: Process::current(), nonce, number: 0, seen: Fence::uptime() }
    }

    /// Takes the next number; false when somebody else leads. Who `slept` may have been forgotten.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn renew(&mut self, slept: bool) -> Result<bool, StoreError> {
        // What was written in the meantime may have been removed again by somebody who leads since long.
        let is_ours = self.put(false).await? && (!slept || self.is_newest().await?);
        if is_ours {
            self.forget().await;
        }
        Ok(is_ours)
    }

    /// Looks, and takes what is vacant.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn take(&mut self) -> Result<bool, StoreError> {
        let newest = highest(self.store.as_ref(), &self.site).await?.unwrap_or(0);
        let given_up = newest > 0 && self.term(newest).await?.is_some_and(|term| term.given_up);
        if newest != self.number {
            (self.number, self.seen) = (newest, Fence::uptime());
        }
        let is_vacant = newest == 0 || given_up || Fence::uptime() - self.seen > VACANT;
        Ok(is_vacant && self.put(false).await? && self.is_newest().await?)
    }

    /// Says that nobody need wait.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn give_up(&mut self) -> Result<(), StoreError> {
        self.put(true).await.map(drop)
    }

    /// Takes the next number; false when somebody else has it.
    async fn put(&mut self, given_up: bool) -> Result<bool, StoreError> {
        for _ in 0..MOST_PUTS {
            let (number, site) = (self.number + 1, self.site.clone());
            let (process, nonce) = (self.process.clone(), self.nonce.clone());
            let term = Term { format: layout::FORMAT, site, number, written: Timestamp::now(), process, nonce, given_up };
            let body = Bytes::from(signed_line::encode(&term, &self.key));
            let put = self.store.put_new(&layout::lease(&self.site, number), body.clone(), &PutOptions::of(&body)).await?;
            (self.number, self.seen) = (number, Fence::uptime());
            if put == Put::Created {
                return Ok(true);
            }
            // An earlier try of ours may have been stored though its answer was lost. Others have counted from then on, so it is too old to lead by.
            if self.term(number).await?.is_none_or(|term| term.nonce != self.nonce) {
                return Ok(false);
            }
        }
        Ok(false)
    }

    async fn is_newest(&self) -> Result<bool, StoreError> {
        Ok(highest(self.store.as_ref(), &self.site).await? == Some(self.number))
    }

    /// The term of a number; none where there is none, or none that somebody of this site wrote.
    async fn term(&self, number: u64) -> Result<Option<Term>, StoreError> {
        match self.store.get(&layout::lease(&self.site, number), None).await {
            Ok(bytes) => Ok(signed_line::decode(&bytes, &self.key).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a number that is far behind. Without the right to do that they pile up, and nothing else happens.
    async fn forget(&self) {
        if let Some(number) = self.number.checked_sub(KEPT).filter(|number| *number > 0)
            && let Err(error) = self.store.delete(&layout::lease(&self.site, number)).await
        {
            tracing::warn!(%error, "an old lease stays");
        }
    }
}
