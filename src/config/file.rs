//! The configuration exactly as written. Its JSON Schema is generated from these types and their comments; texts such as names,
//! URLs and durations are parsed later (`resolve`), so that all that is wrong with a file is said at once.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    LockMode,
    analytics::FileAnalytics,
    cassandra::FileCassandra,
    images::FileImages,
    kubernetes::FileKubernetes,
    lease::FileLease,
    mysql::FileMysql,
    notify::{FileNotify, FilePushgateway},
    ready::FileReady,
    tasks::FileTask,
    volumes::FileVolumes,
};

/// Configuration of Hourglass. Relative paths are relative to the folder of this file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Name of this site: 1 to 63 of a-z, 0-9 and '-'. Every lineage that is written here carries it.
    pub site: String,
    /// Public key of the offline root (RW…), printed by `hourglass init`. Whatever it did not sign is not believed. Absent only before init.
    pub trust_root: Option<String>,
    /// Where recovery points are stored. The location `primary` is required: backups go there; others receive copies.
    pub locations: BTreeMap<String, FileStore>,
    /// Where journals and the schedule ledger are stored: a bucket, container or folder of its own, never with default retention.
    pub control: FileStore,
    /// The cluster's file of secrets, with rights 0600: it can write backups and read none.
    pub capture_key_file: String,
    /// An operator's signing key, on operators' machines only.
    pub operator_key_file: Option<String>,
    /// Folder of what may be lost: caches, the heads seen last. Without it `$XDG_STATE_HOME/hourglass`, or `~/.local/state/hourglass`.
    pub state_dir: Option<String>,
    /// What `hourglass daemon` needs besides.
    pub daemon: Option<FileDaemon>,
    /// Who is told what the daemon finds.
    pub notify: Option<FileNotify>,
    /// Where `hourglass backup` pushes what became of it, for runs that no daemon makes.
    pub pushgateway: Option<FilePushgateway>,
    /// Systems to read, by name.
    #[serde(default)]
    pub sources: BTreeMap<String, FileSource>,
    /// Sets of sources that are captured together, by name.
    #[serde(default)]
    pub policies: BTreeMap<String, FilePolicy>,
    /// What no policy has to cover, each with the reason: patterns `SOURCE/KIND/NAME` with `*`, as `hourglass coverage` shows them.
    #[serde(default)]
    pub excluded: BTreeMap<String, String>,
    /// What has to be so that this site could take the service over.
    pub ready: Option<FileReady>,
    /// What the daemon does besides making points, by name.
    #[serde(default)]
    pub tasks: BTreeMap<String, FileTask>,
}

/// What `hourglass daemon` needs besides.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileDaemon {
    /// Address and port to answer on: health, metrics, status, orders. Without it nothing listens.
    pub listen: Option<String>,
    /// File with the token that everything but health asks for.
    pub token_file: Option<String>,
    /// File with the token of those who may give orders over HTTP: another one, for whoever reads has the first. Without it there are no orders over HTTP.
    pub order_token_file: Option<String>,
    /// Serve TLS. Without it others on the way can read what is served, the token included.
    pub tls: Option<FileDaemonTls>,
    /// Runs at a time, of different policies. Default 2.
    #[schemars(range(min = 1, max = 16))]
    pub runs_at_once: Option<u32>,
    /// What tells this installation from any other that is configured alike. Without it, in Kubernetes, the UID of the namespace kube-system.
    pub identity: Option<String>,
    /// Which lease says who of several daemons leads.
    pub lease: Option<FileLease>,
}

/// How the daemon serves TLS, of version 1.2 at least.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileDaemonTls {
    /// PEM file with the certificate, and those between it and its authority.
    pub cert_file: String,
    /// PEM file with its key.
    pub key_file: String,
    /// PEM file of authorities: who shows a certificate of one of them needs no token.
    pub client_ca_file: Option<String>,
}

/// One object store. Credentials that are not named here come from the cloud's default chain (environment, files, workload identity).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileStore {
    /// `file:///absolute/path`, `s3://bucket/prefix` or `azure://account/container/prefix`.
    pub url: String,
    /// S3: the region; the environment's when absent.
    pub region: Option<String>,
    /// Another endpoint than the cloud's own, for example `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// S3: the bucket stands in the path rather than in the host name.
    #[serde(default)]
    pub path_style: bool,
    /// PEM file of certificate authorities to trust besides the system's.
    pub ca_file: Option<String>,
    /// S3 and Azure: put objects with a retention date. Nobody can shorten `compliance`; a special right can shorten `governance`.
    pub lock: Option<LockMode>,
    /// Azure: file that holds the shared key of the account.
    pub account_key_file: Option<String>,
    /// Azure: file that holds a SAS token.
    pub sas_file: Option<String>,
}

/// One system to read: exactly one of its kinds.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// A directory tree.
    pub files: Option<FileFiles>,
    /// Anything that can be dumped to standard output and loaded from standard input.
    pub command: Option<FileCommand>,
    /// A MariaDB or MySQL server.
    pub mysql: Option<FileMysql>,
    /// An Elasticsearch or OpenSearch cluster.
    pub analytics: Option<FileAnalytics>,
    /// A Cassandra cluster.
    pub cassandra: Option<FileCassandra>,
    /// The objects of a Kubernetes cluster.
    pub kubernetes: Option<FileKubernetes>,
    /// The files of PersistentVolumeClaims of a Kubernetes cluster.
    pub volumes: Option<FileVolumes>,
    /// Container images and charts.
    pub images: Option<FileImages>,
}

