//! The configuration as the code uses it: every value checked, every path absolute or relative to the working directory.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    AnalyticsConfig, CassandraConfig, Consistency, EpochChoice, ImagesConfig, KubernetesConfig, LeaseConfig, MysqlConfig, Need, NotifyConfig,
    PauseUntil, PushgatewayConfig, ReadyConfig, StoreConfig, Task, Timing, VolumesConfig,
};
use crate::model::{Lineage, MemberName, PolicyName, SiteName};

/// Name of the location that backups go to.
pub const PRIMARY: &str = "primary";

/// A resolved configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that it came from.
    pub path: PathBuf,
    /// This site.
    pub site: SiteName,
    /// Public key of the root in minisign's form; absent only before `init`.
    pub trust_root: Option<String>,
    /// Where points are stored; `primary` is among them.
    pub locations: BTreeMap<String, StoreConfig>,
    /// Where journals and ledger are stored.
    pub control: StoreConfig,
    /// The cluster's file of secrets.
    pub capture_key_file: PathBuf,
    /// An operator's signing key, where there is one.
    pub operator_key_file: Option<PathBuf>,
    /// Folder of what may be lost.
    pub state_dir: PathBuf,
    /// What the daemon needs besides.
    pub daemon: DaemonConfig,
    /// Who is told what it finds.
    pub notify: NotifyConfig,
    /// Where runs that no daemon makes push what became of them.
    pub pushgateway: Option<PushgatewayConfig>,
    /// Systems to read; a source and its member in a point have one name.
    pub sources: BTreeMap<MemberName, SourceConfig>,
    /// What is captured together.
    pub policies: BTreeMap<PolicyName, Policy>,
    /// What has to be so that this site could take the service over.
    pub ready: ReadyConfig,
    /// Patterns of what no policy has to cover, with the reasons.
    pub excluded: BTreeMap<String, String>,
    /// What the daemon does besides; none has the name of a policy.
    pub tasks: BTreeMap<PolicyName, Task>,
}

impl Config {
    /// The location that backups go to.
    pub fn primary(&self) -> &StoreConfig {
        self.locations.get(PRIMARY).expect("a configuration without primary is refused")
    }

    /// The lineage that `policy` writes at this site; `None` when there is no such policy.
    pub fn lineage(&self, policy: &PolicyName) -> Option<Lineage> {
        let generation = self.policies.get(policy)?.generation;
        Some(Lineage { policy: policy.clone(), site: self.site.clone(), generation })
    }

    /// Under which name the ledger of a task lies: as a lineage's, of which there is no record.
    pub fn task_ledger(&self, task: &PolicyName) -> Lineage {
        Lineage { policy: task.clone(), site: self.site.clone(), generation: 1 }
    }
}

/// What the daemon needs besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonConfig {
    /// Where it answers, if anywhere.
    pub listen: Option<SocketAddr>,
    /// File with the token that everything but health asks for.
    pub token_file: Option<PathBuf>,
    /// File with the token of those who may give orders over HTTP.
    pub order_token_file: Option<PathBuf>,
    /// How it serves TLS, if it does.
    pub tls: Option<DaemonTls>,
    /// Runs at a time.
    pub runs_at_once: u32,
    /// What tells this installation from others, where the configuration says it.
    pub identity: Option<String>,
    /// Which lease says who leads.
    pub lease: LeaseConfig,
}

/// How the daemon serves TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonTls {
    /// Its certificate.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
    /// Authorities of clients that need no token.
    pub client_ca_file: Option<PathBuf>,
}

/// One system to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceConfig {
    /// A directory tree.
    Files(FilesConfig),
    /// Anything with a dump and a load command.
    Command(CommandConfig),
    /// A MariaDB or MySQL server.
    Mysql(MysqlConfig),
    /// An Elasticsearch or OpenSearch cluster.
    Analytics(Box<AnalyticsConfig>),
    /// A Cassandra cluster.
    Cassandra(Box<CassandraConfig>),
    /// A Kubernetes cluster.
    Kubernetes(Box<KubernetesConfig>),
    /// The files of claims of a Kubernetes cluster.
    Volumes(Box<VolumesConfig>),
    /// Container images and charts.
    Images(ImagesConfig),
}

/// A directory tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesConfig {
    /// Its root.
    pub path: PathBuf,
    /// Patterns below the root that are left out.
    pub exclude: Vec<String>,
    /// Whether to stay in the root's file system.
    pub one_file_system: bool,
}

/// A system with a dump and a load command.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandConfig {
    /// Program and arguments; never empty.
    pub dump: Vec<String>,
    /// Program and arguments; never empty.
    pub load: Vec<String>,
    /// Variables for both.
    pub env: BTreeMap<String, String>,
    /// Variables whose values are the contents of files.
    pub env_files: BTreeMap<String, PathBuf>,
    /// Longest time for one dump or load.
    pub timeout: Duration,
    /// Whether a dump of zero bytes is good.
    pub allow_empty: bool,
    /// Whether a load that did not read everything is good.
    pub allow_unread: bool,
    /// What time a dump stands for.
    pub consistency: Consistency,
}

impl std::fmt::Debug for CommandConfig {
    /// Without the values of `env`, which may be secret against all advice.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.env.keys().chain(self.env_files.keys()).collect();
        f.debug_struct("CommandConfig").field("dump", &self.dump).field("load", &self.load).field("env", &names).finish_non_exhaustive()
    }
}

/// What is captured together, how often, and how long it is kept.
#[derive(Debug, Clone)]
pub struct Policy {
    /// At least one; each is a source.
    pub members: BTreeMap<MemberName, Need>,
    /// What is kept; everything when absent.
    pub keep: Option<Keep>,
    /// Largest distance in time between members of one point.
    pub max_skew: Option<Duration>,
    /// Largest age of the newest complete point.
    pub rpo: Option<Duration>,
    /// When the daemon makes a point.
    pub timing: Timing,
    /// Counts promotions, from 1.
    pub generation: u32,
    /// How long points share packs.
    pub epoch: EpochConfig,
    /// How writers are paused while a point is made.
    pub pause: Option<Pause>,
}

/// How writers are paused while a point is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Pauses them.
    pub command: Vec<String>,
    /// Lets them go on.
    pub resume: Vec<String>,
    /// Longest time for either command, and for the pause.
    pub timeout: Duration,
    /// When they go on.
    pub until: PauseUntil,
}

/// How many points are kept, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// The newest.
    pub last: u32,
    /// One per hour.
    pub hourly: u32,
    /// One per day.
    pub daily: u32,
    /// One per week, from Monday.
    pub weekly: u32,
    /// One per month.
    pub monthly: u32,
    /// One per year.
    pub yearly: u32,
}

impl Keep {
    /// Whether it is zero throughout.
    pub fn keeps_nothing(self) -> bool {
        self == Keep::default()
    }
}

/// How long points share packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochConfig {
    /// Age at which the next run opens a new epoch.
    pub max_age: Duration,
    /// Whether points share packs at all.
    pub mode: EpochChoice,
}

impl Default for EpochConfig {
    fn default() -> EpochConfig {
        EpochConfig { max_age: Duration::from_secs(30 * 86_400), mode: EpochChoice::Auto }
    }
}
