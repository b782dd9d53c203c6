//! The Helm chart, by Helm itself: what it makes of the values that the guides show, and that an API server takes it. The test of the platform installs it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::{
    clusters::{kubeconfig, kubectl},
    docs::{blocks, of_page},
    lab::{Region, require},
};

/// The chart.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/chart");
const GUIDES: [&str; 3] = ["docs/how-to/helm.md", "docs/how-to/eks.md", "docs/how-to/aks.md"];
/// Everything that can be switched on.
const ALL: &str = r#"{"rbac": {"workers": ["default"], "recover": true}, "prometheusRule": {"enabled": true}, "serviceMonitor": {"enabled": true},
    "image": {"pullSecrets": ["registry-login"], "digest": "sha256:0000000000000000000000000000000000000000000000000000000000000000"},
    "envFrom": [{"secretRef": {"name": "stores"}}], "nodeSelector": {"pool": "infra"}, "podLabels": {"team": "apis"}, "priorityClassName": "high"}"#;

/// Values of a guide, and what Helm makes of them.
struct Guide {
    page: String,
    objects: Vec<Value>,
    text: String,
}

fn helm(arguments: &[&str], values: &[&Path]) -> Output {
    let mut helm = Command::new(format!("{}/helm", require("HOURGLASS_LAB_KUBERNETES")));
    helm.args(arguments).args(["--kube-version=1.34.4", "--namespace=hourglass"]);
    for file in values {
        helm.arg("--values").arg(file);
    }
    helm.env("HOME", require("HOURGLASS_LAB_DIR")).output().unwrap()
}

