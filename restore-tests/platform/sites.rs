//! Hourglass in both regions: what each site is told, and what they share.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::world::{IMAGES, NAMESPACE, Place};
use crate::{
    lab::{require, tls},
    site::Site,
};

const POLICY: &str = "policies:\n  production: { members: { tokens: required, metrics: required, cluster: required, images: required, portal-files: required, \
    policies: required }, max_skew: 10m }\n";

fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// The sources of a region, of which `restore` is what the cluster is told about objects that come from elsewhere.
fn sources(site: &Site, place: &Place, policies: &Path, restore: &str, datacentres: &str) -> String {
    let password = site.path("databases.password");
    fs::write(&password, require("HOURGLASS_LAB_DATABASES_PASSWORD")).unwrap();
    let (address, registry, password) = (place.address(), place.registry(), quoted(&password));
    let user = require("HOURGLASS_LAB_DATABASES_USER");
    let [ca, cert, key] = ["ca.crt", "client.crt", "client.key"].map(|file| quoted(&tls(file)));
    let references: Vec<String> = IMAGES.iter().map(|(repository, _)| format!("{registry}/apim/{repository}:1")).collect();
    format!(
        "sources:
  tokens:
    cassandra:
      contact_points: [{address}]
      user: {user}
      password_file: {password}
      tls: {{ ca_file: {ca}, cert_file: {cert}, key_file: {key} }}
      keyspaces: {{ schema_only: [throttling] }}
      restore: {{ datacentres: {{ {datacentres} }} }}
  metrics: {{ mysql: {{ host: {address}, user: {user}, password_file: {password}, tls: {{ ca_file: {ca} }} }} }}
  cluster:
    kubernetes:
      kubeconfig: {kubeconfig}
      namespaces: [{NAMESPACE}]
      data: {{ {NAMESPACE}/files-portal-0: portal-files }}
{restore}
  images: {{ images: {{ references: {references:?}, registry: {registry:?}, registries: {{ {registry:?}: {{ plain_http: true }} }} }} }}
  portal-files: {{ files: {{ path: {portal} }} }}
  policies: {{ files: {{ path: {policies} }} }}
{POLICY}",
        kubeconfig = quoted(&place.kubeconfig()),
        portal = quoted(&place.portal_files()),
        policies = quoted(policies),
    )
}

/// A site whose store and control store are directories, not yet initialised.
fn site(name: &str, store: &Path, control: &Path, more: &str) -> Site {
    fs::create_dir_all(store).unwrap();
    fs::create_dir_all(control).unwrap();
    let site = Site::new(name, &[("primary", format!("{{ url: {} }}", quoted(store)))], &format!("{{ url: {} }}", quoted(control)));
    let config = fs::read_to_string(site.path("hourglass.yaml")).unwrap();
    fs::write(site.path("hourglass.yaml"), config.replace("control:", &format!("{more}control:"))).unwrap();
    site
}

/// The site of region A, whose own stores lie in the region; `kept` lies outside of any, and gets copies of all points.
pub fn of_region_a(a: &Place, policies: &Path, kept: &Path) -> Site {
    let copy = kept.join("store");
    fs::create_dir_all(&copy).unwrap();
    let we = site("we", &a.folder.join("store"), &a.folder.join("control"), &format!("  other: {{ url: {} }}\n", quoted(&copy)));
    we.run(&["init", "--write"], 0);
    we.configure(&sources(&we, a, policies, "", ""));
    we.run(&["keys", "prove"], 0);
    for key in ["operator.key", "root.key"] {
        fs::copy(we.path(key), kept.join(key)).unwrap();
    }
    fs::write(kept.join("trust-root"), we.trust_root()).unwrap();
    we
}

/// The site of region B: an empty home, and what was kept.
pub fn of_region_b(a: &Place, b: &Place, kept: &Path) -> Site {
    let ne = site("ne", &kept.join("store"), &kept.join("control-b"), "");
    let restore = format!(
        "      restore:
        existing: keep
        storage_classes: {{ files-a: files-b }}
        zones: {{ region-a1: region-b1 }}
        hosts: {{ cassandra.region-a.test: cassandra.region-b.test, mysql.region-a.test: mysql.region-b.test, api.region-a.test: api.region-b.test }}
        registries: {{ {:?}: {:?} }}
        node_labels: {{ \"agentpool=pool-a\": \"agentpool=pool-b\" }}
        secrets: [{{ secrets: \"*/registry-login\", class: mint }}, {{ secrets: \"*/*\", class: carry }}]
        residue: [region-a, {}]",
        a.registry(),
        b.registry(),
        a.address(),
    );
    fs::copy(kept.join("operator.key"), ne.path("operator.key")).unwrap();
    let trust_root = fs::read_to_string(kept.join("trust-root")).unwrap();
    ne.configure(&format!("trust_root: {trust_root}\n"));
    ne.configure(&sources(&ne, b, &b.folder.join("policies"), &restore, "region-a: region-b"));
    // The lost site's capture key is lost; this one has its own.
    ne.run(&["keys", "signer", "new", "--role", "capture", "--to", "capture.key"], 0);
    ne.run(&["keys", "signer", "add", "capture.key.pub", "--root", kept.join("root.key").to_str().unwrap()], 0);
    ne.run(&["keys", "prove"], 0);
    ne
}

/// What was kept of region A: files that are copied while it lives.
pub fn kept_file(kept: &Path, name: &str, content: &str) -> PathBuf {
    let path = kept.join(name);
    fs::write(&path, content).unwrap();
    path
}
