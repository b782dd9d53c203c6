//! The part of a configuration that names an Elasticsearch or OpenSearch cluster.

use std::{collections::BTreeMap, time::Duration};

use url::Url;

use super::Resolver;
use crate::{
    config::{
        PRIMARY, SourceConfig, StoreConfig,
        analytics::{AnalyticsConfig, FileAnalytics, FileSnapshotRepository, Login},
        file::FileStore,
    },
    model::MemberName,
};

/// Largest object that goes into a mirror.
const CHUNK_MAX: u64 = 64 << 20;
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
        let (objects, mirrors) = self.snapshot_repository(&format!("{path}.repository"), &analytics.repository);
        let repository = analytics.repository;
        Some(AnalyticsConfig {
            url: url?,
            ca_file: analytics.ca_file.map(|file| self.path(file)),
            login,
            indices: analytics.indices,
            repository: repository.name,
            repository_kind: repository.kind,
            repository_settings: repository.settings,
            objects,
            mirrors,
            replicas: analytics.replicas.unwrap_or(0),
            lanes: analytics.lanes.map_or(2, |lanes| lanes as usize).max(1),
            timeout: self.duration(&format!("{path}.timeout"), analytics.timeout).unwrap_or(Duration::from_secs(6 * 3600)),
        })
    }

    /// Checks a repository and says where its objects lie, and where copies of them go.
    fn snapshot_repository(&mut self, path: &str, repository: &FileSnapshotRepository) -> (Option<StoreConfig>, BTreeMap<String, StoreConfig>) {
        for (key, value) in [("name", &repository.name), ("type", &repository.kind)] {
            if value.is_empty() || value.contains(['/', ',', '*', ' ']) {
                self.say(&format!("{path}.{key}"), &format!("{value:?} is not allowed"));
            }
        }
        for key in repository.settings.keys() {
            let at = format!("{path}.settings.{key}");
            if SECRETS.iter().any(|secret| key.contains(secret)) {
                self.say(&at, "credentials belong into the keystore of the cluster");
            } else if key == "readonly" {
                self.say(&at, "leave it out: a capture registers the repository for writing, a restore for reading only");
            }
        }
        let objects = repository.objects.clone().and_then(|store| self.unlocked(&format!("{path}.objects"), store));
        let mut mirrors = BTreeMap::new();
        for (location, store) in repository.mirrors.clone() {
            let at = format!("{path}.mirrors.{location}");
            let Some(store) = self.unlocked(&at, store) else { continue };
            if objects.as_ref().is_some_and(|objects| objects.url == store.url && objects.endpoint == store.endpoint) {
                self.say(&format!("{at}.url"), "the objects themselves lie there");
            }
            mirrors.insert(location, store);
        }
        if !mirrors.is_empty() && repository.objects.is_none() {
            self.say(&format!("{path}.mirrors"), "nothing can be brought there: objects has to say where the repository's objects lie");
        }
        let chunk = repository.settings.get("chunk_size");
        if !mirrors.is_empty() && chunk.and_then(|text| size(text)).is_none_or(|chunk| chunk > CHUNK_MAX) {
            let at = if chunk.is_some() { format!("{path}.settings.chunk_size") } else { format!("{path}.mirrors") };
            self.say(
                &at,
                "mirrors take objects of at most 64 MiB: set chunk_size to 64mb in settings, and give the repository a base_path of its own",
            );
        }
        (objects, mirrors)
    }

    /// Mirrors go with the copies of points.
    pub(super) fn mirrors(&mut self, sources: &BTreeMap<MemberName, SourceConfig>, locations: &BTreeMap<String, StoreConfig>) {
        let others: Vec<&str> = locations.keys().map(String::as_str).filter(|name| *name != PRIMARY).collect();
        for (source, config) in sources {
            let SourceConfig::Analytics(analytics) = config else { continue };
            for location in analytics.mirrors.keys().filter(|location| !others.contains(&location.as_str())) {
                let what = format!("no points are copied to {location:?}; locations besides primary: {}", others.join(", "));
                self.say(&format!("sources.{source}.analytics.repository.mirrors.{location}"), &what);
            }
        }
    }

    /// A store of objects that the search engine replaces and deletes.
    fn unlocked(&mut self, path: &str, store: FileStore) -> Option<StoreConfig> {
        if store.lock.is_some() {
            self.say(&format!("{path}.lock"), "objects of a snapshot repository cannot be locked: the search engine deletes what it needs no more");
        }
        self.store(path, store)
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

/// Bytes of a size as settings write it: `64mb`.
fn size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let text = text.trim_end_matches('b');
    let unit = [('k', 10), ('m', 20), ('g', 30)].into_iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    number.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}
