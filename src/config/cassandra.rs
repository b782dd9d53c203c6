//! A Cassandra cluster in the configuration: as written, and resolved.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use schemars::JsonSchema;
use serde::Deserialize;

/// A Cassandra cluster, 2.2 or newer, read and written through CQL.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileCassandra {
    /// Addresses of some of its nodes, without port; the others are found through them.
    #[schemars(length(min = 1))]
    pub contact_points: Vec<String>,
    /// Port of the native protocol, the same on all nodes. Default 9042.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Name of the datacentre to talk to. Default: that of the first node that answers.
    pub datacentre: Option<String>,
    /// Role to log in as.
    pub user: Option<String>,
    /// File that holds the role's password.
    pub password_file: Option<String>,
    /// Encrypt, and prove who we are.
    pub tls: Option<FileCassandraTls>,
    /// What is captured. Default: every keyspace that is not Cassandra's own.
    pub keyspaces: Option<FileKeyspaces>,
    /// How many replicas must answer. Default `local-quorum`.
    pub consistency: Option<CassandraConsistency>,
    /// Tables, or parts of tables, that are read or written at a time. Default 4.
    #[schemars(range(min = 1, max = 64))]
    pub lanes: Option<usize>,
    /// Most rows in one page; fewer where rows are large. Default 5000.
    #[schemars(range(min = 1, max = 100_000))]
    pub page_rows: Option<u32>,
    /// Longest wait for one answer, for example `30s`. Default `30s`.
    pub timeout: Option<String>,
    /// Further tries of a request that failed, with growing pauses, before the part of the table is given up. Default 8.
    #[schemars(range(max = 100))]
    pub retries: Option<u32>,
    /// How a restore differs from what was captured.
    pub restore: Option<FileCassandraRestore>,
}

/// How nodes are trusted. Certificates are checked against the authority, not against addresses: nodes are found by address.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileCassandraTls {
    /// PEM file of the authorities that sign the nodes' certificates.
    pub ca_file: String,
    /// PEM file of our certificate, for nodes that ask for one.
    pub cert_file: Option<String>,
    /// PEM file of its private key.
    pub key_file: Option<String>,
}

/// Which keyspaces are captured; patterns with `*` and `?`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileKeyspaces {
    /// Those that are captured. Default: all but Cassandra's own.
    pub include: Option<Vec<String>>,
    /// Those of them that are not.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Those of them that are captured without rows, such as counters of throttling.
    #[serde(default)]
    pub schema_only: Vec<String>,
}

/// How a restore differs from what was captured.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileCassandraRestore {
    /// Replication of keyspaces by name, `"*"` for all others: options of CREATE KEYSPACE, for example `{class: SimpleStrategy, replication_factor: "3"}`.
    #[serde(default)]
    pub replication: BTreeMap<String, BTreeMap<String, String>>,
    /// New names of datacentres, by the old ones, in replication and in rights of roles.
    #[serde(default)]
    pub datacentres: BTreeMap<String, String>,
    /// Do not restore roles and their rights.
    #[serde(default)]
    pub skip_roles: bool,
}

/// How many replicas must answer a read or a write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CassandraConsistency {
    /// One: what the others alone have may be missing.
    One,
    /// More than half, in all datacentres together.
    Quorum,
    /// More than half of those in our datacentre: sees what was acknowledged at the same level.
    #[default]
    LocalQuorum,
    /// Every replica.
    All,
}

/// A Cassandra cluster, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CassandraConfig {
    /// Never empty.
    pub contact_points: Vec<String>,
    /// The same on all nodes.
    pub port: u16,
    /// That of the first node that answers when absent.
    pub datacentre: Option<String>,
    /// Role, and the file of its password.
    pub login: Option<(String, PathBuf)>,
    /// How nodes are trusted.
    pub tls: Option<CassandraTls>,
    /// What is captured.
    pub keyspaces: Keyspaces,
    /// For reads and writes.
    pub consistency: CassandraConsistency,
    /// At least 1.
    pub lanes: usize,
    /// Most rows in a page.
    pub page_rows: u32,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Further tries of a request that failed.
    pub retries: u32,
    /// Replication by keyspace, `*` for all others.
    pub replication: BTreeMap<String, BTreeMap<String, String>>,
    /// New names of datacentres.
    pub datacentres: BTreeMap<String, String>,
    /// Whether roles stay as the target has them.
    pub skip_roles: bool,
}

/// How nodes are trusted, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CassandraTls {
    /// Authorities.
    pub ca_file: PathBuf,
    /// Our certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Which keyspaces are captured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyspaces {
    /// All but Cassandra's own when absent.
    pub include: Option<Vec<String>>,
    /// Those of them that are not.
    pub exclude: Vec<String>,
    /// Those without rows.
    pub schema_only: Vec<String>,
}

impl Keyspaces {
    /// Whether a keyspace is captured.
    pub fn holds(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|include| matches(include, name)) && !matches(&self.exclude, name)
    }

    /// Whether its rows are.
    pub fn holds_rows(&self, name: &str) -> bool {
        self.holds(name) && !matches(&self.schema_only, name)
    }
}

/// The patterns as one; names of keyspaces are case-sensitive.
///
/// # Errors
/// What is wrong with the first bad one.
pub(super) fn patterns(texts: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for text in texts {
        set.add(GlobBuilder::new(text).build().map_err(|error| error.to_string())?);
    }
    set.build().map_err(|error| error.to_string())
}

fn matches(texts: &[String], name: &str) -> bool {
    patterns(texts).is_ok_and(|set| set.is_match(name))
}
