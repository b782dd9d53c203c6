//! One object into the cluster: made, merged into what is there, or put in its place.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    api::{Api, Ask, JSON, METADATA, refusal},
    discovery::{Resource, list},
    plan::Apply,
    restore::{OWNERS, QUIET, RUN, Restore, place},
};
use crate::sources::SourceError;

/// Who applies, for the server.
const MANAGER: &str = "hourglass";
/// Kinds that may be deleted and made again where a field of theirs cannot be changed: they hold nothing that would be lost.
pub const REMADE: [&str; 9] =
    ["Job", "Service", "ConfigMap", "Secret", "RoleBinding", "ClusterRoleBinding", "StorageClass", "PriorityClass", "PodDisruptionBudget"];
/// Longest wait until a deleted object is gone.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// How often an object is changed that others change meanwhile.
const CHANGED_AT_MOST: usize = 5;
const MERGED: &str = "application/apply-patch+yaml";

/// How an object gets into the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is not there: it is made.
    Make,
    /// What it has is added to what is there.
    Merge,
    /// It takes the place of what is there.
    Replace,
}

struct Writing<'a> {
    restore: &'a Restore,
    /// Where the kind is, and where the object is.
    all: String,
    at: String,
    object: Value,
}

/// Writes an object, and takes it out of `apply`. To do it twice changes nothing more.
///
/// # Errors
/// When the cluster does not take it.
pub async fn write(restore: &Restore, target: &Resource, apply: &mut Apply, way: Way) -> Result<(), SourceError> {
    let (namespace, name) = place(&apply.path);
    let mut object = std::mem::take(&mut apply.object);
    object["metadata"]["annotations"][RUN] = restore.mark.clone().into();
    if apply.is_quiet {
        object["metadata"]["annotations"][QUIET] = "true".into();
    }
    if !apply.owners.is_empty() {
        object["metadata"]["annotations"][OWNERS] = Value::from(apply.owners.clone()).to_string().into();
    }
    let writing = Writing { restore, all: target.path(namespace, ""), at: target.path(namespace, name), object };
    let Err(error) = (match way {
        Way::Make => writing.make().await,
        Way::Merge => writing.merge().await,
        Way::Replace => writing.replace().await,
    }) else {
        return Ok(());
    };
    match (way, refusal(&error).map(|refused| refused.status)) {
        // Somebody has made it meanwhile: we, and the answer was lost, or a controller.
        (Way::Make, Some(StatusCode::CONFLICT)) => writing.merge().await,
        (Way::Replace, Some(StatusCode::UNPROCESSABLE_ENTITY)) if REMADE.contains(&&*target.kind) && !restore.planner.config.dry_run => {
            remove(&restore.api, &writing.at).await?;
            writing.make().await
        }
        _ => Err(error),
    }
}

impl Writing<'_> {
    fn ask(&self, path: &str, form: &'static str, object: &Value) -> Ask {
        let ask = Ask { accept: Some(METADATA), ..Ask::path(path) }.sending(form, object).with("fieldManager", MANAGER);
        if self.restore.planner.config.dry_run { ask.with("dryRun", "All") } else { ask }
    }

    async fn make(&self) -> Result<(), SourceError> {
        self.restore.api.send(&Method::POST, &self.ask(&self.all, JSON, &self.object)).await
    }

    /// Adds what it has to what is there now, unless that is what this restore has made of it.
    async fn merge(&self) -> Result<(), SourceError> {
        self.over(|found| {
            let mut object = self.object.clone();
            object["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
            let is_ours = self.restore.is_of_this_run(found);
            (!is_ours).then(|| (Method::PATCH, self.ask(&self.at, MERGED, &object).with("force", "true")))
        })
        .await
    }

    /// Puts it in the place of what is there now. Who has to be told before that goes still is.
    async fn replace(&self) -> Result<(), SourceError> {
        self.over(|found| {
            let mut object = self.object.clone();
            object["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
            let mut finalizers = list(&object["metadata"]["finalizers"]).to_vec();
            let further = list(&found["metadata"]["finalizers"]).iter().filter(|name| !list(&self.object["metadata"]["finalizers"]).contains(name));
            finalizers.extend(further.cloned());
            if !finalizers.is_empty() {
                object["metadata"]["finalizers"] = finalizers.into();
            }
            Some((Method::PUT, self.ask(&self.at, JSON, &object)))
        })
        .await
    }

    /// Writes over what is there now; makes it when nothing is. What is written names the version that was read, so that it has no effect on one that
    /// somebody has changed since: then it is read again.
    async fn over(&self, written: impl Fn(&Value) -> Option<(Method, Ask)>) -> Result<(), SourceError> {
        if change(&self.restore.api, &self.at, written).await? { Ok(()) } else { self.make().await }
    }
}

/// Changes an object by a request made from what it is now, which has to name its version; again when somebody else was faster. Whether it was there.
///
/// # Errors
/// When the cluster does not take it.
pub async fn change(api: &Api, at: &str, written: impl Fn(&Value) -> Option<(Method, Ask)>) -> Result<bool, SourceError> {
    for attempt in 1.. {
        let Some(found) = api.find(&Ask::path(at)).await? else { return Ok(false) };
        let Some((method, ask)) = written(&found) else { return Ok(true) };
        match api.send(&method, &ask).await {
            Err(error) if attempt < CHANGED_AT_MOST && refusal(&error).is_some_and(|refused| refused.status == StatusCode::CONFLICT) => {}
            done => return done.map(|()| true),
        }
    }
    unreachable!("the last attempt returns")
}

/// Deletes the object that is there now, and waits until it is gone.
async fn remove(api: &Api, at: &str) -> Result<(), SourceError> {
    let Some(found) = api.find(&Ask::path(at)).await? else { return Ok(()) };
    let version = &found["metadata"]["resourceVersion"];
    let options = json!({"preconditions": {"uid": found["metadata"]["uid"], "resourceVersion": version}, "propagationPolicy": "Background"});
    api.send(&Method::DELETE, &Ask::path(at).sending(JSON, &options)).await?;
    let began = Instant::now();
    while let Some(left) = api.find(&Ask::path(at)).await? {
        if left["metadata"]["uid"] != found["metadata"]["uid"] || began.elapsed() > GONE_WITHIN {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
