//! The daemon in a region, installed with Helm, which keeps the schedule of the platform's policy from its pods.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::world::{NAMESPACE, Place, store_credentials};
use crate::{
    chart::CHART,
    clusters::{eventually, kubectl},
    lab::tls,
    site::{Site, find},
};

/// Where the daemon is.
const OWN: &str = "--namespace=hourglass";
/// Files of the Secret that the lab's certificates are.
const CERTIFICATES: [&str; 3] = ["ca.crt", "client.crt", "client.key"];
const TOKEN: &str = "a-token-of-this-test-0123456789";

/// What pods are told: the site's own configuration and tasks, with files where the chart mounts them, and the credentials of the pod.
fn configuration(site: &Site, tasks: Value) -> Value {
    let mut config: Value = serde_saphyr::from_str(&fs::read_to_string(site.path("hourglass.yaml")).unwrap()).unwrap();
    for key in ["capture_key_file", "operator_key_file", "state_dir"] {
        config.as_object_mut().unwrap().remove(key);
    }
    config["sources"]["policies"]["files"]["path"] = "/mnt/policies".into();
    config["tasks"] = tasks;
    move_files(&mut config["sources"]);
    config
}

fn move_files(value: &mut Value) {
    let Value::Object(map) = value else { return };
    map.remove("kubeconfig");
    for (key, value) in map {
        match value.as_str().map(Path::new).and_then(Path::file_name) {
            Some(name) if key.ends_with("_file") => *value = format!("/run/hourglass/{}", name.to_str().unwrap()).into(),
            Some(_) => {}
            None => move_files(value),
        }
    }
}

/// Copies of all points to the other site's store, each minute.
pub fn copies() -> Value {
    json!({"copies": {"copy": {"to": "other"}, "schedule": "* * * * *"}})
}

/// Installs the chart, as the guide says, and waits until both replicas are ready. `policies` is the folder of exported policies, on the node.
pub fn install(place: &Place, site: &Site, policies: &Path, tasks: Value) {
    fs::set_permissions(policies, fs::Permissions::from_mode(0o755)).unwrap();
    place.kubectl(&["create", "namespace", "hourglass"]);
    let stores = place.folder.join("stores-of-the-daemon");
    fs::write(&stores, store_credentials()).unwrap();
    place.kubectl(&["create", "secret", "generic", "stores", OWN, &format!("--from-env-file={}", stores.display())]);
    let mut files: Vec<String> = ["capture.key", "databases.password"].map(|name| format!("--from-file={}", site.path(name).display())).to_vec();
    files.extend(CERTIFICATES.map(|name| format!("--from-file={}", tls(name).display())));
    files.push(format!("--from-literal=daemon.token={TOKEN}"));
    let mut arguments = vec!["create", "secret", "generic", "hourglass", OWN];
    arguments.extend(files.iter().map(String::as_str));
    place.kubectl(&arguments);
    let image = place.worker_image();
    let (repository, tag) = image.rsplit_once(':').unwrap();
    let values = json!({
        "image": {"repository": repository, "tag": tag}, "configuration": configuration(site, tasks), "envFrom": [{"secretRef": {"name": "stores"}}],
        "rbac": {"workers": [NAMESPACE]}, "networkPolicy": {"ports": [443, 3306, 5000, 6443, 9042, 9200]},
        "volumes": [{"name": "policies", "hostPath": {"path": policies}}],
        "volumeMounts": [{"name": "policies", "mountPath": "/mnt/policies", "readOnly": true}],
    });
    let file = place.folder.join("values-of-the-daemon.json");
    fs::write(&file, values.to_string()).unwrap();
    place.helm(&["install", "hourglass", CHART, OWN, "--values", file.to_str().unwrap(), "--wait", "--timeout=10m"]);
}

/// Waits for a complete point that the daemon has made on schedule, of data that is newer than this; gives its name.
pub fn next_point(place: &Place, site: &Site, since: Timestamp) -> String {
    eventually(|| {
        // Its objective may be broken at first, which is no failure of the command.
        let status: Value = serde_json::from_slice(&site.output(&["--output", "json", "status"]).stdout).map_err(|error| error.to_string())?;
        let good = find(&status, "good").unwrap_or(&Value::Null);
        let from = good["consistent_from"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        let is_scheduled = find(&status, "done").and_then(Value::as_u64).is_some_and(|done| done > 0);
        match good["id"].as_str() {
            Some(id) if is_scheduled && from.is_some_and(|from| from > since) => Ok(id.to_owned()),
            _ => Err(format!(
                "{status}\n{}",
                kubectl(&place.kubeconfig(), &["logs", OWN, "--selector=app.kubernetes.io/name=hourglass", "--tail=50"])?
            )),
        }
    })
}

/// Waits until a point is whole at the other site.
pub fn copied(site: &Site, id: &str) {
    eventually(|| {
        let listed: Value = serde_json::from_str(&site.run(&["--output", "json", "points", "list", "production"], 0)).unwrap();
        let points = find(&listed, "points").and_then(Value::as_array).unwrap();
        match points.iter().find(|point| point["point"] == *id) {
            Some(point) if point["locations"]["other"]["complete"] == true => Ok(()),
            _ => {
                let task = site.output(&["--output", "json", "schedule", "show", "copies"]).stdout;
                Err(format!("{id} is not copied: {}", String::from_utf8_lossy(&task)))
            }
        }
    });
}

/// The pod that leads, as the Lease says.
fn leader(place: &Place, site: &str) -> String {
    let lease = format!("hourglass-{site}");
    eventually(|| {
        let holder = kubectl(&place.kubeconfig(), &["get", "lease", &lease, OWN, "--output=jsonpath={.spec.holderIdentity}"])?;
        holder.split_once('/').map(|(pod, _)| pod.to_owned()).ok_or(holder)
    })
}

/// The pod that leads is killed; returns when the other one leads.
pub fn lose_leader(place: &Place, site: &str) {
    let lost = leader(place, site);
    place.kubectl(&["delete", "pod", &lost, OWN, "--grace-period=0", "--force"]);
    eventually(|| if leader(place, site) == lost { Err(format!("{lost} leads still")) } else { Ok(()) });
}

/// What the accounts of the chart may do, as the API server says.
pub fn judge_rights(place: &Place, site: &str) {
    let may = |words: &[&str]| {
        let own = "--as=system:serviceaccount:hourglass:hourglass";
        kubectl(&place.kubeconfig(), &[&["auth", "can-i", own][..], words].concat()).is_ok_and(|said| said.trim() == "yes")
    };
    let lease = format!("leases.coordination.k8s.io/hourglass-{site}");
    for allowed in [&["list", "secrets", "--all-namespaces"][..], &["update", &lease, OWN], &["create", "jobs", "--namespace=apim"]] {
        assert!(may(allowed), "{allowed:?}");
    }
    for refused in [
        &["get", "secrets", OWN][..],
        &["create", "deployments", "--namespace=apim"],
        &["delete", "persistentvolumeclaims", "--namespace=apim"],
        &["patch", "deployments", OWN],
        &["create", "jobs", OWN],
        &["update", "leases.coordination.k8s.io/another", OWN],
    ] {
        assert!(!may(refused), "{refused:?}");
    }
}
