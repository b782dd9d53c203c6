//! Which lease says who of a site's daemons leads: as written, and resolved.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Which lease says who of several daemons leads.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileLease {
    /// Where it is. Default: `kubernetes` in a pod, `control` elsewhere.
    pub kind: Option<LeaseKind>,
    /// Namespace of a lease of Kubernetes. Default: the pod's, or that of the kubeconfig.
    pub namespace: Option<String>,
    /// Name of a lease of Kubernetes. Default: `hourglass-` and the site.
    pub name: Option<String>,
    /// Credentials as kubectl uses them. Default: the service account of the pod that this runs in.
    pub kubeconfig: Option<String>,
    /// Context of the kubeconfig; its current one when absent.
    pub context: Option<String>,
}

/// Where a lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseKind {
    /// In the control store.
    Control,
    /// An object of the cluster.
    Kubernetes,
}

/// Which lease says who leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseConfig {
    /// Where, when the configuration says it.
    pub kind: Option<LeaseKind>,
    /// Namespace; that of the credentials when absent.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Credentials; those of the pod when absent.
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    pub context: Option<String>,
}

impl LeaseConfig {
    /// Whether it is a lease of Kubernetes, where a process that may run in a pod reads this.
    pub fn is_of_kubernetes(&self, in_pod: bool) -> bool {
        self.kind.map_or(in_pod, |kind| kind == LeaseKind::Kubernetes)
    }
}
