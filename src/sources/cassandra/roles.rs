//! Roles and their rights, from the tables of `system_auth`, and back by statements.

use scylla::value::CqlValue;

use super::{
    connect::{Cluster, Version},
    cql::{self, path, quoted},
    document::{Choice, ROLES, Right, Role, Roles},
    error::CassandraError,
    inspect,
    java_types::to_cql,
};
use crate::{model::Problem, sources::SourceErrorKind};

/// All roles; `None` when our own may not read them.
pub(super) async fn read(cluster: &Cluster) -> Result<Option<Roles>, CassandraError> {
    let found = match cluster.rows("SELECT role, can_login, is_superuser, member_of, salted_hash FROM system_auth.roles", ()).await {
        Err(CassandraError::Query { kind: SourceErrorKind::Denied, .. }) => return Ok(None),
        found => found?,
    };
    let network =
        if cluster.version >= Version(4, 0) { Some(cluster.rows("SELECT role, dcs FROM system_auth.network_permissions", ()).await?) } else { None };
    let roles = found.iter().map(|row| {
        let name = row.text("role");
        let datacentres = network.iter().flat_map(|rows| rows.iter()).find(|row| row.text("role") == name).map(|row| row.texts("dcs"));
        Role {
            login: row.truth("can_login"),
            superuser: row.truth("is_superuser"),
            hash: row.get("salted_hash").and_then(CqlValue::as_text).cloned(),
            member_of: row.texts("member_of"),
            datacentres: datacentres.unwrap_or_default(),
            name,
        }
    });
    let roles = roles.collect();
    let rights = cluster.rows("SELECT role, resource, permissions FROM system_auth.role_permissions", ()).await?;
    let rights =
        rights.iter().map(|row| Right { role: row.text("role"), resource: row.text("resource"), permissions: row.texts("permissions") }).collect();
    Ok(Some(Roles { format: ROLES.to_owned(), version: 1, roles, rights }))
}

/// Creates the roles that the target does not have, and grants what was granted. Returns what a person should know.
pub(super) async fn write(cluster: &Cluster, roles: &Roles, choice: &Choice) -> Result<Vec<Problem>, CassandraError> {
    let mut notes = Vec::new();
    let existing = cluster.rows("SELECT role FROM system_auth.roles", ()).await?;
    let existing: Vec<String> = existing.iter().map(|row| row.text("role")).collect();
    for role in &roles.roles {
        if existing.contains(&role.name) {
            if role.name != "cassandra" {
                notes.push(Problem {
                    subject: format!("role {}", role.name),
                    what: "the target has it already: its password and options were left as they are".to_owned(),
                });
            }
            continue;
        }
        create(cluster, role).await?;
    }
    for role in &roles.roles {
        for parent in &role.member_of {
            let text = format!("GRANT {} TO {}", quoted(parent), quoted(&role.name));
            notes
                .extend(grant(cluster, &text).await?.map(|what| Problem { subject: format!("role {}", role.name), what: format!("{text}: {what}") }));
        }
    }
    grant_rights(cluster, &roles.rights, choice, &mut notes).await?;
    Ok(notes)
}

async fn grant_rights(cluster: &Cluster, rights: &[Right], choice: &Choice, notes: &mut Vec<Problem>) -> Result<(), CassandraError> {
    let there = inspect::names(cluster).await?;
    for right in rights {
        let Some(resource) = resource(&right.resource, choice) else { continue };
        if let Some(absent) = keyspace(&right.resource).filter(|name| !there.iter().any(|there| there == choice.renamed(name))) {
            notes.push(Problem {
                subject: format!("role {}", right.role),
                what: format!("its rights on {resource} were left out: the target has no keyspace {absent}"),
            });
            continue;
        }
        let mut refused = Vec::new();
        for permission in &right.permissions {
            let why = grant(cluster, &format!("GRANT {permission} ON {resource} TO {}", quoted(&right.role))).await?;
            refused.extend(why.map(|why| (permission.as_str(), why)));
        }
        if let Some((_, why)) = refused.first() {
            let names: Vec<&str> = refused.iter().map(|(permission, _)| *permission).collect();
            let what = format!("{} on {resource} could not be granted: {why}", names.join(", "));
            notes.push(Problem { subject: format!("role {}", right.role), what });
        }
    }
    Ok(())
}

