//! A recovery into a real region where all goes wrong that a person can mend: too few nodes, a missing image, a wrong variable, a step that never works.

use std::{fs, process::Command};

use serde_json::Value;

use super::{Watched, run_id};
use crate::{
    clusters::{Cluster, eventually},
    kubernetes::world::{CARRY, World},
    lab::{Region, Servers},
};

/// A workload that needs a node and an image.
const WEB: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: NAME }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: NAME }
spec: { replicas: 1, selector: { matchLabels: { app: web } }, template: { metadata: { labels: { app: web } }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: c, image: "registry.we.example.com/app:1", command: [lab-app, sleep] }] } } }
"#;

const BOOK: &str = r#"---
name: bent
policy: p
rto: { service: 30m, full: 1h }
variables:
  answers: { about: "a file that says that the service answers", default: /nowhere/at/all }
---
# Rebuild a service

## Apply it
```yaml step
id: objects
needs: []
budget: 1m
objects: { member: cluster, into: spare, select: ["NAME*"] }
```

## Ask it
```yaml step
id: asked
needs: [objects]
budget: 1m
command: { run: [cat, "${answers}"], check: [test, -e, "${answers}.seen"] }
```

## Tell everybody
```yaml step
id: told
needs: [asked]
budget: 1m
command: { run: [sh, -c, "echo nobody listens >&2; exit 7"] }
```
"#;

/// A screen has so many lines.
const SCREEN: usize = 24;

fn order(world: &World, words: &[&str]) {
    let run = run_id(&world.site);
    world.site.run(&[&["runs", words[0], &run][..], &words[1..], &["--who", "Berta", "--reason", "a test"]].concat(), 0);
}

/// What the run shows for the last time that it needs a person, which has to be more often than `before`.
fn shown(running: &mut Watched, before: usize) -> String {
    let needs = |line: &&String| line.contains("NEEDS A PERSON");
    assert!(running.reaches(|said| said.iter().filter(needs).count() > before), "{}", running.said());
    let said = running.said();
    let line = said.lines().rev().find(|line| line.contains("NEEDS A PERSON")).unwrap();
    let event: Value = serde_json::from_str(line).unwrap();
    let text = crate::site::find(&event, "text").unwrap().as_str().unwrap().to_owned();
    assert!(text.lines().count() <= SCREEN, "more than one screen: {text}");
    text
}

#[test]
fn a_recovery_of_kubernetes_without_nodes_images_and_values_is_explained_bent_and_finished_and_says_so() {
    let _lab = Servers::Kubernetes.together();
    let world = World::new("no_data: [\"*/*\"]", &format!("registries: {{ registry.we.example.com: registry.region-b.test/moved }}, {CARRY}"));
    world.reconfigure("ready_within: 2m", "ready_within: 15s");
    world.fill(WEB);
    world.site.run(&["backup", "p"], 0);
    let b = Cluster::region(Region::B);
    world.reconfigure(&world.b.kubeconfig.display().to_string(), &b.kubeconfig().display().to_string());
    b.kubectl(&["cordon", "node-b"]).unwrap();
    fs::write(world.site.path("book.md"), world.of(BOOK)).unwrap();
    let mut running = Watched::start(&world.site, &["recover", "book.md", "--report", "report.html"]);

    let text = shown(&mut running, 0);
    assert!(text.contains("STEP objects") && text.contains("web: 0 of 1 are ready") && text.contains("0/1 nodes are available"), "{text}");
    b.kubectl(&["uncordon", "node-b"]).unwrap();
    order(&world, &["retry", "objects"]);
    let text = shown(&mut running, 1);
    assert!(text.contains("ErrImagePull") || text.contains("ImagePullBackOff"), "{text}");
    assert!(text.contains("runs retry") && text.contains("runs skip"), "{text}");
    let app = format!("docker://{}:5000/app:1", b.address());
    let copied = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"])
        .args([&app, &app.replace("/app:1", "/moved/app:1")])
        .output()
        .unwrap();
    assert!(copied.status.success(), "{copied:?}");
    // The node waits longer before each try.
    b.kubectl(&["--namespace", &world.name, "delete", "pods", "--all", "--now"]).unwrap();
    eventually(|| {
        match b.kubectl(&["--namespace", &world.name, "get", "deployment", "web", "--output=jsonpath={.status.readyReplicas}"])?.as_str() {
            "1" => Ok(()),
            _ => b.kubectl(&["--namespace", &world.name, "describe", "pods"]).and_then(Err),
        }
    });
    order(&world, &["retry", "objects"]);

    let text = shown(&mut running, 2);
    assert!(text.contains("STEP asked") && text.contains("/nowhere/at/all") && text.contains("runs set"), "{text}");
    fs::write(world.site.path("answer"), "200\n").unwrap();
    order(&world, &["set", "answers", &world.site.path("answer").display().to_string()]);
    order(&world, &["retry", "asked"]);
    let text = shown(&mut running, 3);
    assert!(text.contains("STEP told") && text.contains("nobody listens"), "{text}");
    order(&world, &["skip", "told"]);

    let (envelope, said) = running.end(3);
    assert_eq!(envelope["problems"][0]["what"], "skipped by Berta: a test", "{said}");
    let facts = &envelope["data"]["facts"];
    let did: Vec<&str> = facts["orders"].as_array().unwrap().iter().map(|order| order["what"].as_str().unwrap()).collect();
    assert_eq!(did.len(), 5, "{did:?}");
    assert_eq!((&facts["outcome"], &facts["members"][0]["equal"]), (&Value::from("incomplete"), &Value::from(true)), "{facts}");
    assert!(facts["clocks"]["service_green"].is_null());
    let recorded = world.site.run(&["--output", "json", "record", "show", "p"], 0);
    assert!(recorded.contains("\"deviations\":5"), "{recorded}");
}
