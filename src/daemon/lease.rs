//! Which of the daemons of a site leads, without Kubernetes: numbered objects in the control store, of which the newest is a lease.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::serve::Health;
use crate::{
    model::{Cancel, SiteName, Timestamp},
    orchestrator::{journal::signed_line, process::Process},
    pipeline::MacKey,
    repository::{keys::CaptureFile, layout},
    storage::{ErrorKind, Fence, ObjectStore, Put, PutOptions, StoreError, list_all},
};

const CONTEXT: &str = "hourglass lease 1";
/// How often a leader renews its lease, and a follower looks.
const BEAT: Duration = Duration::from_secs(3);
/// How long a leader may write after it began to renew.
const HELD: Duration = Duration::from_secs(9);
/// How long a follower has to see nothing new before it leads. Longer than [`HELD`] by what clocks may differ.
const VACANT: Duration = Duration::from_secs(12);
/// Longest time for one look or one renewal.
const ANSWER: Duration = Duration::from_secs(5);
/// Numbers of its own that a candidate passes by in one beat.
const MOST_PUTS: usize = 4;
/// Numbers that are kept behind the newest.
const KEPT: u64 = 100;

/// A term of a leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// Version of the format: 1.
    pub format: u32,
    /// Of which site.
    pub site: SiteName,
    /// From 1.
    pub number: u64,
    /// When it was written.
    pub written: Timestamp,
    /// Who leads.
    pub process: Process,
    /// Tells processes apart that look the same from another machine.
    pub nonce: String,
    /// Whoever led has stopped, and nobody need wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
}

/// One candidate.
#[derive(Debug)]
pub struct Lease {
    store: Arc<dyn ObjectStore>,
    key: MacKey,
    site: SiteName,
    process: Process,
    nonce: String,
    /// The newest number that is known, when it was first seen, and whether it is this candidate's own.
    number: u64,
    seen: Duration,
    fence: Option<Arc<Fence>>,
    health: Arc<Health>,
}

/// Who leads a site, as the newest term says; none when nobody ever did.
///
/// # Errors
/// When the store does not answer.
pub async fn newest(store: &dyn ObjectStore, keys: &CaptureFile, site: &SiteName) -> Result<Option<Term>, StoreError> {
    let Some(number) = highest(store, site).await? else { return Ok(None) };
    let bytes = store.get(&layout::lease(site, number), None).await?;
    Ok(signed_line::decode(&bytes, &keys.chunk_key.derive(CONTEXT)).ok())
}

async fn highest(store: &dyn ObjectStore, site: &SiteName) -> Result<Option<u64>, StoreError> {
    let listed = list_all(store, &layout::lease_prefix(site)).await?;
    Ok(listed.iter().filter_map(|object| layout::number(&object.key)).max())
}

impl Lease {
    /// A candidate for a site.
    pub fn new(store: Arc<dyn ObjectStore>, keys: &CaptureFile, health: Arc<Health>) -> Lease {
        let nonce = format!("{:016x}", getrandom::u64().expect("the operating system has random numbers"));
        let (key, site) = (keys.chunk_key.derive(CONTEXT), keys.site.clone());
        Lease { store, key, site, process: Process::current(), nonce, number: 0, seen: Fence::uptime(), fence: None, health }
    }

    /// Leads whenever nobody else does, until `cancel` drains and `released` says that all work is over. Tells of each term that begins, and of its end.
    pub async fn stand(mut self, leads: watch::Sender<Option<Arc<Fence>>>, cancel: Cancel, released: impl Future<Output = ()>) {
        let mut released = std::pin::pin!(released);
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut released => break,
                _ = beat.tick() => {}
            }
            // A follower that is to stop does not begin to lead.
            if self.fence.is_none() && cancel.is_draining() {
                break;
            }
            let before = self.fence.clone();
            match tokio::time::timeout(ANSWER, self.beat()).await {
                Ok(Ok(())) => self.health.answered(),
                Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be read or renewed"),
                Err(_) => tracing::warn!("the control store is silent"),
            }
            match (&before, &self.fence) {
                (Some(old), None) => old.lose(),
                (None, None) | (Some(_), Some(_)) => continue,
                (None, Some(_)) => {}
            }
            // Whoever listens has gone only at the end.
            let _gone = leads.send(self.fence.clone());
        }
        if let Some(fence) = self.fence.take() {
            // Nobody waits for it if it fails.
            let _waited = tokio::time::timeout(ANSWER, self.put(true)).await;
            fence.lose();
            let _gone = leads.send(None);
        }
    }

    /// Looks, and renews or takes what is vacant.
    async fn beat(&mut self) -> Result<(), StoreError> {
        if let Some(fence) = self.fence.clone() {
            let began = Fence::uptime();
            // What was written in the meantime may have been removed again by somebody who leads since long.
            let slept = !fence.is_open();
            self.fence = match self.put(false).await? && (!slept || self.is_newest().await?) {
                true => Some(fence),
                false => None,
            };
            if let Some(fence) = &self.fence {
                fence.extend(began + HELD);
                self.forget().await;
            }
            return Ok(());
        }
        let newest = highest(self.store.as_ref(), &self.site).await?.unwrap_or(0);
        let given_up = newest > 0 && self.term(newest).await?.is_some_and(|term| term.given_up);
        if newest != self.number {
            (self.number, self.seen) = (newest, Fence::uptime());
        }
        let is_vacant = newest == 0 || given_up || Fence::uptime() - self.seen > VACANT;
        let began = Fence::uptime();
        if is_vacant && self.put(false).await? && self.is_newest().await? {
            let fence = Arc::new(Fence::default());
            fence.extend(began + HELD);
            self.fence = Some(fence);
        }
        Ok(())
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
