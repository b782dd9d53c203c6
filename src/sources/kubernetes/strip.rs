//! What an object loses on its way into another cluster: what only the old one could know.

use serde_json::Value;

use super::{
    object::{canonical, elements_at, fields_at, remove_at},
    select::fits,
};

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
    let owners = fields_at(&mut object, "/metadata").and_then(|metadata| metadata.remove("ownerReferences"));
    remove_at(&mut object, "/metadata", &["generateName"]);
    remove_at(&mut object, "/metadata/annotations", &BOUND);
    match object["kind"].as_str().unwrap_or_default() {
        "Service" => service(&mut object),
        "Pod" => pod(&mut object),
        "Job" => job(&mut object),
        // The new cluster signs another one.
        "Secret" if object["type"] == "kubernetes.io/service-account-token" => remove_at(&mut object, "/data", &["token", "ca.crt", "namespace"]),
        "ServiceAccount" => account(&mut object),
        // Fresh claims are filled with files; what they were once made of lies in the old site.
        "PersistentVolumeClaim" => remove_at(&mut object, "/spec", &["volumeName", "dataSource", "dataSourceRef"]),
        "Namespace" => {
            remove_at(&mut object, "", &["spec"]);
            remove_at(&mut object, "/metadata/labels", &["kubernetes.io/metadata.name"]);
        }
        kind if kind.ends_with("WebhookConfiguration") => {
            // v1 takes no other word, and servers before it did.
            let takes = |webhook: &Value| matches!(webhook["sideEffects"].as_str(), Some("None" | "NoneOnDryRun"));
            elements_at(&mut object, "/webhooks").filter(|webhook| !takes(webhook)).for_each(|webhook| webhook["sideEffects"] = "None".into());
        }
        _ => {}
    }
    let owners = match owners {
        Some(Value::Array(owners)) => owners,
        _ => Vec::new(),
    };
    (object, owners)
}

fn service(object: &mut Value) {
    // kubectl keeps what a person wrote.
    let written = object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str().unwrap_or_default();
    let keeps_ports = written.contains("\"nodePort\":");
    if object["spec"]["clusterIP"] != "None" {
        remove_at(object, "/spec", &["clusterIP", "clusterIPs"]);
    }
    // In another cluster another family may come first.
    remove_at(object, "/spec", &["ipFamilies", "healthCheckNodePort"]);
    if !keeps_ports {
        elements_at(object, "/spec/ports").for_each(|port| remove_at(port, "", &["nodePort"]));
    }
    if let Some(Value::Array(finalizers)) = object.pointer_mut("/metadata/finalizers") {
        // The new cloud's controller adds its own.
        finalizers.retain(|name| name != "service.kubernetes.io/load-balancer-cleanup");
    }
}

fn pod(object: &mut Value) {
    remove_at(object, "/spec", &["nodeName", "priority", "preemptionPolicy", "ephemeralContainers"]);
    let token = format!("{}-token-*", object["spec"]["serviceAccountName"].as_str().unwrap_or("default"));
    let is_token = |name: &Value| name.as_str().is_some_and(|name| fits("kube-api-access-*", name) || fits(&token, name));
    if let Some(Value::Array(volumes)) = object.pointer_mut("/spec/volumes") {
        volumes.retain(|volume| !is_token(&volume["name"]));
    }
    for list in ["/spec/containers", "/spec/initContainers"] {
        for container in elements_at(object, list) {
            if let Some(Value::Array(mounts)) = container.get_mut("volumeMounts") {
                mounts.retain(|mount| !is_token(&mount["name"]));
            }
        }
    }
}

fn job(object: &mut Value) {
    if object["spec"]["manualSelector"] != true {
        remove_at(object, "/spec", &["selector"]);
    }
    remove_at(object, "/spec/template/metadata/labels", &JOB);
    remove_at(object, "/metadata/labels", &JOB);
}

fn account(object: &mut Value) {
    let token = format!("{}-token-*", object["metadata"]["name"].as_str().unwrap_or_default());
    for (list, pattern) in [("secrets", &*token), ("imagePullSecrets", "")] {
        if let Some(Value::Array(secrets)) = object.get_mut(list) {
            // An entry without a name is refused by newer servers.
            secrets.retain(|secret| secret["name"].as_str().is_some_and(|name| !name.is_empty() && !fits(pattern, name)));
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
