//! What happens to volumes when workers, those who sent them, or the cluster fail.

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Command},
    thread,
    time::Duration,
};

use super::{
    left_over,
    world::{World, assert_equal, fill, json, kill_worker, listings, newest_run, shell, start},
};
use crate::{clusters::Cluster, docs::of_page, lab::Region, site::find};

/// More than workers store between two checkpoints.
const LARGE: &str = "dd if=/dev/urandom of=/data/larger bs=1M count=400 2>/dev/null; sync";
/// The volumes of the lab may lie in memory, and then count as memory of whoever writes them.
const IN_MEMORY: &str = "memory: 2Gi";
/// With the large file that each of both claims has besides.
const CONTENT_BYTES: u64 = 500 << 20;

/// A recovery of nothing but the files.
const RUNBOOK: &str = "---\nname: files\npolicy: p\nrto: { service: 30m, full: 30m }\nsites: { from: we }\n---\n# Bring back the files\n\n## Files\n\n```yaml step\n\
                       id: files\nneeds: []\nbudget: 5m\nrestore: { member: files, into: spare }\n```\n";

/// How often workers of a part have told what they had reached.
fn told(world: &World, part: u32) -> usize {
    world.keys(1).iter().filter(|(key, _)| key.contains(&format!("/parts/files/{part:05}/0000000000"))).count()
}

/// Bytes of packs in the repository.
fn packs(world: &World) -> u64 {
    world.keys(0).iter().filter(|(key, _)| key.contains("/packs/")).map(|(_, size)| size).sum()
}

/// Region A with a large file in one of two claims, region B with the claims alone, a site that protects the first by workers that do `worker` and
/// knows the second, and what the claims hold.
fn large(worker: &str) -> (World, Cluster, [Vec<String>; 2]) {
    let world = World::new();
    fill(&world.a);
    shell(&world.a, "portal-0", LARGE);
    let b = Cluster::region(Region::B);
    world.equip(&b);
    world.make_claims(&b);
    let spare = world.source("spare", &b, "b", "", IN_MEMORY);
    world.protect(worker, &spare);
    let before = listings(&world.a);
    (world, b, before)
}

/// Protects the objects beside the claims, by a policy of their own.
fn protect_objects(world: &World) {
    let config = world.site.path("hourglass.yaml");
    let kubeconfig = world.a.kubeconfig().display().to_string();
    let with = format!(
        "  cluster: {{ kubernetes: {{ kubeconfig: {kubeconfig:?}, namespaces: [shop], no_data: [\"*/*\"] }} }}\npolicies:\n  objects: {{ members: {{ cluster: required }} }}\n"
    );
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("policies:\n", &with)).unwrap();
    world.site.run(&["keys", "prove"], 0);
}

