//! Kubernetes: what region A has is applied to region B and judged by kubectl.

mod existing;
mod faults;
mod guide;
mod wires;
pub mod world;

use std::{fs, path::Path};

use serde_json::{Value, json};

use self::world::{CARRY, World};
use crate::lab::Servers;

/// A platform with most kinds that there are, and a definition with objects.
const PLATFORM: &str = include_str!("platform.yaml");
/// A kind of our own, stored in another version than the one that is preferred.
const DEFINITION: &str = include_str!("definition.yaml");
/// A password of the platform.
const PLANTED: &str = "planted-Pa55w0rd-of-a-cluster";
/// What region B says about the platform.
const TRANSFORMS: &str = "storage_classes: { NAME-gp2: NAME-premium }, zones: { we-1: ne-1, we-2: ne-2 }, registries: { registry.we.example.com: \"registry.ne.example.com/dr\" },
      hosts: { api.we.example.com: api.ne.example.com }, node_labels: { \"pool=gateways\": \"agentpool=apim\" }, annotations: { eks.amazonaws.com/role-arn: null },
      residue: [we.example.com, vol-0a1b], secrets: [{ secrets: \"*/registry-*\", class: mint }, { secrets: \"*/tls\", class: set, files: { key: new.key } },
      { secrets: \"*/*\", class: carry }]";

/// The platform in region A, a custom resource, and a Secret that belongs to it.
fn filled() -> World {
    let world = World::new("data: { \"NAME/files\": cluster }", TRANSFORMS);
    world.fill(DEFINITION);
    world.a.run(&["wait", "--for=condition=Established", "--timeout=120s", &world.of("crd/gateways.NAME.example.org")]);
    world.fill(PLATFORM);
    world.fill("{ apiVersion: NAME.example.org/v1, kind: Gateway, metadata: { name: front, namespace: NAME }, spec: { peers: 3, deep: [{ er: null, x: \"\" }] } }");
    let owner = world.a.get(&world.of("gateways.NAME.example.org"), &world.name, "front")["metadata"]["uid"].as_str().unwrap().to_owned();
    let owned = format!(
        "{{ apiVersion: v1, kind: Secret, metadata: {{ name: made, namespace: NAME, ownerReferences: [{{ apiVersion: NAME.example.org/v1, kind: Gateway, \
         name: front, uid: {owner} }}] }}, stringData: {{ key: generated }} }}"
    );
    world.fill(&owned);
    world.b.apply(&world.of("{ apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: { name: NAME-premium }, provisioner: example.org/none, volumeBindingMode: WaitForFirstConsumer }"));
    fs::write(world.site.path("new.key"), "of-the-new-site").unwrap();
    world
}

fn decoded(secret: &Value, key: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    String::from_utf8(BASE64_STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap()).unwrap()
}

/// Everything that the platform is in region B, through kubectl.
fn judge(world: &World) {
    let (b, name) = (&world.b, &*world.name);
    let get = |kind: &str, of: &str| b.get(kind, name, of);
    assert_eq!(b.get("namespace", "", name)["metadata"]["labels"]["tier"], "api");
    let role = b.get("clusterrole", "", &world.of("NAME-reader"));
    assert_eq!(role["rules"][0]["apiGroups"][0], *world.of("NAME.example.org"));
    assert_eq!(get("rolebinding", "gateway")["subjects"][0]["name"], "gateway");
    let account = get("serviceaccount", "gateway");
    assert_eq!(
        (&account["metadata"]["annotations"]["stays"], account["metadata"]["annotations"].get("eks.amazonaws.com/role-arn")),
        (&json!("1"), None)
    );
    assert_eq!(decoded(&get("secret", "credentials"), "password"), PLANTED);
    assert_eq!(decoded(&get("secret", "tls"), "key"), "of-the-new-site");
    assert!(b.find("secret", name, "registry-login").is_none(), "it has to be made anew");
    assert_eq!(get("configmap", "endpoints")["data"], json!({"api": "https://api.ne.example.com/v1", "note": "plain"}));
    let (old, new) = (world.a.get("service", name, "gateway"), get("service", "gateway"));
    assert!(new["spec"]["clusterIP"].is_string() && new["spec"]["ports"][0]["nodePort"].is_u64() && old["metadata"]["uid"] != new["metadata"]["uid"]);
    assert_eq!(get("service", "peers")["spec"]["clusterIP"], "None");
    let claim = get("persistentvolumeclaim", "files");
    assert_eq!(
        (&claim["spec"]["storageClassName"], &claim["status"]["phase"]),
        (&json!(world.of("NAME-premium")), &json!("Pending")),
        "fresh, not bound to the old volume"
    );
    assert!(b.find("persistentvolume", "", &world.of("NAME-pv")).is_none() && b.find("storageclass", "", &world.of("NAME-gp2")).is_none());
    let topology = b.get("storageclass", "", &world.of("NAME-kept"))["allowedTopologies"][0]["matchLabelExpressions"][0]["values"].clone();
    assert_eq!(topology, json!(["ne-1"]));
    let pod = get("deployment", "gateway")["spec"]["template"]["spec"].clone();
    assert_eq!(pod["containers"][0]["image"], "registry.ne.example.com/dr/apic/gateway:5.1");
    assert_eq!(
        (&pod["containers"][0]["env"][0]["value"], &pod["nodeSelector"]),
        (&json!("https://api.ne.example.com"), &json!({"agentpool": "apim"}))
    );
    let terms = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchExpressions/0/values";
    assert_eq!(pod.pointer(terms), Some(&json!(["ne-1", "ne-2"])));
    assert_eq!(get("statefulset", "portal")["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"], *world.of("NAME-premium"));
    let job = get("cronjob", "nightly")["spec"]["jobTemplate"]["spec"]["template"]["spec"].clone();
    assert_eq!((&job["nodeSelector"], &job["containers"][0]["image"]), (&json!({"agentpool": "apim"}), &json!("registry.ne.example.com/dr/job")));
    assert_eq!(get("ingress", "api")["spec"]["rules"][0]["host"], "api.ne.example.com");
    for (kind, of) in [
        ("networkpolicy", "closed"),
        ("poddisruptionbudget", "gateway"),
        ("horizontalpodautoscaler", "gateway"),
        ("resourcequota", "few"),
        ("pod", "alone"),
    ] {
        get(kind, of);
    }
    b.get("validatingwebhookconfiguration", "", &world.of("NAME-hook"));
    let gateway = get(&world.of("gateways.NAME.example.org"), "front");
    assert_eq!(gateway["spec"], json!({"peers": 3, "deep": [{"er": null, "x": ""}]}));
    let owner = &get("secret", "made")["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["name"], &owner["uid"]), (&json!("front"), &gateway["metadata"]["uid"]), "under its new identity");
}

/// No file below `folder` holds `secret`, as it is or as Secrets have it.
fn assert_sealed(folder: &Path, secret: &str) {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let coded = BASE64_STANDARD.encode(secret);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_sealed(&path, secret);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for text in [secret, &*coded, "sh.helm.release"] {
            assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{} shows {text}", path.display());
        }
    }
}

#[test]
fn what_a_kubernetes_cluster_has_comes_back_in_the_other_region_as_kubectl_sees_it() {
    let _lab = Servers::Kubernetes.together();
    let world = filled();
    let said = world.site.run(&["backup", "p"], 0);
    assert!(said.contains("is complete"), "{said}");
    for folder in ["repository", "control", "state"] {
        assert_sealed(&world.site.path(folder), PLANTED);
    }
    let listed = world.site.run(&["points", "tree", "p@we/1:3", "cluster"], 0);
    for line in ["releases/NAME/gateway", "releases/NAME/portal", "volumes/NAME/files", "pools/NAME", "NAME/credentials"] {
        assert!(listed.contains(&world.of(line)), "{line}: {listed}");
    }
    assert!(!listed.contains("kube-root-ca.crt") && !listed.contains(" default/kubernetes"), "{listed}");
    let shown = world.site.run(&["points", "show", "p@we/1:3"], 0);
    assert!(shown.contains("reclaim policy is Delete") && shown.contains("emptyDir"), "{shown}");
    let said = world.restored(0);
    assert!(said.contains("found equal to what was saved") && said.contains("has to be made anew"), "{said}");
    judge(&world);
}

#[test]
fn a_kubernetes_point_holds_custom_resources_in_their_stored_version_and_the_whole_inventory() {
    let _lab = Servers::Kubernetes.together();
    let world = filled();
    world.site.run(&["backup", "p"], 0);
    let folder = world.site.restore("p", "out").join("cluster");
    let objects = |component: &str| -> Vec<Value> {
        let text = fs::read_to_string(folder.join(world.of(component))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let gateways = objects("gateways.NAME.example.org");
    assert_eq!((gateways.len(), &gateways[0]["object"]["apiVersion"]), (1, &json!(world.of("NAME.example.org/v1alpha1"))));
    assert!(gateways[0]["object"]["metadata"]["uid"].is_string(), "owners can be followed");
    let inventory: std::collections::BTreeMap<String, Value> =
        objects("inventory").into_iter().map(|line| (line["path"].as_str().unwrap().to_owned(), line["object"].clone())).collect();
    let volume = &inventory[&world.of("volumes/NAME/files")];
    let expected = json!({"volume": world.of("NAME-pv"), "class": world.of("NAME-gp2"), "size": "1Gi", "modes": ["ReadWriteOnce"], "zones": ["we-1"], "reclaim": "Delete",
        "driver": "ebs.example.org", "handle": "vol-0a1b", "snapshots": null, "data": "cluster"});
    assert_eq!(*volume, expected);
    let release = |revision: u64, storage: &str| json!({"revision": revision, "status": "deployed", "storage": storage});
    assert_eq!(inventory[&world.of("releases/NAME/gateway")], release(2, "secret"));
    assert_eq!(inventory[&world.of("releases/NAME/portal")], release(7, "configmap"));
    let pool = &inventory[&world.of("pools/NAME")];
    assert_eq!((&pool["nodes"], &pool["zones"], &pool["taints"][0]["key"]), (&json!(1), &json!({"we-1": 1}), &json!("only")));
    assert!(pool["labels"]["kubernetes.io/hostname"].is_null() && inventory.contains_key("images/busybox"), "{pool}");
    // Without its definition the other cluster has no place for it.
    let said = world.site.run(&["restore", "p", "cluster", &world.of("NAME/gateways"), "--into", "spare"], 3);
    assert!(said.contains(&world.of("gateways.NAME.example.org NAME/front")) && said.contains("the target has no such kind"), "{said}");
}

#[test]
fn two_kubernetes_points_differ_by_objects_and_their_fields() {
    let _lab = Servers::Kubernetes.together();
    let world = World::new("optional_groups: []", CARRY);
    world.fill("{ apiVersion: v1, kind: Namespace, metadata: { name: NAME } }");
    for (name, value) in [("stays", "1"), ("changes", "1"), ("goes", "1")] {
        world.fill(&format!("{{ apiVersion: v1, kind: ConfigMap, metadata: {{ name: {name}, namespace: NAME }}, data: {{ key: \"{value}\" }} }}"));
    }
    world.site.run(&["backup", "p"], 0);
    world.a.run(&["delete", "configmap", "goes", "--namespace", &world.name]);
    world.fill("{ apiVersion: v1, kind: ConfigMap, metadata: { name: changes, namespace: NAME }, data: { key: \"2\" } }");
    world.fill("{ apiVersion: v1, kind: ConfigMap, metadata: { name: comes, namespace: NAME } }");
    world.a.run(&["label", "configmap", "stays", "--namespace", &world.name, "later=1"]);
    world.a.run(&["label", "configmap", "stays", "--namespace", &world.name, "later-"]);
    world.site.run(&["backup", "p"], 0);
    let said = world.site.run(&["points", "diff", "p@we/1:3", "p@we/1:4"], 0);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains(&world.name)).collect();
    let expected = ["~ cluster/configmaps NAME/changes: data.key", "+ cluster/configmaps NAME/comes", "- cluster/configmaps NAME/goes"];
    assert_eq!(ours, expected.map(|line| world.of(line)), "{said}");
    // The cluster has not changed since the second point, and then it has.
    let live = |point: &str| world.site.run(&["points", "diff", point, "live", "--member", "cluster"], 0);
    let of_ours = |said: &str| said.lines().filter(|line| line.contains(&world.name)).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(of_ours(&live("p@we/1:3")), expected.map(|line| world.of(line)));
    assert_eq!(of_ours(&live("p@we/1:4")), Vec::<String>::new());
    world.fill("{ apiVersion: v1, kind: Secret, metadata: { name: planted, namespace: NAME }, stringData: { word: planted } }");
    assert_eq!(of_ours(&live("p@we/1:4")), [world.of("+ cluster/secrets NAME/planted")]);
    assert!(world.site.run(&["points", "diff", "p@we/1:4", "live", "--member", "nobody"], 2).contains("nobody"));
}
