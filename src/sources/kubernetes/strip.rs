//! What an object loses on its way into another cluster: what only the old one could know.

use serde_json::{Map, Value};

use super::{object::canonical, select::fits};

/// Annotations that bind an object to what was around it.
const BOUND: [&str; 8] = [
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/selected-node",
    "kubernetes.io/service-account.uid",
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
];
/// Labels that a job's controller makes.
const JOB: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

/// The object as it may be applied elsewhere, with the owners that it had.
pub fn strip(object: Value) -> (Value, Vec<Value>) {
    let mut object = canonical(object);
    let mut owners = Vec::new();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("generateName");
        if let Some(Value::Array(was)) = metadata.remove("ownerReferences") {
            owners = was;
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            BOUND.iter().for_each(|key| drop(annotations.remove(*key)));
        }
    }
    match object["kind"].as_str().unwrap_or_default() {
        "Service" => service(&mut object),
        "Pod" => pod(&mut object),
        "Job" => job(&mut object),
        "Secret" => secret(&mut object),
        "ServiceAccount" => account(&mut object),
        "PersistentVolumeClaim" => claim(&mut object),
        "Namespace" => {
            fields(&mut object).remove("spec");
            if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
                labels.remove("kubernetes.io/metadata.name");
            }
        }
        kind if kind.ends_with("WebhookConfiguration") => webhooks(&mut object),
        _ => {}
    }
    (object, owners)
}

fn fields(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was made one")
}

fn remove(value: &mut Value, keys: &[&str]) {
    if let Some(fields) = value.as_object_mut() {
        keys.iter().for_each(|key| drop(fields.remove(*key)));
    }
}

fn elements(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_array_mut().into_iter().flatten()
}

fn service(object: &mut Value) {
    // kubectl keeps what a person wrote.
    let written = object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str().unwrap_or_default();
    let keeps_ports = written.contains("\"nodePort\":");
    let spec = &mut object["spec"];
    if spec["clusterIP"] != "None" {
        remove(spec, &["clusterIP", "clusterIPs"]);
    }
    // In another cluster another family may come first.
    remove(spec, &["ipFamilies", "healthCheckNodePort"]);
    if !keeps_ports && spec["type"] != "ExternalName" {
        elements(&mut spec["ports"]).for_each(|port| remove(port, &["nodePort"]));
    }
    if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
        // The new cloud's controller adds its own.
        finalizers.retain(|name| name != "service.kubernetes.io/load-balancer-cleanup");
    }
}

fn pod(object: &mut Value) {
    let spec = &mut object["spec"];
    remove(spec, &["nodeName", "priority", "preemptionPolicy", "ephemeralContainers"]);
    let token = format!("{}-token-*", spec["serviceAccountName"].as_str().unwrap_or("default"));
    let is_token = |name: &Value| name.as_str().is_some_and(|name| fits("kube-api-access-*", name) || fits(&token, name));
    if let Some(volumes) = spec["volumes"].as_array_mut() {
        volumes.retain(|volume| !is_token(&volume["name"]));
    }
    for list in ["containers", "initContainers"] {
        for container in elements(&mut spec[list]) {
            if let Some(mounts) = container["volumeMounts"].as_array_mut() {
                mounts.retain(|mount| !is_token(&mount["name"]));
            }
        }
    }
}

fn job(object: &mut Value) {
    let spec = &mut object["spec"];
    if spec["manualSelector"] != true {
        remove(spec, &["selector"]);
    }
    remove(&mut spec["template"]["metadata"]["labels"], &JOB);
    remove(&mut object["metadata"]["labels"], &JOB);
}

fn secret(object: &mut Value) {
    if object["type"] == "kubernetes.io/service-account-token" {
        // The new cluster signs another one.
        remove(&mut object["data"], &["token", "ca.crt", "namespace"]);
    }
}

fn account(object: &mut Value) {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    for (list, pattern) in [("secrets", format!("{name}-token-*")), ("imagePullSecrets", String::new())] {
        if let Some(secrets) = object[list].as_array_mut() {
            // An entry without a name is refused by newer servers.
            secrets.retain(|secret| secret["name"].as_str().is_some_and(|name| !name.is_empty() && !fits(&pattern, name)));
        }
    }
}

fn claim(object: &mut Value) {
    // Fresh claims are filled with files; what they were once made of lies in the old site.
    remove(&mut object["spec"], &["volumeName", "dataSource", "dataSourceRef"]);
}

fn webhooks(object: &mut Value) {
    for webhook in elements(&mut object["webhooks"]) {
        // v1 takes no other word, and servers before it did.
        if !matches!(webhook["sideEffects"].as_str(), Some("None" | "NoneOnDryRun")) {
            webhook["sideEffects"] = "None".into();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stripped(kind: &str, spec: Value) -> Value {
        strip(json!({"kind": kind, "metadata": {"name": "n"}, "spec": spec})).0["spec"].clone()
    }

    #[test]
    fn services_lose_addresses_and_ports_that_the_cluster_gave_and_keep_what_was_written() {
        let spec = json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 1, "nodePort": 30000}]});
        assert_eq!(stripped("Service", spec), json!({"ports": [{"port": 1}]}));
        assert_eq!(stripped("Service", json!({"clusterIP": "None"})), json!({"clusterIP": "None"}));
        let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": "{\"ports\":[{\"nodePort\":30000}]}"});
        let written = json!({"kind": "Service", "metadata": {"annotations": annotations}, "spec": {"ports": [{"nodePort": 30000}]}});
        assert_eq!(strip(written).0["spec"]["ports"][0]["nodePort"], 30000);
    }

    #[test]
    fn claims_come_back_unbound_and_empty_and_owners_are_remembered() {
        let spec = json!({"volumeName": "pv", "dataSource": {"kind": "VolumeSnapshot", "name": "s"}, "storageClassName": "gp2"});
        assert_eq!(stripped("PersistentVolumeClaim", spec), json!({"storageClassName": "gp2"}));
        let owned = json!({"kind": "Secret", "metadata": {"ownerReferences": [{"kind": "G", "name": "g", "uid": "u"}]}});
        let (object, owners) = strip(owned);
        assert_eq!((object["metadata"].clone(), owners), (json!({}), vec![json!({"kind": "G", "name": "g"})]));
    }

    #[test]
    fn pull_secrets_without_a_name_go_and_so_do_generated_tokens() {
        let account = json!({"kind": "ServiceAccount", "metadata": {"name": "a"}, "imagePullSecrets": [{}, {"name": ""}, {"name": "p"}],
            "secrets": [{"name": "a-token-x2x4f"}, {"name": "mine"}]});
        let account = strip(account).0;
        assert_eq!((&account["imagePullSecrets"], &account["secrets"]), (&json!([{"name": "p"}]), &json!([{"name": "mine"}])));
    }
}
