//! What has to be so that this site could take the service over, checked.

use std::collections::BTreeMap;

use super::{DAY, Resolver, tasks::Known};
use crate::{
    config::{
        ready::{ClusterNeeds, FileCluster, FileReady, ReadyConfig, quantity},
        resolved::SourceConfig,
    },
    model::MemberName,
};

impl Resolver<'_> {
    pub(super) fn ready(&mut self, written: FileReady, known: &Known<'_>, sources: &BTreeMap<MemberName, SourceConfig>) -> ReadyConfig {
        let mut points = BTreeMap::new();
        for (lineage, age) in written.points {
            let path = format!("ready.points.{lineage}");
            points.extend(self.parse(&path, &lineage).zip(self.duration(&path, Some(age))));
        }
        let images = self.sources_of(
            "ready.images",
            written.images,
            sources,
            |source| matches!(source, SourceConfig::Images(images) if images.registry.is_some()),
        );
        let credentials = self.sources_of("ready.credentials", written.credentials, sources, |_| true);
        let mut clusters = BTreeMap::new();
        for (name, needs) in written.clusters {
            let path = format!("ready.clusters.{name}");
            let source = self.sources_of(&path, vec![name], sources, |source| matches!(source, SourceConfig::Kubernetes(_))).pop();
            let needs = self.cluster(&path, needs);
            clusters.extend(source.map(|source| (source, needs)));
        }
        let mut licences = BTreeMap::new();
        for (name, day) in written.licences {
            match day.parse() {
                Ok(day) => drop(licences.insert(name, day)),
                Err(_) => self.say(&format!("ready.licences.{name}"), &format!("{day:?} is not a day like 2027-06-30")),
            }
        }
        ReadyConfig {
            points,
            location: self.location("ready.location", written.location, known).unwrap_or_default(),
            images,
            clusters,
            certificates: written.certificates.into_iter().map(|(name, file)| (name, self.path(file))).collect(),
            licences,
            valid_for: self.duration("ready.valid_for", written.valid_for).unwrap_or(30 * DAY),
            credentials,
        }
    }

    /// The sources of these names, which have to be fit.
    fn sources_of(
        &mut self,
        path: &str,
        names: Vec<String>,
        sources: &BTreeMap<MemberName, SourceConfig>,
        is_fit: fn(&SourceConfig) -> bool,
    ) -> Vec<MemberName> {
        let fit: Vec<&str> = sources.iter().filter(|(_, source)| is_fit(source)).map(|(name, _)| name.as_str()).collect();
        names.into_iter().filter_map(|name| self.one_of(path, name, &fit)?.parse().ok()).collect()
    }

    fn cluster(&mut self, path: &str, written: FileCluster) -> ClusterNeeds {
        let mut needs = ClusterNeeds::default();
        for (label, count) in written.nodes {
            match label.split_once('=') {
                Some((key, value)) if !key.is_empty() => drop(needs.nodes.insert((key.to_owned(), value.to_owned()), count)),
                _ => self.say(&format!("{path}.nodes.{label}"), &format!("{label:?} is not like KEY=VALUE")),
            }
        }
        for (resource, text) in written.room {
            match quantity(&text) {
                Some(amount) => drop(needs.room.insert(resource, amount)),
                None => self.say(&format!("{path}.room.{resource}"), &format!("{text:?} is not a quantity like 8, 500m or 32Gi")),
            }
        }
        for kind in written.kinds {
            match kind.rsplit_once('/') {
                Some((version, kind)) if !version.is_empty() && !kind.is_empty() => needs.kinds.push((version.to_owned(), kind.to_owned())),
                _ => self.say(&format!("{path}.kinds"), &format!("{kind:?} is not like v1/Service or apps/v1/Deployment")),
            }
        }
        needs
    }
}