/// Waits for something that happens before a process ends.
fn wait_until(process: &mut Child, is_so: impl Fn() -> bool) {
    while !is_so() {
        assert!(process.try_wait().unwrap().is_none(), "it was too fast");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Takes our workers off the only node of a region, as whoever maintains it does, and gives it back.
fn drain(region: &Cluster, node: &str) {
    region.kubectl(&["drain", node, "--force", "--delete-emptydir-data", "--pod-selector=app.kubernetes.io/name=hourglass"]).unwrap();
    region.kubectl(&["uncordon", node]).unwrap();
}

/// Shares of each claim, and the number of the one that the large file makes up. A file has its first name in a share before, and another in one after.
const SHARES: (u32, u32) = (3, 1);

#[test]
fn a_worker_in_a_kubernetes_pod_that_is_killed_or_loses_its_node_is_followed_by_one_that_goes_on() {
    let (shares, large_share) = SHARES;
    let (world, b, before) = large(&format!("shares: {shares}, at_once: 6"));
    let mut backup = start(&world.site, &["backup", "p"]);
    kill_worker("a", ("capture", &format!("--share {large_share} ")), || told(&world, large_share) > 0);
    // The next one loses its node, with whoever else works there.
    let told_before = told(&world, large_share);
    wait_until(&mut backup, || told(&world, large_share) > told_before);
    drain(&world.a, "node-a");
    let at_drain = packs(&world);
    let ended = backup.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    // Two checkpoints are 128 MiB apart. If all were put again, what was there already would come on top of the content.
    let (all, saved) = (packs(&world), 64 << 20);
    assert!(all + saved < at_drain + CONTENT_BYTES, "{all} bytes, of which {at_drain} before the node was drained");
    let ends = world.keys(1).iter().filter(|(key, _)| key.contains("/parts/files/") && key.contains("/end-")).count();
    assert_eq!(ends, 2 * shares as usize, "each share of both claims ended once");
    assert_eq!(left_over(&world.a), "");
    world.site.run(&["verify", "--depth", "restorable"], 0);
    let tree = json(&world.site.run(&["points", "tree", "p@we/1:3", "files", "--output", "json", "--quiet"], 0));
    for (component, pod) in find(&tree, "components").unwrap().as_array().unwrap().iter().zip(["portal-0", "portal-1"]) {
        let paths: Vec<String> = component["entries"].as_array().unwrap().iter().map(|entry| entry["path"].to_string()).collect();
        let once: BTreeSet<&String> = paths.iter().collect();
        let there = shell(&world.a, pod, "find /data | wc -l");
        assert_eq!((once.len(), paths.len().to_string().as_str()), (paths.len(), there.trim()), "nothing is doubled, and nothing is left out");
    }

    fs::write(world.site.path("files.md"), RUNBOOK).unwrap();
    let told_before = told(&world, 0);
    let mut recovery = start(&world.site, &["recover", "files.md"]);
    kill_worker("b", ("restore", ""), || told(&world, 0) > told_before);
    // The one of the other claim, or the next one, loses its node.
    wait_until(&mut recovery, || left_over(&b).contains("job"));
    drain(&b, "node-b");
    let ended = recovery.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert_eq!(left_over(&b), "");
    world.start_portal(&b, "b");
    assert_equal(&before, &listings(&b));
}

#[test]
fn whoever_sent_workers_into_kubernetes_may_be_killed_and_its_work_goes_on() {
    let (world, b, before) = large("");
    protect_objects(&world);
    let mut backup = start(&world.site, &["backup", "p"]);
    wait_until(&mut backup, || told(&world, 0) > 0);
    backup.kill().unwrap();
    backup.wait().unwrap();
    let first = newest_run(&world.site);
    // Workers that are there are nothing of the cluster's: they would be made again in another one.
    assert!(left_over(&world.a).contains("job"), "its workers go on");
    world.site.run(&["backup", "objects"], 0);
    world.site.run(&["restore", "objects", "cluster", "--to", "objects"], 0);
    let hold = |text: &str| Command::new("grep").args(["-rl", text]).arg(world.site.path("objects")).output().unwrap().status.code();
    assert_eq!((hold("data-portal-0"), hold("hourglass/run")), (Some(0), Some(1)));
    let said = world.site.run(&["backup", "p", "--output", "json"], 0);
    assert!(said.contains(&first), "it took over {first}: {said}");
    assert_eq!(left_over(&world.a), "", "the Jobs of the first run too");
    world.site.run(&["verify", "--depth", "restorable"], 0);

    let told_before = told(&world, 0);
    let mut restore = start(&world.site, &["restore", "p", "files", "--into", "spare"]);
    wait_until(&mut restore, || told(&world, 0) > told_before);
    restore.kill().unwrap();
    restore.wait().unwrap();
    let run = newest_run(&world.site);
    let said = world.site.run(&["runs", "resume", &run], 0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    assert_eq!(left_over(&b), "");
    world.start_portal(&b, "b");
    assert_equal(&before, &listings(&b));
}

/// The rights that the guide names, for an account of its own; and its kubeconfig.
fn account(world: &World, rules: &str) -> String {
    let subject = "{kind: ServiceAccount, name: sender, namespace: shop}";
    world.a.apply(&format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: sender, namespace: shop}}\n---\n{rules}\n---\napiVersion: rbac.authorization.k8s.io/v1\n\
         kind: RoleBinding\nmetadata: {{name: sender, namespace: shop}}\nsubjects: [{subject}]\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: hourglass-workers}}\n"
    ));
    let token = world.a.kubectl(&["--namespace=shop", "create", "token", "sender"]).unwrap();
    let authority = world.a.kubectl(&["config", "view", "--raw", "--output=jsonpath={.clusters[0].cluster.certificate-authority-data}"]).unwrap();
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{token: {:?}}}}}]\n\
         clusters: [{{name: c, cluster: {{server: \"https://{}:6443\", certificate-authority-data: {authority:?}}}}}]\n",
        token.trim(),
        world.a.address()
    )
}

#[test]
fn workers_in_kubernetes_are_sent_with_the_rights_that_the_guide_names_and_a_lacking_one_is_named_before() {
    let world = World::new();
    shell(&world.a, "portal-0", "echo kept >/data/kept");
    world.protect("", "");
    let admin = world.a.kubeconfig().display().to_string();
    let config = fs::read_to_string(world.site.path("hourglass.yaml")).unwrap();
    let own = world.site.path("sender.kubeconfig").display().to_string();
    fs::write(world.site.path("hourglass.yaml"), config.replace(&admin, &own)).unwrap();
    let rules = of_page("docs/how-to/volumes.md", "The account", "manifest").concat().replace("namespace: apic", "namespace: shop");
    let fewer = rules.replace("verbs: [create, delete]", "verbs: [delete]");
    assert_ne!(rules, fewer);
    fs::write(&own, account(&world, &fewer)).unwrap();
    let said = world.site.run(&["backup", "p"], 1);
    assert!(said.contains("may not create secrets in shop, which workers need"), "{said}");
    fs::write(&own, account(&world, &rules)).unwrap();
    world.site.run(&["backup", "p"], 0);
}

#[test]
fn a_claim_that_no_worker_in_kubernetes_can_read_is_named_and_never_green() {
    let world = World::new();
    shell(&world.a, "portal-0", "echo kept >/data/kept");
    let source = |name: &str, more: &str, worker: &str| world.source(name, &world.a, "a", more, worker);
    let absent = source("absent", "claims: [shop/data-portal-0, shop/nobody],", "");
    let unpulled = source("unpulled", "claims: [shop/data-portal-0],", "starts_within: 90s, shares: 2").replace("hourglass:1", "nothing:1");
    let unplaced = source("unplaced", "claims: [shop/data-portal-0],", "starts_within: 90s");
    let policies: String =
        ["absent", "unpulled", "unplaced"].iter().map(|name| format!("  {name}: {{ members: {{ {name}: required }} }}\n")).collect();
    world.site.configure(&format!("sources:\n{absent}{unpulled}{unplaced}policies:\n{policies}"));
    world.site.run(&["keys", "prove"], 0);

    let said = world.site.run(&["backup", "absent"], 3);
    assert!(said.contains("INCOMPLETE") && said.contains("claim shop/nobody: it does not exist"), "{said}");
    let said = world.site.run(&["backup", "unpulled"], 1);
    assert!(
        said.contains("no recovery point was made")
            && said.contains("share 1, 2 of 2: ")
            && (said.contains("ErrImagePull") || said.contains("ImagePullBackOff")),
        "{said}"
    );
    world.a.kubectl(&["cordon", "node-a"]).unwrap();
    let said = world.site.run(&["backup", "unplaced"], 1);
    assert!(said.contains("no recovery point was made") && said.contains("its pod has no node"), "{said}");
    assert_eq!(left_over(&world.a), "");
}
