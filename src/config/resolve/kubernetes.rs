//! The part of a configuration that names a Kubernetes cluster.

use std::{collections::BTreeMap, time::Duration};

use super::Resolver;
use crate::{
    config::{
        ClusterAccess, SourceConfig,
        kubernetes::{FileKubernetes, FileKubernetesRestore, KubernetesConfig, KubernetesRestore, SecretClass, SecretRule},
    },
    model::MemberName,
};

/// The labels that say in which zone a node is.
const ZONE_LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];

impl Resolver<'_> {
    /// Resolves what stands at `path`.
    pub(super) fn kubernetes(&mut self, path: &str, written: FileKubernetes) -> KubernetesConfig {
        let restore = self.kubernetes_restore(&format!("{path}.restore"), written.restore.unwrap_or_default());
        let no_data = written.no_data.iter().map(|pattern| ("no_data", pattern));
        for (key, pattern) in written.data.keys().map(|pattern| ("data", pattern)).chain(no_data) {
            self.pattern(&format!("{path}.{key}"), pattern, 2);
        }
        for pattern in &written.exclude {
            self.pattern(&format!("{path}.exclude"), pattern, 3);
        }
        KubernetesConfig {
            access: self.access(path, written.kubeconfig, written.context),
            namespaces: written.namespaces,
            exclude: written.exclude,
            optional_groups: written.optional_groups.unwrap_or_else(|| vec!["metrics.k8s.io".to_owned(), "*.metrics.k8s.io".to_owned()]),
            data: written.data,
            no_data: written.no_data,
            restore,
        }
    }

    /// How a cluster is reached, of which the keys stand at `path`.
    pub(super) fn access(&mut self, path: &str, kubeconfig: Option<String>, context: Option<String>) -> ClusterAccess {
        if kubeconfig.is_none() && context.is_some() {
            self.say(&format!("{path}.context"), "it belongs to a kubeconfig, and there is none");
        }
        ClusterAccess { kubeconfig: kubeconfig.map(|file| self.path(file)), context }
    }

    fn kubernetes_restore(&mut self, path: &str, written: FileKubernetesRestore) -> KubernetesRestore {
        let label = |text: &str| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut node_labels = BTreeMap::new();
        for (old, new) in &written.node_labels {
            match label(old).zip(label(new)) {
                Some((old, new)) => drop(node_labels.insert(old, new)),
                None => self.say(&format!("{path}.node_labels"), &format!("{old:?}: {new:?} is not KEY=VALUE: KEY=VALUE")),
            }
        }
        for (old, new) in &written.zones {
            node_labels.extend(ZONE_LABELS.map(|key| ((key.to_owned(), old.clone()), (ZONE_LABELS[0].to_owned(), new.clone()))));
        }
        let keyed = written.replicas.keys().map(|pattern| ("replicas", pattern));
        for (key, pattern) in keyed.chain(written.residue_allowed.keys().map(|pattern| ("residue_allowed", pattern))) {
            self.pattern(&format!("{path}.{key}"), pattern, 3);
        }
        for text in written.residue.iter().filter(|text| text.is_empty()) {
            self.say(&format!("{path}.residue"), &format!("{text:?} is everywhere"));
        }
        let mut secrets = Vec::new();
        for (at, rule) in written.secrets.into_iter().enumerate() {
            let at = format!("{path}.secrets.{at}");
            self.pattern(&format!("{at}.secrets"), &rule.secrets, 2);
            if (rule.class == SecretClass::Set) == rule.files.is_empty() {
                self.say(&at, "files belong to the class set, and only to it");
            }
            if rule.class != SecretClass::Mint && rule.registry_of.is_some() {
                self.say(&format!("{at}.registry_of"), "it belongs to the class mint");
            }
            let files = rule.files.into_iter().map(|(key, file)| (key, self.path(file))).collect();
            secrets.push(SecretRule { secrets: rule.secrets, class: rule.class, files, registry_of: rule.registry_of });
        }
        KubernetesRestore {
            existing: written.existing,
            storage_classes: written.storage_classes,
            registries: written.registries,
            hosts: written.hosts,
            node_labels,
            annotations: written.annotations,
            replicas: written.replicas,
            secrets,
            registries_of: BTreeMap::new(),
            residue: written.residue,
            residue_allowed: written.residue_allowed.into_keys().collect(),
            ready_within: match written.ready_within.as_deref() {
                // Not to wait is no time either.
                Some("0s") => Duration::ZERO,
                _ => self.duration(&format!("{path}.ready_within"), written.ready_within).unwrap_or(Duration::from_secs(600)),
            },
            dry_run: written.dry_run,
        }
    }

    /// That the files of claims are in sources that there are.
    pub(super) fn data_of_claims(&mut self, sources: &BTreeMap<MemberName, SourceConfig>) {
        for (name, source) in sources {
            let SourceConfig::Kubernetes(config) = source else { continue };
            for (claims, holder) in config.data.iter().filter(|(_, holder)| !sources.keys().any(|name| name.as_str() == **holder)) {
                self.say(&format!("sources.{name}.kubernetes.data.{claims}"), &format!("there is no source {holder:?}"));
            }
        }
    }

    /// The registries that Secrets become logins for: those which sources of images write to, and have an account at.
    pub(super) fn logins_of_registries(&mut self, sources: &mut BTreeMap<MemberName, SourceConfig>) {
        let registry = |source: &SourceConfig| match source {
            SourceConfig::Images(images) => {
                let host = images.registry.clone()?.host;
                let known = images.registries.get(&host)?.clone();
                (known.login.is_some() || known.ecr.is_some()).then_some((host, known))
            }
            _ => None,
        };
        let known: BTreeMap<String, _> = sources.iter().filter_map(|(name, source)| Some((name.to_string(), registry(source)?))).collect();
        for (name, source) in sources {
            let SourceConfig::Kubernetes(config) = source else { continue };
            for (at, rule) in config.restore.secrets.iter().enumerate() {
                let Some(of) = &rule.registry_of else { continue };
                match known.get(of) {
                    Some(registry) => drop(config.restore.registries_of.insert(of.clone(), registry.clone())),
                    None => {
                        let path = format!("sources.{name}.kubernetes.restore.secrets.{at}.registry_of");
                        self.say(&path, &format!("there is no source {of:?} of images with a registry, and an account at it"));
                    }
                }
            }
        }
    }

    /// That a pattern has `words` words.
    pub(super) fn pattern(&mut self, path: &str, pattern: &str, words: usize) {
        if pattern.split('/').count() != words || pattern.split('/').any(str::is_empty) {
            let form = if words == 2 { "NAMESPACE/NAME" } else { "NAMESPACE/KIND/NAME" };
            self.say(path, &format!("{pattern:?} is not like {form}, where * stands for any text"));
        }
    }
}
