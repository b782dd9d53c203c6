//! Texts of the old site in objects that are to be applied: those that the configuration names, and those that only the old cluster could mean, as they
//! were learned when the point was made.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::{discovery::list, object::Line};
use crate::config::KubernetesRestore;

/// Where the inventory keeps what was learned, before the word for what it is.
pub const RESIDUE: &str = "residue/";
/// Where it keeps which cluster it was.
pub const CLUSTER: &str = "residue/cluster";
/// Registries of images that ran.
pub const REGISTRIES: &str = "registries";
/// Shorter texts stand for too much.
const LEAST: usize = 4;
/// What every cluster and machine has.
const ANYWHERE: [&str; 5] = ["localhost", "127.0.0.1", "0.0.0.0", "docker.io", "kubernetes.default.svc"];

/// Whether a text can be learned to be of one site.
pub fn is_telling(text: &str) -> bool {
    text.len() >= LEAST && !ANYWHERE.contains(&text)
}

/// What a point tells of the cluster that it was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    /// What the cluster is: see `inventory`.
    pub cluster: Value,
    /// Texts, each with what it is: `nodes`, `addresses`, `volumes`, `registries`.
    pub texts: BTreeMap<String, String>,
}

/// Nothing was learned.
pub static NOTHING: Learned = Learned { cluster: Value::Null, texts: BTreeMap::new() };

impl Learned {
    /// Takes a line of the inventory in.
    pub fn take(&mut self, line: &Line) {
        let Some(kind) = line.path.strip_prefix(RESIDUE) else { return };
        if line.path == CLUSTER {
            self.cluster = line.object.clone();
        }
        let texts = list(&line.object["texts"]).iter().filter_map(Value::as_str);
        self.texts.extend(texts.map(|text| (text.to_owned(), kind.to_owned())));
    }
}

/// Looks for them.
#[derive(Debug)]
pub struct Residue {
    search: AhoCorasick,
    /// What each text is that was learned; `None` for one that is configured.
    texts: Vec<(String, Option<String>)>,
}

/// A text of the old site in an object.
#[derive(Debug, PartialEq, Eq)]
pub struct Hit<'a> {
    /// Where.
    pub field: String,
    /// Which.
    pub text: &'a str,
    /// What it is, if it was learned.
    pub of: Option<&'a str>,
}

impl Residue {
    /// Of texts that are configured and learned. A registry counts if the configuration replaces it, because others serve all sites.
    pub fn new(config: &KubernetesRestore, learned: &Learned) -> Residue {
        let host = |reference: &String| reference.split('/').next().unwrap_or_default().to_owned();
        let replaced: Vec<String> = config.registries.keys().map(host).collect();
        let kept: Vec<String> = config.registries.values().map(host).collect();
        let counts = |text: &String, of: &String| !kept.contains(text) && (of != REGISTRIES || replaced.contains(text));
        let learned = learned.texts.iter().filter(|(text, of)| counts(text, of)).map(|(text, of)| (text.clone(), Some(of.clone())));
        let texts: Vec<(String, Option<String>)> = config.residue.iter().map(|text| (text.clone(), None)).chain(learned).collect();
        let search =
            AhoCorasick::new(texts.iter().map(|(text, _)| text)).expect("the inventory of a cluster is less than the gigabytes that are too much");
        Residue { search, texts }
    }

    /// The first field that has one of them, which values of Secrets may hide.
    pub fn find(&self, object: &Value) -> Option<Hit<'_>> {
        if self.texts.is_empty() {
            return None;
        }
        self.look(object, "", object["kind"] == "Secret")
    }

    fn look(&self, value: &Value, at: &str, secret: bool) -> Option<Hit<'_>> {
        match value {
            Value::String(text) => self.hit(at, text).or_else(|| {
                let bytes = BASE64_STANDARD.decode(text).ok().filter(|_| secret && at.starts_with(".data."))?;
                self.hit(at, &String::from_utf8_lossy(&bytes))
            }),
            Value::Array(values) => values.iter().enumerate().find_map(|(i, value)| self.look(value, &format!("{at}[{i}]"), secret)),
            Value::Object(fields) => fields.iter().find_map(|(key, value)| {
                let at = format!("{at}.{key}");
                self.hit(&at, key).or_else(|| self.look(value, &at, secret))
            }),
            _ => None,
        }
    }

    fn hit(&self, at: &str, within: &str) -> Option<Hit<'_>> {
        let whole = |start: usize, end: usize| !joins(within[..start].chars().next_back()) && !joins(within[end..].chars().next());
        let found = self.search.find_overlapping_iter(within).find(|found| {
            // What was learned is a name: in a longer one it means something else.
            self.texts[found.pattern().as_usize()].1.is_none() || whole(found.start(), found.end())
        })?;
        let (text, of) = &self.texts[found.pattern().as_usize()];
        Some(Hit { field: at.trim_start_matches('.').to_owned(), text, of: of.as_deref() })
    }
}

/// Whether a letter beside a name makes it another name.
fn joins(letter: Option<char>) -> bool {
    letter.is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(registries: &[(&str, &str)], residue: &[&str]) -> KubernetesRestore {
        let text = |text: &&str| (*text).to_owned();
        let registries = registries.iter().map(|(old, new)| (text(old), text(new))).collect();
        KubernetesRestore { registries, residue: residue.iter().map(text).collect(), ..KubernetesRestore::default() }
    }

    #[test]
    fn residue_is_found_in_values_keys_lists_and_decoded_secrets() {
        let residue = Residue::new(&config(&[], &["eu-west-1"]), &Learned::default());
        let found = |object: Value| residue.find(&object).map(|hit| hit.field);
        assert_eq!(found(json!({"spec": {"hosts": ["a", "x.eu-west-1.example"]}})).as_deref(), Some("spec.hosts[1]"));
        assert_eq!(found(json!({"metadata": {"labels": {"eu-west-1": "1"}}})).as_deref(), Some("metadata.labels.eu-west-1"));
        let data = json!({"region": BASE64_STANDARD.encode("in eu-west-1\n")});
        assert_eq!(found(json!({"kind": "Secret", "data": data})).as_deref(), Some("data.region"));
        assert_eq!(found(json!({"spec": "eu-west-2"})), None);
    }

    #[test]
    fn what_was_learned_counts_as_a_whole_name_and_a_registry_if_it_is_replaced() {
        let mut learned = Learned::default();
        for (kind, text) in [("nodes", "node-1"), ("addresses", "10.0.0.1"), ("registries", "registry.we"), ("registries", "quay.io")] {
            let line = json!({"path": format!("{RESIDUE}{kind}"), "sha256": "0".repeat(64), "object": {"texts": [text]}});
            learned.take(&serde_json::from_value(line).unwrap());
        }
        let residue = Residue::new(&config(&[("registry.we/apim", "registry.ne")], &[]), &learned);
        let found = |text: &str| residue.find(&json!({ "at": text })).map(|hit| hit.of.unwrap_or_default().to_owned()).unwrap_or_default();
        assert_eq!(
            [found("http://10.0.0.1:80/"), found("on node-1"), found("node-1.example"), found("registry.we/other")],
            ["addresses", "nodes", "nodes", "registries"]
        );
        for other in ["10.0.0.11", "110.0.0.1", "node-1-data", "node-10", "quay.io/coreos/etcd"] {
            assert_eq!(found(other), "", "{other}");
        }
    }
}
