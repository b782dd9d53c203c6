//! What a person needs to know to rebuild a cluster and what is no object to apply: gaps, pools of nodes, volumes, releases, images; and what a restore
//! elsewhere has to look for: texts that mean something of this cluster alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    api::{Api, Ask, METADATA_LIST},
    discovery::{Discovered, Resource, list, text},
    listing::Pages,
    object::{WORKER, path_of},
    residue::{self, REGISTRIES, RESIDUE, is_telling},
    select::{fits_any, fits_path},
};
use crate::{config::KubernetesConfig, model::Problem, sources::SourceError};

/// The component.
pub const INVENTORY: &str = "inventory";
/// Labels that clouds and installers name pools of nodes by, the surest first.
const POOLS: [&str; 7] = [
    "agentpool",
    "kubernetes.azure.com/agentpool",
    "eks.amazonaws.com/nodegroup",
    "alpha.eksctl.io/nodegroup-name",
    "cloud.google.com/gke-nodepool",
    "node-role/eks_cluster_role_worker_node",
    "node.kubernetes.io/instance-type",
];
/// Where a node is.
const ZONES: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];

/// What was found.
#[derive(Debug, Default)]
pub struct Inventory {
    /// By path.
    pub lines: BTreeMap<String, Value>,
    /// What a person should know.
    pub notes: Vec<Problem>,
    /// What makes the capture incomplete.
    pub problems: Vec<Problem>,
}

/// Kinds that the inventory reads, besides those that are captured.
pub fn kinds(discovered: &Discovered) -> Vec<Resource> {
    let all = [("", "Node"), ("", "Pod"), ("", "PersistentVolume"), ("", "PersistentVolumeClaim"), ("", "Service"), ("networking.k8s.io", "Ingress")];
    all.iter().filter_map(|(group, kind)| discovered.find(group, kind).cloned()).collect()
}

/// Looks at everything.
///
/// # Errors
/// When something cannot be listed.
pub async fn inventory(api: &Api, discovered: &Discovered, config: &KubernetesConfig) -> Result<Inventory, SourceError> {
    let mut found = Inventory::default();
    for gap in &discovered.gaps {
        found.lines.insert(format!("gaps/{}", gap.subject), json!({"why": gap.what}));
        let group = gap.subject.split('/').next().unwrap_or_default();
        let (subject, what) = (format!("API group {}", gap.subject), format!("its kinds could not be discovered: {}", gap.what));
        let list = if fits_any(&config.optional_groups, group) { &mut found.notes } else { &mut found.problems };
        list.push(Problem { subject, what });
    }
    let [nodes, pods, volumes, claims] = ["Node", "Pod", "PersistentVolume", "PersistentVolumeClaim"].map(|kind| discovered.find("", kind));
    let inside = |object: &Value| config.namespaces.is_empty() || fits_any(&config.namespaces, &text(&object["metadata"]["namespace"]));
    if let Some(nodes) = nodes {
        each(api, Pages::new(nodes, None), |node| found.node(&node)).await?;
    }
    if let Some(pods) = pods {
        each(api, Pages::new(pods, None), |pod| {
            if inside(&pod) && pod["metadata"]["labels"][WORKER].is_null() {
                found.pod(&pod);
            }
        })
        .await?;
    }
    let mut by_claim = BTreeMap::new();
    if let Some(volumes) = volumes {
        each(api, Pages::new(volumes, None), |volume| {
            let handles = ["/csi/volumeHandle", "/awsElasticBlockStore/volumeID", "/azureDisk/diskURI", "/gcePersistentDisk/pdName"];
            handles.iter().filter_map(|handle| volume["spec"].pointer(handle)).for_each(|handle| found.trace("volumes", handle));
            by_claim.insert(path_of(&json!({"metadata": volume["spec"]["claimRef"]})), volume);
        })
        .await?;
    }
    let snapshots = snapshots(api, discovered).await?;
    snapshots.values().flat_map(|of_claim| of_claim.values()).for_each(|handle| found.trace("volumes", handle));
    if let Some(claims) = claims {
        each(api, Pages::new(claims, None), |claim| {
            if inside(&claim) {
                found.claim(&claim, &by_claim, &snapshots, config);
            }
        })
        .await?;
    }
    for (storage, kind, label) in [("secret", "Secret", "owner=helm"), ("configmap", "ConfigMap", "OWNER=TILLER")] {
        let Some(resource) = discovered.find("", kind) else { continue };
        each(api, Pages::new(resource, Some(METADATA_LIST)).labelled(label), |object| found.release(storage, &object)).await?;
    }
    for entrance in [discovered.find("", "Service"), discovered.find("networking.k8s.io", "Ingress")].into_iter().flatten() {
        each(api, Pages::new(entrance, None), |entrance| {
            let answers = list(&entrance["status"]["loadBalancer"]["ingress"]).iter();
            answers.flat_map(|at| [&at["ip"], &at["hostname"]]).for_each(|at| found.trace("addresses", at));
        })
        .await?;
    }
    found.lines.insert(residue::CLUSTER.to_owned(), identity(api).await?);
    Ok(found)
}

