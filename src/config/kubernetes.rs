//! A Kubernetes cluster: as written, and resolved.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ClusterAccess, RegistryConfig};

/// The objects of a Kubernetes cluster, through its API.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileKubernetes {
    /// Credentials as kubectl uses them. Default: the service account of the pod that this runs in.
    pub kubeconfig: Option<String>,
    /// Context of the kubeconfig; its current one when absent.
    pub context: Option<String>,
    /// Names and patterns of namespaces whose objects are captured, besides all objects that have none. Default: all.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Objects that are left out, as `NAMESPACE/KIND/NAME` with `*`, where objects without namespace are in `_cluster`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// API groups that may be out of reach; without any other a capture is incomplete. Default: `metrics.k8s.io` and `*.metrics.k8s.io`.
    pub optional_groups: Option<Vec<String>>,
    /// Which source holds the files of which claims, as `NAMESPACE/CLAIM` with `*`. A claim that is neither here nor in `no_data` makes a capture incomplete.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
    /// Claims whose files nobody needs, as `NAMESPACE/CLAIM` with `*`.
    #[serde(default)]
    pub no_data: Vec<String>,
    /// How objects come into this cluster.
    pub restore: Option<FileKubernetesRestore>,
}

/// How objects of another cluster come into this one. Patterns of objects are `NAMESPACE/KIND/NAME` with `*`, as in the point.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileKubernetesRestore {
    /// What becomes of objects that are there already. Default `refuse`, and `replace` for a restore in place.
    pub existing: Option<Existing>,
    /// New names of storage classes. A class that has a new name is not applied itself.
    #[serde(default)]
    pub storage_classes: BTreeMap<String, String>,
    /// New names of zones, where nodes and volumes are chosen by them.
    #[serde(default)]
    pub zones: BTreeMap<String, String>,
    /// New beginnings of image references: `registry` or `registry/path`.
    #[serde(default)]
    pub registries: BTreeMap<String, String>,
    /// New host names, wherever a value is the host or a URL of it.
    #[serde(default)]
    pub hosts: BTreeMap<String, String>,
    /// New labels for nodes to be chosen by, `KEY=VALUE` to `KEY=VALUE`.
    #[serde(default)]
    pub node_labels: BTreeMap<String, String>,
    /// New values of annotations; `null` takes one off.
    #[serde(default)]
    pub annotations: BTreeMap<String, Option<String>>,
    /// Replicas of objects that a pattern names.
    #[serde(default)]
    pub replicas: BTreeMap<String, u32>,
    /// What becomes of Secrets: the first pattern that fits decides, and one that none fits stops the restore.
    #[serde(default)]
    pub secrets: Vec<FileSecretRule>,
    /// Texts of the old site, for example its region and account: an object that still has one is not applied, and the restore stops. What a point has learned of
    /// its cluster counts as well.
    #[serde(default)]
    pub residue: Vec<String>,
    /// Objects in which such texts are right, each with the reason.
    #[serde(default)]
    pub residue_allowed: BTreeMap<String, String>,
    /// Longest time until the objects of one tier are ready; `0s` does not wait. Default `10m`.
    pub ready_within: Option<String>,
    /// Let the server check every object and store none.
    #[serde(default)]
    pub dry_run: bool,
}

/// What becomes of Secrets that a pattern names.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSecretRule {
    /// Which: `NAMESPACE/NAME` with `*`.
    pub secrets: String,
    /// What becomes of them.
    pub class: SecretClass,
    /// With `set`: files that hold the new values, by key.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// With `mint`: the source of images that says which `registry` they become a login for.
    pub registry_of: Option<String>,
}

/// What becomes of a Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretClass {
    /// It is restored as it was.
    Carry,
    /// It is restored with new values for some keys.
    Set,
    /// It is made anew: by us with `registry_of`, as a login for that registry, and else by somebody, which the restore says.
    Mint,
    /// It is not restored, and not needed.
    Drop,
}

/// What becomes of objects that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Existing {
    /// The restore stops, and touches none of them.
    Refuse,
    /// They stay as they are.
    Keep,
    /// They become what the point holds. Namespaces, claims and volumes are never replaced.
    Replace,
}

/// A Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// How it is reached.
    pub access: ClusterAccess,
    /// Patterns of namespaces; all when empty.
    pub namespaces: Vec<String>,
    /// Patterns of objects that are left out.
    pub exclude: Vec<String>,
    /// Patterns of groups that may be out of reach.
    pub optional_groups: Vec<String>,
    /// Patterns of claims, each with the source that holds their files.
    pub data: BTreeMap<String, String>,
    /// Patterns of claims without files that anybody needs.
    pub no_data: Vec<String>,
    /// How objects come into it.
    pub restore: KubernetesRestore,
}

/// How objects come into a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KubernetesRestore {
    /// What becomes of objects that are there.
    pub existing: Option<Existing>,
    /// New names of storage classes.
    pub storage_classes: BTreeMap<String, String>,
    /// New beginnings of image references.
    pub registries: BTreeMap<String, String>,
    /// New host names.
    pub hosts: BTreeMap<String, String>,
    /// New labels for nodes to be chosen by, those of zones included.
    pub node_labels: BTreeMap<(String, String), (String, String)>,
    /// New values of annotations.
    pub annotations: BTreeMap<String, Option<String>>,
    /// Replicas, by pattern.
    pub replicas: BTreeMap<String, u32>,
    /// What becomes of Secrets, in order.
    pub secrets: Vec<SecretRule>,
    /// The registries that Secrets become logins for, by source: host and port, and how it is talked to.
    pub registries_of: BTreeMap<String, (String, RegistryConfig)>,
    /// Texts of the old site.
    pub residue: Vec<String>,
    /// Patterns of objects that may have such texts.
    pub residue_allowed: Vec<String>,
    /// Longest time until the objects of a tier are ready.
    pub ready_within: Duration,
    /// Whether nothing is stored.
    pub dry_run: bool,
}

/// What becomes of Secrets that a pattern names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRule {
    /// Which.
    pub secrets: String,
    /// What becomes of them.
    pub class: SecretClass,
    /// Files with new values, by key.
    pub files: BTreeMap<String, PathBuf>,
    /// The source of images whose registry it becomes a login for.
    pub registry_of: Option<String>,
}
