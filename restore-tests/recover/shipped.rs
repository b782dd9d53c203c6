//! The steps of the vendors' runbooks that the lab has systems for, run from the shipped files as they are written: objects, images, rows. What needs a
//! cloud, the vendor's own programs or data that lies elsewhere is left out.

use std::{collections::BTreeSet, fs, path::Path};

use super::{Watched, run_id};
use crate::{
    clusters::Cluster,
    images::world::{MANIFEST, Registry, noise},
    kubernetes::world::{CARRY, Plane},
    lab::{CassandraCluster, Servers, Sql, require},
    mysql::world::{Make, Names, sql},
    site::Site,
    stores::places::fresh_name,
};

/// A shipped runbook, and what is tried of it.
struct Shipped {
    name: &'static str,
    policy: &'static str,
    namespace: &'static str,
    /// Members with rows: of Cassandra, of MySQL.
    rows: [&'static str; 2],
    /// The steps that are run.
    steps: &'static [&'static str],
    /// A workload for each that a step selects by its name.
    workloads: &'static [(&'static str, &'static str)],
}

const SHIPPED: [Shipped; 2] = [
    Shipped {
        name: "ibm-api-connect",
        policy: "apic",
        namespace: "apic",
        rows: ["management", "portal"],
        steps: &["images", "old-site", "ground", "encryption", "databases", "management", "portal-rows", "platform", "go-live", "activate"],
        workloads: &[("StatefulSet", "r-cassandra"), ("StatefulSet", "r-portal-db"), ("Deployment", "manager")],
    },
    Shipped {
        name: "axway-amplify",
        policy: "amplify",
        namespace: "apim",
        rows: ["kps", "metrics"],
        steps: &["images", "old-site", "kps", "metrics", "ground", "anm", "api-manager", "gateways", "go-live", "activate"],
        workloads: &[("Deployment", "anm"), ("Deployment", "apimgr"), ("Deployment", "traffic")],
    },
];

/// What a platform has besides workloads. The lab runs no pods here, so nothing is scaled above none.
const PLATFORM: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: NAME }
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: NAME-late }
provisioner: example.org/none
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: Secret
metadata: { name: r-encryption-secret, namespace: NAME }
stringData: { key: planted }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: endpoints, namespace: NAME }
data: { a: b }
---
apiVersion: v1
kind: Service
metadata: { name: gateway, namespace: NAME }
spec: { selector: { app: gateway }, ports: [{ port: 443 }] }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: files, namespace: NAME }
spec: { storageClassName: NAME-late, accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } }
---
apiVersion: batch/v1
kind: CronJob
metadata: { name: nightly, namespace: NAME }
spec: { schedule: "0 0 1 1 *", jobTemplate: { spec: { template: { spec: { restartPolicy: Never, containers: [{ name: c, image: REGISTRY/gateway:1.0 }] } } } } }
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: gateway, namespace: NAME }
spec: { scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: gateway }, maxReplicas: 3 }
"#;

/// A step of a runbook as it is written: its name, what it needs, its section.
struct Written<'a> {
    id: &'a str,
    needs: Vec<&'a str>,
    needs_line: &'a str,
    section: &'a str,
}

fn written<'a>(sections: impl Iterator<Item = &'a str>) -> Vec<Written<'a>> {
    let step = |section: &'a str| {
        let id = section.lines().find_map(|line| line.strip_prefix("id: "))?;
        let needs_line = section.lines().find(|line| line.starts_with("needs: ")).unwrap();
        let needs = needs_line.trim_start_matches("needs: [").trim_end_matches(']').split(", ").filter(|need| !need.is_empty());
        Some(Written { id, needs: needs.collect(), needs_line, section })
    };
    sections.filter_map(step).collect()
}

/// Which of the steps that are kept a step waits for, past those that are left out.
fn waits<'a>(all: &[Written<'a>], of: &Written<'a>, kept: &[&str], found: &mut BTreeSet<&'a str>) {
    for need in &of.needs {
        match all.iter().find(|step| step.id == *need) {
            Some(step) if !kept.contains(need) => waits(all, step, kept, found),
            _ => drop(found.insert(need)),
        }
    }
}

