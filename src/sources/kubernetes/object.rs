//! One object as it is stored: its line, its canonical form, and whether it is captured at all.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    discovery::{Resource, list},
    select::fits,
};
use crate::model::Sha256;

/// The namespace, in paths, of objects that have none.
pub const CLUSTER: &str = "_cluster";
/// Label of what belongs to a worker of ours: the run that it works for.
pub const WORKER: &str = "hourglass/run";
/// What the server sets in metadata: never part of what an object means.
const VOLATILE: [&str; 8] =
    ["uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields"];

/// A line of a component, as it is read back.
#[derive(Debug, Deserialize)]
pub struct Line {
    /// `<namespace>/<name>`.
    pub path: String,
    /// Of the canonical form.
    pub sha256: Sha256,
    /// The object.
    pub object: Value,
}

/// `<namespace>/<name>`.
pub fn path_of(object: &Value) -> String {
    let metadata = &object["metadata"];
    format!("{}/{}", metadata["namespace"].as_str().unwrap_or(CLUSTER), metadata["name"].as_str().unwrap_or_default())
}

/// The line of an object, with a line feed, and its canonical form.
pub fn line(path: &str, object: Value) -> (Vec<u8>, Vec<u8>) {
    let path = Value::from(path);
    let stored = object.to_string();
    let canonical = canonical(object).to_string().into_bytes();
    let line = format!("{{\"path\":{path},\"sha256\":\"{}\",\"object\":{stored}}}\n", sha256(&canonical));
    (line.into_bytes(), canonical)
}

fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// The fields at a place of an object, if there are any; nothing is made there.
pub fn fields_at<'a>(object: &'a mut Value, pointer: &str) -> Option<&'a mut Map<String, Value>> {
    object.pointer_mut(pointer).and_then(Value::as_object_mut)
}

/// The elements at a place of an object.
pub fn elements_at<'a>(object: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    object.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Takes fields away at a place of an object.
pub fn remove_at(object: &mut Value, pointer: &str, keys: &[&str]) {
    if let Some(fields) = fields_at(object, pointer) {
        keys.iter().for_each(|key| drop(fields.remove(*key)));
    }
}

/// What an object means, without what the server and time make of it.
pub fn canonical(mut object: Value) -> Value {
    remove_at(&mut object, "", &["status"]);
    remove_at(&mut object, "/metadata", &VOLATILE);
    remove_at(&mut object, "/metadata/annotations", &["control-plane.alpha.kubernetes.io/leader"]);
    elements_at(&mut object, "/metadata/ownerReferences").for_each(|owner| remove_at(owner, "", &["uid"]));
    object
}

/// Kinds that say how things are now, not how they should be.
const MOMENTARY: [&str; 14] = [
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "leasecandidates.coordination.k8s.io",
    "nodes",
    "componentstatuses",
    "csinodes.storage.k8s.io",
    "csistoragecapacities.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
    "resourceslices.resource.k8s.io",
    "ipaddresses.networking.k8s.io",
    "certificatesigningrequests.certificates.k8s.io",
    "storageversions.internal.apiserver.k8s.io",
    "storageversionmigrations.storagemigration.k8s.io",
];

/// Whether objects of this kind are captured.
pub fn is_kept_kind(resource: &Resource) -> bool {
    !MOMENTARY.contains(&resource.name().as_str()) && !resource.group.ends_with("metrics.k8s.io")
}

