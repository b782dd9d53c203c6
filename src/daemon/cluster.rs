//! The Kubernetes cluster that a daemon runs in, or that its lease lies in.

use std::error::Error;

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::config::LeaseConfig;

/// Why a cluster is no use.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The credentials cannot be read or used.
    #[error("cannot use the credentials of {of}")]
    Credentials {
        /// Of which file, or of the pod.
        of: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The API server refused, or did not answer.
    #[error("the API server does not do what is asked")]
    Server(#[from] Box<kube::Error>),
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> ClusterError {
        ClusterError::Server(Box::new(error))
    }
}

impl ClusterError {
    /// One thing to do or to check.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            ClusterError::Credentials { .. } => "give daemon.lease.kubeconfig, or say daemon.lease.kind: control".to_owned(),
            ClusterError::Server(_) => {
                "may the service account get the namespace kube-system, and get, create and update leases in its own?".to_owned()
            }
        })
    }
}

/// Whether this process runs in a pod.
pub fn in_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// A client with the credentials of a lease.
///
/// # Errors
/// They cannot be read or used.
pub async fn client(config: &LeaseConfig) -> Result<Client, ClusterError> {
    let failed = |of: String, source: Box<dyn Error + Send + Sync>| ClusterError::Credentials { of, source };
    let (mut kube, of) = match &config.kubeconfig {
        Some(file) => {
            let of = file.display().to_string();
            let options = KubeConfigOptions { context: config.context.clone(), ..KubeConfigOptions::default() };
            let read = Kubeconfig::read_from(file).map_err(|error| failed(of.clone(), error.into()))?;
            (Config::from_custom_kubeconfig(read, &options).await.map_err(|error| failed(of.clone(), error.into()))?, of)
        }
        None => {
            let of = "the pod that this runs in".to_owned();
            (Config::incluster().map_err(|error| failed(of.clone(), error.into()))?, of)
        }
    };
    // Whoever asks asks again, and knows how long an answer is worth waiting for.
    kube.default_retry = false;
    Client::try_from(kube).map_err(|error| failed(of, error.into()))
}

/// What tells a cluster from any other.
///
/// # Errors
/// It does not say who it is.
pub async fn uid(config: &LeaseConfig) -> Result<String, ClusterError> {
    let namespaces: Api<Namespace> = Api::all(client(config).await?);
    Ok(namespaces.get("kube-system").await?.metadata.uid.unwrap_or_default())
}
