//! One snapshot: begun at the moment of the point, waited for, and whole or nothing.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    api::Api,
    catalog::{Object, Writes, writes},
};
use crate::{
    config::AnalyticsConfig,
    model::{Context, Timestamp},
    sources::{SourceError, SourceErrorKind},
};

/// First wait between two looks; it grows by half up to the last.
const FIRST_LOOK: Duration = Duration::from_millis(200);
const LAST_LOOK: Duration = Duration::from_secs(10);

/// A snapshot that goes on or is done.
#[derive(Debug)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// Just before it was begun.
    pub begun: Timestamp,
    /// How far the indices were then.
    pub before: Writes,
    done: Option<Done>,
}

/// A snapshot that is whole.
#[derive(Debug, Clone)]
pub struct Done {
    /// When that was seen.
    pub at: Timestamp,
    /// How far the indices were then.
    pub writes: Writes,
    /// Its identity.
    pub uuid: String,
}

impl Snapshot {
    /// Begins a snapshot of this name and of exactly these objects.
    ///
    /// # Errors
    /// When the cluster does not begin it.
    pub fn begin(api: &Api, config: &AnalyticsConfig, objects: &[Object], name: String, ctx: &Context) -> Result<Snapshot, SourceError> {
        let before = writes(api)?;
        let begun = ctx.clock.now();
        let names: Vec<&str> = objects.iter().map(|object| object.name.as_str()).collect();
        // Nothing that vanishes meanwhile is passed over, and no part is taken for the whole.
        let body = json!({"indices": names.join(","), "ignore_unavailable": false, "include_global_state": false, "partial": false});
        api.put(&["_snapshot", &config.repository, &name], "wait_for_completion=false", &body)?;
        Ok(Snapshot { name, begun, before, done: None })
    }

    /// What every component of the point has to know of it.
    pub fn about(&self, config: &AnalyticsConfig, cluster: &str) -> BTreeMap<String, String> {
        let about = [("snapshot", self.name.as_str()), ("repository", &config.repository), ("cluster", cluster)];
        about.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// Waits until it is whole.
    ///
    /// # Errors
    /// When it failed, in part or altogether, takes too long, or the run is stopped.
    pub fn wait(&mut self, api: &Api, config: &AnalyticsConfig, ctx: &Context) -> Result<Done, SourceError> {
        if let Some(done) = &self.done {
            return Ok(done.clone());
        }
        let (began, mut look) = (Instant::now(), FIRST_LOOK);
        loop {
            let found = state(api, &config.repository, &self.name)?;
            if found["state"] != "IN_PROGRESS" {
                let uuid = whole(&found, &self.name)?;
                let done = Done { at: ctx.clock.now(), writes: writes(api)?, uuid };
                self.done = Some(done.clone());
                return Ok(done);
            }
            if ctx.cancel.is_draining() {
                return Err(SourceError::Cancelled { program: format!("the snapshot {}", self.name) });
            }
            if began.elapsed() >= config.timeout {
                let why = format!("was not done after {} s", config.timeout.as_secs());
                return Err(unfit(
                    &self.name,
                    why,
                    SourceErrorKind::TimedOut,
                    Some("raise the source's timeout, or ask the cluster what it waits for"),
                ));
            }
            thread::sleep(look);
            look = (look * 3 / 2).min(LAST_LOOK);
        }
    }

    /// Whether it is whole.
    pub fn is_done(&self) -> bool {
        self.done.is_some()
    }

    /// Ends and removes it.
    ///
    /// # Errors
    /// When the cluster does not.
    pub fn abandon(&self, api: &Api, config: &AnalyticsConfig) -> Result<(), SourceError> {
        api.delete(&["_snapshot", &config.repository, &self.name])
    }
}

/// Names and identities of all snapshots of a repository, as a list that costs the cluster no look at each of them.
///
/// # Errors
/// When the cluster does not say.
pub fn listed(api: &Api, repository: &str) -> Result<Vec<(String, String)>, SourceError> {
    let found = api.get(&["_snapshot", repository, "_all"], "verbose=false")?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let one = |snapshot: &Value| Some((text(&snapshot["snapshot"])?, text(&snapshot["uuid"])?));
    Ok(found["snapshots"].as_array().into_iter().flatten().filter_map(one).collect())
}

/// What the repository says of a snapshot.
///
/// # Errors
/// When it has none of this name.
pub fn state(api: &Api, repository: &str, name: &str) -> Result<Value, SourceError> {
    let mut answer = api.get(&["_snapshot", repository, name], "")?;
    Ok(answer["snapshots"][0].take())
}

/// The identity of a snapshot that succeeded in every shard.
///
/// # Errors
/// When it did not; the first shard that failed is named.
pub fn whole(found: &Value, name: &str) -> Result<String, SourceError> {
    let shards = &found["shards"];
    let (total, failed) = (shards["total"].as_u64(), shards["failed"].as_u64());
    if found["state"] == "SUCCESS" && failed == Some(0) && total.is_some() && total == shards["successful"].as_u64() {
        return Ok(found["uuid"].as_str().unwrap_or_default().to_owned());
    }
    let first = &found["failures"][0];
    let cause = match first["index"].as_str() {
        Some(index) => format!("; shard {} of {index}: {}", first["shard_id"], first["reason"].as_str().unwrap_or("no reason is given")),
        None => found["reason"].as_str().map(|reason| format!("; {reason}")).unwrap_or_default(),
    };
    let why = format!("ended as {} with {} of {} shards failed{cause}", found["state"], failed.unwrap_or(0), total.unwrap_or(0));
    Err(unfit(name, why, SourceErrorKind::Failed, Some("mend the index, or leave it out of the source's indices")))
}

fn unfit(name: &str, why: String, kind: SourceErrorKind, hint: Option<&'static str>) -> SourceError {
    SourceError::Unfit { subject: format!("the snapshot {name}"), why, kind, hint }
}
