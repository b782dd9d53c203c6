//! Recoveries of clusters: images into a registry, objects into a cluster that stays quiet until somebody says so.

use std::{collections::BTreeMap, fs};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{
    Watched, run_id,
    taken::{Elsewhere, Frozen},
};
use crate::{
    images::world::{MANIFEST, Registry, noise, sha256},
    kubernetes::world::{CARRY, Plane, World},
    lab::Servers,
};

/// Objects of all that acts by itself, and some that do not.
const PLATFORM: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: NAME }
---
apiVersion: v1
kind: Secret
metadata: { name: credentials, namespace: NAME }
stringData: { password: planted }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: gateway, namespace: NAME }
spec: { replicas: 0, selector: { matchLabels: { app: gateway } }, template: { metadata: { labels: { app: gateway } }, spec: { containers: [{ name: c, image: REGISTRY/gateway:1.0 }] } } }
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: { name: ingest, namespace: NAME }
spec: { replicas: 2, selector: { matchLabels: { app: ingest } }, template: { metadata: { labels: { app: ingest } }, spec: { nodeSelector: { no: where }, containers: [{ name: c, image: REGISTRY/gateway:1.0 }] } } }
---
apiVersion: batch/v1
kind: CronJob
metadata: { name: never, namespace: NAME }
spec: { suspend: true, schedule: "0 0 1 1 *", jobTemplate: { spec: { template: { spec: { restartPolicy: Never, containers: [{ name: c, image: REGISTRY/gateway:1.0 }] } } } } }
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: gateway, namespace: NAME }
spec: { scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: gateway }, maxReplicas: 3 }
---
apiVersion: v1
kind: ResourceQuota
metadata: { name: few, namespace: NAME }
spec: { hard: { services: "1000" } }
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: api, namespace: NAME }
spec: { rules: [{ host: api.example.com, http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: gateway, port: { number: 80 } } } }] } }] }
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: { name: NAME-hook }
webhooks: [{ name: a.NAME.example.org, failurePolicy: Fail, sideEffects: None, admissionReviewVersions: [v1], clientConfig: { service: { namespace: NAME, name: nobody } },
  rules: [{ apiGroups: [NAME.example.org], apiVersions: [v1], operations: [CREATE], resources: [things] }] }]
"#;

const BOOK: &str = r#"---
name: cluster
policy: p
rto: { service: 10m, full: 1h }
---
# Rebuild a cluster

## Bring the images
```yaml step
id: images
needs: []
budget: 1m
images: { member: images, into: registry }
```

## Apply what starts first, scaled
```yaml step
id: scaled
needs: [images]
budget: 1m
objects: { member: cluster, into: spare, select: ["NAME/replicasets"], mode: quiet, replicas: { "NAME/replicasets/ingest": 0 } }
```

## Apply everything, and let nothing act
```yaml step
id: quiet
needs: [scaled]
budget: 1m
objects: { member: cluster, into: spare, select: ["NAME*", "_cluster/*/NAME*"], mode: quiet }
```

## Decide
```yaml step
id: go
needs: [quiet]
budget: 1m
approve: { question: "Is the old site stopped?" }
```

## Let everything act
```yaml step
id: activate
needs: [go]
budget: 1m
objects: { member: cluster, into: spare, select: ["NAME*", "_cluster/*/NAME*"], mode: activate }
```
"#;

/// A cluster with so many ConfigMaps and CronJobs besides the platform, its images, a point of both, and a runbook.
struct Lost {
    world: World,
    from: Registry,
    to: Registry,
    layers: Vec<String>,
}

