//! The lease as an object of Kubernetes. Its version is read as a counter: what its times of day say is for people.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};

use super::{MOST_PUTS, VACANT};
use crate::{
    config::LeaseConfig,
    daemon::{
        cluster::{self, ClusterError},
        status::Leader,
    },
    model::Timestamp,
    orchestrator::process::Process,
    storage::Fence,
};

/// One candidate.
#[derive(Debug)]
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    /// `machine/process id/nonce`.
    holder: String,
    /// The object as it was read or written last; none when there was none.
    known: Option<Lease>,
    /// Since when it is as it is; none before the first look.
    seen: Option<Duration>,
}

async fn api(config: &LeaseConfig) -> Result<Api<Lease>, ClusterError> {
    let client = cluster::client(config).await?;
    Ok(match &config.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::default_namespaced(client),
    })
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// Who leads, as the object says; none when nobody does.
///
/// # Errors
/// The API server does not answer.
pub async fn leader(config: &LeaseConfig) -> Result<Option<Leader>, ClusterError> {
    let Some(lease) = api(config).await?.get_opt(&config.name).await? else { return Ok(None) };
    let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
    let mut words = holder(&lease).unwrap_or_default().split('/');
    Ok(match (words.next(), words.next().and_then(|pid| pid.parse().ok()), renewed) {
        (Some(machine), Some(pid), Some(renewed)) => Some(Leader { machine: machine.to_owned(), pid, renewed: renewed.0 }),
        _ => None,
    })
}

impl Candidate {
    /// A candidate for a lease.
    ///
    /// # Errors
    /// The credentials are no use.
    pub async fn new(config: &LeaseConfig, nonce: &str) -> Result<Candidate, ClusterError> {
        let Process { machine, pid, .. } = Process::current();
        let holder = format!("{machine}/{pid}/{nonce}");
        Ok(Candidate { api: api(config).await?, name: config.name.clone(), holder, known: None, seen: None })
    }

    /// Writes the next version; false when somebody else leads, or the object is gone.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn renew(&mut self) -> Result<bool, ClusterError> {
        for _ in 0..MOST_PUTS {
            if self.put(&self.holder.clone()).await? {
                return Ok(true);
            }
            // An earlier try of ours may have been stored though its answer was lost. Others have counted from then on, so it is too old to lead by.
            self.known = self.api.get_opt(&self.name).await?;
            if !self.is_ours() {
                self.seen = Some(Fence::uptime());
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Looks, and takes what is vacant.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn take(&mut self) -> Result<bool, ClusterError> {
        let version = |lease: &Option<Lease>| lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        let now = self.api.get_opt(&self.name).await?;
        let since = match self.seen.filter(|_| version(&now) == version(&self.known)) {
            Some(seen) => seen,
            None => *self.seen.insert(Fence::uptime()),
        };
        self.known = now;
        let given_up = self.known.as_ref().is_some_and(|lease| holder(lease).is_none());
        let is_vacant = given_up || self.is_ours() || Fence::uptime() - since > VACANT;
        Ok(is_vacant && self.put(&self.holder.clone()).await?)
    }

    /// Says that nobody need wait.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn give_up(&mut self) -> Result<(), ClusterError> {
        self.put("").await.map(drop)
    }

    fn is_ours(&self) -> bool {
        self.known.as_ref().and_then(holder) == Some(&self.holder)
    }

    /// Writes over the version that is known; false when it is not the newest.
    async fn put(&mut self, holder: &str) -> Result<bool, ClusterError> {
        let now = MicroTime(Timestamp::now());
        let old = self.known.clone().unwrap_or_default();
        let goes_on = self.is_ours();
        let spec = old.spec.unwrap_or_default();
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: i32::try_from(VACANT.as_secs()).ok(),
            acquire_time: if goes_on { spec.acquire_time } else { Some(now.clone()) },
            lease_transitions: Some(spec.lease_transitions.unwrap_or(0) + i32::from(!goes_on)),
            renew_time: Some(now),
            ..spec
        };
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..old.metadata };
        let lease = Lease { metadata, spec: Some(spec) };
        let written = match self.known {
            Some(_) => self.api.replace(&self.name, &PostParams::default(), &lease).await,
            None => self.api.create(&PostParams::default(), &lease).await,
        };
        match written {
            Ok(lease) => {
                (self.known, self.seen) = (Some(lease), Some(Fence::uptime()));
                Ok(true)
            }
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
