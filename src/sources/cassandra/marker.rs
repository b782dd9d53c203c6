//! What marks a restore in its target while it lasts: a keyspace without tables that bears the name of the run. A process that goes on with
//! the run finds it, and knows that the rows that are there are its own. A restore that was refused has left none.

use super::{connect::Cluster, cql::quoted, error::CassandraError, inspect};
use crate::sources::SourceErrorKind;

/// How the names of these keyspaces begin; they are never captured.
pub(super) const PREFIX: &str = "hourglass_run_";
/// Longest name of a keyspace.
const LONGEST: usize = 48;

fn name(run: &str) -> String {
    let word = run.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' });
    PREFIX.chars().chain(word).take(LONGEST).collect()
}

/// Whether the run has marked this target.
pub(super) async fn is_set(cluster: &Cluster, run: &str) -> Result<bool, CassandraError> {
    Ok(inspect::names(cluster).await?.contains(&name(run)))
}

/// Marks it. A role that may not make keyspaces leaves no mark: what it restores in part is not gone on with unless the target is emptied.
pub(super) async fn set(cluster: &Cluster, run: &str) -> Result<(), CassandraError> {
    let replication = "{'class': 'SimpleStrategy', 'replication_factor': '1'}";
    match cluster.run(&format!("CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {replication}", quoted(&name(run)))).await {
        Err(CassandraError::Query { kind: SourceErrorKind::Denied, .. }) => Ok(()),
        other => other,
    }
}

/// Takes the mark away.
pub(super) async fn clear(cluster: &Cluster, run: &str) -> Result<(), CassandraError> {
    if is_set(cluster, run).await? { cluster.run(&format!("DROP KEYSPACE IF EXISTS {}", quoted(&name(run)))).await } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_becomes_the_name_of_a_keyspace() {
        assert_eq!(name("20261121T185850Z-63b61aea"), "hourglass_run_20261121T185850Z_63b61aea");
        assert_eq!(name(&"x".repeat(100)).len(), LONGEST);
    }
}