fn lost(maps: usize, jobs: usize) -> Lost {
    let (from, to) = (Registry::open(), Registry::guarded());
    let parts: Vec<Vec<u8>> = ["one", "two", "three"].map(|seed| noise(seed, 8 << 20)).to_vec();
    let layers = parts.iter().map(|part| sha256(part)).collect();
    from.image("gateway", Some("1.0"), MANIFEST, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let world = World::new("no_data: [\"*/*\"]", &format!("registries: {{ {:?}: {:?} }}, {CARRY}", from.address, format!("{}/apim", to.address)));
    let registries = format!("registries: {{ {}, {} }}", from.yaml(), to.yaml());
    let (images, registry) = (format!("{}/gateway:1.0", from.address), format!("{}/apim", to.address));
    world.reconfigure(
        "  spare: {",
        &format!(
            "  images: {{ images: {{ references: [{images:?}], {registries} }} }}\n  registry: {{ images: {{ registry: {registry:?}, {registries} }} }}\n  spare: {{"
        ),
    );
    world.reconfigure("cluster: required", "cluster: required, images: required");
    world.fill(&PLATFORM.replace("REGISTRY", &from.address));
    let metadata = |name: String| json!({"name": name, "namespace": world.name});
    let map = |n: usize| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(format!("m{n}")), "data": {"n": n.to_string()}});
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": images}]}});
    let job = |n: usize| {
        let spec = json!({"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}});
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata(format!("j{n}")), "spec": spec})
    };
    let items: Vec<Value> = (0..maps).map(map).chain((0..jobs).map(job)).collect();
    world.a.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
    world.site.run(&["backup", "p"], 0);
    fs::write(world.site.path("book.md"), world.of(BOOK)).unwrap();
    Lost { world, from, to, layers }
}

impl Lost {
    fn start(&self) -> Watched {
        Watched::start(&self.world.site, &["recover", "book.md", "--report", "report.html"])
    }

    fn resume(&self) -> Watched {
        Watched::start(&self.world.site, &["runs", "resume", &run_id(&self.world.site), "--report", "report.html"])
    }

    fn approve(&self) {
        self.world.site.run(&["runs", "approve", &run_id(&self.world.site), "go", "--who", "Berta", "--reason", "a test"], 0);
    }

    /// Whether the first ConfigMap is there: to look for more takes a busy machine as long as to apply them.
    fn has_begun(&self) -> bool {
        self.world.b.find("configmap", &self.world.name, "m0").is_some()
    }

    /// What the target has of a kind, by name.
    fn all(&self, kind: &str) -> BTreeMap<String, Value> {
        let listed: Value = serde_json::from_str(&self.world.b.run(&["get", kind, "--namespace", &self.world.name, "--output=json"])).unwrap();
        let items = listed["items"].as_array().unwrap().iter();
        items.map(|item| (item["metadata"]["name"].as_str().unwrap().to_owned(), item.clone())).collect()
    }

    fn assert_quiet(&self, jobs: usize) {
        let (world, b) = (&self.world, &self.world.b);
        let found = self.all("cronjobs");
        assert_eq!(found.len(), jobs + 1);
        assert!(found.values().all(|job| job["spec"]["suspend"] == true));
        assert_eq!(b.get("replicaset", &world.name, "ingest")["spec"]["replicas"], 0);
        for (kind, of) in [("hpa", "gateway"), ("resourcequota", "few")] {
            assert!(b.find(kind, &world.name, of).is_none(), "{kind}");
        }
        assert!(b.find("validatingwebhookconfiguration", "", &world.of("NAME-hook")).is_none());
        for (kind, of) in [("ingress", "api"), ("secret", "credentials"), ("deployment", "gateway")] {
            b.get(kind, &world.name, of);
        }
    }

