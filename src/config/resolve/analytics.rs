//! The part of a configuration that names an Elasticsearch or OpenSearch cluster.

use std::time::Duration;

use url::Url;

use super::Resolver;
use crate::config::analytics::{AnalyticsConfig, FileAnalytics, Login};

/// Parts of names of settings that hold secrets.
const SECRETS: [&str; 5] = ["secret", "password", "access_key", "token", "account_key"];

impl Resolver<'_> {
    /// Resolves what stands at `path`.
    pub(super) fn analytics(&mut self, path: &str, analytics: FileAnalytics) -> Option<AnalyticsConfig> {
        let url = self.cluster_url(&format!("{path}.url"), &analytics.url);
        let login = match (analytics.user, analytics.password_file, analytics.api_key_file) {
            (None, None, None) => None,
            (Some(user), Some(file), None) => Some(Login::Basic { user, password_file: self.path(file) }),
            (None, None, Some(file)) => Some(Login::ApiKey(self.path(file))),
            _ => {
                self.say(path, "give user and password_file, or api_key_file, or none of them");
                None
            }
        };
        for (index, name) in analytics.indices.iter().enumerate() {
            if name.is_empty() || name.contains([',', '/', ' ']) {
                self.say(&format!("{path}.indices.{index}"), &format!("{name:?} is no name or pattern of an index"));
            }
        }
        let repository = analytics.repository;
        for (key, value) in [("name", &repository.name), ("type", &repository.kind)] {
            if value.is_empty() || value.contains(['/', ',', '*', ' ']) {
                self.say(&format!("{path}.repository.{key}"), &format!("{value:?} is not allowed"));
            }
        }
        for key in repository.settings.keys() {
            let at = format!("{path}.repository.settings.{key}");
            if SECRETS.iter().any(|secret| key.contains(secret)) {
                self.say(&at, "credentials belong into the keystore of the cluster");
            } else if key == "readonly" {
                self.say(&at, "leave it out: a capture registers the repository for writing, a restore for reading only");
            }
        }
        Some(AnalyticsConfig {
            url: url?,
            ca_file: analytics.ca_file.map(|file| self.path(file)),
            login,
            indices: analytics.indices,
            repository: repository.name,
            repository_kind: repository.kind,
            repository_settings: repository.settings,
            replicas: analytics.replicas.unwrap_or(0),
            lanes: analytics.lanes.map_or(2, |lanes| lanes as usize).max(1),
            timeout: self.duration(&format!("{path}.timeout"), analytics.timeout).unwrap_or(Duration::from_secs(6 * 3600)),
        })
    }

    fn cluster_url(&mut self, path: &str, text: &str) -> Option<Url> {
        let url = text.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        let Some(url) = url else {
            self.say(path, &format!("{text:?} is not like https://host:9200"));
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            self.say(path, "it holds an account or a query; use user and password_file, or api_key_file");
            return None;
        }
        Some(url)
    }
}
