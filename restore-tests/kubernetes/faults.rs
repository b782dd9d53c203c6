//! What goes wrong with clusters: it is named, and nothing is lost, doubled or called equal that is not.

use std::{
    collections::BTreeMap,
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{
    guide::{account, capture_role},
    world::{CARRY, World},
};
use crate::lab::Servers;

/// Longest wait for what has to happen.
const PATIENCE: Duration = Duration::from_secs(300);

pub fn until(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "{what} did not happen");
        sleep(Duration::from_millis(50));
    }
}

fn signal(process: i32, signal: Signal) {
    kill_process(Pid::from_raw(process).unwrap(), signal).unwrap();
}

/// A namespace with this many ConfigMaps, and a point of it.
pub fn many(count: usize) -> World {
    let world = World::new("optional_groups: []", CARRY);
    world.fill("{ apiVersion: v1, kind: Namespace, metadata: { name: NAME } }");
    let one = |number: usize| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c{number}"), "namespace": world.name}, "data": {"n": number.to_string()}});
    let items: Vec<_> = (0..count).map(one).collect();
    world.a.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
    world.site.run(&["backup", "p"], 0);
    world
}

/// Versions of the ConfigMaps that region B has, by name.
pub fn versions(world: &World) -> BTreeMap<String, String> {
    let columns = "jsonpath={range .items[*]}{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
    let text = world.b.run(&["get", "configmaps", "--namespace", &world.name, "--output", columns]);
    let pairs = text.lines().filter_map(|line| line.split_once(' ')).filter(|(name, _)| *name != "kube-root-ca.crt");
    pairs.map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

/// A restore that goes on beside the test.
fn start(world: &World) -> Child {
    world.site.command(&world.restore().iter().map(String::as_str).collect::<Vec<_>>()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child, status: i32) -> String {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    said
}

/// The run that a listing or a message says can be resumed.
pub fn resumable(said: &str) -> String {
    said.split("hourglass runs resume ").nth(1).unwrap_or_else(|| panic!("{said}")).split(['`', '\n', ' ']).next().unwrap().to_owned()
}

#[test]
fn a_kubernetes_restore_that_is_killed_goes_on_and_does_nothing_twice() {
    // It stops an API server.
    let _lab = Servers::Kubernetes.alone();
    let world = many(600);
    let mut restore = start(&world);
    until("the first object", || world.b.find("namespace", "", &world.name).is_some() && !versions(&world).is_empty());
    let server = world.b.api_server();
    signal(server, Signal::STOP);
    restore.kill().unwrap();
    restore.wait().unwrap();
    signal(server, Signal::CONT);
    let before = versions(&world);
    assert!(!before.is_empty());
    let runs = world.site.run(&["runs", "list"], 0);
    let run = runs.lines().find(|line| line.contains("restore")).and_then(|line| line.split_whitespace().find(|word| word.contains("Z-")));
    let said = world.site.run(&["runs", "resume", run.unwrap_or_else(|| panic!("{runs}"))], 0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    let after = versions(&world);
    assert_eq!(after.len(), 600);
    for (name, version) in before {
        assert_eq!(after[&name], version, "{name} was written again");
    }
}

#[test]
fn an_api_server_that_is_killed_in_the_middle_of_a_kubernetes_restore_is_waited_for() {
    let _lab = Servers::Kubernetes.alone();
    let world = many(600);
    let restore = start(&world);
    until("the first object", || world.b.find("namespace", "", &world.name).is_some() && !versions(&world).is_empty());
    signal(world.b.api_server(), Signal::KILL);
    let said = end(restore, 0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    until("the API server to answer", || world.b.try_run(&["get", "--raw", "/readyz"]).is_ok());
    assert_eq!(versions(&world).len(), 600);
}

#[test]
fn a_field_that_was_planted_after_a_kubernetes_object_was_applied_is_found_and_named() {
    let _lab = Servers::Kubernetes.together();
    let world = World::new("no_data: [\"NAME/*\"]", CARRY);
    world.fill("{ apiVersion: v1, kind: Namespace, metadata: { name: NAME } }");
    world.fill("{ apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: { name: NAME-now }, provisioner: example.org/none, volumeBindingMode: Immediate }");
    let claim = "{ apiVersion: v1, kind: PersistentVolumeClaim, metadata: { name: files, namespace: NAME }, \
        spec: { accessModes: [ReadWriteOnce], storageClassName: NAME-now, resources: { requests: { storage: 1Gi } } } }";
    world.fill(claim);
    world.fill("{ apiVersion: v1, kind: ConfigMap, metadata: { name: one, namespace: NAME }, data: { key: saved, same: \"1\" } }");
    world.fill("{ apiVersion: v1, kind: Secret, metadata: { name: two, namespace: NAME }, stringData: { key: planted-before } }");
    world.site.run(&["backup", "p"], 0);
    let restore = start(&world);
    // The restore waits for the claim: what lies before it is done, what is compared is not.
    until("the claim", || world.b.find("namespace", "", &world.name).is_some() && world.b.find("pvc", &world.name, "files").is_some());
    world.b.apply(&world.of("{ apiVersion: v1, kind: ConfigMap, metadata: { name: one, namespace: NAME }, data: { more: planted } }"));
    world.b.run(&["patch", "configmap", "one", "--namespace", &world.name, "--type=merge", "--patch={\"data\": {\"key\": \"planted\"}}"]);
    world.b.run(&["delete", "secret", "two", "--namespace", &world.name]);
    let volume = "{ apiVersion: v1, kind: PersistentVolume, metadata: { name: NAME-pv }, spec: { capacity: { storage: 1Gi }, accessModes: [ReadWriteOnce], \
        storageClassName: NAME-now, claimRef: { namespace: NAME, name: files }, csi: { driver: example.org, volumeHandle: x } } }";
    world.b.apply(&world.of(volume));
    let said = end(restore, 3);
    assert!(said.contains(&world.of("configmaps NAME/one")) && said.contains("data.key is \"planted\", and \"saved\" was saved"), "{said}");
    assert!(said.contains("data.more is there, and was not saved") && said.contains(&world.of("secrets NAME/two")), "{said}");
    assert!(!said.contains("data.same") && !said.contains("found equal"), "{said}");
}

#[test]
fn a_kubernetes_group_that_cannot_be_discovered_makes_the_point_incomplete_unless_it_is_optional() {
    // Every capture sees it.
    let _lab = Servers::Kubernetes.alone();
    let world = World::new("optional_groups: [nobody.example.org]", CARRY);
    world.fill("{ apiVersion: v1, kind: Namespace, metadata: { name: NAME } }");
    let service = "{ apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: { name: v1.NAME.example.org }, \
        spec: { group: NAME.example.org, version: v1, groupPriorityMinimum: 100, versionPriority: 1, insecureSkipTLSVerify: true, \
        service: { namespace: NAME, name: nobody } } }";
    world.fill(service);
    let group = world.of("NAME.example.org");
    until("the group to be known", || world.a.run(&["get", "--raw", "/apis"]).contains(&group));
    let said = world.site.run(&["backup", "p"], 3);
    assert!(said.contains(&format!("API group {group}/v1")), "{said}");
    world.reconfigure("nobody.example.org", "\"*.example.org\"");
    world.site.run(&["backup", "p"], 0);
    let listed = world.site.run(&["points", "tree", "p@we/1:4", "cluster", "gaps"], 0);
    assert!(listed.contains(&format!("gaps/{group}/v1")), "{listed}");
    world.a.run(&["delete", "apiservice", &format!("v1.{group}")]);
}

#[test]
fn rights_to_list_suffice_for_a_kubernetes_capture_and_one_that_lacks_is_named() {
    let _lab = Servers::Kubernetes.together();
    let world = World::new("no_data: [\"*/*\"]", CARRY);
    world.fill("{ apiVersion: v1, kind: Namespace, metadata: { name: NAME } }");
    let reader = account(&world, &capture_role()).kubeconfig;
    world.reconfigure(&world.a.kubeconfig.display().to_string(), &reader.display().to_string());
    let said = world.site.run(&["backup", "p"], 0);
    assert!(said.contains("is complete"), "{said}");
    // The same account as target: it may write nothing, and is told before it tries.
    world.reconfigure(&world.b.kubeconfig.display().to_string(), &reader.display().to_string());
    let said = world.restored(1);
    assert!(said.contains("may not get/create/patch"), "{said}");
    let less = world.of("{ apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: { name: NAME }, rules: [{ apiGroups: [\"\"], resources: [configmaps], verbs: [list] }] }");
    world.a.apply(&less);
    let account = world.of("system:serviceaccount:NAME-accounts:reader");
    until("the right to be gone", || world.a.try_run(&["auth", "can-i", "list", "secrets", "--as", &account]).is_err());
    let said = world.site.run(&["backup", "p"], 1);
    assert!(said.contains("may not") && said.contains("list secrets") && !said.contains("list configmaps"), "{said}");
}

#[test]
fn what_a_person_has_to_decide_stops_a_kubernetes_restore_and_is_named() {
    let _lab = Servers::Kubernetes.together();
    let world = World::new("optional_groups: []", "residue: [we.example.com], existing: refuse");
    world.fill("{ apiVersion: v1, kind: Namespace, metadata: { name: NAME } }");
    world.fill("{ apiVersion: v1, kind: ConfigMap, metadata: { name: one, namespace: NAME }, data: { at: \"see api.we.example.com\" } }");
    world.fill("{ apiVersion: v1, kind: ConfigMap, metadata: { name: two, namespace: NAME } }");
    world.site.run(&["backup", "p"], 0);
    world.fill("{ apiVersion: v1, kind: Secret, metadata: { name: later, namespace: NAME } }");
    let said = world.restored(1);
    assert!(said.contains(&world.of("configmaps NAME/one data.at still has \"we.example.com\"")), "{said}");
    assert!(world.b.find("configmap", &world.name, "one").is_none() && world.b.find("configmap", &world.name, "two").is_some());
    world.reconfigure("existing: refuse", "residue_allowed: { \"NAME/configmaps/one\": \"a note\" }, existing: refuse");
    world.site.run(&["runs", "resume", &resumable(&said)], 0);
    // Another restore finds them there.
    let said = world.restored(1);
    assert!(said.contains(&world.of("configmaps NAME/one is there already")), "{said}");
    world.b.run(&["patch", "configmap", "two", "--namespace", &world.name, "--type=merge", "--patch={\"data\": {\"own\": \"1\"}}"]);
    world.reconfigure("existing: refuse", "existing: keep");
    let said = world.restored(0);
    assert!(said.contains("were there and stay as they were"), "{said}");
    assert_eq!(world.b.get("configmap", &world.name, "two")["data"]["own"], "1");
    // A Secret that nobody has classed.
    world.site.run(&["backup", "p"], 0);
    let said = world.restored(1);
    assert!(said.contains(&world.of("secrets NAME/later has no class")), "{said}");
}

#[test]
fn a_kubernetes_workload_that_does_not_become_ready_is_named_and_a_dry_run_stores_nothing() {
    let _lab = Servers::Kubernetes.together();
    let world = World::new("optional_groups: []", "dry_run: true");
    world.fill("{ apiVersion: v1, kind: Namespace, metadata: { name: NAME } }");
    world.fill("{ apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: { name: NAME-high }, value: 7 }");
    let deployment = "{ apiVersion: apps/v1, kind: Deployment, metadata: { name: never, namespace: NAME }, spec: { replicas: 1, selector: { matchLabels: { a: b } }, \
        template: { metadata: { labels: { a: b } }, spec: { nodeSelector: { nowhere: \"true\" }, containers: [{ name: c, image: busybox }] } } } }";
    world.fill(deployment);
    world.site.run(&["backup", "p"], 0);
    let said = world.restored(0);
    assert!(said.contains("stored none") && said.contains("cannot be checked before its namespace"), "{said}");
    assert!(world.b.find("namespace", "", &world.name).is_none() && world.b.find("priorityclass", "", &world.of("NAME-high")).is_none());
    world.reconfigure("dry_run: true", "dry_run: false");
    world.reconfigure("ready_within: 2m", "ready_within: 5s");
    let said = world.restored(1);
    assert!(said.contains(&world.of("deployments.apps NAME/never: 0 of 1 are ready")), "{said}");
    world.reconfigure("ready_within: 5s", "ready_within: 0s");
    let said = world.site.run(&["runs", "resume", &resumable(&said)], 0);
    assert!(said.contains("not waited for"), "{said}");
}
