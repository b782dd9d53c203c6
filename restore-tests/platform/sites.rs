//! Hourglass in both regions: what each site is told, and what they share.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hourglass::{
    config::StoreConfig,
    storage::{ObjectStore, list_all},
};
use tokio::runtime::Runtime;

use super::world::{IMAGES, NAMESPACE, Place};
use crate::{
    lab::{require, tls},
    site::{Site, yaml},
    stores::places::{S3, below, bucket, s3},
    volumes::world::reachable,
};

/// The shipped runbook, and where a kit has it.
pub const BOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks/lab-platform.md");
pub const BOOK_IN_KIT: &str = "runbooks/lab-platform.md";
/// Of the administrator of databases.
const PASSWORD: &str = "databases.password";
/// Files that a kit names and does not bring.
const SECRETS: [&str; 4] = ["operator.key", "capture.key", PASSWORD, "client.key"];

const POLICY: &str = "policies:\n  production: { members: { tokens: required, metrics: required, events: required, cluster: required, images: required, portal-files: required, \
    policies: required }, max_skew: 10m, schedule: \"* * * * *\" }\n";

fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// A snapshot repository in a bucket, as a search server of a region registers it: keys of YAML.
fn repository(name: &str, bucket: &StoreConfig) -> String {
    let (url, endpoint) = (bucket.url.to_string(), bucket.endpoint.as_ref().unwrap());
    let bucket = url.strip_prefix("s3://").unwrap();
    let way = format!("endpoint: {:?}, protocol: http, path_style_access: \"true\", region: us-east-1", endpoint.as_str().trim_end_matches('/'));
    let form = "chunk_size: 64mb, buffer_size: 64mb, server_side_encryption_type: bucket_default";
    format!("name: {name}, type: s3, settings: {{ bucket: {bucket}, base_path: live, {way}, {form} }}")
}

