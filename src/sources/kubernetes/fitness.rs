//! Whether a cluster could take a platform: its nodes, the room on them, the kinds that it serves.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{api::Api, discovery::discover, list, text};
use crate::{
    config::{ClusterNeeds, KubernetesConfig, quantity},
    sources::SourceError,
};

/// What was asked of a cluster, and whether it is so (what it is like).
pub type Answer = (String, Result<String, String>);

/// Asks a cluster, on a thread that may block.
///
/// # Errors
/// When it does not answer.
pub fn fitness(config: &KubernetesConfig, needs: &ClusterNeeds) -> Result<Vec<Answer>, SourceError> {
    let api = Api::connect(&config.access)?;
    api.block(async {
        let nodes: Vec<Value> = api.all("/api/v1/nodes", None).await?.into_iter().filter(takes_pods).collect();
        let mut answers = vec![("it answers".to_owned(), Ok(format!("{} nodes are ready and take pods", nodes.len())))];
        for ((key, value), wanted) in &needs.nodes {
            let found = nodes.iter().filter(|node| node["metadata"]["labels"][key] == **value).count();
            let said = format!("{found} of {wanted} nodes are ready and take pods");
            answers.push((format!("nodes {key}={value}"), if found >= *wanted as usize { Ok(said) } else { Err(said) }));
        }
        if !needs.room.is_empty() {
            let free = room(&nodes, &api.all("/api/v1/pods", None).await?);
            answers.extend(needs.room.iter().map(|(resource, wanted)| {
                let free = free.get(resource).copied().unwrap_or(0);
                let said = format!("{} free, {} wanted", free / 1000, wanted / 1000);
                (format!("room for {resource}"), if free >= *wanted { Ok(said) } else { Err(said) })
            }));
        }
        if !needs.kinds.is_empty() {
            let discovered = discover(&api).await?;
            answers.extend(needs.kinds.iter().map(|(version, kind)| {
                let (group, version_alone) = version.rsplit_once('/').unwrap_or(("", version));
                let is_served = discovered.find(group, kind).is_some_and(|resource| resource.served.iter().any(|served| served == version_alone));
                (format!("kind {version}/{kind}"), if is_served { Ok("it is served".to_owned()) } else { Err("it is not served".to_owned()) })
            }));
        }
        Ok(answers)
    })
}

fn takes_pods(node: &Value) -> bool {
    let is_ready = list(&node["status"]["conditions"]).iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    is_ready && node["spec"]["unschedulable"] != true
}

/// What pods can still ask for on these nodes, in thousandths of each unit.
fn room(nodes: &[Value], pods: &[Value]) -> BTreeMap<String, u128> {
    let amounts = |value: &Value| -> Vec<(String, u128)> {
        value.as_object().into_iter().flatten().filter_map(|(name, amount)| Some((name.clone(), quantity(amount.as_str()?)?))).collect()
    };
    let mut free: BTreeMap<String, u128> = BTreeMap::new();
    for (name, amount) in nodes.iter().flat_map(|node| amounts(&node["status"]["allocatable"])) {
        *free.entry(name).or_default() += amount;
    }
    let is_here = |pod: &&Value| nodes.iter().any(|node| node["metadata"]["name"] == pod["spec"]["nodeName"]);
    let is_over = |pod: &&Value| matches!(&*text(&pod["status"]["phase"]), "Succeeded" | "Failed");
    for pod in pods.iter().filter(is_here).filter(|pod| !is_over(pod)) {
        for (name, amount) in list(&pod["spec"]["containers"]).iter().flat_map(|container| amounts(&container["resources"]["requests"])) {
            let left = free.entry(name).or_default();
            *left = left.saturating_sub(amount);
        }
    }
    free
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn room_is_what_ready_nodes_have_and_running_pods_do_not_ask_for() {
        let node = |name: &str, cpu: &str| json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi"}}});
        let pod = |node: &str, phase: &str, cpu: &str| json!({"spec": {"nodeName": node, "containers": [{"resources": {"requests": {"cpu": cpu}}}]}, "status": {"phase": phase}});
        let pods = [pod("a", "Running", "500m"), pod("a", "Succeeded", "4"), pod("gone", "Running", "4"), pod("b", "Running", "1")];
        let free = room(&[node("a", "2"), node("b", "1")], &pods);
        assert_eq!((free["cpu"], free["memory"]), (1500, (16 << 30) * 1000));
    }
}
