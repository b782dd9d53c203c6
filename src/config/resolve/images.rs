//! The part of a configuration that names images.

use std::{collections::BTreeMap, time::Duration};

use oci_client::Reference;

use super::Resolver;
use crate::config::images::{Destination, EcrConfig, FileEcr, FileImages, FileRegistry, ImagesConfig, ImagesMode, RegistryConfig};

impl Resolver<'_> {
    /// Resolves what stands at `path`.
    pub(super) fn images(&mut self, path: &str, images: FileImages) -> Option<ImagesConfig> {
        let mut references: Vec<Reference> = Vec::new();
        for (index, text) in images.references.iter().enumerate() {
            match text.parse() {
                Ok(reference) if references.contains(&reference) => {
                    self.say(&format!("{path}.references.{index}"), &format!("{text:?} is named twice"));
                }
                Ok(reference) => references.push(reference),
                Err(error) => self.say(&format!("{path}.references.{index}"), &format!("{text:?} does not name an image: {error}")),
            }
        }
        let registry = images.registry.and_then(|text| self.destination(&format!("{path}.registry"), &text));
        if images.references.is_empty() && registry.is_none() {
            self.say(path, "give references to capture, or a registry to restore to");
        }
        if images.mode == ImagesMode::Mirror && registry.is_none() {
            self.say(path, "give the registry that the mirror writes to");
        }
        if let Some(platform) = &images.platform
            && (!(2..=3).contains(&platform.split('/').count()) || platform.split('/').any(str::is_empty))
        {
            self.say(&format!("{path}.platform"), &format!("{platform:?} is not like linux/amd64"));
        }
        let mut registries = BTreeMap::new();
        for (host, written) in images.registries {
            let known = self.registry(&format!("{path}.registries.{host}"), &host, written);
            registries.insert(host, known);
        }
        // Those of Amazon say by their names how they are talked to.
        for host in references.iter().map(Reference::registry).chain(registry.iter().map(|registry| &*registry.host)) {
            if let (false, Some(ecr)) = (registries.contains_key(host), EcrConfig::of_host(host)) {
                registries.insert(host.to_owned(), RegistryConfig { ecr: Some(ecr), ..RegistryConfig::default() });
            }
        }
        Some(ImagesConfig {
            references,
            mode: images.mode,
            registry,
            platform: images.platform,
            registries,
            lanes: images.lanes.map_or(3, |lanes| lanes as usize).clamp(1, 4),
            timeout: self.duration(&format!("{path}.timeout"), images.timeout).unwrap_or(Duration::from_secs(120)),
        })
    }

    /// A registry with the first words of repositories: read as the reference of an image below it.
    fn destination(&mut self, path: &str, text: &str) -> Option<Destination> {
        let (host, prefix) = text.split_once('/').unwrap_or((text, ""));
        let is_host = host.contains(['.', ':']) || host == "localhost";
        let image = if prefix.is_empty() { format!("{host}/x") } else { format!("{host}/{prefix}/x") };
        match image.parse::<Reference>() {
            Ok(reference) if is_host && !text.ends_with('/') && reference.registry() == host => {
                Some(Destination { host: host.to_owned(), prefix: prefix.to_owned() })
            }
            _ => {
                self.say(path, &format!("{text:?} is not like registry.example:5000 or registry.example/apim"));
                None
            }
        }
    }

    fn registry(&mut self, path: &str, host: &str, registry: FileRegistry) -> RegistryConfig {
        let is_ours = registry.user.is_none() && registry.password_file.is_none() && registry.create.is_empty();
        let ecr = match registry.ecr {
            Some(_) if !is_ours => {
                self.say(path, "ecr logs in and makes repositories by itself: it has no use for user, password_file and create");
                None
            }
            Some(written) => self.ecr(&format!("{path}.ecr"), host, written),
            None => EcrConfig::of_host(host).filter(|_| is_ours),
        };
        let login = match (registry.user, registry.password_file) {
            (None, None) => None,
            (Some(user), Some(file)) => Some((user, self.path(file))),
            _ => {
                self.say(path, "give user and password_file, or none of them");
                None
            }
        };
        if registry.plain_http && registry.ca_file.is_some() {
            self.say(path, "plain_http has no use for ca_file");
        }
        if !registry.create.is_empty() && !registry.create.iter().any(|word| word.contains("{repository}")) {
            self.say(&format!("{path}.create"), "it does not say {repository}, so it cannot know which one to make");
        }
        let (ca_file, plain_http) = (registry.ca_file.map(|file| self.path(file)), registry.plain_http);
        RegistryConfig { login, ca_file, plain_http, create: registry.create, ecr }
    }

    fn ecr(&mut self, path: &str, host: &str, written: FileEcr) -> Option<EcrConfig> {
        let (region, account) = EcrConfig::of_host(host).map_or((None, None), |named| (Some(named.region), named.account));
        let Some(region) = written.region.or(region) else {
            self.say(&format!("{path}.region"), "give the registry's region: its host does not say it");
            return None;
        };
        let endpoint = written.endpoint.and_then(|text| self.web_address(&format!("{path}.endpoint"), &text));
        Some(EcrConfig { region, account: written.account.or(account), endpoint })
    }
}
