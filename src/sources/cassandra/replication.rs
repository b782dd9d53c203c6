//! Where the rows of a restored keyspace are kept: as configured or as they were, in datacentres that exist and have nodes enough.

use std::collections::BTreeMap;

use super::{connect::Cluster, error::CassandraError, schema::Keyspace};
use crate::config::CassandraConsistency;

/// Options of CREATE KEYSPACE for the target, which calls it `name`.
pub(super) fn replication(cluster: &Cluster, keyspace: &Keyspace, name: &str) -> Result<BTreeMap<String, String>, CassandraError> {
    let configured = &cluster.config.replication;
    let given = configured.get(name).or_else(|| configured.get(&keyspace.name)).or_else(|| configured.get("*"));
    let replication = given.cloned().unwrap_or_else(|| moved(&keyspace.replication, &cluster.config.datacentres));
    let mut nodes: BTreeMap<&str, usize> = BTreeMap::new();
    cluster.nodes.iter().for_each(|node| *nodes.entry(&node.datacentre).or_default() += 1);
    check(&keyspace.name, &replication, &nodes, cluster.config.consistency).map_err(CassandraError::Cluster)?;
    Ok(replication)
}

/// Replication of a keyspace with new names of datacentres.
fn moved(replication: &BTreeMap<String, String>, datacentres: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    replication.iter().map(|(name, value)| (datacentres.get(name).unwrap_or(name).clone(), value.clone())).collect()
}

/// Whether the target can keep the rows so, and take writes: `nodes` by datacentre.
fn check(
    keyspace: &str,
    replication: &BTreeMap<String, String>,
    nodes: &BTreeMap<&str, usize>,
    consistency: CassandraConsistency,
) -> Result<(), String> {
    let is_by_datacentre = replication.get("class").is_some_and(|class| class.ends_with("NetworkTopologyStrategy"));
    for (key, replicas) in replication.iter().filter(|(key, _)| *key != "class") {
        let there = match (key.as_str(), is_by_datacentre) {
            ("replication_factor", true) => nodes.values().copied().min(),
            ("replication_factor", false) => Some(nodes.values().sum()),
            (_, false) => continue,
            (name, true) => nodes.get(name).copied(),
        };
        let Some(there) = there else {
            let known: Vec<&str> = nodes.keys().copied().collect();
            return Err(format!(
                "the keyspace {keyspace} is kept in the datacentre {key}, which the target does not have: say in restore.datacentres which of {} takes its place",
                known.join(", ")
            ));
        };
        // What cannot be read here, the target will judge: 3/1 of transient replicas, for example.
        let Ok(replicas) = replicas.parse::<usize>() else { continue };
        let needed = match consistency {
            CassandraConsistency::One => 1,
            CassandraConsistency::Quorum | CassandraConsistency::LocalQuorum => replicas / 2 + 1,
            CassandraConsistency::All => replicas,
        };
        if needed.min(replicas) > there {
            return Err(format!(
                "the keyspace {keyspace} asks for {replicas} replicas, and the target has {there} nodes for them: say in restore.replication how it is to be kept"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datacentres_must_be_there_and_have_nodes_enough_for_a_quorum() {
        let nodes = BTreeMap::from([("dr1", 1)]);
        let said = |pairs: &[(&str, &str)], level| {
            let replication = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            check("k", &replication, &nodes, level).err().unwrap_or_default()
        };
        let quorum = CassandraConsistency::LocalQuorum;
        assert_eq!(said(&[("class", "NetworkTopologyStrategy"), ("dr1", "1")], quorum), "");
        assert!(said(&[("class", "NetworkTopologyStrategy"), ("dc1", "1")], quorum).contains("the datacentre dc1, which the target does not have"));
        assert!(said(&[("class", "org.apache.cassandra.locator.NetworkTopologyStrategy"), ("dr1", "3")], quorum).contains("asks for 3 replicas"));
        assert!(said(&[("class", "SimpleStrategy"), ("replication_factor", "2")], quorum).contains("has 1 nodes"));
        assert_eq!(said(&[("class", "SimpleStrategy"), ("replication_factor", "3")], CassandraConsistency::One), "");
        assert_eq!(said(&[("class", "LocalStrategy")], quorum), "");
    }
}
