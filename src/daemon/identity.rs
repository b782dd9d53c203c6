//! What tells this installation from any other that is configured alike: a copy of a cluster must not write to the original's lineages.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};

use super::DaemonError;
use crate::config::Config;

/// What the configuration says; else, within Kubernetes, the UID of the namespace kube-system; else the site's name.
///
/// # Errors
/// The cluster does not say who it is.
pub async fn of(config: &Config) -> Result<String, DaemonError> {
    if let Some(identity) = &config.daemon.identity {
        return Ok(identity.clone());
    }
    match std::env::var_os("KUBERNETES_SERVICE_HOST") {
        Some(_) => Ok(format!("cluster:{}", cluster().await.map_err(Box::new)?)),
        None => Ok(format!("site:{}", config.site)),
    }
}

async fn cluster() -> Result<String, kube::Error> {
    let namespaces: Api<Namespace> = Api::all(Client::try_default().await?);
    Ok(namespaces.get("kube-system").await?.metadata.uid.unwrap_or_default())
}