/// What tells a cluster from all others: the identity of a namespace that each has, and where it answers.
///
/// # Errors
/// When it cannot be asked.
pub async fn identity(api: &Api) -> Result<Value, SourceError> {
    let answer = api.get(&Ask::path("/api/v1/namespaces").with("fieldSelector", "metadata.name=kube-system")).await?;
    Ok(json!({"uid": answer["items"][0]["metadata"]["uid"], "server": api.server}))
}

async fn each(api: &Api, mut pages: Pages, mut take: impl FnMut(Value)) -> Result<(), SourceError> {
    while let Some(page) = pages.next(api).await? {
        page.items.unwrap_or_default().iter().filter_map(|item| serde_json::from_str(item.get()).ok()).for_each(&mut take);
    }
    Ok(())
}

/// By claim: names of snapshots, and the handles that the cloud knows them by.
async fn snapshots(api: &Api, discovered: &Discovered) -> Result<BTreeMap<String, Map<String, Value>>, SourceError> {
    let group = "snapshot.storage.k8s.io";
    let kinds = [discovered.find(group, "VolumeSnapshot"), discovered.find(group, "VolumeSnapshotContent")];
    let [Some(snapshots), Some(contents)] = kinds else { return Ok(BTreeMap::new()) };
    let (mut handles, mut found) = (BTreeMap::new(), BTreeMap::<String, Map<String, Value>>::new());
    each(api, Pages::new(contents, None), |content| {
        handles.insert(text(&content["metadata"]["name"]), content["status"]["snapshotHandle"].clone());
    })
    .await?;
    each(api, Pages::new(snapshots, None), |snapshot| {
        let claim = format!("{}/{}", text(&snapshot["metadata"]["namespace"]), text(&snapshot["spec"]["source"]["persistentVolumeClaimName"]));
        let handle = handles.get(&text(&snapshot["status"]["boundVolumeSnapshotContentName"])).cloned().unwrap_or_default();
        found.entry(claim).or_default().insert(text(&snapshot["metadata"]["name"]), handle);
    })
    .await?;
    Ok(found)
}

