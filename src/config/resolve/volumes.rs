//! The part of a configuration that names volumes.

use std::{collections::BTreeMap, time::Duration};

use super::Resolver;
use crate::{
    config::{
        SourceConfig,
        volumes::{FileVolumes, FileWorker, SiteConfig, VolumesConfig, WorkerConfig},
    },
    model::MemberName,
};

/// Workers that read one claim at most.
const SHARES_MAX: u32 = 64;

impl Resolver<'_> {
    /// Resolves what stands at `path`.
    pub(super) fn volumes(&mut self, path: &str, written: FileVolumes, site: &SiteConfig) -> VolumesConfig {
        for pattern in &written.claims {
            self.pattern(&format!("{path}.claims"), pattern, 2);
        }
        VolumesConfig {
            access: self.access(path, written.kubeconfig, written.context),
            claims: written.claims,
            exclude: written.exclude,
            worker: self.worker(&format!("{path}.worker"), written.worker),
            site: site.clone(),
        }
    }

    fn worker(&mut self, path: &str, written: FileWorker) -> WorkerConfig {
        if written.image.is_empty() {
            self.say(&format!("{path}.image"), "it names no image");
        }
        WorkerConfig {
            image: written.image,
            pull_secrets: written.pull_secrets,
            env_from: written.env_from,
            service_account: written.service_account,
            user: written.user,
            memory: written.memory.unwrap_or_else(|| "512Mi".to_owned()),
            at_once: written.at_once.map_or(4, |count| count as usize).max(1),
            shares: self.shares(path, written.shares),
            starts_within: self.duration(&format!("{path}.starts_within"), written.starts_within).unwrap_or(Duration::from_secs(300)),
            within: self.duration(&format!("{path}.within"), written.within).unwrap_or(Duration::from_secs(3600)),
        }
    }

    fn shares(&mut self, path: &str, written: Option<u32>) -> usize {
        let shares = written.unwrap_or(1);
        if !(1..=SHARES_MAX).contains(&shares) {
            self.say(&format!("{path}.shares"), &format!("a claim is read by 1 to {SHARES_MAX} workers"));
        }
        shares.clamp(1, SHARES_MAX) as usize
    }

    /// A source that lists the objects of a cluster knows the sources that hold the files of its claims.
    pub(super) fn claims_with_files(sources: &mut BTreeMap<MemberName, SourceConfig>) {
        let mut holders = Vec::new();
        for (name, source) in &*sources {
            if let SourceConfig::Volumes(volumes) = source {
                let patterns = volumes.claims.iter().map(|pattern| (pattern.clone(), name.to_string()));
                holders.push((volumes.access.clone(), patterns.collect::<Vec<_>>()));
            }
        }
        for source in sources.values_mut() {
            let SourceConfig::Kubernetes(cluster) = source else { continue };
            for (pattern, holder) in holders.iter().filter(|(of, _)| *of == cluster.access).flat_map(|(_, patterns)| patterns) {
                cluster.data.entry(pattern.clone()).or_insert_with(|| holder.clone());
            }
        }
    }
}
