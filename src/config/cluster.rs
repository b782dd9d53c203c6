//! How a Kubernetes cluster is reached: resolved.

use std::path::PathBuf;

/// Credentials for a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterAccess {
    /// A kubeconfig; the service account of the pod that this runs in when absent.
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; its current one when absent.
    pub context: Option<String>,
}

impl ClusterAccess {
    /// What a person may be told of it.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let file = self.kubeconfig.as_ref().map_or_else(|| "of the pod".to_owned(), |file| file.display().to_string());
        vec![("kubeconfig", file), ("context", self.context.clone().unwrap_or_default())]
    }
}
