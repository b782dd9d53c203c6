//! Which kinds of objects a cluster has: in one answer from servers of 1.26 and later, group by group from older ones. What cannot be discovered is
//! a gap and has a name.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use serde_json::Value;

use super::{
    HOLDS, OBJECTS,
    api::{Api, Ask},
};
use crate::{
    model::{Problem, outcome::explain},
    sources::{Component, Shape, SourceError, SourceErrorKind},
};

/// Everything at once, from servers that can.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// Definitions in a page: they are large.
const PAGE: &str = "10";

/// A kind of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its group; empty for the core group.
    pub group: String,
    /// The version that is asked for.
    pub version: String,
    /// All versions that are served.
    pub served: Vec<String>,
    /// As it stands in paths: `deployments`.
    pub plural: String,
    /// `Deployment`.
    pub kind: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether a CustomResourceDefinition made it.
    pub custom: bool,
    /// What can be done with it.
    pub verbs: BTreeSet<String>,
}

impl Resource {
    /// As kubectl names it: `deployments.apps`.
    pub fn name(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Where all its objects are listed, or one of them is.
    pub fn path(&self, namespace: Option<&str>, name: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let namespace = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
        let name = if name.is_empty() { String::new() } else { format!("/{name}") };
        format!("{root}/{}{namespace}/{}{name}", self.api_version(), self.plural)
    }

    /// As a component of a stage.
    pub fn component(&self, stage: u8) -> Component {
        let scope = if self.namespaced { "namespaced" } else { "cluster" };
        let about =
            [("group", &*self.group), ("version", &self.version), ("plural", &self.plural), ("kind", &self.kind), ("scope", scope), (HOLDS, OBJECTS)];
        let custom = self.custom.then_some(("custom", "true"));
        let about = about.into_iter().chain(custom).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Component { name: self.name(), shape: Shape::Stream, stage, about }
    }

    /// What a component says; `None` for one that is no kind of objects.
    pub fn of(component: &Component) -> Option<Resource> {
        let about = |key: &str| component.about.get(key).cloned();
        let version = about("version")?;
        Some(Resource {
            group: about("group")?,
            served: vec![version.clone()],
            version,
            plural: about("plural")?,
            kind: about("kind")?,
            namespaced: about("scope")? == "namespaced",
            custom: component.about.contains_key("custom"),
            verbs: BTreeSet::new(),
        })
    }
}

/// What a cluster has.
#[derive(Debug, Clone, Default)]
pub struct Discovered {
    /// Its version, as `v1.34.4`.
    pub version: String,
    /// Kinds, each once.
    pub resources: Vec<Resource>,
    /// Groups with their versions that could not be discovered, and why.
    pub gaps: Vec<Problem>,
}

impl Discovered {
    /// Kinds that hold objects of their own and can be written. Where two groups serve the same objects, they are taken from the newer.
    pub fn capturable(&self) -> impl Iterator<Item = &Resource> {
        let is_twice = |of: &Resource| moved_to(&of.group, &of.kind).is_some_and(|group| self.find(group, &of.kind).is_some());
        self.resources.iter().filter(move |resource| ["list", "create"].iter().all(|verb| resource.verbs.contains(*verb)) && !is_twice(resource))
    }

    /// Takes in what one version of a group serves; versions come in order of preference.
    fn add(&mut self, group: &str, version: &str, resource: &Value, kind: String, namespaced: bool) {
        let plural = text(resource.get("resource").unwrap_or(&resource["name"]));
        // What is below an object is no object.
        if plural.contains('/') || plural.is_empty() {
            return;
        }
        if let Some(known) = self.resources.iter_mut().find(|known| known.group == group && known.plural == plural) {
            return known.served.push(version.to_owned());
        }
        let (version, verbs) = (version.to_owned(), texts(&resource["verbs"]).into_iter().collect());
        let served = vec![version.clone()];
        self.resources.push(Resource { group: group.to_owned(), version, served, plural, kind, namespaced, custom: false, verbs });
    }

    /// The kind of this group and name.
    pub fn find(&self, group: &str, kind: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.group == group && resource.kind == kind)
    }
}

/// The group that a kind has left its own for.
pub fn moved_to(group: &str, kind: &str) -> Option<&'static str> {
    match (group, kind) {
        ("extensions", "Deployment" | "DaemonSet" | "ReplicaSet") => Some("apps"),
        ("extensions", "NetworkPolicy" | "Ingress") => Some("networking.k8s.io"),
        ("extensions", "PodSecurityPolicy") => Some("policy"),
        _ => None,
    }
}

