//! Objects of API versions that the target does not serve any more, into ones that it serves.

use serde_json::{Value, json};

use super::{
    discovery::{Discovered, Resource, list, moved_to, text},
    object::{elements_at, fields_at},
};

/// Kinds whose form did not change with the version.
const SAME_FORM: [&str; 9] = [
    "CronJob",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "PriorityClass",
    "StorageClass",
    "IngressClass",
    "RuntimeClass",
    "CSIDriver",
    "VolumeSnapshotClass",
];

/// The kind of the target that takes these objects: in the version that they have, where it is served.
pub fn counterpart(of: &Resource, target: &Discovered) -> Option<Resource> {
    let found = target.find(&of.group, &of.kind).or_else(|| target.find(moved_to(&of.group, &of.kind)?, &of.kind));
    let mut found = found?.clone();
    if found.group == of.group && found.served.contains(&of.version) {
        found.version.clone_from(&of.version);
    }
    Some(found)
}

/// The object in a version that the target serves.
///
/// # Errors
/// Why that cannot be.
pub fn convert(mut object: Value, of: &Resource, target: &Resource) -> Result<Value, String> {
    if of.group == target.group && of.version == target.version {
        return Ok(object);
    }
    let known = SAME_FORM.contains(&&*of.kind)
        || of.group == "rbac.authorization.k8s.io"
        || of.group == "apps"
        || (of.group == "extensions" && target.group == "apps");
    match &*of.kind {
        "Ingress" if target.version == "v1" => ingress(&mut object),
        "CustomResourceDefinition" if target.version == "v1" => definition(&mut object),
        "HorizontalPodAutoscaler" if of.version == "v2beta2" => {}
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" if target.version == "v1" => {
            for webhook in elements_at(&mut object, "/webhooks") {
                if webhook["admissionReviewVersions"].is_null() {
                    webhook["admissionReviewVersions"] = json!(["v1beta1"]);
                }
            }
        }
        _ if known => {}
        kind => {
            return Err(format!(
                "{kind} of {} has another form in {}, which the target serves; convert it by hand",
                of.api_version(),
                target.api_version()
            ));
        }
    }
    object["apiVersion"] = target.api_version().into();
    Ok(object)
}

fn ingress(object: &mut Value) {
    let backend = |old: &mut Value| {
        if old["serviceName"].is_string() {
            let port = if old["servicePort"].is_string() { "name" } else { "number" };
            *old = json!({"service": {"name": old["serviceName"], "port": {port: old["servicePort"]}}});
        }
    };
    if let Some(mut default) = fields_at(object, "/spec").and_then(|spec| spec.remove("backend")) {
        backend(&mut default);
        object["spec"]["defaultBackend"] = default;
    }
    for path in elements_at(object, "/spec/rules").flat_map(|rule| elements_at(rule, "/http/paths")) {
        path.get_mut("backend").into_iter().for_each(backend);
        if path["pathType"].is_null() {
            path["pathType"] = "ImplementationSpecific".into();
        }
    }
}

/// What v1beta1 said once for all versions, v1 says for each; and v1 wants a schema, if only one that takes everything.
fn definition(object: &mut Value) {
    let spec = &mut object["spec"];
    let mut taken = |key: &str| spec.as_object_mut().and_then(|spec| spec.remove(key)).unwrap_or_default();
    let (version, schema, subresources) = (taken("version"), taken("validation"), taken("subresources"));
    let (mut columns, preserve) = (taken("additionalPrinterColumns"), taken("preserveUnknownFields"));
    for column in columns.as_array_mut().into_iter().flatten() {
        if let Some(path) = column.as_object_mut().and_then(|column| column.remove("JSONPath")) {
            column["jsonPath"] = path;
        }
    }
    if list(&spec["versions"]).is_empty() {
        spec["versions"] = json!([{"name": text(&version), "served": true, "storage": true}]);
    }
    for version in elements_at(spec, "/versions") {
        for (key, value) in [("schema", &schema), ("subresources", &subresources), ("additionalPrinterColumns", &columns)] {
            if version[key].is_null() && !value.is_null() {
                version[key] = value.clone();
            }
        }
        if version["schema"]["openAPIV3Schema"].is_null() {
            version["schema"] = json!({"openAPIV3Schema": {"type": "object"}});
        }
        let schema = &mut version["schema"]["openAPIV3Schema"];
        schema["type"] = "object".into();
        if preserve != false {
            schema["x-kubernetes-preserve-unknown-fields"] = true.into();
        }
        if let Some(fields) = version.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(group: &str, version: &str, kind: &str) -> Resource {
        let [group, version, kind] = [group, version, kind].map(str::to_owned);
        Resource {
            group,
            served: vec![version.clone()],
            version,
            plural: String::new(),
            kind,
            namespaced: true,
            custom: false,
            verbs: Default::default(),
        }
    }

    #[test]
    fn an_old_ingress_becomes_one_of_today() {
        let old = json!({"apiVersion": "extensions/v1beta1", "kind": "Ingress", "spec": {"backend": {"serviceName": "d", "servicePort": 80},
            "rules": [{"host": "h", "http": {"paths": [{"path": "/", "backend": {"serviceName": "s", "servicePort": "web"}}]}}]}});
        let target = Discovered { resources: vec![resource("networking.k8s.io", "v1", "Ingress")], ..Discovered::default() };
        let of = resource("extensions", "v1beta1", "Ingress");
        let new = convert(old, &of, &counterpart(&of, &target).unwrap()).unwrap();
        assert_eq!(new["apiVersion"], "networking.k8s.io/v1");
        assert_eq!(new["spec"]["defaultBackend"], json!({"service": {"name": "d", "port": {"number": 80}}}));
        let path = json!({"path": "/", "pathType": "ImplementationSpecific", "backend": {"service": {"name": "s", "port": {"name": "web"}}}});
        assert_eq!(new["spec"]["rules"][0]["http"]["paths"][0], path);
    }

    #[test]
    fn an_old_definition_gets_a_version_with_a_schema() {
        let old = json!({"kind": "CustomResourceDefinition", "spec": {"group": "g", "version": "v1alpha1", "subresources": {"status": {}},
            "additionalPrinterColumns": [{"name": "A", "type": "string", "JSONPath": ".spec.a"}]}});
        let of = |version| resource("apiextensions.k8s.io", version, "CustomResourceDefinition");
        let new = convert(old, &of("v1beta1"), &of("v1")).unwrap();
        let version = &new["spec"]["versions"][0];
        assert_eq!(version["schema"]["openAPIV3Schema"], json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
        assert_eq!((&version["name"], &version["additionalPrinterColumns"][0]["jsonPath"]), (&json!("v1alpha1"), &json!(".spec.a")));
        assert!(version["subresources"]["status"].is_object() && new["spec"].get("version").is_none());
    }

    #[test]
    fn what_changed_its_form_is_named() {
        let (of, target) = (resource("autoscaling", "v2beta1", "HorizontalPodAutoscaler"), resource("autoscaling", "v2", "HorizontalPodAutoscaler"));
        assert!(convert(json!({}), &of, &target).unwrap_err().contains("convert it by hand"));
    }
}
