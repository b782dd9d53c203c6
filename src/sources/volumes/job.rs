//! What the Job of a worker is made of. Pure.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    claims::{Claim, User},
    workers::Errand,
};
use crate::{config::WorkerConfig, sources::kubernetes::WORKER};

/// Where a worker has its claim.
pub const MOUNT: &str = "/volume";
/// Exit codes of a worker that a further pod would end with too: wrong use, a person is needed, damage.
pub const LASTING: [i64; 3] = [2, 5, 6];
/// Pods that may fail.
const RETRIES: u32 = 3;
/// Seconds after which the cluster removes a Job that has ended, with its Secret, should nobody do it before.
const KEPT: u64 = 600;
/// Files that a worker may write beside its claim: spools and what it remembers.
const SCRATCH: &str = "2Gi";

/// The Job of an errand.
pub fn job(errand: &Errand<'_>, claim: &Claim, beside: Option<&User>, config: &WorkerConfig) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": errand.name, "namespace": claim.namespace, "labels": labels(errand)},
        "spec": {
            "backoffLimit": RETRIES,
            "activeDeadlineSeconds": config.within.as_secs(),
            "ttlSecondsAfterFinished": KEPT,
            // Never two pods at a time, where the server knows how.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": {"containerName": "worker", "operator": "In", "values": LASTING}},
            ]},
            "template": {"metadata": {"labels": labels(errand)}, "spec": pod(errand, claim, beside, config)},
        },
    })
}

/// The Secret that its pods mount. It belongs to the Job, and goes with it.
pub fn secret(errand: &Errand<'_>, namespace: &str, job: &Value, files: &BTreeMap<String, Vec<u8>>) -> Value {
    let data: BTreeMap<&String, String> = files.iter().map(|(name, content)| (name, BASE64_STANDARD.encode(content))).collect();
    let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": errand.name, "uid": job["metadata"]["uid"]});
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": errand.name, "namespace": namespace, "labels": labels(errand), "ownerReferences": [owner]},
        "data": data,
    })
}

fn labels(errand: &Errand<'_>) -> Value {
    json!({"app.kubernetes.io/name": "hourglass", WORKER: errand.run})
}

fn pod(errand: &Errand<'_>, claim: &Claim, beside: Option<&User>, config: &WorkerConfig) -> Value {
    let root = config.user == 0;
    let rights: &[&str] = match (root, errand.read_only) {
        (false, _) => &[],
        // The mount is read-only, so this is the right to read.
        (true, true) => &["DAC_OVERRIDE"],
        (true, false) => &["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"],
    };
    let named = |names: &[String]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
    let container = json!({
        "name": "worker",
        "image": config.image,
        "args": errand.arguments,
        "envFrom": config.env_from.iter().map(|name| json!({"secretRef": {"name": name}})).collect::<Vec<_>>(),
        "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"], "add": rights}},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": config.memory}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "claim", "mountPath": MOUNT, "readOnly": errand.read_only},
            {"name": "files", "mountPath": "/etc/hourglass", "readOnly": true},
            {"name": "scratch", "mountPath": "/tmp"},
            {"name": "scratch", "mountPath": "/var/lib/hourglass"},
        ],
    });
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "imagePullSecrets": named(&config.pull_secrets),
        // No fsGroup: Kubernetes would change the owners of what is in the claim.
        "securityContext": {"runAsUser": config.user, "runAsGroup": config.user, "runAsNonRoot": !root, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "claim", "persistentVolumeClaim": {"claimName": claim.name, "readOnly": errand.read_only}},
            // Another user than root could not read what root alone may; nobody else is in the pod.
            {"name": "files", "secret": {"secretName": errand.name, "defaultMode": if root { 0o400 } else { 0o444 }}},
            {"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH}},
        ],
    });
    if let Some(account) = &config.service_account {
        pod["serviceAccountName"] = json!(account);
    }
    if let Some(user) = beside {
        // Most volumes are attached to one node at a time.
        let expression = json!({"key": "metadata.name", "operator": "In", "values": [user.node]});
        pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!({"nodeSelectorTerms": [{"matchFields": [expression]}]});
        pod["tolerations"] = user.tolerations.clone();
    }
    pod
}