fn rendered(values: &[&Path]) -> String {
    let output = helm(&["template", "hourglass", CHART], values);
    assert!(output.status.success(), "{values:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The values that a guide shows, in a file.
fn values(page: &str, folder: &Path) -> PathBuf {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let shown: Vec<String> = blocks(&text).into_iter().filter(|(language, _)| language == "values").map(|(_, text)| text).collect();
    assert_eq!(shown.len(), 1, "{page}");
    let file = folder.join(format!("{}.yaml", page.replace('/', "-")));
    fs::write(&file, &shown[0]).unwrap();
    file
}

impl Guide {
    fn read(page: &str, folder: &Path) -> Guide {
        let text = rendered(&[&values(page, folder)]);
        let objects = text.split("\n---\n").filter(|text| text.contains("kind:")).map(|text| serde_saphyr::from_str(text).unwrap()).collect();
        Guide { page: page.to_owned(), objects, text }
    }

    fn object(&self, kind: &str) -> &Value {
        self.objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("{}: no {kind}", self.page))
    }
}

#[test]
fn the_chart_makes_of_every_guides_values_what_a_kubernetes_api_server_takes() {
    let folder = tempfile::tempdir().unwrap();
    let all = folder.path().join("all.json");
    fs::write(&all, ALL).unwrap();
    for page in GUIDES {
        let values = values(page, folder.path());
        let linted = helm(&["lint", "--strict", CHART], &[&values, &all]);
        assert!(linted.status.success(), "{page}: {}", String::from_utf8_lossy(&linted.stdout));
        // The API server knows no objects of Prometheus, and has no namespace of this name.
        let text = rendered(&[&values, &all])
            .replace("namespace: hourglass", "namespace: default")
            .replace(r#""namespace":"hourglass""#, r#""namespace":"default""#);
        assert!(
            text.contains("kind: PrometheusRule") && text.contains("- alert: HourglassAbsent"),
            "{page}: the rules are those of config/prometheus"
        );
        let known: Vec<&str> = text.split("\n---\n").filter(|object| !object.contains("monitoring.coreos.com")).collect();
        let file = folder.path().join("objects.yaml");
        fs::write(&file, known.join("\n---\n")).unwrap();
        let file = file.to_str().unwrap();
        let made =
            kubectl(&kubeconfig(Region::B), &["apply", "--namespace=default", "--dry-run=server", "--validate=strict", "--filename", file]).unwrap();
        for kind in ["deployment.apps", "networkpolicy.", "poddisruptionbudget.", "clusterrole.", "serviceaccount/hourglass-recover"] {
            assert!(made.contains(kind), "{page}: {made}");
        }
        assert_eq!(made.lines().count(), known.iter().filter(|object| object.contains("kind:")).count(), "{made}");
    }
}

#[test]
fn the_chart_refuses_values_for_kubernetes_that_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let good = values(GUIDES[0], folder.path());
    let file = folder.path().join("wrong.json");
    let wrong = [
        (json!({"configuration": {"capture_key_file": "/elsewhere"}}), "capture_key_file"),
        (json!({"configuration": {"daemon": {"lease": {"kind": "control"}}}}), "lease"),
        (json!({"identity": {"awsRoleArn": "hourglass"}}), "awsRoleArn"),
        (json!({"replica": 2}), "replica"),
        (json!({"replicas": 0}), "replicas"),
        (json!({"networkPolicy": {"ports": [70_000]}}), "networkPolicy"),
    ];
    for (values, what) in wrong {
        fs::write(&file, values.to_string()).unwrap();
        let refused = helm(&["template", "hourglass", CHART], &[&good, &file]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(what), "{values}: {said}");
    }
    assert!(!helm(&["template", "hourglass", CHART], &[]).status.success(), "a site is needed");
}

#[test]
fn the_guides_to_the_chart_for_kubernetes_name_what_it_makes() {
    let folder = tempfile::tempdir().unwrap();
    let [helm, eks, aks] = GUIDES.map(|page| Guide::read(page, folder.path()));
    for guide in [&helm, &eks, &aks] {
        let deployment = guide.object("Deployment");
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!((&deployment["spec"]["replicas"], &pod["securityContext"]["runAsNonRoot"]), (&json!(2), &json!(true)));
        let closed = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
        assert_eq!(container["securityContext"], closed);
        assert!(!guide.text.contains("-recover") && !guide.text.contains("monitoring.coreos.com"), "what is off is off");
        // The rights of the daemon are to list, a lease, and to make events.
        let roles = guide.objects.iter().filter(|object| ["Role", "ClusterRole"].contains(&object["kind"].as_str().unwrap()));
        let rules: Vec<&Value> = roles.flat_map(|role| role["rules"].as_array().unwrap()).collect();
        let wide: Vec<_> = rules.iter().filter(|rule| rule["resources"] == json!(["*"])).map(|rule| &rule["verbs"]).collect();
        assert_eq!(wide, [&json!(["list"])]);
        let events: Vec<_> = rules.iter().filter(|rule| rule["resources"] == json!(["events"])).collect();
        assert_eq!(events, [&&json!({"apiGroups": [""], "resources": ["events"], "verbs": ["create"]})]);
        // The configuration is one that Hourglass takes, and names the lease that the daemon may have.
        let text = guide.object("ConfigMap")["data"]["hourglass.yaml"].as_str().unwrap();
        let file = folder.path().join("hourglass.yaml");
        fs::write(&file, text).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_hourglass"));
        let checked = check.args(["config", "check", "--config"]).arg(&file).env_clear().env("HOME", folder.path()).output().unwrap();
        assert!(checked.status.success(), "{text}{}", String::from_utf8_lossy(&checked.stderr));
        let config: Value = serde_saphyr::from_str(text).unwrap();
        let lease = format!("hourglass-{}", config["site"].as_str().unwrap());
        assert!(rules.iter().any(|rule| rule["resourceNames"] == json!([lease])), "{rules:?}");
        // Every file that it reads is mounted.
        let secret = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "secrets").unwrap();
        assert_eq!(secret["secret"]["secretName"], "hourglass");
        assert!(container["volumeMounts"].as_array().unwrap().contains(&json!({"name": "secrets", "mountPath": "/run/hourglass", "readOnly": true})));
    }
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(helm.object("ServiceAccount")["metadata"]["labels"]["app.kubernetes.io/version"], version);
    let shown = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(GUIDES[0])).unwrap();
    assert!(shown.contains("get lease hourglass-main"));

    // Who the cloud is told to trust is the service account that the chart makes.
    let account = |guide: &Guide| {
        let name = guide.object("ServiceAccount")["metadata"]["name"].as_str().unwrap().to_owned();
        assert_eq!(guide.object("Deployment")["spec"]["template"]["spec"]["serviceAccountName"], name);
        format!("system:serviceaccount:hourglass:{name}")
    };
    let trust: Value = serde_json::from_str(&of_page(GUIDES[1], "Identity", "json")[0]).unwrap();
    assert_eq!(trust["Statement"][0]["Condition"]["StringEquals"]["OIDC:sub"], account(&eks));
    let arn = &eks.object("ServiceAccount")["metadata"]["annotations"]["eks.amazonaws.com/role-arn"];
    assert_eq!(arn, "arn:aws:iam::123456789012:role/hourglass");
    let commands = of_page(GUIDES[1], "Identity", "console")[0].clone();
    assert!(commands.contains("--role-name hourglass "), "{commands}");
    let commands = of_page(GUIDES[2], "Identity", "console")[0].clone();
    assert!(commands.contains(&format!("--subject {}\n", account(&aks))), "{commands}");
    assert_eq!(aks.object("Deployment")["spec"]["template"]["metadata"]["labels"]["azure.workload.identity/use"], "true");
    let id = &aks.object("ServiceAccount")["metadata"]["annotations"]["azure.workload.identity/client-id"];
    assert_eq!(id, "11111111-2222-3333-4444-555555555555");
    for (guide, containers) in [(GUIDES[1], ["apim-backup", "apim-control"]), (GUIDES[2], ["--name apimbackup ", "--name apimcontrol "])] {
        let heading = if guide == GUIDES[1] { "Buckets" } else { "Containers" };
        let commands = of_page(guide, heading, "console")[0].clone();
        assert!(containers.iter().all(|name| commands.contains(name)), "{commands}");
    }
}
