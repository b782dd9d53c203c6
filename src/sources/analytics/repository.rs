//! The snapshot repository: one cluster writes it, any other reads it.

use serde_json::{Value, json};

use super::api::Api;
use crate::{
    config::AnalyticsConfig,
    sources::{SourceError, SourceErrorKind},
};

fn unfit(config: &AnalyticsConfig, why: String, hint: &'static str) -> SourceError {
    SourceError::Unfit { subject: format!("the repository {}", config.repository), why, kind: SourceErrorKind::Usage, hint: Some(hint) }
}

/// Registers the repository for writing unless it is, and lets every node write to it.
///
/// # Errors
/// When it is registered otherwise than the configuration says, or a node cannot write to it.
pub fn for_writing(api: &Api, config: &AnalyticsConfig) -> Result<(), SourceError> {
    match registered(api, config)? {
        Some(found) if is_read_only(&found) => {
            let why = "is registered for reading only".to_owned();
            return Err(unfit(config, why, "another cluster writes it; give this one a repository of its own"));
        }
        Some(_) => {}
        None => drop(api.put(&["_snapshot", &config.repository], "", &registration(config, false))?),
    }
    let verified = api.post(&["_snapshot", &config.repository, "_verify"], "", None)?;
    match verified["nodes"].as_object().is_some_and(|nodes| !nodes.is_empty()) {
        true => Ok(()),
        false => Err(unfit(config, "was verified by no node".to_owned(), "check that every node reaches it and may write to it")),
    }
}

/// Registers the repository for reading unless it is. The cluster that has written a snapshot may have it registered for writing.
///
/// # Errors
/// When this cluster could write to it, and is not the one whose repository it is.
pub fn for_reading(api: &Api, config: &AnalyticsConfig, is_ours: bool) -> Result<(), SourceError> {
    match registered(api, config)? {
        Some(found) if is_ours || is_read_only(&found) => Ok(()),
        Some(_) => {
            let why = "is registered for writing in a cluster that is not the one whose snapshots it holds".to_owned();
            Err(unfit(config, why, "register it with readonly: true; two clusters that write one repository destroy it"))
        }
        None => api.put(&["_snapshot", &config.repository], "", &registration(config, true)).map(drop),
    }
}

/// What the cluster has under that name, if it is what the configuration says.
fn registered(api: &Api, config: &AnalyticsConfig) -> Result<Option<Value>, SourceError> {
    let Some(mut answer) = api.find(&["_snapshot", &config.repository], "")? else { return Ok(None) };
    let found = answer[&config.repository].take();
    let hint = "use another name, or the settings that it has";
    if found["type"] != config.repository_kind.as_str() {
        return Err(unfit(config, format!("is of type {} in the cluster, and not {}", found["type"], config.repository_kind), hint));
    }
    for (key, wanted) in &config.repository_settings {
        if text(&found["settings"][key]).as_deref() != Some(wanted) {
            return Err(unfit(config, format!("has {key}: {} in the cluster, and not {wanted}", found["settings"][key]), hint));
        }
    }
    Ok(Some(found))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| (!value.is_null()).then(|| value.to_string()))
}

fn is_read_only(found: &Value) -> bool {
    text(&found["settings"]["readonly"]).as_deref() == Some("true")
}

fn registration(config: &AnalyticsConfig, read_only: bool) -> Value {
    let mut settings = json!(config.repository_settings);
    if read_only {
        settings["readonly"] = json!(true);
    }
    json!({"type": config.repository_kind, "settings": settings})
}
