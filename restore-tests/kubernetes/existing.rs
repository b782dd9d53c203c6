//! What is there already, and other names: what the configuration and the command say becomes of objects is what kubectl sees afterwards.

use serde_json::json;

use super::{
    faults::until,
    guide::{account_in, restore_role},
    world::{CARRY, World},
};
use crate::lab::Servers;

/// Objects of region A, and others of the same names in region B.
const HERE: [&str; 5] = [
    "{ apiVersion: v1, kind: ConfigMap, metadata: { name: one, namespace: NAME }, data: { key: saved } }",
    "{ apiVersion: v1, kind: ConfigMap, metadata: { name: fixed, namespace: NAME }, immutable: true, data: { key: saved } }",
    "{ apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: { name: bound, namespace: NAME }, \
        roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: saved }, subjects: [{ kind: ServiceAccount, name: default, namespace: NAME }] }",
    "{ apiVersion: v1, kind: Service, metadata: { name: web, namespace: NAME }, spec: { selector: { app: saved }, ports: [{ port: 80 }] } }",
    "{ apiVersion: v1, kind: PersistentVolumeClaim, metadata: { name: files, namespace: NAME }, \
        spec: { accessModes: [ReadWriteOnce], storageClassName: NAME-none, resources: { requests: { storage: 1Gi } } } }",
];

fn filled(restore: &str) -> World {
    let world = World::new("no_data: [\"NAME/*\"]", restore);
    world.fill("{ apiVersion: v1, kind: Namespace, metadata: { name: NAME } }");
    HERE.iter().for_each(|object| world.fill(object));
    for plane in [&world.a, &world.b] {
        plane.apply(&world.of("{ apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: { name: NAME-none }, provisioner: example.org/none, volumeBindingMode: WaitForFirstConsumer }"));
    }
    world.site.run(&["backup", "p"], 0);
    world
}

#[test]
fn objects_that_are_there_become_what_the_kubernetes_point_holds_when_that_is_asked_for() {
    let _lab = Servers::Kubernetes.together();
    let world = filled(&format!("existing: replace, {CARRY}"));
    world.b.apply(&world.of("{ apiVersion: v1, kind: Namespace, metadata: { name: NAME, labels: { stays: \"1\" } } }"));
    for object in HERE {
        world.b.apply(&world.of(&object.replace("saved", "planted")));
    }
    world.b.run(&["patch", "configmap", "one", "--namespace", &world.name, "--type=merge", "--patch={\"data\": {\"more\": \"planted\"}}"]);
    world.b.apply(&world.of("{ apiVersion: v1, kind: ConfigMap, metadata: { name: own, namespace: NAME }, data: { key: stays } }"));
    let before = ["service", "pvc"].map(|kind| world.b.get(kind, &world.name, if kind == "pvc" { "files" } else { "web" }));
    let said = world.restored(0);
    assert!(said.contains("found equal to what was saved") && said.contains("stay as they were"), "{said}");
    let get = |kind: &str, name: &str| world.b.get(kind, &world.name, name);
    assert_eq!(get("configmap", "one")["data"], json!({"key": "saved"}));
    assert_eq!(get("configmap", "fixed")["data"], json!({"key": "saved"}), "it could not be changed, so it was made anew");
    assert_eq!(get("rolebinding", "bound")["roleRef"]["name"], "saved");
    let service = get("service", "web");
    assert_eq!((&service["spec"]["selector"], &service["spec"]["clusterIP"]), (&json!({"app": "saved"}), &before[0]["spec"]["clusterIP"]));
    assert_eq!(get("pvc", "files")["metadata"]["uid"], before[1]["metadata"]["uid"], "claims are never replaced");
    assert_eq!(get("configmap", "own")["data"], json!({"key": "stays"}));
    assert_eq!(world.b.get("namespace", "", &world.name)["metadata"]["labels"]["stays"], "1");
}

#[test]
fn a_namespace_comes_back_under_another_name_beside_the_kubernetes_namespace_that_has_its_own() {
    let _lab = Servers::Kubernetes.together();
    let world = filled(CARRY);
    world.fill("{ apiVersion: v1, kind: Secret, metadata: { name: word, namespace: NAME }, stringData: { word: planted } }");
    world.site.run(&["backup", "p"], 0);
    world.b.apply(&world.of("{ apiVersion: v1, kind: Namespace, metadata: { name: NAME } }"));
    world.b.apply(&world.of(&HERE[0].replace("saved", "own")));
    let renaming = world.of("NAME=NAME-new");
    let said = world.site.run(&["restore", "p", "cluster", &world.name, "--into", "spare", "--rename", &renaming], 0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    let new = world.of("NAME-new");
    assert_eq!(world.b.get("configmap", &new, "one")["data"], json!({"key": "saved"}));
    assert_eq!(world.b.get("rolebinding", &new, "bound")["subjects"][0]["namespace"], *new);
    for (kind, name) in [("secret", "word"), ("service", "web"), ("pvc", "files")] {
        world.b.get(kind, &new, name);
        assert!(world.b.find(kind, &world.name, name).is_none(), "{kind} is in the old namespace");
    }
    assert_eq!(world.b.get("configmap", &world.name, "one")["data"], json!({"key": "own"}));
}

#[test]
fn the_rights_of_the_kubernetes_guide_suffice_to_restore_and_one_that_lacks_is_named_before_anything_is_written() {
    let _lab = Servers::Kubernetes.together();
    let world = filled(CARRY);
    world.fill("{ apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: { name: saved, namespace: NAME }, rules: [{ apiGroups: [\"\"], resources: [pods], verbs: [watch] }] }");
    world.site.run(&["backup", "p"], 0);
    world.b.run(&["delete", "storageclass", &world.of("NAME-none")]);
    let role = restore_role();
    let less: String = role.lines().filter(|line| !line.contains("escalate")).map(|line| format!("{line}\n")).collect();
    assert_ne!(less, role);
    let account = account_in(&world.b, &world, &less);
    world.reconfigure(&world.b.kubeconfig.display().to_string(), &account.kubeconfig.display().to_string());
    let said = world.restored(1);
    assert!(said.contains("may not") && said.contains("escalate/bind roles.rbac.authorization.k8s.io") && !said.contains("configmaps"), "{said}");
    assert!(world.b.find("namespace", "", &world.name).is_none(), "something was written");
    world.b.apply(&role.replace("hourglass-restore", &world.name));
    let who = world.of("system:serviceaccount:NAME-accounts:reader");
    until("the right", || world.b.try_run(&["auth", "can-i", "escalate", "clusterroles", "--as", &who]).is_ok());
    let said = world.restored(0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    assert_eq!(world.b.get("role", &world.name, "saved")["rules"][0]["verbs"], json!(["watch"]));
}