impl Inventory {
    fn node(&mut self, node: &Value) {
        let labels = node["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        let pool = POOLS.iter().find_map(|key| labels.get(*key)).map_or_else(|| "nodes".to_owned(), text);
        let zone = ZONES.iter().find_map(|key| labels.get(*key)).map_or_else(|| "none".to_owned(), text);
        let name = &node["metadata"]["name"];
        self.trace("nodes", name);
        list(&node["status"]["addresses"]).iter().for_each(|at| self.trace("addresses", &at["address"]));
        let mut common = labels;
        common.retain(|key, value| value != name && !key.ends_with("/hostname") && !ZONES.contains(&key.as_str()));
        let (taints, capacity) = (node["spec"]["taints"].clone(), node["status"]["capacity"].clone());
        let entry = self.lines.entry(format!("pools/{pool}"));
        let pool = entry.or_insert_with(|| json!({"nodes": 0, "zones": {}, "labels": common, "taints": taints, "capacity": capacity}));
        pool["nodes"] = json!(pool["nodes"].as_u64().unwrap_or(0) + 1);
        pool["zones"][&zone] = json!(pool["zones"][&zone].as_u64().unwrap_or(0) + 1);
        let size = |capacity: &Value| capacity["cpu"].as_str().and_then(|cpu| cpu.parse::<u64>().ok());
        if size(&capacity) < size(&pool["capacity"]) {
            pool["capacity"] = capacity;
        }
        if let Some(labels) = pool["labels"].as_object_mut() {
            labels.retain(|key, value| common.get(key) == Some(value));
        }
    }

    /// Takes note of a text that means something of this cluster and of no other.
    fn trace(&mut self, kind: &str, text: &Value) {
        if text.as_str().is_some_and(is_telling) {
            let known = self.lines.entry(format!("{RESIDUE}{kind}")).or_insert_with(|| json!({"texts": []}));
            add(&mut known["texts"], Some(text.clone()));
        }
    }

    fn pod(&mut self, pod: &Value) {
        let namespace = &pod["metadata"]["namespace"];
        let owner = &pod["metadata"]["ownerReferences"][0];
        for volume in list(&pod["spec"]["volumes"]).iter().filter(|volume| !volume["emptyDir"].is_null()) {
            let of = if owner.is_null() { text(&pod["metadata"]["name"]) } else { format!("{} {}", text(&owner["kind"]), text(&owner["name"])) };
            let what = format!("the volume {} of {of} is an emptyDir, and not captured", text(&volume["name"]));
            let note = Problem { subject: format!("namespace {}", text(namespace)), what };
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        for (specs, statuses) in
            [("containers", "containerStatuses"), ("initContainers", "initContainerStatuses"), ("ephemeralContainers", "ephemeralContainerStatuses")]
        {
            for container in list(&pod["spec"][specs]) {
                let status = list(&pod["status"][statuses]).iter().find(|status| status["name"] == container["name"]);
                let id = status.map(|status| text(&status["imageID"])).filter(|id| !id.is_empty());
                let registry = container["image"].as_str().and_then(|image| image.split_once('/')).map_or("", |(registry, _)| registry);
                if registry.contains(['.', ':']) {
                    self.trace(REGISTRIES, &registry.into());
                }
                let image = self.lines.entry(format!("images/{}", text(&container["image"]))).or_insert_with(|| json!({"ids": [], "namespaces": []}));
                add(&mut image["ids"], id.map(Value::from));
                add(&mut image["namespaces"], Some(namespace.clone()));
            }
        }
    }

    fn claim(
        &mut self,
        claim: &Value,
        volumes: &BTreeMap<String, Value>,
        snapshots: &BTreeMap<String, Map<String, Value>>,
        config: &KubernetesConfig,
    ) {
        let path = path_of(claim);
        let volume = volumes.get(&path).unwrap_or(&Value::Null);
        let subject = format!("claim {path}");
        let data = config.data.iter().find(|(pattern, _)| fits_path(pattern, &path)).map(|(_, member)| member.as_str());
        let data = data.or_else(|| config.no_data.iter().any(|pattern| fits_path(pattern, &path)).then_some("none"));
        if data.is_none() {
            let what = "no source holds its files; name one in data, or the claim in no_data if nobody needs them".to_owned();
            self.problems.push(Problem { subject: subject.clone(), what });
        }
        let spec = &volume["spec"];
        if spec["persistentVolumeReclaimPolicy"] == "Delete" {
            let what = format!("its volume {} is deleted with it: the reclaim policy is Delete", text(&volume["metadata"]["name"]));
            self.notes.push(Problem { subject, what });
        }
        let terms = list(&spec["nodeAffinity"]["required"]["nodeSelectorTerms"]).iter().flat_map(|term| list(&term["matchExpressions"]));
        let mut zones: BTreeSet<String> = terms
            .filter(|term| term["key"].as_str().is_some_and(|key| ZONES.contains(&key) || key.ends_with("/zone")))
            .flat_map(|term| list(&term["values"]).iter().map(text))
            .collect();
        zones.extend(ZONES.iter().filter_map(|key| volume["metadata"]["labels"][key].as_str().map(str::to_owned)));
        let kept = json!({
            "volume": volume["metadata"]["name"], "class": claim["spec"]["storageClassName"], "size": claim["spec"]["resources"]["requests"]["storage"],
            "modes": claim["spec"]["accessModes"], "zones": zones, "reclaim": spec["persistentVolumeReclaimPolicy"], "driver": spec["csi"]["driver"],
            "handle": spec["csi"]["volumeHandle"], "snapshots": snapshots.get(&path), "data": data,
        });
        self.lines.insert(format!("volumes/{path}"), kept);
    }

    fn release(&mut self, storage: &str, object: &Value) {
        let labels = &object["metadata"]["labels"];
        let label = |small: &str, large: &str| labels[small].as_str().or(labels[large].as_str()).unwrap_or_default().to_owned();
        // Tiller keeps the releases of all namespaces in its own.
        let path = format!("releases/{}/{}", text(&object["metadata"]["namespace"]), label("name", "NAME"));
        let revision: u64 = label("version", "VERSION").parse().unwrap_or(0);
        let known = self.lines.get(&path).and_then(|known| known["revision"].as_u64());
        if known.is_none_or(|known| known < revision) {
            self.lines.insert(path, json!({"revision": revision, "status": label("status", "STATUS").to_lowercase(), "storage": storage}));
        }
    }
}

/// Adds a value to a sorted list that does not have it.
fn add(values: &mut Value, value: Option<Value>) {
    let (Some(values), Some(value)) = (values.as_array_mut(), value) else { return };
    if let Err(at) = values.binary_search_by(|known| text(known).cmp(&text(&value))) {
        values.insert(at, value);
    }
}
