//! Which of the daemons of a site leads: a lease in the control store or in Kubernetes, and what the one that has it may write. Format: docs/format/ledger.md.

mod kubernetes;
mod numbered;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use self::{kubernetes::Candidate as InKubernetes, numbered::Candidate as InControl};
use super::{
    cluster::{self, ClusterError},
    serve::Health,
    status::Leader,
};
use crate::{
    config::Config,
    model::{Cancel, SiteName},
    repository::{keys::CaptureFile, layout},
    storage::{Fence, ObjectStore, StoreError},
};

/// How often a leader renews its lease, and a follower looks.
const BEAT: Duration = Duration::from_secs(3);
/// How long a leader may write after it began to renew.
const HELD: Duration = Duration::from_secs(9);
/// How long a follower has to see nothing new before it leads. Longer than [`HELD`] by what clocks may differ.
const VACANT: Duration = Duration::from_secs(12);
/// Longest time for one look or one renewal.
const ANSWER: Duration = Duration::from_secs(5);
/// Longest time for a look at a control store that has no lease in it.
const GLANCE: Duration = Duration::from_secs(1);
/// How often a candidate writes again in one beat, when what it finds is its own.
const MOST_PUTS: usize = 4;

/// Why a lease cannot be read or renewed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The control store.
    #[error(transparent)]
    Control(#[from] StoreError),
    /// The API server.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// One candidate, which leads while it has a fence.
#[derive(Debug)]
pub struct Lease {
    place: Place,
    control: Arc<dyn ObjectStore>,
    site: SiteName,
    fence: Option<Arc<Fence>>,
    health: Arc<Health>,
}

#[derive(Debug)]
enum Place {
    Control(InControl),
    Kubernetes(Box<InKubernetes>),
}

/// Who leads a site, as its lease says; none when nobody does.
///
/// # Errors
/// When the place of the lease does not answer.
pub async fn leader(config: &Config, store: &dyn ObjectStore, keys: &CaptureFile) -> Result<Option<Leader>, LeaseError> {
    match config.daemon.lease.is_of_kubernetes(cluster::in_pod()) {
        true => Ok(kubernetes::leader(&config.daemon.lease).await?),
        false => Ok(numbered::leader(store, keys, &config.site).await?),
    }
}

impl Lease {
    /// A candidate for the site of a configuration.
    ///
    /// # Errors
    /// The credentials of the cluster are no use.
    pub async fn new(config: &Config, store: Arc<dyn ObjectStore>, keys: &CaptureFile, health: Arc<Health>) -> Result<Lease, ClusterError> {
        let nonce = format!("{:016x}", getrandom::u64().expect("the operating system has random numbers"));
        let place = match config.daemon.lease.is_of_kubernetes(cluster::in_pod()) {
            true => Place::Kubernetes(Box::new(InKubernetes::new(&config.daemon.lease, &nonce).await?)),
            false => Place::Control(InControl::new(Arc::clone(&store), keys, nonce)),
        };
        Ok(Lease { place, control: store, site: keys.site.clone(), fence: None, health })
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
                Ok(Ok(())) if self.control_answers().await => self.health.answered(),
                Ok(Ok(())) => tracing::warn!("the control store is silent"),
                Ok(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "the lease cannot be read or renewed"),
                Err(_) => tracing::warn!("whoever keeps the lease is silent"),
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
            let _waited = tokio::time::timeout(ANSWER, self.give_up()).await;
            fence.lose();
            let _gone = leads.send(None);
        }
    }

    /// Renews, or looks and takes what is vacant.
    async fn beat(&mut self) -> Result<(), LeaseError> {
        let began = Fence::uptime();
        let is_ours = match (&self.fence, &mut self.place) {
            (Some(fence), Place::Control(candidate)) => candidate.renew(!fence.is_open()).await?,
            (Some(_), Place::Kubernetes(candidate)) => candidate.renew().await?,
            (None, Place::Control(candidate)) => candidate.take().await?,
            (None, Place::Kubernetes(candidate)) => candidate.take().await?,
        };
        match is_ours {
            true => self.fence.get_or_insert_default().extend(began + HELD),
            false => self.fence = None,
        }
        Ok(())
    }

    /// Whether the control store is there, where the lease does not say it.
    async fn control_answers(&self) -> bool {
        let asked = async { tokio::time::timeout(GLANCE, self.control.head(&layout::lease(&self.site, 1))).await.is_ok_and(|head| head.is_ok()) };
        matches!(self.place, Place::Control(_)) || asked.await
    }

    async fn give_up(&mut self) -> Result<(), LeaseError> {
        match &mut self.place {
            Place::Control(candidate) => Ok(candidate.give_up().await?),
            Place::Kubernetes(candidate) => Ok(candidate.give_up().await?),
        }
    }
}