/// The runbook with these steps alone.
fn cut(book: &str, steps: &[&str]) -> String {
    let mut sections = book.split("\n## ");
    let mut text = sections.next().unwrap().to_owned();
    let all = written(sections);
    for id in steps {
        assert!(all.iter().any(|step| step.id == *id), "the runbook has no step {id}");
    }
    for step in all.iter().filter(|step| steps.contains(&step.id)) {
        let mut needs = BTreeSet::new();
        waits(&all, step, steps, &mut needs);
        let line = format!("needs: [{}]", needs.into_iter().collect::<Vec<_>>().join(", "));
        text += &format!("\n## {}", step.section.replace(step.needs_line, &line));
    }
    text
}

impl Shipped {
    fn text(&self) -> String {
        fs::read_to_string(format!("{}/runbooks/{}.md", env!("CARGO_MANIFEST_DIR"), self.name)).unwrap()
    }

    fn objects(&self, registry: &str) -> String {
        let workload = |(kind, name): &(&str, &str)| {
            let service = if *kind == "StatefulSet" { "serviceName: gateway, " } else { "" };
            format!(
                "---\n{{ apiVersion: apps/v1, kind: {kind}, metadata: {{ name: {name}, namespace: NAME }}, spec: {{ replicas: 0, {service}selector: {{ matchLabels: {{ app: {name} }} }}, \
                 template: {{ metadata: {{ labels: {{ app: {name} }} }}, spec: {{ containers: [{{ name: c, image: REGISTRY/gateway:1.0 }}] }} }} }} }}\n"
            )
        };
        let workloads: String = self.workloads.iter().map(workload).collect();
        (PLATFORM.to_owned() + &workloads).replace("NAME", self.namespace).replace("REGISTRY", registry)
    }

