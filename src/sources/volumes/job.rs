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
/// What an Indexed Job puts into its arguments for the index of a pod.
pub const INDEX: &str = "$(JOB_COMPLETION_INDEX)";
/// Pods that may fail, of each share.
const RETRIES: u32 = 3;
/// Seconds after which the cluster removes a Job that has ended, with its Secret, should nobody do it before.
const KEPT: u64 = 600;
/// Files that a worker may write beside its claim: spools and what it remembers.
const SCRATCH: &str = "2Gi";

/// The Job of an errand.
pub fn job(errand: &Errand<'_>, claim: &Claim, beside: Option<&User>, config: &WorkerConfig) -> Value {
    let shared = errand.shares > 1;
    // Each share alone: one that fails for good leaves the others their turns.
    let (limit, action) = if shared { ("backoffLimitPerIndex", "FailIndex") } else { ("backoffLimit", "FailJob") };
    let mut job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": errand.name, "namespace": claim.namespace, "labels": labels(errand)},
        "spec": {
            limit: RETRIES,
            "activeDeadlineSeconds": config.within.as_secs(),
            "ttlSecondsAfterFinished": KEPT,
            // Never two pods at a time, where the server knows how.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": action, "onExitCodes": {"containerName": "worker", "operator": "In", "values": LASTING}},
            ]},
            "template": {"metadata": {"labels": labels(errand)}, "spec": pod(errand, claim, beside, config)},
        },
    });
    if shared {
        let at_once = if claim.is_exclusive { 1 } else { errand.shares.min(config.at_once) };
        job["spec"]["completionMode"] = json!("Indexed");
        job["spec"]["completions"] = json!(errand.shares);
        job["spec"]["parallelism"] = json!(at_once);
    }
    job
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
        pod["tolerations"] = user.tolerations.clone();
    }
    let (node, others) = ("kubernetes.io/hostname", json!({"matchLabels": {"job-name": errand.name}}));
    match beside {
        _ if errand.shares > 1 && claim.is_everywhere => {
            pod["topologySpreadConstraints"] =
                json!([{"maxSkew": 1, "topologyKey": node, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": others}]);
        }
        // Most volumes are attached to one node at a time.
        Some(user) => {
            let expression = json!({"key": "metadata.name", "operator": "In", "values": [user.node]});
            pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                json!({"nodeSelectorTerms": [{"matchFields": [expression]}]});
        }
        None if errand.shares > 1 => {
            pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                json!([{"topologyKey": node, "labelSelector": others}]);
        }
        None => {}
    }
    pod
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{config::Portable, sources::kubernetes::text};

    #[test]
    fn shares_are_spread_over_nodes_where_the_claim_can_be_and_kept_together_elsewhere() {
        let config = WorkerConfig {
            image: "hourglass:1".to_owned(),
            pull_secrets: Vec::new(),
            env_from: Vec::new(),
            service_account: None,
            user: 0,
            memory: "1Gi".to_owned(),
            at_once: 4,
            shares: 8,
            starts_within: Duration::ZERO,
            within: Duration::from_secs(60),
        };
        let portable = Portable { text: String::new(), files: BTreeMap::new() };
        let made = |mode: &str, shares: usize, beside: bool| {
            let claim = Claim::of(&json!({"metadata": {"name": "c", "namespace": "n"}, "spec": {"accessModes": [mode]}}));
            let user = beside.then(|| User { name: "u".to_owned(), node: "node-1".to_owned(), tolerations: json!([{"key": "t"}]) });
            let errand = Errand {
                name: "j".to_owned(),
                run: "r",
                namespace: "n",
                claim: "c",
                read_only: true,
                shares,
                arguments: Vec::new(),
                portable: &portable,
            };
            job(&errand, &claim, user.as_ref(), &config)
        };
        let rule = |job: &Value| text(&job["spec"]["podFailurePolicy"]["rules"][1]["action"]);
        let one = made("ReadWriteMany", 1, true);
        assert!(one["spec"]["completionMode"].is_null() && one["spec"]["backoffLimit"] == 3 && rule(&one) == "FailJob");
        let many = made("ReadWriteMany", 8, true);
        let pod = &many["spec"]["template"]["spec"];
        assert!(many["spec"]["completionMode"] == "Indexed" && many["spec"]["completions"] == 8 && many["spec"]["parallelism"] == 4, "{many}");
        assert!(many["spec"]["backoffLimitPerIndex"] == 3 && many["spec"]["backoffLimit"].is_null() && rule(&many) == "FailIndex", "{many}");
        assert!(pod["affinity"].is_null() && pod["topologySpreadConstraints"].is_array() && pod["tolerations"].is_array(), "{pod}");
        let beside = made("ReadWriteOnce", 8, true);
        assert!(beside["spec"]["template"]["spec"]["affinity"]["nodeAffinity"].is_object());
        let alone = made("ReadWriteOnce", 8, false);
        assert!(alone["spec"]["template"]["spec"]["affinity"]["podAffinity"].is_object());
        assert_eq!(made("ReadWriteOncePod", 8, false)["spec"]["parallelism"], 1);
    }
}