/// A directory tree.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileFiles {
    /// Root of the tree.
    pub path: String,
    /// Patterns below the root that are left out, for example `cache/**` or `*.tmp`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Do not descend into other file systems.
    #[serde(default)]
    pub one_file_system: bool,
}

/// A database or another system, through its own dump and load commands. No shell is involved.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileCommand {
    /// Program and arguments that write the dump to standard output; exit status 0 means complete.
    #[schemars(length(min = 1))]
    pub dump: Vec<String>,
    /// Program and arguments that load such a dump from standard input.
    #[schemars(length(min = 1))]
    pub load: Vec<String>,
    /// Environment variables for both, besides PATH, HOME, LANG and TZ.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Environment variables whose values are read from files: passwords belong here.
    #[serde(default)]
    pub env_files: BTreeMap<String, String>,
    /// Longest time for one dump or load, for example `90s`, `15m`, `1h`. Default `1h`.
    pub timeout: Option<String>,
    /// Accept a dump of zero bytes; otherwise it is a failure.
    #[serde(default)]
    pub allow_empty: bool,
    /// Accept a load command that ends well without having read everything; otherwise it is a failure.
    #[serde(default)]
    pub allow_unread: bool,
    /// What time a dump stands for.
    #[serde(default)]
    pub consistency: Consistency,
}

/// What time a dump stands for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// The whole time that the command ran: it may hold what was written at any moment of it.
    #[default]
    Span,
    /// One snapshot, taken before its first byte, as `pg_dump` and `mysqldump --single-transaction` do.
    Snapshot,
}

/// A set of sources that are captured together. Each run makes one recovery point.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilePolicy {
    /// Names of sources. Without a `required` one a recovery point is incomplete.
    pub members: BTreeMap<String, Need>,
    /// How many recovery points to keep, by kind; one that no kind keeps expires.
    pub keep: Option<FileKeep>,
    /// Largest distance in time between members of one point, for example `60s`. A point that exceeds it is incomplete.
    pub max_skew: Option<String>,
    /// Largest age of the newest complete point, for example `1h`.
    pub rpo: Option<String>,
    /// When to run: five cron fields (minute, hour, day of month, month, day of week).
    pub schedule: Option<String>,
    /// Time zone of `schedule`, for example `Europe/Brussels`. Default `UTC`.
    pub time_zone: Option<String>,
    /// Longest random delay of a run after its slot, for example `5m`; the same for a slot whenever it is asked. Not by default.
    pub jitter: Option<String>,
    /// Windows in which the daemon begins nothing: `08:00-18:00`, or with days of the week, `1-5 08:00-18:00`, in the policy's time zone.
    #[serde(default)]
    pub blackouts: Vec<String>,
    /// How late a slot may still be caught up. Default `1d`.
    pub catch_up: Option<String>,
    /// Longest time for one run of the daemon; it is cancelled then. Default `1d`.
    pub deadline: Option<String>,
    /// How often the daemon tries a slot again whose run made no complete point. Default 2.
    #[schemars(range(max = 20))]
    pub retries: Option<u32>,
    /// Counts promotions of this policy at this site, from 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub generation: u32,
    /// How long points share packs.
    pub epoch: Option<FileEpoch>,
    /// How writers are paused while a point is made. Without it they go on, and each member says what span of time it represents.
    pub pause: Option<FilePause>,
}

/// Commands that pause what writes to the members. No shell is involved; exit status 0 means done.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilePause {
    /// Pauses writers; returns when nothing is written any more.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// Lets writers go on. It runs after every pause, however the backup ended, also when nothing is paused: it must bear that.
    #[schemars(length(min = 1))]
    pub resume: Vec<String>,
    /// Longest time for either command, and for the pause: after it writers go on and the point is incomplete. Default `2m`.
    pub timeout: Option<String>,
    /// Default `captured`.
    pub until: Option<PauseUntil>,
}

/// When writers go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PauseUntil {
    /// When all members are captured: needed where one of them has no snapshot, as a logical scan, files or a command.
    #[default]
    Captured,
    /// When all snapshots are open.
    Opened,
}

fn one() -> u32 {
    1
}

/// What a member means for its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Without it the point is incomplete.
    Required,
    /// Its absence is reported, and the point may still be complete.
    Optional,
}

/// How many recovery points are kept: the first complete one of each calendar bucket (UTC).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileKeep {
    /// The newest points, whatever their time.
    #[serde(default)]
    pub last: u32,
    /// One per hour.
    #[serde(default)]
    pub hourly: u32,
    /// One per day.
    #[serde(default)]
    pub daily: u32,
    /// One per week (from Monday).
    #[serde(default)]
    pub weekly: u32,
    /// One per month.
    #[serde(default)]
    pub monthly: u32,
    /// One per year.
    #[serde(default)]
    pub yearly: u32,
}

/// Points of one epoch share packs; an epoch is deleted whole.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileEpoch {
    /// Age at which the next run opens a new epoch. Default `30d`.
    pub max_age: Option<String>,
    /// Default `auto`.
    pub mode: Option<EpochChoice>,
}

/// Whether points of a policy share packs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EpochChoice {
    /// Rolling when the policy has a files source, otherwise single.
    #[default]
    Auto,
    /// Every point stands alone: nothing is shared, restores read sequentially, retention is exact.
    Single,
    /// Points share what did not change, until the epoch is too old or too spread.
    Rolling,
}