    fn assert_active(&self, jobs: usize) {
        let (world, b) = (&self.world, &self.world.b);
        let found = self.all("cronjobs");
        assert_eq!((found.len(), &found["never"]["spec"]["suspend"]), (jobs + 1, &json!(true)), "it was suspended when it was saved");
        for (name, job) in found.iter().filter(|(name, _)| *name != "never") {
            assert_eq!((&job["spec"]["suspend"], &job["metadata"]["annotations"]["hourglass/quiet"]), (&json!(false), &Value::Null), "{name}");
        }
        assert_eq!(b.get("replicaset", &world.name, "ingest")["spec"]["replicas"], 2);
        for (kind, of) in [("hpa", "gateway"), ("resourcequota", "few")] {
            b.get(kind, &world.name, of);
        }
        b.get("validatingwebhookconfiguration", "", &world.of("NAME-hook"));
        let image = b.get("deployment", &world.name, "gateway")["spec"]["template"]["spec"]["containers"][0]["image"].clone();
        assert_eq!(image, *format!("{}/apim/gateway:1.0", self.to.address));
        assert_eq!(self.from.bytes("gateway", "1.0").unwrap(), self.to.bytes("apim/gateway", "1.0").unwrap());
    }
}

fn signal(plane: &Plane, signal: Signal) {
    kill_process(Pid::from_raw(plane.api_server()).unwrap(), signal).unwrap();
}

#[test]
fn a_runbook_brings_images_and_objects_and_nothing_acts_before_it_is_activated() {
    let _lab = Servers::Kubernetes.together();
    let lost = lost(3, 2);
    let site = &lost.world.site;
    site.run(&["runbook", "lint", "book.md"], 0);
    let planned = site.run(&["recover", "book.md", "--plan"], 0);
    assert!(planned.contains("images -> scaled -> quiet -> go -> activate"), "{planned}");
    let mut running = lost.start();
    assert!(running.says("STEP go ASKS"), "{}", running.said());
    lost.assert_quiet(2);
    lost.approve();
    let (envelope, said) = running.end(0);
    lost.assert_active(2);
    let members = envelope["data"]["facts"]["members"].as_array().unwrap();
    assert_eq!(members.len(), 4, "{said}");
    let tally = |step: &str| members.iter().find(|member| member["step"] == step).unwrap()["tally"].clone();
    assert_eq!(tally("images"), json!({"images verified by their digests": 1}));
    assert_eq!((&tally("scaled")["applied and found equal"], &tally("quiet")["there already, or applied by another step"]), (&json!(2), &json!(2)));
    let page = fs::read_to_string(site.path("report.html")).unwrap();
    assert!(page.contains("Objects and images") && page.contains("<td>images verified by their digests</td>"), "{page}");
    // What two steps select was applied by the first as it says, and the second neither changed it nor compared it with what it would have made of it.
    let marks = |kind: &str, name: &str| lost.world.b.get(kind, &lost.world.name, name)["metadata"]["annotations"]["hourglass/run"].clone();
    assert!(marks("replicaset", "ingest").as_str().unwrap().ends_with("/activate"), "it was scaled, and is no more");
    assert!(marks("configmap", "m0").as_str().unwrap().ends_with("/quiet"));
    assert!(members.iter().all(|member| member["equal"] == true), "{envelope}");
}

