//! Indices out of a snapshot into a cluster that only reads the repository.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    api::Api,
    catalog::Object,
    proof::Shards,
    repository,
    snapshot::{state, whole},
    versions::Version,
};
use crate::{
    config::AnalyticsConfig,
    model::{Context, Problem},
    sources::{Loading, Overwrite, SourceError, SourceErrorKind, SystemTarget},
};

/// Wait between two looks at an index that comes back.
const LOOK: Duration = Duration::from_secs(1);
/// An index none of whose missing shards is on its way is given up after so many looks.
const STUCK_LOOKS: u32 = 30;
/// Settings that name what the other cluster does not have, or that would at once act upon what was restored.
const STRIPPED: [&str; 4] =
    ["index.routing.allocation.*", "index.lifecycle.*", "index.plugins.index_state_management.*", "index.opendistro.index_state_management.*"];

/// A restore that goes on.
#[derive(Debug)]
pub struct Restore {
    /// The cluster.
    pub api: Api,
    config: AnalyticsConfig,
    snapshot: String,
    rename: BTreeMap<String, String>,
    /// Targets that may be replaced.
    replaced: BTreeSet<String>,
    shards: Shards,
}

impl Restore {
    /// Checks everything that can be checked before anything is written.
    ///
    /// # Errors
    /// When the snapshot is not there or not whole, the cluster is too old or too new for an index, or something is in the way.
    pub fn begin(config: &AnalyticsConfig, loading: &Loading, target: &SystemTarget, ctx: &Context) -> Result<Restore, SourceError> {
        let api = Api::new(config)?.within(ctx.cancel.clone());
        let server = api.get(&[], "")?;
        let version = Version::of_server(&server)?;
        let about = |key: &str| loading.components.iter().find_map(|component| component.about.get(key)).cloned().unwrap_or_default();
        let (snapshot, cluster) = (about("snapshot"), about("cluster"));
        let mut replaced = BTreeSet::new();
        for component in &loading.components {
            let Some(object) = Object::of(component) else { continue };
            let subject = format!("the index {}", object.name);
            if let Some(why) = version.refusal(Version::of_index(object.created)) {
                return Err(usage(subject, why, "reindex it in a version between, or restore into one"));
            }
            let name = target.rename.get(&object.name).unwrap_or(&object.name);
            if object.is_stream() && *name != object.name {
                return Err(usage(format!("the data stream {}", object.name), "cannot be renamed".to_owned(), "restore it under its own name"));
            }
            let ours = loading.resumed || target.overwrite == Overwrite::InPlace;
            if ours && !loading.done.contains(&component.name) {
                replaced.insert(name.clone());
            } else if !ours && exists(&api, name)? {
                return Err(SourceError::NotEmpty { path: format!("the index {name}") });
            }
        }
        repository::for_reading(&api, config, server["cluster_uuid"] == cluster.as_str())?;
        whole(&state(&api, &config.repository, &snapshot)?, &snapshot)?;
        Ok(Restore { api, config: config.clone(), snapshot, rename: target.rename.clone(), replaced, shards: Shards::default() })
    }

    /// What an object is called in the target.
    pub fn name<'a>(&'a self, object: &'a Object) -> &'a str {
        self.rename.get(&object.name).unwrap_or(&object.name)
    }

