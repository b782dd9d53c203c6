//! How an object of the old site becomes one of the new: pure functions over its fields.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::Url;

use super::{object::elements_at, select::means};
use crate::config::KubernetesRestore;

/// Everything that changes, in the order in which it does.
#[derive(Debug)]
pub struct Transform<'a> {
    /// New names of namespaces.
    pub namespaces: &'a BTreeMap<String, String>,
    /// All else.
    pub config: &'a KubernetesRestore,
}

impl Transform<'_> {
    /// The path that an object of this path gets.
    pub fn path(&self, path: &str, is_namespace: bool) -> String {
        let (namespace, name) = path.split_once('/').unwrap_or(("", path));
        let new = |old: &str| self.namespaces.get(old).map_or(old, String::as_str).to_owned();
        format!("{}/{}", new(namespace), if is_namespace { new(name) } else { name.to_owned() })
    }

    /// Changes an object of a component.
    pub fn apply(&self, component: &str, path: &str, object: &mut Value) {
        self.rename(object);
        let replicas = self.config.replicas.iter().find(|(pattern, _)| means(pattern, component, path));
        if let Some((_, replicas)) = replicas.filter(|_| object["spec"]["replicas"].is_u64()) {
            object["spec"]["replicas"] = (*replicas).into();
        }
        // The values of a Secret are not text.
        let secret = object["kind"] == "Secret";
        let data = object.as_object_mut().filter(|_| secret).and_then(|object| object.remove("data"));
        self.walk(object, false);
        if let Some(data) = data {
            object["data"] = data;
        }
    }

    fn rename(&self, object: &mut Value) {
        if self.namespaces.is_empty() {
            return;
        }
        let rename = |value: &mut Value| {
            if let Some(new) = value.as_str().and_then(|old| self.namespaces.get(old)) {
                *value = Value::from(&**new);
            }
        };
        let places = ["/metadata/namespace", "/spec/service/namespace", "/spec/conversion/webhook/clientConfig/service/namespace"];
        for place in places {
            object.pointer_mut(place).into_iter().for_each(rename);
        }
        match object["kind"].as_str().unwrap_or_default() {
            "Namespace" => object.pointer_mut("/metadata/name").into_iter().for_each(rename),
            "RoleBinding" | "ClusterRoleBinding" => {
                elements_at(object, "/subjects").filter_map(|subject| subject.get_mut("namespace")).for_each(rename);
            }
            kind if kind.ends_with("WebhookConfiguration") => {
                elements_at(object, "/webhooks").filter_map(|webhook| webhook.pointer_mut("/clientConfig/service/namespace")).for_each(rename);
            }
            _ => {}
        }
    }

    /// Goes through all fields; `of_nodes` inside of what chooses nodes.
    fn walk(&self, value: &mut Value, of_nodes: bool) {
        match value {
            Value::Object(fields) => {
                if of_nodes {
                    self.node_labels(fields);
                }
                for (key, value) in fields.iter_mut() {
                    let of_nodes = of_nodes || matches!(&**key, "nodeSelector" | "nodeAffinity" | "allowedTopologies");
                    match (&**key, &mut *value) {
                        ("annotations", Value::Object(annotations)) => self.annotations(annotations),
                        ("image", Value::String(image)) => self.image(image),
                        ("storageClassName" | "volume.beta.kubernetes.io/storage-class", Value::String(class)) => {
                            if let Some(new) = self.config.storage_classes.get(class.as_str()) {
                                class.clone_from(new);
                            }
                        }
                        _ => {}
                    }
                    self.walk(value, of_nodes);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.walk(value, of_nodes)),
            Value::String(text) => self.host(text),
            _ => {}
        }
    }

    /// Labels stand as `key: value` in selectors, and as `{key, operator, values}` in terms.
    fn node_labels(&self, fields: &mut Map<String, Value>) {
        let new = |key: &str, value: &Value| self.config.node_labels.get(&(key.to_owned(), value.as_str()?.to_owned()));
        let replaced: Vec<_> = fields.iter().filter_map(|(key, value)| Some((key.clone(), new(key, value)?))).collect();
        replaced.iter().for_each(|(key, _)| drop(fields.remove(key)));
        fields.extend(replaced.into_iter().map(|(_, (key, value))| (key.clone(), Value::from(&**value))));
        let Some(key) = fields.get("key").and_then(Value::as_str).map(str::to_owned) else { return };
        for value in fields.get_mut("values").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some((_, new)) = new(&key, value) {
                *value = Value::from(&**new);
            }
        }
        let moved = self.config.node_labels.iter().find(|((old, _), (new, _))| *old == key && new != old);
        if let Some((_, (new, _))) = moved {
            fields.insert("key".to_owned(), Value::from(&**new));
        }
    }

    fn annotations(&self, annotations: &mut Map<String, Value>) {
        for (key, new) in &self.config.annotations {
            match new {
                Some(new) if annotations.contains_key(key) => drop(annotations.insert(key.clone(), Value::from(&**new))),
                Some(_) => {}
                None => drop(annotations.remove(key)),
            }
        }
        // What kubectl applied last was for the old site.
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }

    fn image(&self, image: &mut String) {
        let registry = image.split('/').next().unwrap_or_default();
        // As the engines read it: without a dot, a port or this name it is no registry but a path at Docker's.
        let named = image.contains('/') && (registry.contains(['.', ':']) || registry == "localhost");
        let whole = if named { image.clone() } else { format!("docker.io/{}{image}", if image.contains('/') { "" } else { "library/" }) };
        let rest = |old: &str| whole.strip_prefix(old).filter(|rest| rest.starts_with(['/', ':', '@'])).map(str::to_owned);
        let longest = self.config.registries.iter().filter_map(|(old, new)| Some((old.len(), new, rest(old)?))).max_by_key(|(length, ..)| *length);
        if let Some((_, new, rest)) = longest {
            *image = format!("{new}{rest}");
        }
    }

    /// A text that is a host, or a URL of it.
    fn host(&self, text: &mut String) {
        if self.config.hosts.is_empty() {
            return;
        }
        if let Some(new) = self.config.hosts.get(text.as_str()) {
            return text.clone_from(new);
        }
        let Some((scheme, rest)) = text.split_once("://") else { return };
        let parsed = text.parse::<Url>().ok();
        let host = parsed.as_ref().and_then(Url::host_str);
        if let Some((old, new)) = host.and_then(|host| self.config.hosts.get_key_value(host)) {
            *text = format!("{scheme}://{}", rest.replacen(&**old, new, 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn transformed(change: impl FnOnce(&mut KubernetesRestore), mut object: Value) -> Value {
        let mut config = KubernetesRestore::default();
        change(&mut config);
        let namespaces = BTreeMap::from([("old".to_owned(), "new".to_owned())]);
        Transform { namespaces: &namespaces, config: &config }.apply("deployments.apps", "old/n", &mut object);
        object
    }

    fn map(old: &str, new: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(old.to_owned(), new.to_owned())])
    }

    #[test]
    fn images_are_moved_by_registry_and_path_and_not_by_likeness() {
        let moved = |old: &str, image: &str| {
            let registries = BTreeMap::from([(old.to_owned(), "b.example/x".to_owned())]);
            transformed(|config| config.registries = registries, json!({"image": image}))["image"].as_str().unwrap().to_owned()
        };
        assert_eq!(moved("a.example", "a.example/p/q:1@sha256:00"), "b.example/x/p/q:1@sha256:00");
        assert_eq!(moved("a.example/p", "a.example/pq:1"), "a.example/pq:1", "another path");
        assert_eq!(moved("a.example", "a.example.org/p:1"), "a.example.org/p:1", "another registry");
        assert_eq!(moved("docker.io", "nginx:1"), "b.example/x/library/nginx:1");
    }

    #[test]
    fn nodes_are_chosen_by_new_labels_and_other_labels_stay() {
        let pool = |from: &str, to: &str| (("pool".to_owned(), from.to_owned()), ("agentpool".to_owned(), to.to_owned()));
        let term = json!({"matchExpressions": [{"key": "pool", "operator": "In", "values": ["gw"]}]});
        let object =
            json!({"metadata": {"labels": {"pool": "gw"}}, "spec": {"nodeSelector": {"pool": "gw"}, "affinity": {"nodeAffinity": {"x": [term]}}}});
        let new = transformed(|config| config.node_labels = BTreeMap::from([pool("gw", "apim")]), object);
        assert_eq!(new["spec"]["nodeSelector"], json!({"agentpool": "apim"}));
        assert_eq!(
            new.pointer("/spec/affinity/nodeAffinity/x/0/matchExpressions/0"),
            Some(&json!({"key": "agentpool", "operator": "In", "values": ["apim"]}))
        );
        assert_eq!(new["metadata"]["labels"]["pool"], "gw");
    }

    #[test]
    fn hosts_change_as_values_and_in_urls_and_not_inside_of_texts() {
        let object = json!({"a": "api.we", "b": "https://api.we:8443", "c": "see api.we", "kind": "Secret", "data": {"d": "api.we"}});
        let new = transformed(|config| config.hosts = map("api.we", "api.ne"), object);
        assert_eq!(new, json!({"a": "api.ne", "b": "https://api.ne:8443", "c": "see api.we", "kind": "Secret", "data": {"d": "api.we"}}));
    }

    #[test]
    fn classes_namespaces_annotations_and_replicas_get_new_values() {
        let claim = json!({"metadata": {"namespace": "old", "annotations": {"cert": "arn", "gone": "1", "stays": "1"}},
            "spec": {"replicas": 3, "volumeClaimTemplates": [{"spec": {"storageClassName": "gp2"}}]}});
        let new = transformed(
            |config| {
                config.storage_classes = map("gp2", "premium");
                config.annotations =
                    BTreeMap::from([("cert".to_owned(), Some("id".to_owned())), ("gone".to_owned(), None), ("new".to_owned(), Some("1".to_owned()))]);
                config.replicas = BTreeMap::from([("old/deployments/*".to_owned(), 1)]);
            },
            claim,
        );
        let spec = json!({"replicas": 1, "volumeClaimTemplates": [{"spec": {"storageClassName": "premium"}}]});
        assert_eq!(new, json!({"metadata": {"namespace": "new", "annotations": {"cert": "id", "stays": "1"}}, "spec": spec}));
    }
}
