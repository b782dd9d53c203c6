//! Reads what keyspaces consist of from the system tables of 2.2, which speak of Java classes and of how rows were stored.

use std::collections::BTreeMap;

use scylla::value::CqlValue;

use super::{
    answers::{Named, Rows},
    connect::Cluster,
    cql,
    error::CassandraError,
    java_types::to_cql,
    schema::{Aggregate, Column, Function, Index, Keyspace, Kind, Table, UserType, sort, sort_types},
};

/// All keyspaces for which `wanted` is true.
pub(super) async fn keyspaces(cluster: &Cluster, wanted: impl Fn(&str) -> bool) -> Result<Vec<Keyspace>, CassandraError> {
    let rows = cluster.rows("SELECT * FROM system.schema_keyspaces", ()).await?;
    let mut found = Vec::new();
    for row in rows.iter().filter(|row| wanted(&row.text("keyspace_name"))) {
        let name = row.text("keyspace_name");
        let of = async |table: &str| cluster.rows(&format!("SELECT * FROM system.schema_{table} WHERE keyspace_name = ?"), (&name,)).await;
        let mut replication = json(&row.text("strategy_options"));
        replication.insert("class".to_owned(), row.text("strategy_class"));
        let columns = of("columns").await?;
        let triggers = of("triggers").await?;
        let mut keyspace = Keyspace { replication, durable_writes: row.truth("durable_writes"), ..Keyspace::default() };
        for row in of("columnfamilies").await?.iter() {
            keyspace.tables.push(table(row, &columns, &triggers)?);
        }
        let mut types = Vec::new();
        for row in of("usertypes").await?.iter() {
            types.push(UserType {
                name: row.text("type_name"),
                fields: row.texts("field_names").into_iter().zip(classes(row, "field_types")?).collect(),
            });
        }
        keyspace.types = sort_types(types);
        for row in of("functions").await?.iter() {
            keyspace.functions.push(Function {
                name: row.text("function_name"),
                arguments: row.texts("argument_names").into_iter().zip(classes(row, "argument_types")?).collect(),
                returns: class(&row.text("return_type"))?.0,
                language: row.text("language"),
                body: row.text("body"),
                called_on_null: row.truth("called_on_null_input"),
            });
        }
        for row in of("aggregates").await?.iter() {
            keyspace.aggregates.push(aggregate(row)?);
        }
        keyspace.name = name;
        found.push(keyspace);
    }
    Ok(found)
}

fn class(text: &str) -> Result<(String, bool), CassandraError> {
    to_cql(text).ok_or_else(|| CassandraError::Cluster(format!("the type {text} is not known to CQL")))
}

fn classes(row: Named<'_>, name: &str) -> Result<Vec<String>, CassandraError> {
    row.texts(name).iter().map(|text| Ok(class(text)?.0)).collect()
}

/// An object of texts; anything else is empty.
fn json(text: &str) -> BTreeMap<String, String> {
    serde_json::from_str(text).unwrap_or_default()
}

fn aggregate(row: Named<'_>) -> Result<Aggregate, CassandraError> {
    let state = class(&row.text("state_type"))?.0;
    let initial = row.get("initcond").and_then(CqlValue::as_blob).map(|bytes| cql::literal(&state, bytes));
    Ok(Aggregate {
        name: row.text("aggregate_name"),
        arguments: classes(row, "argument_types")?,
        state_function: row.text("state_func"),
        state,
        final_function: row.get("final_func").map(|_| row.text("final_func")),
        initial,
    })
}

fn table(row: Named<'_>, columns: &Rows, triggers: &Rows) -> Result<Table, CassandraError> {
    let name = row.text("columnfamily_name");
    let (mut found, mut indexes) = (Vec::new(), Vec::new());
    for row in columns.iter().filter(|row| row.text("columnfamily_name") == name) {
        let (ty, descending) = class(&row.text("validator"))?;
        let column = row.text("column_name");
        let kind = match row.text("type").as_str() {
            "partition_key" => Kind::Partition,
            "clustering_key" => Kind::Clustering,
            "static" => Kind::Static,
            _ => Kind::Regular,
        };
        // A compact table without values has one value column without a name or type.
        if column.is_empty() {
            continue;
        }
        if row.get("index_name").is_some() {
            indexes.push(index(row, &column, &ty));
        }
        found.push(Column {
            name: column,
            kind,
            position: row.get("component_index").and_then(CqlValue::as_int).unwrap_or(0),
            descending,
            ty,
            mask: None,
        });
    }
    sort(&mut found);
    let triggers = triggers.iter().filter(|row| row.text("columnfamily_name") == name);
    // Without a comparator of several parts there is no room for names of columns beside clustering keys: the table was made compact.
    let compact = row.truth("is_dense") || !row.text("comparator").starts_with("org.apache.cassandra.db.marshal.CompositeType(");
    Ok(Table {
        columns: found,
        options: options(row),
        compact,
        indexes,
        triggers: triggers.map(|row| (row.text("trigger_name"), row.map("trigger_options").remove("class").unwrap_or_default())).collect(),
        name,
    })
}

fn index(row: Named<'_>, column: &str, ty: &str) -> Index {
    let mut options = json(&row.text("index_options"));
    let quoted = cql::quoted(column);
    let target = match (options.remove("index_keys"), options.remove("index_keys_and_values"), options.remove("index_values")) {
        (Some(_), _, _) => format!("KEYS({quoted})"),
        (_, Some(_), _) => format!("ENTRIES({quoted})"),
        _ if ["frozen<list", "frozen<set", "frozen<map"].iter().any(|frozen| ty.starts_with(frozen)) => format!("FULL({quoted})"),
        _ => quoted,
    };
    Index { name: row.text("index_name"), target, class: options.remove("class_name"), options }
}

fn options(row: Named<'_>) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    for (name, value) in row.all() {
        let plain = match value {
            CqlValue::Int(number) => Some(number.to_string()),
            CqlValue::Double(number) => Some(number.to_string()),
            _ => None,
        };
        match name {
            "bloom_filter_fp_chance"
            | "gc_grace_seconds"
            | "default_time_to_live"
            | "memtable_flush_period_in_ms"
            | "min_index_interval"
            | "max_index_interval"
            | "read_repair_chance" => {
                options.extend(plain.map(|plain| (name.to_owned(), plain)));
            }
            "local_read_repair_chance" => options.extend(plain.map(|plain| ("dclocal_read_repair_chance".to_owned(), plain))),
            "comment" | "speculative_retry" => {
                options.insert(name.to_owned(), cql::text(&row.text(name)));
            }
            "caching" => {
                options.insert(name.to_owned(), cql::map(&json(&row.text(name))));
            }
            _ => {}
        }
    }
    let mut compaction = json(&row.text("compaction_strategy_options"));
    compaction.insert("class".to_owned(), row.text("compaction_strategy_class"));
    options.insert("compaction".to_owned(), cql::map(&compaction));
    options.insert("compression".to_owned(), cql::map(&json(&row.text("compression_parameters"))));
    options
}