/// Why an object is not captured; `None` when it is. `kinds` are those that are captured, as `group/Kind`.
pub fn dropped(resource: &Resource, object: &Value, kinds: &BTreeSet<String>) -> Option<&'static str> {
    let (metadata, path) = (&object["metadata"], path_of(object));
    let name = metadata["name"].as_str().unwrap_or_default();
    let (label, annotation) = (|key: &str| metadata["labels"][key].as_str(), |key: &str| metadata["annotations"][key].as_str());
    let controller = list(&metadata["ownerReferences"]).iter().find(|owner| owner["controller"] == true);
    let controller = controller.map(|owner| {
        let group = owner["apiVersion"].as_str().and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
        format!("{group}/{}", owner["kind"].as_str().unwrap_or_default())
    });
    let whole = |is: bool, why| is.then_some(why);
    let passes =
        whole(!metadata["deletionTimestamp"].is_null(), "it is being deleted").or_else(|| whole(label(WORKER).is_some(), "a worker of ours has it"));
    passes.or_else(|| match &*resource.name() {
        "pods" | "replicasets.apps" | "controllerrevisions.apps" | "jobs.batch" | "replicationcontrollers" => {
            let by_node =
                resource.plural == "pods" && (controller.as_deref() == Some("/Node") || annotation("kubernetes.io/config.mirror").is_some());
            whole(by_node || controller.is_some_and(|kind| kinds.contains(&kind)), "its controller makes it")
        }
        "endpoints" => {
            let made =
                label("endpoints.kubernetes.io/managed-by").is_some() || annotation("endpoints.kubernetes.io/last-change-trigger-time").is_some();
            let leads = annotation("control-plane.alpha.kubernetes.io/leader").is_some();
            whole(made || leads || path == "default/kubernetes", "a controller keeps it")
        }
        "endpointslices.discovery.k8s.io" => {
            let by = label("endpointslice.kubernetes.io/managed-by").unwrap_or_default();
            whole(by.ends_with(".k8s.io") || path == "default/kubernetes", "a controller keeps it")
        }
        "apiservices.apiregistration.k8s.io" => whole(label("kube-aggregator.kubernetes.io/automanaged").is_some(), "the server makes it"),
        "flowschemas.flowcontrol.apiserver.k8s.io" | "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io" => {
            let own = annotation("apf.kubernetes.io/autoupdate-spec").is_some() || matches!(name, "exempt" | "catch-all");
            whole(own, "the server makes it")
        }
        "priorityclasses.scheduling.k8s.io" => whole(name.starts_with("system-"), "the server makes it"),
        "servicecidrs.networking.k8s.io" => whole(name == "kubernetes", "the server makes it"),
        "services" => whole(path == "default/kubernetes", "the server makes it"),
        "secrets" => {
            let generated = object["type"] == "kubernetes.io/service-account-token"
                && annotation("kubernetes.io/service-account.name").is_some_and(|account| fits(&format!("{account}-token-*"), name));
            whole(generated, "the server makes it")
        }
        "configmaps" => {
            let own = matches!(
                &*path,
                "kube-system/aws-auth" | "kube-system/coredns" | "kube-system/kube-proxy" | "kube-system/extension-apiserver-authentication"
            );
            let token = path == "kube-system/kube-apiserver-legacy-service-account-token-tracking";
            whole(name == "kube-root-ca.crt" || own || token, "the server or the cloud makes it")
        }
        "daemonsets.apps" | "deployments.apps" => {
            whole(matches!(&*path, "kube-system/aws-node" | "kube-system/kube-proxy" | "kube-system/coredns"), "the cloud manages it")
        }
        kind if kind.ends_with("webhookconfigurations.admissionregistration.k8s.io") => whole(name.starts_with("aks-"), "the cloud manages it"),
        _ => whole(label("kubernetes.io/bootstrapping").is_some(), "the server makes it"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(group: &str, plural: &str) -> Resource {
        let (group, plural, version) = (group.to_owned(), plural.to_owned(), "v1".to_owned());
        Resource { group, plural, version, served: Vec::new(), kind: String::new(), namespaced: true, custom: false, verbs: BTreeSet::new() }
    }

    #[test]
    fn what_the_server_and_time_make_of_an_object_is_no_part_of_its_digest() {
        let object = |uid: &str, status: u64, data: &str| {
            let owner = json!([{"kind": "Gateway", "name": "g", "uid": uid}]);
            let metadata =
                json!({"name": "n", "namespace": "a", "uid": uid, "resourceVersion": uid, "managedFields": [uid], "ownerReferences": owner});
            json!({"metadata": metadata, "status": {"replicas": status}, "data": {"k": data}})
        };
        let digest = |object: Value| serde_json::from_slice::<Line>(&line(&path_of(&object), object).0).unwrap().sha256;
        assert_eq!(digest(object("1", 1, "v")), digest(object("2", 2, "v")));
        assert_ne!(digest(object("1", 1, "v")), digest(object("1", 1, "w")));
    }

    #[test]
    fn the_line_and_its_digest_are_frozen() {
        let object =
            json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"namespace": "a", "name": "n", "uid": "u"}, "data": {"z": "ä\n", "b": "1"}});
        insta::assert_snapshot!(String::from_utf8(line(&path_of(&object), object).0).unwrap(), @r#"{"path":"a/n","sha256":"2212c06b410503c6a4cfc00f64777a77982b0e6cdd4544b5e0d1ea3c55ff0628","object":{"apiVersion":"v1","data":{"b":"1","z":"ä\n"},"kind":"ConfigMap","metadata":{"name":"n","namespace":"a","uid":"u"}}}"#);
    }

    #[test]
    fn what_a_captured_controller_makes_is_left_out_and_owned_secrets_and_claims_are_not() {
        let kinds = BTreeSet::from(["apps/ReplicaSet".to_owned()]);
        let owned = |kind: &str| {
            let owner = json!([{"apiVersion": "apps/v1", "kind": kind, "name": "o", "controller": true}]);
            json!({"metadata": {"name": "n", "namespace": "a", "ownerReferences": owner}})
        };
        assert!(dropped(&resource("", "pods"), &owned("ReplicaSet"), &kinds).is_some());
        assert!(dropped(&resource("", "pods"), &owned("Unknown"), &kinds).is_none(), "nothing would make it again");
        for kind in ["secrets", "configmaps", "services", "persistentvolumeclaims"] {
            assert!(dropped(&resource("", kind), &owned("ReplicaSet"), &kinds).is_none(), "{kind}");
        }
        let root = json!({"metadata": {"name": "kube-root-ca.crt", "namespace": "a"}});
        assert!(dropped(&resource("", "configmaps"), &root, &kinds).is_some());
    }
}