/// Asks a cluster.
///
/// # Errors
/// When it does not answer. A group that does not is a gap instead.
pub async fn discover(api: &Api) -> Result<Discovered, SourceError> {
    let version = api.get(&Ask::path("/version")).await?;
    let mut found = Discovered { version: version["gitVersion"].as_str().unwrap_or_default().to_owned(), ..Discovered::default() };
    for root in ["/api", "/apis"] {
        let answer = api.get(&Ask { accept: Some(AGGREGATED), ..Ask::path(root) }).await?;
        if answer["kind"] == "APIGroupDiscoveryList" {
            aggregated(&answer, &mut found);
        } else if root == "/api" {
            legacy(api, vec![(String::new(), texts(&answer["versions"]))], &mut found).await?;
        } else {
            let group = |group: &Value| {
                let mut versions: Vec<String> = list(&group["versions"]).iter().map(|version| text(&version["version"])).collect();
                let preferred = text(&group["preferredVersion"]["version"]);
                versions.sort_by_key(|version| *version != preferred);
                (text(&group["name"]), versions)
            };
            legacy(api, list(&answer["groups"]).iter().map(group).collect(), &mut found).await?;
        }
    }
    stored_versions(api, &mut found).await?;
    Ok(found)
}

fn aggregated(answer: &Value, found: &mut Discovered) {
    for item in list(&answer["items"]) {
        let group = text(&item["metadata"]["name"]);
        for of_version in list(&item["versions"]) {
            let version = text(&of_version["version"]);
            if of_version["freshness"] == "Stale" {
                gap(&group, &version, "its server does not answer".to_owned(), found);
            }
            for resource in list(&of_version["resources"]) {
                found.add(&group, &version, resource, text(&resource["responseKind"]["kind"]), resource["scope"] == "Namespaced");
            }
        }
    }
}

async fn legacy(api: &Api, groups: Vec<(String, Vec<String>)>, found: &mut Discovered) -> Result<(), SourceError> {
    let versions: Vec<(&str, &str)> = groups.iter().flat_map(|(group, versions)| versions.iter().map(|version| (&**group, &**version))).collect();
    let asked = versions.iter().map(|(group, version)| {
        let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        async move { api.get(&Ask::path(path)).await }
    });
    for ((group, version), answer) in versions.iter().zip(join_all(asked).await) {
        match answer {
            Ok(answer) => {
                for resource in list(&answer["resources"]) {
                    found.add(group, version, resource, text(&resource["kind"]), resource["namespaced"] == true);
                }
            }
            Err(error) if error.kind() == SourceErrorKind::Denied || group.is_empty() => return Err(error),
            Err(error) => gap(group, version, explain(&error), found),
        }
    }
    Ok(())
}

fn gap(group: &str, version: &str, what: String, found: &mut Discovered) {
    found.gaps.push(Problem { subject: format!("{group}/{version}"), what });
}

/// Custom resources are read in the version that they are stored in: then no conversion webhook takes part.
async fn stored_versions(api: &Api, found: &mut Discovered) -> Result<(), SourceError> {
    let Some(definitions) = found.find("apiextensions.k8s.io", "CustomResourceDefinition").cloned() else { return Ok(()) };
    let mut stored: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut ask = Ask::path(definitions.path(None, "")).with("limit", PAGE);
    loop {
        let page = match api.page(&ask).await {
            // Whoever asks for rights names what lacks.
            Err(error) if error.kind() == SourceErrorKind::Denied => return Ok(()),
            page => page?,
        };
        for item in page.items.unwrap_or_default() {
            let Ok(definition) = serde_json::from_str::<Value>(item.get()) else { continue };
            let spec = &definition["spec"];
            let version = list(&spec["versions"]).iter().find(|version| version["storage"] == true);
            let version = version.map_or_else(|| text(&spec["version"]), |version| text(&version["name"]));
            stored.insert((text(&spec["group"]), text(&spec["names"]["plural"])), version);
        }
        if page.metadata.more.is_empty() {
            break;
        }
        ask = Ask::path(definitions.path(None, "")).with("limit", PAGE).with("continue", page.metadata.more);
    }
    for resource in &mut found.resources {
        if let Some(version) = stored.get(&(resource.group.clone(), resource.plural.clone())) {
            resource.custom = true;
            if resource.served.contains(version) {
                resource.version.clone_from(version);
            }
        }
    }
    Ok(())
}

/// The elements of a list, or none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text, or an empty one.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().map(text).collect()
}