#[test]
fn a_kubernetes_recovery_killed_inside_of_each_kind_of_step_ends_well_and_does_nothing_twice() {
    let _lab = Servers::Kubernetes.alone();
    let (maps, jobs) = (1500, 400);
    let lost = lost(maps, jobs);
    let b = &lost.world.b;
    // Inside of `images`: one layer is there.
    let mut running = lost.start();
    assert!(running.reaches(|_| !lost.to.held(&lost.layers).is_empty()), "{}", running.said());
    lost.to.freeze(true);
    running.kill();
    lost.to.freeze(false);
    let held = lost.to.held(&lost.layers);
    // Inside of `objects`, quiet.
    let mut running = lost.resume();
    assert!(running.reaches(|_| lost.has_begun()), "{}", running.said());
    signal(b, Signal::STOP);
    running.kill();
    signal(b, Signal::CONT);
    let before = lost.all("configmaps");
    assert!(before.len() < maps, "it was killed too late to show anything");
    let mut running = lost.resume();
    assert!(running.says("STEP go ASKS"), "{}", running.said());
    lost.assert_quiet(jobs);
    let after = lost.all("configmaps");
    assert_eq!(after.len(), maps + 1);
    for (name, map) in before {
        assert_eq!(map, after[&name], "written again");
    }
    // Inside of `objects` that are activated.
    lost.approve();
    // The first alone: to list all takes a busy machine as long as to wake them.
    let is_awake = |job: &Value| job["spec"]["suspend"] == false;
    assert!(running.reaches(|_| is_awake(&b.get("cronjob", &lost.world.name, "j0"))), "{}", running.said());
    signal(b, Signal::STOP);
    running.kill();
    signal(b, Signal::CONT);
    assert!(!lost.all("cronjobs").values().all(is_awake), "it was killed too late to show anything");
    let (envelope, _) = lost.resume().end(0);
    lost.assert_active(jobs);
    assert_eq!(envelope["data"]["facts"]["resumed"].as_array().unwrap().len(), 3);
    for layer in held {
        assert_eq!(lost.to.uploads(&layer), 1, "{layer} was moved twice");
    }
}

/// What two executors of one run do to the same objects, of which one was frozen and does not know of the other.
#[test]
fn a_process_frozen_in_a_kubernetes_apply_is_killed_by_its_lease_and_changes_nothing_after_a_takeover() {
    let _lab = Servers::Kubernetes.together();
    let maps = 1500;
    let lost = lost(maps, 1);
    let (b, site) = (&lost.world.b, &lost.world.site);
    let elsewhere = Elsewhere::new(site);
    let mut running = lost.start();
    assert!(running.reaches(|_| lost.has_begun()), "{}", running.said());
    let frozen = Frozen::new(&running);
    let before = lost.all("configmaps");
    assert!(before.len() < maps, "it was frozen too late to show anything");
    let mut taking = elsewhere.take_over(&run_id(site), &["--stopped"]);
    assert!(taking.says("STEP go ASKS"), "{}", taking.said());
    lost.assert_quiet(1);
    lost.approve();
    let (envelope, said) = taking.end(0);
    lost.assert_active(1);
    assert!(envelope["data"]["facts"]["members"].as_array().unwrap().iter().all(|member| member["equal"] == true), "{said}");
    // The service runs again, and changes what was restored, what the frozen process had made and what it had not.
    let name = &*lost.world.name;
    b.run(&["label", "configmaps", "--namespace", name, "--all", "of=the-new-service"]);
    b.run(&["delete", "configmap", "--namespace", name, before.keys().find(|name| name.starts_with('m')).unwrap()]);
    b.run(&["patch", "cronjob", "j0", "--namespace", name, "--type=merge", "--patch={\"spec\":{\"suspend\":true}}"]);
    let after = [lost.all("configmaps"), lost.all("cronjobs")];
    frozen.ends_with_its_lease(running);
    assert_eq!([lost.all("configmaps"), lost.all("cronjobs")], after);
}

#[test]
fn steps_for_kubernetes_are_linted_by_what_the_configuration_knows() {
    let _lab = Servers::Kubernetes.together();
    let lost = lost(1, 1);
    let site = &lost.world.site;
    let book = fs::read_to_string(site.path("book.md")).unwrap();
    let with = |from: &str, to: &str, status: i32| {
        fs::write(site.path("book.md"), book.replace(from, to)).unwrap();
        assert!(book.contains(from));
        site.run(&["runbook", "lint", "book.md"], status)
    };
    let said = with("{ member: images, into: registry }", "{ member: images, into: spare }", 2);
    assert!(said.contains("images.into: spare is a source of kind kubernetes, and images is for images"), "{said}");
    let said = with("{ member: images, into: registry }", "{ member: cluster, into: registry }", 2);
    assert!(said.contains("images.member: cluster is a source of kind kubernetes"), "{said}");
    let said = with("mode: activate", "mode: apply", 0);
    assert!(said.contains("no step activates what stays suspended or left out in spare"), "{said}");
    let said = with("mode: activate", "replicas: { a: 1 }", 2);
    assert!(said.contains("it belongs to mode: quiet") && said.contains("is not of the form NAMESPACE/KIND/NAME"), "{said}");
    let said = with("mode: activate", "mode: later", 2);
    assert!(said.contains("apply") && said.contains("quiet"), "{said}");
}

