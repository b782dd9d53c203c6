//! Creates what a point's keyspaces consist of, and compares it with what the target then has.

use std::{collections::BTreeMap, time::Duration};

use super::{
    connect::{Cluster, Version},
    cql::{self, path},
    ddl,
    document::{Choice, Schema},
    error::CassandraError,
    inspect,
    replication::replication,
    schema::{Keyspace, Kind, Table},
};
use crate::{
    model::Problem,
    sources::{Overwrite, SourceErrorKind},
};

/// Longest wait for indexes and views to be built.
const BUILD: Duration = Duration::from_secs(3600);

/// Creates keyspaces, types, functions and tables; tables that are there must be the same, and are emptied in place.
pub(super) async fn tables(cluster: &Cluster, schema: &Schema, choice: &Choice, overwrite: Overwrite) -> Result<Vec<Problem>, CassandraError> {
    let there = |wanted: &&String| match wanted.split_once('.') {
        Some((keyspace, table)) => {
            schema.keyspaces.iter().any(|there| there.name == keyspace && there.tables.iter().any(|there| there.name == table))
        }
        None => schema.keyspaces.iter().any(|there| there.name == **wanted),
    };
    if let Some(unknown) = choice.select.iter().find(|wanted| !there(wanted)) {
        return Err(CassandraError::Saved { what: "schema".to_owned(), why: format!("there is no {unknown} in it") });
    }
    let mut notes = Vec::new();
    let known = known_options(cluster).await?;
    for keyspace in schema.keyspaces.iter().filter(|keyspace| choice.keyspace(&keyspace.name)) {
        let name = choice.renamed(&keyspace.name).to_owned();
        let keyspace = ddl::only(keyspace, |table| choice.table(&keyspace.name, table));
        let there = inspect::keyspaces(cluster, |there| there == name).await?.pop();
        if there.is_none() {
            let replication = replication(cluster, &keyspace, &name)?;
            cluster.run(&ddl::keyspace(&name, &replication, keyspace.durable_writes)).await?;
        }
        for ty in &keyspace.types {
            cluster.run(&ddl::user_type(&name, ty)).await?;
        }
        let functions = keyspace.functions.iter().map(|function| (&function.name, ddl::function(&name, function)));
        for (what, text) in functions.chain(keyspace.aggregates.iter().map(|aggregate| (&aggregate.name, ddl::aggregate(&name, aggregate)))) {
            attempt(cluster, &text, &format!("function {name}.{what}"), &mut notes).await?;
        }
        for table in &keyspace.tables {
            match there.iter().flat_map(|there| &there.tables).find(|there| there.name == table.name) {
                Some(there) if !same(there, table) => {
                    return Err(CassandraError::Cluster(format!(
                        "the target has a table {name}.{} with other columns; drop it, or rename the keyspace",
                        table.name
                    )));
                }
                Some(_) if overwrite == Overwrite::InPlace => cluster.run(&format!("TRUNCATE {}", path(&name, &table.name))).await?,
                Some(_) => {}
                None => create(cluster, &name, table, &known, &mut notes).await?,
            }
        }
        verify(cluster, &name, &keyspace).await?;
    }
    Ok(notes)
}

/// Creates a table with all options that the target knows; if it does not take them, with those that matter for rows alone.
async fn create(cluster: &Cluster, keyspace: &str, table: &Table, known: &[String], notes: &mut Vec<Problem>) -> Result<(), CassandraError> {
    let subject = format!("{keyspace}.{}", table.name);
    let (options, left_out) = ddl::fitting(&table.options, known, cluster.version);
    if !left_out.is_empty() {
        notes.push(Problem {
            subject: subject.clone(),
            what: format!("options that the target does not have were left out: {}", left_out.join(", ")),
        });
    }
    if table.compact && cluster.version >= Version(4, 0) {
        notes.push(Problem {
            subject: subject.clone(),
            what: "it was made with COMPACT STORAGE, which the target does not have, and is an ordinary table now".to_owned(),
        });
    }
    let masked: Vec<&str> = table.columns.iter().filter(|column| column.mask.is_some()).map(|column| column.name.as_str()).collect();
    if !masked.is_empty() && cluster.version < Version::ELEMENTS {
        notes.push(Problem {
            subject: subject.clone(),
            what: format!("the target knows no masks: everybody who may read the table sees {}", masked.join(", ")),
        });
    }
    match cluster.run(&ddl::table(keyspace, table, cluster.version, &options)).await {
        Err(CassandraError::Query { kind: SourceErrorKind::Failed, what, .. }) => {
            let core: BTreeMap<String, String> =
                options.into_iter().filter(|(name, _)| matches!(name.as_str(), "comment" | "gc_grace_seconds" | "default_time_to_live")).collect();
            cluster.run(&ddl::table(keyspace, table, cluster.version, &core)).await?;
            notes.push(Problem { subject, what: format!("it was created with default options, because the target refused its own: {what}") });
            Ok(())
        }
        other => other,
    }
}

