//! An Elasticsearch or OpenSearch cluster: as written, and resolved.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{StoreConfig, file::FileStore};

/// An Elasticsearch or OpenSearch cluster, captured through its own snapshots.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileAnalytics {
    /// Where the cluster answers, for example `https://analytics:9200`.
    pub url: String,
    /// PEM file of certificate authorities to trust besides the system's.
    pub ca_file: Option<String>,
    /// Account for basic authentication.
    pub user: Option<String>,
    /// File that holds its password.
    pub password_file: Option<String>,
    /// File that holds an API key, instead of an account.
    pub api_key_file: Option<String>,
    /// Names and patterns of indices and data streams. Default: all but the system's own, whose names begin with a dot.
    #[serde(default)]
    pub indices: Vec<String>,
    /// The snapshot repository. Only one cluster may ever write it; any other reads a copy of it.
    pub repository: FileSnapshotRepository,
    /// Replicas of restored indices. Default 0: they come once the restore is done, and may not fit into a smaller cluster.
    #[schemars(range(max = 20))]
    pub replicas: Option<u32>,
    /// Indices that are restored at a time, from 1 to 8. Default 2.
    #[schemars(range(min = 1, max = 8))]
    pub lanes: Option<u32>,
    /// Longest time for one snapshot, or for the restore of one index. Default `6h`.
    pub timeout: Option<String>,
}

/// A snapshot repository, as the cluster registers it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSnapshotRepository {
    /// Its name in the cluster.
    pub name: String,
    /// Its type: `s3`, `azure`, `fs` or another that the cluster knows.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its settings as texts, for example `bucket`, `base_path`, `chunk_size`, `compress`. Credentials belong into the cluster's keystore.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Where its objects lie, as Hourglass reaches them: then rules that would delete or lock them are noticed, and mirrors can be filled.
    pub objects: Option<FileStore>,
    /// By the name of a location, where `hourglass copy --to` that location brings its objects. They need a `chunk_size` of at most `64mb`.
    #[serde(default)]
    pub mirrors: BTreeMap<String, FileStore>,
}

/// An Elasticsearch or OpenSearch cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnalyticsConfig {
    /// Where it answers.
    pub url: Url,
    /// Authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Who we are; nobody when absent.
    pub login: Option<Login>,
    /// Names and patterns; all but the system's own when empty.
    pub indices: Vec<String>,
    /// Name of the snapshot repository.
    pub repository: String,
    /// Its type.
    pub repository_kind: String,
    /// Its settings.
    pub repository_settings: BTreeMap<String, String>,
    /// Where its objects lie, if we may know; there are no mirrors without.
    pub objects: Option<StoreConfig>,
    /// Where a copy to a location brings them.
    pub mirrors: BTreeMap<String, StoreConfig>,
    /// Replicas of restored indices.
    pub replicas: u32,
    /// Indices that are restored at a time, at least 1.
    pub lanes: usize,
    /// Longest snapshot, and longest restore of an index.
    pub timeout: Duration,
}

/// How a cluster knows us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// By an account, whose password is in a file.
    Basic {
        /// The account.
        user: String,
        /// The file.
        password_file: PathBuf,
    },
    /// By an API key in this file.
    ApiKey(PathBuf),
}