#[test]
fn what_a_person_has_to_decide_is_found_before_a_kubernetes_recovery_begins() {
    let _lab = Servers::Kubernetes.together();
    let lost = lost(1, 1);
    let world = &lost.world;
    world.fill("{ apiVersion: v1, kind: ConfigMap, metadata: { name: old, namespace: NAME }, data: { at: \"see api.we.example.com\" } }");
    world.fill("{ apiVersion: v1, kind: Secret, metadata: { name: hidden, namespace: NAME }, stringData: { at: \"http://api.we.example.com/x\" } }");
    // What only the old cluster can mean is learned when the point is made.
    world.fill("{ apiVersion: v1, kind: Node, metadata: { name: NAME-node } }");
    world.fill("{ apiVersion: v1, kind: PersistentVolume, metadata: { name: NAME }, spec: { capacity: { storage: 1Gi }, accessModes: [ReadWriteOnce], csi: { driver: a.driver, volumeHandle: vol-NAME } } }");
    world.fill("{ apiVersion: v1, kind: Service, metadata: { name: front, namespace: NAME }, spec: { type: LoadBalancer, ports: [{ port: 80 }] } }");
    let answers = "--patch={\"status\": {\"loadBalancer\": {\"ingress\": [{\"ip\": \"192.0.2.77\"}]}}}";
    world.a.run(&["patch", "service", "front", "--namespace", &world.name, "--subresource=status", "--type=merge", answers]);
    let learned = [("nodes", "NAME-node"), ("volumes", "vol-NAME"), ("addresses", "192.0.2.77"), ("registries", &lost.from.address)];
    for (of, text) in learned {
        world.fill(&format!(
            "{{ apiVersion: v1, kind: ConfigMap, metadata: {{ name: of-{of}, namespace: NAME }}, data: {{ at: \"see {text}/x\" }} }}"
        ));
    }
    world.site.run(&["backup", "p"], 0);
    world.reconfigure(
        "secrets: [{ secrets: \"*/*\", class: carry }]",
        "residue: [we.example.com], secrets: [{ secrets: \"*/hidden\", class: carry }]",
    );
    let found = learned.map(|(of, text)| format!("configmaps NAME/of-{of}: data.at still has \"{text}\" of the old site, one of its {of}"));
    let expected = [
        "configmaps NAME/old: data.at still has \"we.example.com\"",
        "secrets NAME/hidden: data.at still has \"we.example.com\"",
        "secrets NAME/credentials: has no class",
    ];
    for arguments in [&["recover", "book.md", "--plan"][..], &["recover", "book.md"]] {
        let said = world.site.run(arguments, 2);
        assert!(expected.iter().copied().chain(found.iter().map(String::as_str)).all(|text| said.contains(&world.of(text))), "{said}");
        assert!(!said.contains("api.we.example.com"), "the value of a Secret is shown: {said}");
    }
    assert!(world.b.find("namespace", "", &world.name).is_none());
    assert!(!world.site.run(&["runs", "list"], 0).contains("recover"));
    let allowed = "residue: [we.example.com], residue_allowed: { \"*/*/old\": \"a note\", \"*/*/hidden\": \"a test\", \"*/*/of-*\": \"a test\" }, secrets: [{ secrets: \"*/*\", class: carry }]";
    world.reconfigure("residue: [we.example.com], secrets: [{ secrets: \"*/hidden\", class: carry }]", allowed);
    world.site.run(&["recover", "book.md", "--plan"], 0);
}