/// Options of tables that the target knows.
async fn known_options(cluster: &Cluster) -> Result<Vec<String>, CassandraError> {
    if cluster.version < Version::SYSTEM_SCHEMA {
        let known = [
            "bloom_filter_fp_chance",
            "caching",
            "comment",
            "compaction",
            "compression",
            "dclocal_read_repair_chance",
            "default_time_to_live",
            "gc_grace_seconds",
            "max_index_interval",
            "memtable_flush_period_in_ms",
            "min_index_interval",
            "read_repair_chance",
            "speculative_retry",
        ];
        return Ok(known.map(str::to_owned).to_vec());
    }
    let text = "SELECT column_name FROM system_schema.columns WHERE keyspace_name = 'system_schema' AND table_name = 'tables'";
    Ok(cluster.rows(text, ()).await?.iter().map(|row| row.text("column_name")).collect())
}

fn plain(ty: &str) -> Vec<String> {
    cql::words(ty).collect()
}

/// Whether both have the same columns: names, kinds, order of keys, types.
fn same(a: &Table, b: &Table) -> bool {
    let shape = |table: &'_ Table| -> Vec<(String, Kind, bool, Vec<String>)> {
        table.columns.iter().map(|column| (column.name.clone(), column.kind, column.descending, plain(&column.ty))).collect()
    };
    shape(a) == shape(b)
}

/// Compares what the target has with what it was told to have.
async fn verify(cluster: &Cluster, name: &str, wanted: &Keyspace) -> Result<(), CassandraError> {
    let there = inspect::keyspaces(cluster, |there| there == name).await?.pop().unwrap_or_default();
    for table in &wanted.tables {
        if !there.tables.iter().any(|there| there.name == table.name && same(there, table)) {
            return Err(CassandraError::Cluster(format!("the table {name}.{} was created, and is not what it was in the point", table.name)));
        }
    }
    for ty in &wanted.types {
        let fields = |fields: &[(String, String)]| fields.iter().map(|(name, ty)| (name.clone(), plain(ty))).collect::<Vec<_>>();
        if !there.types.iter().any(|there| there.name == ty.name && fields(&there.fields) == fields(&ty.fields)) {
            return Err(CassandraError::Cluster(format!("the type {name}.{} was created, and is not what it was in the point", ty.name)));
        }
    }
    Ok(())
}

/// What must not be created before rows are there, because it is built from them: views, indexes, triggers.
pub(super) async fn indexes(cluster: &Cluster, schema: &Schema, choice: &Choice) -> Result<Vec<Problem>, CassandraError> {
    let mut notes = Vec::new();
    let known = known_options(cluster).await?;
    for keyspace in schema.keyspaces.iter().filter(|keyspace| choice.keyspace(&keyspace.name)) {
        let name = choice.renamed(&keyspace.name).to_owned();
        let keyspace = ddl::only(keyspace, |table| choice.table(&keyspace.name, table));
        let mut built = Vec::new();
        for view in &keyspace.views {
            let (options, _) = ddl::fitting(&view.options, &known, cluster.version);
            let options = options.into_iter().filter(|(name, _)| name != "default_time_to_live").collect();
            attempt(cluster, &ddl::view(&name, view, &options), &format!("view {name}.{}", view.name), &mut notes).await?;
        }
        for table in &keyspace.tables {
            for index in &table.indexes {
                if attempt(cluster, &ddl::index(&name, &table.name, index), &format!("index {name}.{}", index.name), &mut notes).await? {
                    built.push(index.name.clone());
                }
            }
            for (trigger, class) in &table.triggers {
                attempt(cluster, &ddl::trigger(&name, &table.name, trigger, class), &format!("trigger {name}.{trigger}"), &mut notes).await?;
            }
        }
        await_indexes(cluster, &name, built, &mut notes).await?;
    }
    Ok(notes)
}

/// Runs a statement without which the rows are whole; whether it was done. What failed is told.
async fn attempt(cluster: &Cluster, text: &str, subject: &str, notes: &mut Vec<Problem>) -> Result<bool, CassandraError> {
    match cluster.run(text).await {
        Err(CassandraError::Query { kind: SourceErrorKind::Failed, what, .. }) => {
            notes.push(Problem { subject: subject.to_owned(), what: format!("the target did not take it: {what}. It was: {text}") });
            Ok(false)
        }
        other => other.map(|()| true),
    }
}

/// Waits until the node that answers has built the indexes.
async fn await_indexes(cluster: &Cluster, keyspace: &str, mut waiting: Vec<String>, notes: &mut Vec<Problem>) -> Result<(), CassandraError> {
    let began = std::time::Instant::now();
    while !waiting.is_empty() {
        let rows = cluster.rows("SELECT index_name FROM system.\"IndexInfo\" WHERE table_name = ?", (keyspace,)).await?;
        // 2.2 puts the table's name before it.
        let built: Vec<String> = rows.iter().map(|row| row.text("index_name")).collect();
        waiting.retain(|name| !built.iter().any(|built| built == name || built.rsplit('.').next() == Some(name)));
        if began.elapsed() > BUILD {
            notes.push(Problem { subject: keyspace.to_owned(), what: format!("still being built: {}", waiting.join(", ")) });
            return Ok(());
        }
        if !waiting.is_empty() {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
                () = cluster.cancel.stopped() => return Err(CassandraError::Cancelled),
            }
        }
    }
    Ok(())
}
