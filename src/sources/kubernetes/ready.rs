//! Whether an object is ready, and why not.

use serde_json::Value;

use super::{
    api::{Api, Ask},
    discovery::{list, text},
};
use crate::sources::SourceError;

/// Kinds whose objects the next tier waits for.
const AWAITED: [&str; 6] = ["CustomResourceDefinition", "Namespace", "Deployment", "StatefulSet", "DaemonSet", "PersistentVolumeClaim"];

/// Whether objects of a kind are waited for.
pub fn is_awaited(kind: &str) -> bool {
    AWAITED.contains(&kind)
}

/// What an object still lacks; `None` when it is ready.
pub fn lacks(object: &Value) -> Option<String> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let condition = |kind: &str| list(&status["conditions"]).iter().find(|condition| condition["type"] == kind);
    let seen = number(&status["observedGeneration"]) >= number(&object["metadata"]["generation"]);
    let of = |ready: u64, wanted: u64| (ready < wanted || !seen).then(|| format!("{ready} of {wanted} are ready"));
    match object["kind"].as_str().unwrap_or_default() {
        "CustomResourceDefinition" => {
            let lacking =
                ["Established", "NamesAccepted"].into_iter().find(|kind| condition(kind).is_none_or(|condition| condition["status"] != "True"))?;
            Some(format!("it is not {lacking}: {}", condition(lacking).map_or_else(String::new, |condition| text(&condition["message"]))))
        }
        "Namespace" => (status["phase"] != "Active").then(|| format!("it is {}", text(&status["phase"]))),
        "Deployment" => {
            let wanted = spec["replicas"].as_u64().unwrap_or(1);
            of(number(&status["availableReplicas"]).min(number(&status["updatedReplicas"])), wanted)
        }
        "StatefulSet" => of(number(&status["readyReplicas"]), spec["replicas"].as_u64().unwrap_or(1)),
        "DaemonSet" => of(number(&status["numberReady"]), number(&status["desiredNumberScheduled"])),
        "PersistentVolumeClaim" => (status["phase"] != "Bound").then(|| format!("it is {}", text(&status["phase"]))),
        _ => None,
    }
}

/// As [`lacks`], of an object as it is now; a claim that waits for its pod is as ready as it can be. Names what keeps the pods of a workload.
///
/// # Errors
/// When the server cannot be asked.
pub async fn waits_for(api: &Api, path: &str) -> Result<Option<String>, SourceError> {
    let Some(object) = api.find(&Ask::path(path)).await? else { return Ok(Some("it is gone".to_owned())) };
    let Some(lacking) = lacks(&object) else { return Ok(None) };
    if object["kind"] == "PersistentVolumeClaim" {
        let class = object["spec"]["storageClassName"].as_str().unwrap_or_default();
        let class = api.find(&Ask::path(format!("/apis/storage.k8s.io/v1/storageclasses/{class}"))).await?;
        return Ok(match class {
            Some(class) if class["volumeBindingMode"] == "WaitForFirstConsumer" => None,
            Some(_) => Some(lacking),
            None => Some(format!("{lacking}; there is no storage class of its name")),
        });
    }
    Ok(Some(match pods(api, &object).await? {
        Some(reason) => format!("{lacking}; {reason}"),
        None => lacking,
    }))
}

/// What keeps the first pod of a workload that is not ready.
async fn pods(api: &Api, workload: &Value) -> Result<Option<String>, SourceError> {
    let Some(labels) = workload["spec"]["selector"]["matchLabels"].as_object() else { return Ok(None) };
    let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={}", text(value))).collect();
    let path = format!("/api/v1/namespaces/{}/pods", text(&workload["metadata"]["namespace"]));
    let pods = api.get(&Ask::path(path).with("labelSelector", selector.join(",")).with("limit", "20")).await?;
    let reason = |pod: &Value| {
        let status = &pod["status"];
        let statuses = ["initContainerStatuses", "containerStatuses"].into_iter().flat_map(|key| list(&status[key]));
        let waiting =
            statuses.map(|container| (&container["name"], &container["state"]["waiting"])).find(|(_, waiting)| waiting["reason"].is_string());
        let waiting = waiting.map(|(name, waiting)| format!("container {}: {} {}", text(name), text(&waiting["reason"]), text(&waiting["message"])));
        let unscheduled = list(&status["conditions"]).iter().find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False");
        let why = waiting.or_else(|| unscheduled.map(|condition| text(&condition["message"])))?;
        Some(format!("pod {}: {}", text(&pod["metadata"]["name"]), why.trim()))
    };
    Ok(list(&pods["items"]).iter().find_map(reason))
}
