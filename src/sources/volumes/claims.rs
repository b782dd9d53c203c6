//! Claims, and the pods that use them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::sources::kubernetes::{WORKER, list, text};

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether it has a volume.
    pub is_bound: bool,
    /// Whether one pod alone may use it.
    pub is_exclusive: bool,
    /// Whether pods of several nodes may use it.
    pub is_everywhere: bool,
    /// What a person who restores wants to know.
    pub about: BTreeMap<String, String>,
}

impl Claim {
    /// From an object of the API.
    pub fn of(object: &Value) -> Claim {
        let spec = &object["spec"];
        let modes = list(&spec["accessModes"]).iter().map(text).collect::<Vec<_>>();
        let about = [
            ("class", text(&spec["storageClassName"])),
            ("size", text(&spec["resources"]["requests"]["storage"])),
            ("modes", modes.join(" ")),
            ("volume", text(&spec["volumeName"])),
        ];
        Claim {
            namespace: text(&object["metadata"]["namespace"]),
            name: text(&object["metadata"]["name"]),
            is_bound: object["status"]["phase"] == "Bound",
            is_exclusive: modes.iter().any(|mode| mode == "ReadWriteOncePod"),
            is_everywhere: modes.iter().any(|mode| matches!(&**mode, "ReadWriteMany" | "ReadOnlyMany")),
            about: about.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (key.to_owned(), value)).collect(),
        }
    }

    /// `NAMESPACE/CLAIM`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A pod that uses a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Where it runs.
    pub node: String,
    /// What it bears of that node.
    pub tolerations: Value,
}

/// The first pod, by name, that is on a node and uses a claim, other than workers.
pub fn user(pods: &[Value], claim: &str) -> Option<User> {
    let uses = |pod: &&Value| {
        let phase = text(&pod["status"]["phase"]);
        let mounts = list(&pod["spec"]["volumes"]).iter().any(|volume| volume["persistentVolumeClaim"]["claimName"] == claim);
        mounts && !matches!(&*phase, "Succeeded" | "Failed") && pod["spec"]["nodeName"].is_string() && pod["metadata"]["labels"][WORKER].is_null()
    };
    let found = pods.iter().filter(uses).min_by_key(|pod| text(&pod["metadata"]["name"]))?;
    Some(User { name: text(&found["metadata"]["name"]), node: text(&found["spec"]["nodeName"]), tolerations: found["spec"]["tolerations"].clone() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_pod_beside_a_claim_is_the_first_that_uses_it_and_is_no_worker() {
        let pod = |name: &str, claim: &str, phase: &str, labels: Value| {
            json!({"metadata": {"name": name, "labels": labels}, "spec": {"nodeName": format!("n-{name}"), "volumes": [{}, {"persistentVolumeClaim": {"claimName": claim}}]},
                "status": {"phase": phase}})
        };
        let pods = [
            pod("c", "data", "Running", json!({})),
            pod("b", "data", "Running", json!({})),
            pod("a", "data", "Succeeded", json!({})),
            pod("0", "data", "Running", json!({"hourglass/run": "r"})),
            pod("1", "other", "Running", json!({})),
        ];
        assert_eq!(user(&pods, "data").map(|user| user.node).as_deref(), Some("n-b"));
        assert_eq!(user(&pods, "nobody's"), None);
    }
}