/// The sources of a region. `written` is the snapshot repository of its search server, `mirror` that of the other region's, `restore` what the cluster is
/// told about objects that come from elsewhere.
fn sources(site: &Site, place: &Place, policies: &Path, [written, mirror]: [&str; 2], restore: &str, datacentres: &str) -> String {
    fs::write(site.path(PASSWORD), require("HOURGLASS_LAB_DATABASES_PASSWORD")).unwrap();
    let (address, registry) = (place.address(), place.registry());
    let user = require("HOURGLASS_LAB_DATABASES_USER");
    // Beside the configuration, so that a kit brings what is no secret.
    let [ca, cert, key] = ["ca.crt", "client.crt", "client.key"];
    for file in [ca, cert, key] {
        fs::copy(tls(file), site.path(file)).unwrap();
    }
    let own = place.worker_image();
    let references: Vec<String> = IMAGES.iter().map(|(repository, _)| format!("{registry}/apim/{repository}:1")).chain([own.clone()]).collect();
    format!(
        "sources:
  tokens:
    cassandra:
      contact_points: [{address}]
      user: {user}
      password_file: {PASSWORD}
      tls: {{ ca_file: {ca}, cert_file: {cert}, key_file: {key} }}
      keyspaces: {{ schema_only: [throttling] }}
      restore: {{ datacentres: {{ {datacentres} }} }}
  metrics: {{ mysql: {{ host: {address}, user: {user}, password_file: {PASSWORD}, tls: {{ ca_file: {ca} }} }} }}
  events: {{ analytics: {{ url: \"http://{address}:9200\", indices: [\"apim-*\"], repository: {{ {written} }} }} }}
  events-mirror: {{ analytics: {{ url: \"http://{address}:9200\", repository: {{ {mirror} }} }} }}
  cluster:
    kubernetes:
      kubeconfig: {kubeconfig}
      namespaces: [{NAMESPACE}]
{restore}
  images: {{ images: {{ references: {references:?}, registry: {registry:?}, registries: {{ {registry:?}: {{ plain_http: true }} }} }} }}
  portal-files: {{ volumes: {{ kubeconfig: {kubeconfig}, claims: [{NAMESPACE}/files-portal-0], worker: {{ image: {own:?}, env_from: [hourglass-stores] }} }} }}
  policies: {{ files: {{ path: {policies} }} }}
{POLICY}",
        kubeconfig = quoted(&place.kubeconfig()),
        policies = quoted(policies),
    )
}

/// The object stores of both sites: buckets of a service that pods of both regions reach.
pub struct Stores {
    runtime: Runtime,
    /// Repository and control store of region A, which are lost with it.
    of_a: [StoreConfig; 2],
    /// Copies of all points, outside of any region.
    copies: StoreConfig,
    /// The control store of region B.
    control_b: StoreConfig,
    /// Snapshots of region A's search server, which are lost with it, their mirror outside of any region, and those of region B's.
    snapshots: [StoreConfig; 3],
    /// Keeps the network between regions, through which they are reached, while no region is on it.
    link: String,
}

impl Stores {
    pub fn new() -> Stores {
        let (runtime, endpoint) = (Runtime::new().unwrap(), reachable(&S3::SeaweedFs.endpoint()));
        let [one, other, copies, control_b, of_a, mirror, of_b] = [(); 7].map(|()| {
            let made = runtime.block_on(bucket(S3::SeaweedFs, None));
            StoreConfig { endpoint: Some(endpoint.parse().unwrap()), ..made }
        });
        let bridge = format!("hg-{}", require("HOURGLASS_LAB_WAN").trim_start_matches("10.").replace('.', "-"));
        let link = format!("{bridge}-s");
        let other_end = format!("{link}o");
        ip(&["link", "add", &link, "type", "veth", "peer", "name", &other_end]);
        ip(&["link", "set", &link, "master", &bridge, "up"]);
        ip(&["link", "set", &other_end, "up"]);
        Stores { runtime, of_a: [one, other], copies, control_b, snapshots: [of_a, mirror, of_b], link }
    }

    /// Nothing is left of what region A had.
    pub fn lose_region_a(&self) {
        for store in self.of_a.iter().chain(&self.snapshots[..1]) {
            self.runtime.block_on(async {
                let store = s3(store).await;
                for object in list_all(store.as_ref() as &dyn ObjectStore, "").await.unwrap() {
                    store.delete(&object.key).await.unwrap();
                }
            });
        }
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        ip(&["link", "delete", &self.link]);
    }
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// The site of region A.
pub fn of_region_a(a: &Place, policies: &Path, stores: &Stores) -> Site {
    let [primary, control] = &stores.of_a;
    let we = Site::new("we", &[("primary", yaml(primary)), ("other", yaml(&stores.copies))], &yaml(control)).with_s3();
    we.run(&["init", "--write"], 0);
    let [of_a, mirror, _] = &stores.snapshots;
    let live = |bucket: &StoreConfig| yaml(&below(bucket, "live"));
    let written = format!("{}, objects: {}, mirrors: {{ other: {} }}", repository("apim", of_a), live(of_a), live(mirror));
    we.configure(&sources(&we, a, policies, [&written, &repository("mirror", mirror)], "", ""));
    we.run(&["keys", "prove"], 0);
    we
}

/// What the operators of region B keep in a safe while all is well: a kit, and the secrets that no kit brings.
pub fn kit_of_region_b(we: &Site, a: &Place, b: &Place, stores: &Stores, kept: &Path) -> PathBuf {
    let ne = Site::new("ne", &[("primary", yaml(&stores.copies))], &yaml(&stores.control_b)).with_s3();
    let restore = format!(
        "      restore:
        existing: keep
        storage_classes: {{ files-a: files-b }}
        zones: {{ region-a1: region-b1 }}
        hosts: {{ cassandra.region-a.test: cassandra.region-b.test, mysql.region-a.test: mysql.region-b.test, analytics.region-a.test: analytics.region-b.test, api.region-a.test: api.region-b.test }}
        registries: {{ {:?}: {:?} }}
        node_labels: {{ \"agentpool=pool-a\": \"agentpool=pool-b\" }}
        secrets: [{{ secrets: \"*/registry-login\", class: mint }}, {{ secrets: \"*/hourglass-stores\", class: mint }}, {{ secrets: \"*/*\", class: carry }}]
        residue: [region-a]",
        a.registry(),
        b.registry(),
    );
    fs::copy(we.path("operator.key"), ne.path("operator.key")).unwrap();
    ne.configure(&format!("trust_root: {}\n", we.trust_root()));
    let [_, mirror, of_b] = &stores.snapshots;
    let repositories = [repository("apim", of_b), repository("mirror", mirror)];
    ne.configure(&sources(&ne, b, &b.folder.join("policies"), repositories.each_ref().map(String::as_str), &restore, "region-a: region-b"));
    // It has a capture key of its own: that of the other site is lost with it.
    ne.run(&["keys", "signer", "new", "--role", "capture", "--to", "capture.key"], 0);
    ne.run(&["keys", "signer", "add", "capture.key.pub", "--root", we.path("root.key").to_str().unwrap()], 0);
    ne.run(&["keys", "prove"], 0);
    let kit = kept.join("kit.tar");
    let said = ne.run(&["kit", "create", "--runbook", BOOK, "--to", kit.to_str().unwrap()], 0);
    for secret in SECRETS {
        assert!(said.contains(secret), "{secret}: {said}");
        fs::copy(ne.path(secret), kept.join(secret)).unwrap();
    }
    fs::write(kept.join("trust-root"), we.trust_root()).unwrap();
    kit
}

/// The site of region B in an empty home: what the kit brings, and the secrets.
pub fn of_region_b(kit: &Path, kept: &Path) -> Site {
    let ne = Site::of_a_kit(kit, &fs::read_to_string(kept.join("trust-root")).unwrap()).with_s3();
    for secret in SECRETS {
        fs::copy(kept.join(secret), ne.path(secret)).unwrap();
    }
    ne
}

/// What was kept of region A: files that are copied while it lives.
pub fn kept_file(kept: &Path, name: &str, content: &str) -> PathBuf {
    let path = kept.join(name);
    fs::write(&path, content).unwrap();
    path
}
