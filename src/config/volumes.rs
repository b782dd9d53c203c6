//! Files in volumes of a Kubernetes cluster, and the workers that read and write them: as written, and resolved.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ClusterAccess, LockMode, StoreConfig, StoreUrl};
use crate::model::SiteName;

/// The files of PersistentVolumeClaims. A Job of our own image mounts each claim, beside the pods that use it, and reads or writes its files itself.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileVolumes {
    /// Credentials as kubectl uses them. Default: the service account of the pod that this runs in.
    pub kubeconfig: Option<String>,
    /// Context of the kubeconfig; its current one when absent.
    pub context: Option<String>,
    /// Claims, as `NAMESPACE/CLAIM` with `*`. None for a source that is only restored to.
    #[serde(default)]
    pub claims: Vec<String>,
    /// Patterns below the root of each volume that are left out, for example `cache/**` or `*.tmp`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// How workers run.
    pub worker: FileWorker,
}

/// How workers run in the cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileWorker {
    /// The image of Hourglass, as this cluster pulls it; of the same version as the program that starts workers.
    pub image: String,
    /// Secrets of a claim's namespace that the image is pulled with.
    #[serde(default)]
    pub pull_secrets: Vec<String>,
    /// Secrets of a claim's namespace whose keys become variables of the worker: credentials for the object stores, such as `AWS_ACCESS_KEY_ID`.
    #[serde(default)]
    pub env_from: Vec<String>,
    /// Service account of a claim's namespace, where the cloud gives stores their rights by it.
    pub service_account: Option<String>,
    /// User id. Default 0, with the rights to read, and in a restore to write, files of everybody, and no others. Any other user has no right at all: files that it may
    /// not read make the point incomplete, and what it restores is its own.
    #[serde(default)]
    pub user: u32,
    /// Most memory of a worker. Default `512Mi`.
    pub memory: Option<String>,
    /// Workers at a time. Default 4.
    #[schemars(range(min = 1, max = 64))]
    pub at_once: Option<u32>,
    /// Workers that read one claim, each a share of its tree. Default 1; more need Kubernetes 1.29 or newer.
    #[schemars(range(min = 1, max = 64))]
    pub shares: Option<u32>,
    /// Longest time until the pod of a worker runs. Default `5m`.
    pub starts_within: Option<String>,
    /// Longest time for one claim, pods that were killed included. Default `1h`.
    pub within: Option<String>,
}

/// The files of claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumesConfig {
    /// How the cluster is reached.
    pub access: ClusterAccess,
    /// Patterns of claims.
    pub claims: Vec<String>,
    /// Patterns below roots that are left out.
    pub exclude: Vec<String>,
    /// How workers run.
    pub worker: WorkerConfig,
    /// What they are told of the site.
    pub site: SiteConfig,
}

/// How workers run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerConfig {
    /// Their image.
    pub image: String,
    /// Secrets that it is pulled with.
    pub pull_secrets: Vec<String>,
    /// Secrets that become variables.
    pub env_from: Vec<String>,
    /// Service account.
    pub service_account: Option<String>,
    /// User id.
    pub user: u32,
    /// Most memory, as Kubernetes writes it.
    pub memory: String,
    /// Workers at a time, at least 1.
    pub at_once: usize,
    /// Workers that read one claim, at least 1.
    pub shares: usize,
    /// Longest time until a pod runs.
    pub starts_within: Duration,
    /// Longest time for one claim.
    pub within: Duration,
}

/// A site without its sources and policies: all that somebody needs who reads or writes its stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteConfig {
    /// Its name.
    pub site: SiteName,
    /// Public key of the root.
    pub trust_root: Option<String>,
    /// Where points are stored.
    pub locations: BTreeMap<String, StoreConfig>,
    /// Where journals are stored.
    pub control: StoreConfig,
    /// The cluster's file of secrets.
    pub capture_key_file: PathBuf,
    /// An operator's file of secrets.
    pub operator_key_file: Option<PathBuf>,
}

/// Name of the copy of the cluster's file of secrets.
const CAPTURE_KEY: &str = "capture.key";
/// Name of the copy of an operator's.
const OPERATOR_KEY: &str = "operator.key";

/// A configuration in which every file has a name of its own in one folder, and where those files are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portable {
    /// The text of the configuration.
    pub text: String,
    /// Files by the names that they have in it.
    pub files: BTreeMap<String, PathBuf>,
}

impl SiteConfig {
    /// What a capture needs elsewhere: the locations that are written to, and the cluster's secrets.
    pub fn for_capture(&self) -> Portable {
        self.portable(|name| name == super::PRIMARY, (CAPTURE_KEY, Some(&self.capture_key_file)))
    }

    /// What a restore needs elsewhere: all locations that can be reached, and an operator's secrets.
    pub fn for_restore(&self) -> Portable {
        self.portable(|_| true, (OPERATOR_KEY, self.operator_key_file.as_ref()))
    }

    /// A store that nobody can do without and that is a folder of this machine, which nobody reaches from elsewhere.
    pub fn unreachable(&self) -> Option<&StoreUrl> {
        let stores = self.locations.get(super::PRIMARY).into_iter().chain([&self.control]);
        stores.map(|store| &store.url).find(|url| is_folder(url))
    }

    fn portable(&self, wanted: impl Fn(&str) -> bool, (key, file): (&str, Option<&PathBuf>)) -> Portable {
        let mut files: BTreeMap<String, PathBuf> = file.map(|file| (key.to_owned(), file.clone())).into_iter().collect();
        let locations: Map<String, Value> = self
            .locations
            .iter()
            .filter(|(name, store)| wanted(name) && !is_folder(&store.url))
            .map(|(name, store)| (name.clone(), written(&format!("location-{name}"), store, &mut files)))
            .collect();
        let mut text = json!({
            "site": self.site.as_str(), "locations": locations, "control": written("control", &self.control, &mut files), "capture_key_file": CAPTURE_KEY,
        });
        if let Some(root) = &self.trust_root {
            text["trust_root"] = json!(root);
        }
        if key == OPERATOR_KEY {
            text["operator_key_file"] = json!(OPERATOR_KEY);
        }
        Portable { text: format!("{text}\n"), files }
    }
}

fn is_folder(url: &StoreUrl) -> bool {
    matches!(url, StoreUrl::Directory(_))
}

/// A store as a configuration writes it; the files that it names join the others.
fn written(name: &str, store: &StoreConfig, files: &mut BTreeMap<String, PathBuf>) -> Value {
    let mut text = Map::from_iter([("url".to_owned(), json!(store.url.to_string()))]);
    let mut add = |key: &str, value: Option<Value>| text.extend(value.map(|value| (key.to_owned(), value)));
    add("region", store.region.as_ref().map(|region| json!(region)));
    add("endpoint", store.endpoint.as_ref().map(|endpoint| json!(endpoint.as_str())));
    add("path_style", store.path_style.then_some(json!(true)));
    add("lock", store.lock.map(|lock| json!(if lock == LockMode::Compliance { "compliance" } else { "governance" })));
    let named = [("ca_file", &store.ca_file), ("account_key_file", &store.account_key_file), ("sas_file", &store.sas_file)];
    for (key, file) in named.into_iter().filter_map(|(key, file)| Some((key, file.clone()?))) {
        let copy = format!("{name}-{key}");
        add(key, Some(json!(copy)));
        files.insert(copy, file);
    }
    Value::Object(text)
}
