//! Whether our role sees everything: what it may not read would be missing without a word, and what is masked would be saved masked.

use super::{
    answers::Rows,
    connect::{Cluster, Version},
    cql::quoted,
    error::CassandraError,
    schema::Keyspace,
};
use crate::sources::SourceErrorKind;

/// Fails unless our role may read every table of `keyspaces`, unmasked.
pub(super) async fn check(cluster: &Cluster, keyspaces: &[Keyspace]) -> Result<(), CassandraError> {
    let Some((role, _)) = &cluster.config.login else { return Ok(()) };
    let Some(granted) = granted(cluster, role).await? else { return Ok(()) };
    for keyspace in keyspaces {
        for table in &keyspace.tables {
            let resources = [
                "<all keyspaces>".to_owned(),
                format!("<keyspace {}>", keyspace.name),
                format!("<all tables in {}>", keyspace.name),
                format!("<table {}.{}>", keyspace.name, table.name),
            ];
            let may = |permission: &str| granted.iter().any(|(resource, known)| known == permission && resources.contains(resource));
            let masked = table.columns.iter().any(|column| column.mask.is_some());
            for permission in ["SELECT", "UNMASK"].into_iter().take(if masked { 2 } else { 1 }) {
                if !may(permission) {
                    return Err(CassandraError::Rights { role: role.clone(), what: format!("{permission} on {}.{}", keyspace.name, table.name) });
                }
            }
        }
    }
    Ok(())
}

/// Resources and permissions; `None` when the role may do everything, or nobody is asked for rights.
async fn granted(cluster: &Cluster, role: &str) -> Result<Option<Vec<(String, String)>>, CassandraError> {
    let ask = async |text: String| match cluster.rows(&text, ()).await {
        Ok(rows) => Ok(Some(rows)),
        // Without an authorizer there is nothing to list.
        Err(CassandraError::Query { kind: SourceErrorKind::Failed, .. }) => Ok(None),
        Err(error) => Err(error),
    };
    let superuser = |rows: &Rows| rows.iter().any(|row| row.truth("super"));
    if cluster.version >= Version(2, 2)
        && let Some(rows) = ask(format!("LIST ROLES OF {}", quoted(role))).await?
        && superuser(&rows)
    {
        return Ok(None);
    }
    let rows = ask(format!("LIST ALL PERMISSIONS OF {}", quoted(role))).await?;
    Ok(rows.map(|rows| rows.iter().map(|row| (row.text("resource"), row.text("permission"))).collect()))
}

/// All that must agree before anything is read: the partitioner, and the schema on all nodes.
pub(super) async fn check_cluster(cluster: &Cluster) -> Result<(), CassandraError> {
    let rows = cluster.rows("SELECT partitioner FROM system.local", ()).await?;
    let partitioner = rows.iter().next().map(|row| row.text("partitioner")).unwrap_or_default();
    if !partitioner.ends_with("Murmur3Partitioner") {
        return Err(CassandraError::Cluster(format!("the cluster places rows with {partitioner}; only Murmur3Partitioner is supported")));
    }
    if let Err(error) = cluster.session.await_schema_agreement().await {
        return Err(CassandraError::Cluster(format!("the nodes do not agree on the schema: {error}")));
    }
    Ok(())
}