    /// What differs between an object and the snapshot; `None` when the cluster cannot tell any more.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn compare(&self, object: &Object) -> Result<Option<Vec<Problem>>, SourceError> {
        match self.shards.compare(&self.api, &self.config.repository, &self.snapshot, object, self.name(object)) {
            // An account that may restore need not be one that may look.
            Err(error) if error.kind() == SourceErrorKind::Denied => Ok(None),
            compared => compared,
        }
    }

    /// Restores one index or data stream and waits until all its primary shards are there.
    ///
    /// # Errors
    /// When the cluster does not take it, or does not get on with it.
    pub fn object(&self, object: &Object, ctx: &Context) -> Result<Vec<Problem>, SourceError> {
        let name = self.name(object);
        if self.replaced.contains(name) && exists(&self.api, name)? {
            let path: &[&str] = if object.is_stream() { &["_data_stream", name] } else { &[name] };
            self.api.delete(path)?;
        }
        let renamed = name != object.name;
        let mut body = json!({
            "indices": object.name,
            "ignore_unavailable": false,
            "include_global_state": false,
            "partial": false,
            // Two indices with one alias answer together.
            "include_aliases": !renamed,
            "index_settings": {"index.number_of_replicas": self.config.replicas, "index.auto_expand_replicas": "false"},
            "ignore_index_settings": STRIPPED.join(","),
        });
        if renamed {
            body["rename_pattern"] = json!("(.+)");
            body["rename_replacement"] = json!(name.replace('\\', "\\\\").replace('$', "\\$"));
        }
        self.api.post(&["_snapshot", &self.config.repository, &self.snapshot, "_restore"], "wait_for_completion=false", Some(&body))?;
        self.wait(name, ctx)?;
        Ok(self.notes(object, name))
    }

    fn wait(&self, name: &str, ctx: &Context) -> Result<(), SourceError> {
        let (began, mut stuck) = (Instant::now(), 0);
        let status = if self.config.replicas == 0 { "green" } else { "yellow" };
        loop {
            let health = self.api.get(&["_cluster", "health", name], &format!("level=indices&wait_for_status={status}&timeout=5s"));
            let health = match health {
                Ok(health) => health,
                // It says with an error status that the time is over.
                Err(SourceError::Database { kind: SourceErrorKind::TimedOut | SourceErrorKind::Failed, .. }) => {
                    self.api.get(&["_cluster", "health", name], "level=indices")?
                }
                Err(error) => return Err(error),
            };
            if is_there(&health) {
                return Ok(());
            }
            let moving = health["initializing_shards"].as_u64().unwrap_or(0) + health["relocating_shards"].as_u64().unwrap_or(0);
            stuck = if moving == 0 { stuck + 1 } else { 0 };
            if stuck > STUCK_LOOKS || began.elapsed() > self.config.timeout {
                let why = format!("does not come back: {}", self.explanation(name));
                return Err(unfit(format!("the index {name}"), why, SourceErrorKind::Failed, Some("mend what the cluster names, then resume")));
            }
            if ctx.cancel.is_draining() {
                return Err(SourceError::Cancelled { program: format!("the restore of the index {name}") });
            }
            thread::sleep(LOOK);
        }
    }

    /// Why a shard of an index is not there.
    fn explanation(&self, name: &str) -> String {
        let asked = json!({"index": name, "shard": 0, "primary": true});
        let answer = self.api.post(&["_cluster", "allocation", "explain"], "", Some(&asked)).unwrap_or_default();
        let details = answer["unassigned_info"]["details"].as_str().or(answer["allocate_explanation"].as_str());
        details.unwrap_or("the cluster does not say why").to_owned()
    }

    fn notes(&self, object: &Object, name: &str) -> Vec<Problem> {
        let mut notes = Vec::new();
        if object.replicas != self.config.replicas.to_string() {
            let what = format!("had {} replicas and has {} now", object.replicas, self.config.replicas);
            notes.push(Problem { subject: format!("index {name}"), what });
        }
        if name != object.name {
            notes.push(Problem { subject: format!("index {name}"), what: format!("was restored without the aliases of {}", object.name) });
        }
        notes
    }
}

/// Whether all primary shards are there. The status does not say so: one that still comes back out of a snapshot counts as yellow.
fn is_there(health: &Value) -> bool {
    let whole = |index: &Value| index["number_of_shards"].is_u64() && index["active_primary_shards"] == index["number_of_shards"];
    health["indices"].as_object().is_some_and(|indices| !indices.is_empty() && indices.values().all(whole))
}

fn exists(api: &Api, name: &str) -> Result<bool, SourceError> {
    let found: Option<Value> = api.find(&["_resolve", "index", name], "expand_wildcards=all")?;
    let some = |found: &Value, list: &str| found[list].as_array().is_some_and(|list| !list.is_empty());
    Ok(found.is_some_and(|found| ["indices", "aliases", "data_streams"].iter().any(|list| some(&found, list))))
}

fn usage(subject: String, why: String, hint: &'static str) -> SourceError {
    unfit(subject, why, SourceErrorKind::Usage, Some(hint))
}

fn unfit(subject: String, why: String, kind: SourceErrorKind, hint: Option<&'static str>) -> SourceError {
    SourceError::Unfit { subject, why, kind, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_there_only_when_all_its_primary_shards_are_whatever_its_status() {
        let health = |active: u64| json!({"status": "yellow", "indices": {"a": {"number_of_shards": 3, "active_primary_shards": active}}});
        assert!(is_there(&health(3)) && !is_there(&health(2)));
        assert!(!is_there(&json!({"status": "green", "indices": {}})) && !is_there(&json!({"status": "green"})));
    }
}
