//! Where backups lie: locations and the control store.

use std::collections::BTreeMap;

use super::{
    super::{StoreConfig, StoreUrl, error::nearest, file::FileStore, resolved::PRIMARY},
    Resolver,
};
use crate::model::SiteName;

impl Resolver<'_> {
    /// Resolves all locations; one of them has to be the primary.
    pub(super) fn locations(&mut self, written: BTreeMap<String, FileStore>) -> BTreeMap<String, StoreConfig> {
        let names: Vec<&str> = written.keys().map(String::as_str).collect();
        if !names.contains(&PRIMARY) {
            let near = nearest(PRIMARY, &names).map_or(String::new(), |near| format!("; is {near:?} meant?"));
            self.say("locations", &format!("missing key \"primary\": the location that backups go to{near}"));
        }
        let mut locations: BTreeMap<String, StoreConfig> = BTreeMap::new();
        for (name, store) in written {
            let path = format!("locations.{name}");
            if let Err(error) = name.parse::<SiteName>() {
                self.say(&path, &format!("{name:?} is not a valid location name: {}", error.rule));
            }
            let Some(store) = self.store(&path, store) else { continue };
            if let Some((other, _)) = locations.iter().find(|(_, known)| known.url == store.url && known.endpoint == store.endpoint) {
                self.say(&format!("{path}.url"), &format!("{} is the location {other:?} too", store.url));
            }
            locations.insert(name, store);
        }
        locations
    }

    /// Resolves the store that stands at `path`.
    pub(super) fn store(&mut self, path: &str, store: FileStore) -> Option<StoreConfig> {
        let endpoint = match &store.endpoint {
            Some(text) => match text.parse::<url::Url>() {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.password().is_none() && url.username().is_empty() => Some(url),
                _ => {
                    self.say(&format!("{path}.endpoint"), "expected a URL that begins with http:// or https://, without user and password");
                    None
                }
            },
            None => None,
        };
        if store.url.contains('@') {
            self.say(&format!("{path}.url"), "credentials do not belong into a URL; use the cloud's default chain, account_key_file or sas_file");
            return None;
        }
        let url: StoreUrl = self.parse(&format!("{path}.url"), &store.url)?;
        self.store_keys(path, &url, &store);
        Some(StoreConfig {
            url,
            region: store.region,
            endpoint,
            path_style: store.path_style,
            ca_file: store.ca_file.map(|file| self.path(file)),
            lock: store.lock,
            account_key_file: store.account_key_file.map(|file| self.path(file)),
            sas_file: store.sas_file.map(|file| self.path(file)),
        })
    }

    /// A key that its kind of store does not use is a mistake, and a dangerous one where it promises a lock.
    fn store_keys(&mut self, path: &str, url: &StoreUrl, store: &FileStore) {
        let given = [
            ("region", store.region.is_some(), "s3"),
            ("path_style", store.path_style, "s3"),
            ("lock", store.lock.is_some(), "s3 azure"),
            ("account_key_file", store.account_key_file.is_some(), "azure"),
            ("sas_file", store.sas_file.is_some(), "azure"),
            ("endpoint", store.endpoint.is_some(), "s3 azure"),
            ("ca_file", store.ca_file.is_some(), "s3 azure"),
        ];
        let kind = match url {
            StoreUrl::Directory(_) => "file",
            StoreUrl::S3 { .. } => "s3",
            StoreUrl::Azure { .. } => "azure",
        };
        for (key, _, kinds) in given.iter().filter(|(_, present, kinds)| *present && !kinds.contains(kind)) {
            let kinds: Vec<String> = kinds.split(' ').map(|kind| format!("{kind}://")).collect();
            self.say(&format!("{path}.{key}"), &format!("only {} stores have this key, and the URL is {url}", kinds.join(" and ")));
        }
        if store.account_key_file.is_some() && store.sas_file.is_some() {
            self.say(&format!("{path}.sas_file"), "give account_key_file or sas_file, not both");
        }
    }
}
