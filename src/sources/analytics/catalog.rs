//! What a cluster holds: indices and data streams, with the versions that made them and the writes that they have seen.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::api::Api;
use crate::{
    config::AnalyticsConfig,
    sources::{Component, RowDigest, Shape, SourceError, SourceErrorKind, rows::RowSum},
};

/// Stage of what has to be there before indices are.
const STAGE_CLUSTER: u8 = 0;
/// Stage of indices.
const STAGE_INDICES: u8 = 1;
/// The component that holds templates, pipelines and settings.
pub const CLUSTER: &str = "cluster";

/// An index or a data stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub name: String,
    /// The indices behind a data stream; none for an index.
    pub backing: Vec<String>,
    /// Version that created it, or the oldest of what is behind it.
    pub created: u64,
    /// Replicas that it has.
    pub replicas: String,
}

impl Object {
    /// Whether it is a data stream.
    pub fn is_stream(&self) -> bool {
        !self.backing.is_empty()
    }

    /// The indices that it is made of.
    pub fn indices(&self) -> &[String] {
        if self.is_stream() { &self.backing } else { std::slice::from_ref(&self.name) }
    }

    /// As a component of a point whose snapshot is this one.
    pub fn component(&self, snapshot: &BTreeMap<String, String>) -> Component {
        let mut about = snapshot.clone();
        about.insert("created".to_owned(), self.created.to_string());
        about.insert("replicas".to_owned(), self.replicas.clone());
        if self.is_stream() {
            about.insert("backing".to_owned(), self.backing.join(","));
        }
        let kind = if self.is_stream() { "data-streams" } else { "indices" };
        Component { name: format!("{kind}/{}", self.name), shape: Shape::Stream, stage: STAGE_INDICES, about }
    }

    /// What a component says of an index or a data stream; `None` for the cluster's.
    pub fn of(component: &Component) -> Option<Object> {
        let (kind, name) = component.name.split_once('/')?;
        let backing = component.about.get("backing").filter(|_| kind == "data-streams");
        Some(Object {
            name: name.to_owned(),
            backing: backing.map(|names| names.split(',').map(str::to_owned).collect()).unwrap_or_default(),
            created: component.about.get("created")?.parse().ok()?,
            replicas: component.about.get("replicas").cloned().unwrap_or_default(),
        })
    }
}

/// The component of what is not in an index.
pub fn cluster_component(snapshot: &BTreeMap<String, String>) -> Component {
    Component { name: CLUSTER.to_owned(), shape: Shape::Stream, stage: STAGE_CLUSTER, about: snapshot.clone() }
}

/// The indices and data streams that the configuration means.
///
/// # Errors
/// When there is none, or one that is named does not exist.
pub fn objects(api: &Api, config: &AnalyticsConfig) -> Result<Vec<Object>, SourceError> {
    let patterns = if config.indices.is_empty() { "*".to_owned() } else { config.indices.join(",") };
    let resolved = api.get(&["_resolve", "index", &patterns], "expand_wildcards=open,closed,hidden")?;
    let wanted = |name: &str| !config.indices.is_empty() || !name.starts_with('.');
    let settings = api.get(&["_all", "_settings", "index.version.created,index.number_of_replicas"], "flat_settings=true&expand_wildcards=all")?;
    let mut objects = Vec::new();
    for index in list(&resolved["indices"]) {
        let name = index["name"].as_str().unwrap_or_default();
        // What is behind a data stream comes with it.
        if wanted(name) && index["data_stream"].is_null() {
            objects.push(object(name, Vec::new(), &settings)?);
        }
    }
    for stream in list(&resolved["data_streams"]) {
        let name = stream["name"].as_str().unwrap_or_default();
        // One of them comes as text.
        let backing = match &stream["backing_indices"] {
            Value::String(one) => vec![one.clone()],
            several => list(several).iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        };
        if wanted(name) {
            objects.push(object(name, backing, &settings)?);
        }
    }
    let found = |name: &String| name.contains('*') || name.starts_with('-') || objects.iter().any(|object| object.name == *name);
    if let Some(missing) = config.indices.iter().find(|name| !found(name)) {
        return Err(SourceError::Unfit {
            subject: format!("the index {missing}"),
            why: "does not exist, or may not be seen".to_owned(),
            kind: SourceErrorKind::Vanished,
            hint: Some("check the source's indices, and the rights of its account"),
        });
    }
    if objects.is_empty() {
        return Err(SourceError::Nothing { kind: "analytics" });
    }
    objects.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(objects)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn object(name: &str, backing: Vec<String>, settings: &Value) -> Result<Object, SourceError> {
    let mut object = Object { name: name.to_owned(), backing, created: u64::MAX, replicas: String::new() };
    for index in object.indices().to_vec() {
        let of_index = &settings[&index]["settings"];
        let created = of_index["index.version.created"].as_str().and_then(|text| text.parse().ok());
        object.created = object.created.min(created.ok_or_else(|| SourceError::Vanished { path: format!("the index {index}") })?);
        of_index["index.number_of_replicas"].as_str().unwrap_or("0").clone_into(&mut object.replicas);
    }
    Ok(object)
}

/// For each shard of each index the number of its last write.
pub type Writes = BTreeMap<String, BTreeMap<String, u64>>;

/// How far the shards of all indices are.
///
/// # Errors
/// When the cluster does not say.
pub fn writes(api: &Api) -> Result<Writes, SourceError> {
    let query = "level=shards&expand_wildcards=all&filter_path=indices.*.shards.*.routing.primary,indices.*.shards.*.seq_no.max_seq_no";
    let stats = api.get(&["_stats", "docs"], query)?;
    let mut writes = Writes::new();
    for (index, of_index) in stats["indices"].as_object().into_iter().flatten() {
        for (shard, copies) in of_index["shards"].as_object().into_iter().flatten() {
            let primary = list(copies).iter().find(|copy| copy["routing"]["primary"] == json!(true));
            // -1 before the first write.
            let last = primary.and_then(|copy| copy["seq_no"]["max_seq_no"].as_i64()).map(|last| last.cast_unsigned());
            writes.entry(index.clone()).or_default().extend(last.map(|last| (shard.clone(), last)));
        }
    }
    Ok(writes)
}

/// The documents of an object, if it has seen no write between two looks. There is no digest of them: the snapshot's own checksums prove their content.
///
/// # Errors
/// When they cannot be counted.
pub fn settled(api: &Api, object: &Object, before: &Writes, after: &Writes) -> Result<Option<RowDigest>, SourceError> {
    let unchanged =
        object.indices().iter().all(|index| before.get(index).is_some_and(|writes| !writes.is_empty()) && before.get(index) == after.get(index));
    if unchanged { count(api, &object.name).map(Some) } else { Ok(None) }
}

/// How many documents there are now.
///
/// # Errors
/// When they cannot be counted.
pub fn count(api: &Api, name: &str) -> Result<RowDigest, SourceError> {
    api.post(&[name, "_refresh"], "", None)?;
    let answer = api.get(&[name, "_count"], "")?;
    let whole = answer["_shards"]["failed"] == json!(0);
    let rows = answer["count"].as_u64().filter(|_| whole).ok_or_else(|| SourceError::Unfit {
        subject: format!("the index {name}"),
        why: "did not count its documents in all shards".to_owned(),
        kind: SourceErrorKind::Failed,
        hint: None,
    })?;
    Ok(RowDigest { rows, sum: RowSum::default() })
}
