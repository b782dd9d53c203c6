//! Reads what keyspaces consist of from the system tables of 3.0 and newer; those of 2.2 are [`super::inspect_old`]'s.

use std::collections::BTreeMap;

use scylla::value::CqlValue;

use super::{
    answers::{Named, Rows},
    connect::{Cluster, Version},
    cql,
    error::CassandraError,
    inspect_old,
    schema::{Aggregate, Column, Function, Index, Keyspace, Kind, Table, UserType, View, sort, sort_types},
};

/// Whether a keyspace is Cassandra's own, made by it in every cluster.
pub(super) fn is_own(keyspace: &str) -> bool {
    matches!(
        keyspace,
        "system"
            | "system_schema"
            | "system_auth"
            | "system_distributed"
            | "system_traces"
            | "system_views"
            | "system_virtual_schema"
            | "system_cluster_metadata"
            | "OpsCenter"
    ) || keyspace.starts_with("dse_")
        || keyspace == "solr_admin"
}

/// All keyspaces for which `wanted` is true, by name.
pub(super) async fn keyspaces(cluster: &Cluster, wanted: impl Fn(&str) -> bool) -> Result<Vec<Keyspace>, CassandraError> {
    let mut found =
        if cluster.version >= Version::SYSTEM_SCHEMA { modern(cluster, wanted).await? } else { inspect_old::keyspaces(cluster, wanted).await? };
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Names of all keyspaces.
pub(super) async fn names(cluster: &Cluster) -> Result<Vec<String>, CassandraError> {
    let table = if cluster.version >= Version::SYSTEM_SCHEMA { "system_schema.keyspaces" } else { "system.schema_keyspaces" };
    Ok(cluster.rows(&format!("SELECT keyspace_name FROM {table}"), ()).await?.iter().map(|row| row.text("keyspace_name")).collect())
}

async fn modern(cluster: &Cluster, wanted: impl Fn(&str) -> bool) -> Result<Vec<Keyspace>, CassandraError> {
    let rows = cluster.rows("SELECT keyspace_name, durable_writes, replication FROM system_schema.keyspaces", ()).await?;
    let mut found = Vec::new();
    for row in rows.iter().filter(|row| wanted(&row.text("keyspace_name"))) {
        let name = row.text("keyspace_name");
        let mut keyspace = Keyspace { replication: row.map("replication"), durable_writes: row.truth("durable_writes"), ..Keyspace::default() };
        let of = async |table: &str| cluster.rows(&format!("SELECT * FROM system_schema.{table} WHERE keyspace_name = ?"), (&name,)).await;
        let columns = of("columns").await?;
        let masks = if cluster.version >= Version::ELEMENTS { of("column_masks").await? } else { Rows::default() };
        let (indexes, triggers) = (of("indexes").await?, of("triggers").await?);
        for row in of("tables").await?.iter() {
            keyspace.tables.push(table(row, &columns, &masks, &indexes, &triggers));
        }
        for row in of("views").await?.iter() {
            keyspace.views.push(view(row, &columns));
        }
        let types =
            of("types").await?.iter().map(|row| UserType { name: row.text("type_name"), fields: pairs(row, "field_names", "field_types") }).collect();
        keyspace.types = sort_types(types);
        keyspace.functions = of("functions").await?.iter().map(function).collect();
        keyspace.aggregates = of("aggregates").await?.iter().map(aggregate).collect();
        keyspace.name = name;
        found.push(keyspace);
    }
    Ok(found)
}

fn pairs(row: Named<'_>, names: &str, values: &str) -> Vec<(String, String)> {
    row.texts(names).into_iter().zip(row.texts(values)).collect()
}

fn function(row: Named<'_>) -> Function {
    Function {
        name: row.text("function_name"),
        arguments: pairs(row, "argument_names", "argument_types"),
        returns: row.text("return_type"),
        language: row.text("language"),
        body: row.text("body"),
        called_on_null: row.truth("called_on_null_input"),
    }
}

fn aggregate(row: Named<'_>) -> Aggregate {
    let present = |name| row.get(name).map(|_| row.text(name));
    Aggregate {
        name: row.text("aggregate_name"),
        arguments: row.texts("argument_types"),
        state_function: row.text("state_func"),
        state: row.text("state_type"),
        final_function: present("final_func"),
        initial: present("initcond"),
    }
}

fn columns_of(table: &str, columns: &Rows, masks: &Rows) -> Vec<Column> {
    let of_table = columns.iter().filter(|row| row.text("table_name") == table);
    let mut found: Vec<Column> = of_table
        .map(|row| {
            let name = row.text("column_name");
            let mask = masks.iter().find(|mask| mask.text("table_name") == table && mask.text("column_name") == name).map(mask);
            Column {
                kind: match row.text("kind").as_str() {
                    "partition_key" => Kind::Partition,
                    "clustering" => Kind::Clustering,
                    "static" => Kind::Static,
                    _ => Kind::Regular,
                },
                position: row.get("position").and_then(CqlValue::as_int).unwrap_or(0),
                descending: row.text("clustering_order") == "desc",
                ty: row.text("type"),
                name,
                mask,
            }
        })
        .collect();
    sort(&mut found);
    found
}

/// `mask_inner(1, 1)`: a mask's arguments are kept as texts of values.
fn mask(row: Named<'_>) -> String {
    let types = row.texts("function_argument_types");
    let nulls = row.get("function_argument_nulls").and_then(CqlValue::as_list).cloned().unwrap_or_default();
    let arguments: Vec<String> = row
        .texts("function_argument_values")
        .into_iter()
        .zip(types)
        .zip(nulls)
        .map(|((value, ty), null)| match (null.as_boolean(), ty.as_str()) {
            (Some(true), _) => "null".to_owned(),
            (_, "text" | "ascii" | "varchar" | "timestamp" | "date" | "time" | "inet") => cql::text(&value),
            _ => value,
        })
        .collect();
    let (keyspace, name) = (row.text("function_keyspace"), row.text("function_name"));
    let name = if keyspace == "system" { name } else { cql::path(&keyspace, &name) };
    format!("{name}({})", arguments.join(", "))
}

fn table(row: Named<'_>, columns: &Rows, masks: &Rows, indexes: &Rows, triggers: &Rows) -> Table {
    let name = row.text("table_name");
    let flags = row.texts("flags");
    let of_table = |row: &Named<'_>| row.text("table_name") == name;
    let indexes = indexes.iter().filter(of_table).map(|row| {
        let mut options = row.map("options");
        let target = options.remove("target").unwrap_or_default();
        Index { name: row.text("index_name"), target, class: options.remove("class_name"), options }
    });
    let triggers = triggers.iter().filter(of_table).map(|row| (row.text("trigger_name"), row.map("options").remove("class").unwrap_or_default()));
    Table {
        columns: columns_of(&name, columns, masks),
        options: options(row),
        compact: !flags.is_empty() && (!flags.iter().any(|flag| flag == "compound") || flags.iter().any(|flag| flag == "dense" || flag == "super")),
        indexes: indexes.collect(),
        triggers: triggers.collect(),
        name,
    }
}

fn view(row: Named<'_>, columns: &Rows) -> View {
    let name = row.text("view_name");
    View {
        base: row.text("base_table_name"),
        condition: row.text("where_clause"),
        all_columns: row.truth("include_all_columns"),
        columns: columns_of(&name, columns, &Rows::default()),
        options: options(row),
        name,
    }
}

/// What WITH can say. What else stands in the row describes the table and is no option.
fn options(row: Named<'_>) -> BTreeMap<String, String> {
    const NO_OPTIONS: [&str; 11] = [
        "keyspace_name",
        "table_name",
        "view_name",
        "base_table_id",
        "base_table_name",
        "id",
        "flags",
        "include_all_columns",
        "where_clause",
        "extensions",
        "version",
    ];
    row.all().filter(|(name, _)| !NO_OPTIONS.contains(name)).filter_map(|(name, value)| Some((name.to_owned(), option(value)?))).collect()
}

fn option(value: &CqlValue) -> Option<String> {
    Some(match value {
        CqlValue::Text(text) | CqlValue::Ascii(text) => cql::text(text),
        CqlValue::Int(number) => number.to_string(),
        CqlValue::BigInt(number) => number.to_string(),
        CqlValue::Double(number) => number.to_string(),
        CqlValue::Boolean(truth) => truth.to_string(),
        CqlValue::Map(pairs) => {
            let map: BTreeMap<String, String> =
                pairs.iter().filter_map(|(key, value)| Some((key.as_text()?.clone(), value.as_text()?.clone()))).collect();
            cql::map(&map)
        }
        _ => return None,
    })
}
