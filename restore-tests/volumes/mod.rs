//! Files of Kubernetes volumes, on regions of the lab: our image runs in their pods.

mod faults;
pub mod world;

use self::world::{World, assert_equal, fill, listings, shell};
use crate::{
    clusters::{Cluster, eventually},
    image,
    lab::Region,
};

/// A pod with as few rights as there are.
fn closed(image: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: hourglass, namespace: default}}
spec:
  restartPolicy: Never
  securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: hourglass
    image: {image}
    args: [--version]
    securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
"#
    )
}

#[test]
fn our_image_runs_in_a_kubernetes_pod_without_any_right() {
    let region = Cluster::region(Region::A);
    region.apply(&closed(&image::push(&region, "a")));
    eventually(|| match region.kubectl(&["get", "pod", "hourglass", "--output=jsonpath={.status.phase}"])?.as_str() {
        "Succeeded" => Ok(()),
        _ => region.kubectl(&["describe", "pod", "hourglass"]).and_then(Err),
    });
    assert_eq!(region.kubectl(&["logs", "hourglass"]).unwrap().trim(), concat!("hourglass ", env!("CARGO_PKG_VERSION")));
}

/// A pod with a user and a group of its own, which reads a file of that user.
const READER: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: reader, namespace: shop}
spec:
  restartPolicy: Never
  securityContext: {runAsUser: 1001, runAsGroup: 1001, fsGroup: 2002}
  containers: [{name: reader, image: "registry.region-b.test/app:1", command: [sh, -c, "cat /data/small/1 && echo more >>/data/small/1"], volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data-portal-0}}]
"#;

#[test]
fn files_of_kubernetes_volumes_come_back_in_another_region_after_the_first_has_lost_power() {
    let mut world = World::new();
    fill(&world.a);
    let b = Cluster::region(Region::B);
    let spare = world.source("spare", &b, "b", "", "");
    world.protect("", &spare);
    let before = listings(&world.a);
    let said = world.site.run(&["backup", "p"], 0);
    assert!(said.contains("is complete"), "{said}");
    let shown = world.site.run(&["points", "show", "p@we/1:3"], 0);
    assert!(shown.contains("shop/data-portal-0") && shown.contains("shop/data-portal-1"), "{shown}");
    assert_eq!(left_over(&world.a), "", "Jobs and Secrets of workers are gone");
    // The next point reads and stores next to nothing.
    let stored = |world: &World| world.keys(0).iter().filter(|(key, _)| key.contains("/packs/")).map(|(_, size)| size).sum::<u64>();
    let first = stored(&world);
    world.site.run(&["backup", "p"], 0);
    assert!(stored(&world) < first + (1 << 20), "{first} bytes, then {}", stored(&world));

    world.a.lose_power();
    world.equip(&b);
    let refused = world.site.run(&["restore", "p", "files", "--into", "spare"], 1);
    assert!(refused.contains("the cluster has no claim shop/data-portal-0, shop/data-portal-1"), "{refused}");
    world.make_claims(&b);
    let said = world.site.run(&["restore", "p", "files", "--into", "spare"], 0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    assert_eq!(left_over(&b), "", "the operator's key went with its Job");
    world.start_portal(&b, "b");
    assert_equal(&before, &listings(&b));
    let compare = ["verify", "p@we/1:4", "--depth", "restored", "--member", "files", "--into", "spare"];
    let said = world.site.run(&compare, 0);
    assert!(said.contains("is what the target holds"), "{said}");
    shell(&b, "portal-1", "cd /data/small; touch -r 77 /tmp/time; printf X | dd of=77 bs=1 seek=2 conv=notrunc; touch -r /tmp/time 77");
    let said = world.site.run(&compare, 3);
    assert!(said.contains("DIFFERS") && said.contains("shop/data-portal-1: small/77: ") && said.contains("its content has SHA-256"), "{said}");
    let refused = world.site.run(&["restore", "p", "files", "shop/data-portal-0", "--into", "spare"], 1);
    assert!(refused.contains("/volume is not empty"), "{refused}");
    assert!(shell(&b, "portal-0", "find /data/small | wc -l").trim() == "2001");

    b.apply(READER);
    eventually(|| match b.kubectl(&["--namespace=shop", "get", "pod", "reader", "--output=jsonpath={.status.phase}"])?.as_str() {
        "Succeeded" => Ok(()),
        _ => b.kubectl(&["--namespace=shop", "describe", "pod", "reader"]).and_then(Err),
    });
    assert_eq!(b.kubectl(&["--namespace=shop", "logs", "reader"]).unwrap(), "file 1 of portal-0\n");
}

/// What belongs to workers and is still there.
fn left_over(region: &Cluster) -> String {
    region.kubectl(&["get", "jobs,secrets", "--all-namespaces", "--selector=app.kubernetes.io/name=hourglass", "--output=name"]).unwrap()
}