async fn create(cluster: &Cluster, role: &Role) -> Result<(), CassandraError> {
    let mut options = vec![format!("LOGIN = {}", role.login), format!("SUPERUSER = {}", role.superuser)];
    let hashed = role.hash.as_ref().filter(|_| cluster.version >= Version::ELEMENTS);
    options.extend(hashed.map(|hash| format!("HASHED PASSWORD = {}", cql::text(hash))));
    if cluster.version >= Version(4, 0) && !role.datacentres.is_empty() {
        let names: Vec<String> = role.datacentres.iter().map(|name| cql::text(cluster.config.datacentres.get(name).unwrap_or(name))).collect();
        options.push(format!("ACCESS TO DATACENTERS {{{}}}", names.join(", ")));
    }
    let doing = || format!("create the role {}", role.name);
    let text = format!("CREATE ROLE IF NOT EXISTS {} WITH {}", quoted(&role.name), options.join(" AND "));
    cluster.with_retries(doing, |_| async { cluster.session.query_unpaged(text.as_str(), ()).await.map(|_| ()) }).await?;
    if let (Some(hash), None) = (&role.hash, hashed) {
        // Before 5.0 no statement takes a hash.
        let text = "UPDATE system_auth.roles SET salted_hash = ? WHERE role = ?";
        cluster.with_retries(doing, |_| async { cluster.session.query_unpaged(text, (hash, &role.name)).await.map(|_| ()) }).await?;
    }
    Ok(())
}

/// Why it cannot be granted, if so: because it is not there (a table that was not restored), or not known to the target.
async fn grant(cluster: &Cluster, text: &str) -> Result<Option<String>, CassandraError> {
    match cluster.run(text).await {
        // 2.2 calls it an error to grant a role twice.
        Err(CassandraError::Query { kind: SourceErrorKind::Failed, what, .. }) => {
            Ok(Some(what).filter(|what| !what.contains("already") && !what.contains("is a member of")))
        }
        other => other.map(|()| None),
    }
}

/// The keyspace that a resource is, or is in.
fn keyspace(resource: &str) -> Option<&str> {
    let mut words = resource.split('/');
    matches!(words.next()?, "data" | "functions").then(|| words.next()).flatten()
}

/// A resource in the words of GRANT; `None` for what is not restored or not known.
fn resource(name: &str, choice: &Choice) -> Option<String> {
    let mut words = name.splitn(3, '/');
    let (kind, first, second) = (words.next()?, words.next(), words.next());
    let keyspace = |name| choice.keyspace(name).then(|| choice.renamed(name));
    Some(match (kind, first, second) {
        ("data", None, _) => "ALL KEYSPACES".to_owned(),
        ("data", Some(name), None) => format!("KEYSPACE {}", quoted(keyspace(name)?)),
        ("data", Some(name), Some(table)) => format!("TABLE {}", path(keyspace(name)?, table)),
        ("roles", None, _) => "ALL ROLES".to_owned(),
        ("roles", Some(role), None) => format!("ROLE {}", quoted(role)),
        ("functions", None, _) => "ALL FUNCTIONS".to_owned(),
        ("functions", Some(name), None) => format!("ALL FUNCTIONS IN KEYSPACE {}", quoted(keyspace(name)?)),
        ("functions", Some(name), Some(signature)) => {
            let (function, types) = signature.split_once('[')?;
            let types: Option<Vec<String>> =
                types.trim_end_matches(']').split('^').filter(|class| !class.is_empty()).map(|class| Some(thawed(&to_cql(class)?.0))).collect();
            format!("FUNCTION {}({})", path(keyspace(name)?, function), types?.join(", "))
        }
        ("mbean", None, _) => "ALL MBEANS".to_owned(),
        ("mbean", Some(bean), None) => format!("MBEAN {}", cql::text(bean)),
        _ => return None,
    })
}

fn thawed(ty: &str) -> String {
    ty.strip_prefix("frozen<").and_then(|ty| ty.strip_suffix('>')).unwrap_or(ty).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_become_words_of_grants() {
        let choice = Choice { select: Vec::new(), rename: [("edge".to_owned(), "new".to_owned())].into() };
        let p = "org.apache.cassandra.db.marshal.";
        assert_eq!(resource("data/edge/QuotedT", &choice).unwrap(), r#"TABLE "new"."QuotedT""#);
        assert_eq!(resource(&format!("functions/edge/plus1[{p}Int32Type^{p}LongType]"), &choice).unwrap(), r#"FUNCTION "new"."plus1"(int, bigint)"#);
        assert_eq!(resource("roles", &choice).unwrap(), "ALL ROLES");
    }
}
