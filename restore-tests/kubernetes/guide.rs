//! docs/how-to/kubernetes.md as it stands there.

use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::world::{Plane, World};
use crate::{
    docs::{of_page, run},
    lab::{Servers, require},
};

const PAGE: &str = "docs/how-to/kubernetes.md";

/// A kubeconfig for an account of its own in region A, with nothing but this manifest's role.
pub fn account(world: &World, role: &str) -> Plane {
    account_in(&world.a, world, role)
}

/// The same in any region.
pub fn account_in(plane: &Plane, world: &World, role: &str) -> Plane {
    let name = &*world.name;
    let apply = |manifest: &str| plane.apply(&world.of(manifest));
    apply("{ apiVersion: v1, kind: Namespace, metadata: { name: NAME-accounts } }");
    apply("{ apiVersion: v1, kind: ServiceAccount, metadata: { name: reader, namespace: NAME-accounts } }");
    plane.apply(&role.replace("hourglass-capture", name).replace("hourglass-restore", name));
    let binding = "{ apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: { name: NAME }, \
        roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: NAME }, \
        subjects: [{ kind: ServiceAccount, name: reader, namespace: NAME-accounts }] }";
    apply(binding);
    let token = plane.run(&["create", "token", "reader", "--namespace", &format!("{name}-accounts")]);
    let text = fs::read_to_string(&plane.kubeconfig).unwrap();
    let user = text.find("\nusers:").unwrap_or_else(|| panic!("{text}"));
    let after = text[user + 1..].split_once('\n').unwrap().1;
    let next = after.lines().take_while(|line| line.starts_with([' ', '-'])).map(|line| line.len() + 1).sum::<usize>();
    let kubeconfig = world.site.path("reader.kubeconfig");
    let own = plane.run(&["config", "view", "--minify", "--output=jsonpath={.users[0].name}"]);
    let users = format!("\nusers:\n- name: {own}\n  user: {{ token: {:?} }}\n", token.trim());
    fs::write(&kubeconfig, format!("{}{users}{}", &text[..user], &after[next..])).unwrap();
    Plane { kubeconfig }
}

/// The role of the page for restores.
pub fn restore_role() -> String {
    of_page(PAGE, "The account that restores", "manifest").concat()
}

/// The role of the page for captures.
pub fn capture_role() -> String {
    of_page(PAGE, "The account that captures", "manifest").concat()
}

#[test]
fn the_commands_of_the_kubernetes_guide_work_as_written() {
    let _lab = Servers::Kubernetes.together();
    let world = World::new("optional_groups: []", "");
    world.fill("{ apiVersion: v1, kind: Namespace, metadata: { name: apic-NAME } }");
    let claim = "{ apiVersion: v1, kind: PersistentVolumeClaim, metadata: { name: cache-1, namespace: apic-NAME }, \
        spec: { storageClassName: gp2, accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } } }";
    world.fill(claim);
    world.fill("{ apiVersion: v1, kind: Secret, metadata: { name: password, namespace: apic-NAME }, stringData: { word: planted } }");
    world.b.apply("{ apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: { name: managed-premium }, provisioner: example.org/none, volumeBindingMode: WaitForFirstConsumer }");
    let home = tempfile::tempdir_in(require("HOURGLASS_LAB_DIR")).unwrap();
    fs::copy(account(&world, &capture_role()).kubeconfig, home.path().join("cluster.kubeconfig")).unwrap();
    fs::copy(&world.b.kubeconfig, home.path().join("spare.kubeconfig")).unwrap();
    fs::write(home.path().join("registry.password"), "of-the-new-registry").unwrap();
    world.fill("{ apiVersion: v1, kind: Secret, metadata: { name: registry-login, namespace: apic-NAME }, type: kubernetes.io/dockercfg, stringData: { .dockercfg: \"{}\" } }");
    let yaml = of_page(PAGE, "Three commands", "yaml").concat().replace("[\"apic*\"]", &format!("[\"apic-{}\"]", world.name));
    let said = run(home.path(), &format!("hourglass init --directory store\ncat >> hourglass.yaml <<'END'\n{yaml}END\nhourglass keys prove\n"));
    assert!(!said.contains("error"), "{said}");
    let said = run(home.path(), &of_page(PAGE, "Three commands", "sh").concat().replace("'_cluster/*/apic-*'", ""));
    assert!(said.contains("is complete") && said.contains("found equal to what was saved"), "{said}");
    // Namespaces that are left out are not covered; a claim that nobody needs is excluded.
    let states = crate::coverage::states(home.path(), 3);
    let of = |what: &str| states[&world.of(what)].as_str();
    let found = (of("cluster/namespace/apic-NAME"), of("cluster/claim/apic-NAME/cache-1"), of("cluster/namespace/default"));
    assert_eq!(found, ("covered", "excluded", "uncovered"), "{states:?}");
    // Whether the other cluster could take it: what it lacks is said.
    let file = home.path().join("hourglass.yaml");
    let needs = "{ nodes: { nobody=has: 1 }, room: { cpu: 100k }, kinds: [apps/v1/Deployment, extensions/v1beta1/Deployment] }";
    fs::write(&file, fs::read_to_string(&file).unwrap() + &format!("ready: {{ clusters: {{ spare: {needs} }}, credentials: [spare] }}\n")).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&run(home.path(), "hourglass ready --output json || test $? = 3")).unwrap();
    let is_ready =
        |about: &str| answer["data"]["checks"].as_array().unwrap().iter().find(|check| check["about"] == about).map(|check| check["ready"] == true);
    let found = [
        "cluster spare: kind apps/v1/Deployment",
        "credentials spare",
        "cluster spare: kind extensions/v1beta1/Deployment",
        "cluster spare: nodes nobody=has",
    ];
    assert_eq!(found.map(is_ready), [Some(true), Some(true), Some(false), Some(false)], "{answer}");
    let claim = world.b.get("pvc", &world.of("apic-NAME"), "cache-1");
    assert_eq!(claim["spec"]["storageClassName"], "managed-premium");
    world.b.get("secret", &world.of("apic-NAME"), "password");
    let login = &world.b.get("secret", &world.of("apic-NAME"), "registry-login")["data"][".dockerconfigjson"];
    let login = String::from_utf8(BASE64_STANDARD.decode(login.as_str().unwrap()).unwrap()).unwrap();
    assert!(login.contains("registry.ne.example.com") && login.contains("of-the-new-registry"), "{login}");
}
