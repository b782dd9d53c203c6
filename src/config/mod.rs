//! What the user wrote, resolved into what the code uses.

pub mod analytics;
pub mod cassandra;
mod check;
pub mod cluster;
pub mod error;
pub mod file;
pub mod images;
pub mod kubernetes;
pub mod lease;
pub mod load;
pub mod mysql;
mod named;
pub mod notify;
pub mod ready;
mod resolve;
pub mod resolved;
pub mod schedule;
pub mod span;
pub mod store;
pub mod tasks;
mod tree;
pub mod volumes;

pub use analytics::{AnalyticsConfig, Login};
pub use cassandra::{CassandraConfig, CassandraConsistency, CassandraTls, Keyspaces};
pub use cluster::ClusterAccess;
pub use error::{ConfigError, ConfigProblem, nearest};
pub use file::{Consistency, EpochChoice, Need, PauseUntil};
pub use images::{Destination, EcrConfig, ImagesConfig, ImagesMode, RegistryConfig};
pub use kubernetes::{Existing, KubernetesConfig, KubernetesRestore, SecretClass, SecretRule};
pub use lease::{LeaseConfig, LeaseKind};
pub use load::{Document, EXAMPLE, Text, load, parse, schema};
pub use mysql::{MysqlConfig, MysqlTls};
pub use named::{NamedFile, named_files, names_file};
pub use notify::{Channel, NotifyConfig, PushgatewayConfig, Severity};
pub use ready::{ClusterNeeds, ReadyConfig, quantity};
pub use resolved::{CommandConfig, Config, DaemonConfig, DaemonTls, EpochConfig, FilesConfig, Keep, PRIMARY, Pause, Policy, SourceConfig};
pub use schedule::{Blackout, Schedule};
pub use span::parse_duration;
pub use store::{LockMode, StoreConfig, StoreUrl};
pub use tasks::{Task, TaskDepth, Timing, Work};
pub use volumes::{Portable, SiteConfig, VolumesConfig, WorkerConfig};

#[cfg(test)]
mod tests;