    /// What a site protects, and where it all goes: between two clusters and two registries.
    fn sources(&self, [a, b]: [&Cluster; 2], [from, to]: [&Registry; 2], [kps, metrics]: [&str; 2]) -> String {
        let [one, other] = self.rows;
        let [old, new] = [a, b].map(|cluster| format!("{:?}", cluster.kubeconfig().display().to_string()));
        let (old_registry, new_registry) = (&from.address, format!("{}/{}", to.address, self.namespace));
        let registries = format!("registries: {{ {}, {} }}", from.yaml(), to.yaml());
        format!(
            "sources:
  {one}: {kps}
  {other}: {metrics}
  cluster: {{ kubernetes: {{ kubeconfig: {old}, namespaces: [{}], no_data: [\"*/*\"] }} }}
  images: {{ images: {{ references: [\"{old_registry}/gateway:1.0\"], {registries} }} }}
  registry-b: {{ images: {{ registry: {new_registry:?}, {registries} }} }}
  cluster-b:
    kubernetes:
      kubeconfig: {new}
      restore: {{ ready_within: 2m, registries: {{ {old_registry:?}: {new_registry:?} }}, existing: keep, {CARRY} }}
policies:
  {}: {{ members: {{ {one}: required, {other}: required, cluster: required, images: required }} }}
",
            self.namespace, self.policy,
        )
    }

    fn run(&self) {
        let [a, b] = [(); 2].map(|()| Cluster::control_plane());
        let (from, to) = (Registry::open(), Registry::guarded());
        from.image("gateway", Some("1.0"), MANIFEST, &[&noise(self.name, 1 << 20)]);
        let (at, keyspace, names) = (Plane { kubeconfig: a.kubeconfig() }, fresh_name(), Names::new(Make::MariaDb, 1));
        at.apply(&self.objects(&from.address));
        let db = &*names.all[0];
        sql(&Make::MariaDb.source(), &format!("create database {db}; create table {db}.t (n int primary key); insert into {db}.t values (1), (2)"));
        crate::cassandra::world::cql(
            CassandraCluster::Three,
            &[
                format!("CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', 'dc1': 3}}"),
                format!("CREATE TABLE {keyspace}.t (n int PRIMARY KEY, v text)"),
                format!("INSERT INTO {keyspace}.t (n, v) VALUES (1, 'one')"),
            ],
        );
        let site = Site::in_directories();
        site.run(&["init", "--write"], 0);
        let cassandra = |cluster, more: &str| crate::cassandra::world::yaml(&site, cluster, more);
        let mysql = |server: Sql| crate::mysql::world::yaml(&site, &server, &format!("databases: [{db}], users: false"));
        let (kps, metrics) = (cassandra(CassandraCluster::Three, &format!("keyspaces: {{ include: [{keyspace}] }}")), mysql(Make::MariaDb.source()));
        site.configure(&self.sources([&a, &b], [&from, &to], [&kps, &metrics]));
        site.run(&["keys", "prove"], 0);
        site.run(&["backup", self.policy, "--quiet"], 0);
        // The same sources are those of the other region from now on.
        let config = fs::read_to_string(site.path("hourglass.yaml")).unwrap();
        let dr =
            cassandra(CassandraCluster::Dr, "restore: { replication: { \"*\": { class: NetworkTopologyStrategy, dr1: \"1\" } }, skip_roles: true }");
        let there = config.replace(&kps, &dr).replace(&metrics, &mysql(Make::MariaDb.target())).replace("site: we\n", "site: ne\n");
        fs::write(site.path("hourglass.yaml"), there).unwrap();
        fs::write(site.path("book.md"), cut(&self.text(), self.steps)).unwrap();
        let words = self.values(&site, &b.kubeconfig());
        site.run(&["runbook", "lint", "book.md"], 0);
        let mut recover = site.command(&["--output", "json", "recover", "book.md"]);
        recover.args(words).env("PATH", format!("{}:{}", require("HOURGLASS_LAB_KUBERNETES"), std::env::var("PATH").unwrap()));
        let mut running = Watched::of(recover);
        for question in ["old-site", "go-live"] {
            assert!(running.says(&format!("STEP {question} ASKS")), "{}", running.said());
            let run = run_id(&site);
            if question == "go-live" {
                self.judge_quiet(&Plane { kubeconfig: b.kubeconfig() });
            }
            site.run(&["runs", "approve", &run, question, "--who", "Berta", "--reason", "a test"], 0);
        }
        let (envelope, said) = running.end(0);
        let members = envelope["data"]["facts"]["members"].as_array().unwrap();
        assert!(members.len() >= 6 && members.iter().all(|member| member["equal"] == true), "{envelope}\n{said}");
        let there = Plane { kubeconfig: b.kubeconfig() };
        assert_eq!(there.get("cronjob", self.namespace, "nightly")["spec"]["suspend"], false);
        there.get("hpa", self.namespace, "gateway");
        assert_eq!(sql(&Make::MariaDb.target(), &format!("select count(*) from {db}.t")).trim(), "2");
        assert_eq!(crate::cassandra::world::cql(CassandraCluster::Dr, &[format!("SELECT n, v FROM {keyspace}.t")]), ["(1, 'one')"]);
        assert!(to.bytes(&format!("{}/gateway", self.namespace), "1.0").is_ok());
        for cluster in [CassandraCluster::Three, CassandraCluster::Dr] {
            crate::cassandra::world::drop_keyspaces(cluster, &[&keyspace]);
        }
    }

    /// Every workload is there, and nothing acts by itself.
    fn judge_quiet(&self, b: &Plane) {
        for (kind, name) in self.workloads {
            b.get(kind, self.namespace, name);
        }
        assert_eq!(b.get("cronjob", self.namespace, "nightly")["spec"]["suspend"], true);
        assert!(b.find("hpa", self.namespace, "gateway").is_none());
    }

    /// A value for each variable that the runbook has none for.
    fn values(&self, site: &Site, kubeconfig: &Path) -> Vec<String> {
        let text = self.text();
        let front = text.split("---").nth(1).unwrap();
        let variables = front.split("variables:\n").nth(1).unwrap().lines().filter(|line| !line.contains("default:"));
        let value = |line: &str| {
            let name = line.trim().split(':').next().unwrap();
            let value = match name {
                "kubeconfig" => kubeconfig.display().to_string(),
                _ if line.contains("kind: url") => "https://nowhere.example.com".to_owned(),
                "seed" => "127.0.0.1:9".to_owned(),
                _ => site.path("").display().to_string(),
            };
            ["--var".to_owned(), format!("{name}={value}")]
        };
        variables.filter(|line| !line.trim().is_empty()).flat_map(value).collect()
    }
}

#[test]
fn steps_of_the_shipped_runbooks_for_kubernetes_cassandra_mariadb_and_images_run_as_they_are_written() {
    let _lab = [Servers::MariaDb, Servers::Cassandra].map(Servers::together);
    let _alone = Make::MariaDb.alone();
    SHIPPED.iter().for_each(Shipped::run);
}
