//! A source from its part of the configuration, and what a sealed part says about it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    AnalyticsSource, CassandraSource, CommandSource, EnvValue, FilesOptions, FilesSource, ImagesSource, KubernetesSource, MysqlSource, Source,
    VolumesSource,
};
use crate::config::{AnalyticsConfig, CassandraConfig, KubernetesConfig, SourceConfig, VolumesConfig};

/// The source that a configuration describes. Nothing is read yet.
pub fn open(config: &SourceConfig) -> Arc<dyn Source> {
    match config {
        SourceConfig::Files(files) => {
            let options = FilesOptions { root: files.path.clone(), excludes: files.exclude.clone(), cross_mounts: !files.one_file_system };
            Arc::new(FilesSource { options, share: None })
        }
        SourceConfig::Command(command) => {
            let plain = command.env.iter().map(|(name, value)| (name.clone(), EnvValue::Plain(value.clone())));
            let secret = command.env_files.iter().map(|(name, path)| (name.clone(), EnvValue::SecretFile(path.clone())));
            Arc::new(CommandSource {
                dump: command.dump.clone(),
                load: command.load.clone(),
                env: plain.chain(secret).collect(),
                timeout: Some(command.timeout),
                allow_empty: command.allow_empty,
                allow_unread: command.allow_unread,
                consistency: command.consistency,
            })
        }
        SourceConfig::Mysql(mysql) => Arc::new(MysqlSource::new(mysql.clone())),
        SourceConfig::Analytics(analytics) => Arc::new(AnalyticsSource::new(AnalyticsConfig::clone(analytics))),
        SourceConfig::Images(images) => Arc::new(ImagesSource::new(images.clone())),
        SourceConfig::Cassandra(cassandra) => Arc::new(CassandraSource::new(CassandraConfig::clone(cassandra))),
        SourceConfig::Kubernetes(kubernetes) => Arc::new(KubernetesSource::new(KubernetesConfig::clone(kubernetes))),
        SourceConfig::Volumes(volumes) => Arc::new(VolumesSource::new(VolumesConfig::clone(volumes))),
    }
}

/// What a person who restores wants to know of where the data came from; for the vault only.
pub fn describe(config: &SourceConfig) -> BTreeMap<String, String> {
    let words = |argv: &[String]| serde_json::to_string(argv).expect("words are plain data");
    let pairs = match config {
        SourceConfig::Files(files) => vec![("path", files.path.display().to_string()), ("exclude", words(&files.exclude))],
        SourceConfig::Command(command) => vec![("dump", words(&command.dump)), ("load", words(&command.load))],
        SourceConfig::Mysql(mysql) => vec![("server", mysql.address()), ("user", mysql.user.clone()), ("databases", words(&mysql.databases))],
        SourceConfig::Analytics(analytics) => vec![
            ("url", analytics.url.to_string()),
            ("indices", words(&analytics.indices)),
            ("repository", analytics.repository.clone()),
            ("repository_type", analytics.repository_kind.clone()),
            ("repository_settings", serde_json::to_string(&analytics.repository_settings).expect("names and texts are plain data")),
        ],
        SourceConfig::Images(images) => vec![("references", images.references.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))],
        SourceConfig::Cassandra(cassandra) => vec![("contact_points", words(&cassandra.contact_points)), ("port", cassandra.port.to_string())],
        SourceConfig::Kubernetes(kubernetes) => kubernetes.access.describe(),
        SourceConfig::Volumes(volumes) => {
            [volumes.access.describe(), vec![("claims", words(&volumes.claims)), ("exclude", words(&volumes.exclude))]].concat()
        }
    };
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
