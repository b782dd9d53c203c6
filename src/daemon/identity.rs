//! What tells this installation from any other that is configured alike: a copy of a cluster must not write to the original's lineages.

use super::cluster::{self, ClusterError};
use crate::config::Config;

/// What the configuration says; else, where the lease is one of Kubernetes, the UID of the namespace kube-system; else the site's name.
///
/// # Errors
/// The cluster does not say who it is.
pub async fn of(config: &Config) -> Result<String, ClusterError> {
    if let Some(identity) = &config.daemon.identity {
        return Ok(identity.clone());
    }
    // Whichever lease there is: a copy of a pod is a copy.
    match config.daemon.lease.is_of_kubernetes(cluster::in_pod()) || cluster::in_pod() {
        true => Ok(format!("cluster:{}", cluster::uid(&config.daemon.lease).await?)),
        false => Ok(format!("site:{}", config.site)),
    }
}
