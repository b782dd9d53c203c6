//! The statements that create what a keyspace consists of, for a target of any version.

use std::collections::BTreeMap;

use super::{
    connect::Version,
    cql::{self, path, quoted},
    schema::{Aggregate, Column, Function, Index, Keyspace, Kind, Table, UserType, View},
};

pub(super) fn keyspace(name: &str, replication: &BTreeMap<String, String>, durable_writes: bool) -> String {
    format!("CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {} AND durable_writes = {durable_writes}", quoted(name), cql::map(replication))
}

pub(super) fn user_type(keyspace: &str, ty: &UserType) -> String {
    let fields: Vec<String> = ty.fields.iter().map(|(name, ty)| format!("{} {ty}", quoted(name))).collect();
    format!("CREATE TYPE IF NOT EXISTS {} ({})", path(keyspace, &ty.name), fields.join(", "))
}

/// Types of functions are frozen without saying so, and may not say so.
fn thawed(ty: &str) -> &str {
    match cql::split(ty) {
        ("frozen", parts) if parts.len() == 1 => parts[0],
        _ => ty,
    }
}

pub(super) fn function(keyspace: &str, function: &Function) -> String {
    let arguments: Vec<String> = function.arguments.iter().map(|(name, ty)| format!("{} {}", quoted(name), thawed(ty))).collect();
    let on_null = if function.called_on_null { "CALLED" } else { "RETURNS NULL" };
    format!(
        "CREATE FUNCTION IF NOT EXISTS {} ({}) {on_null} ON NULL INPUT RETURNS {} LANGUAGE {} AS {}",
        path(keyspace, &function.name),
        arguments.join(", "),
        thawed(&function.returns),
        function.language,
        cql::text(&function.body)
    )
}

pub(super) fn aggregate(keyspace: &str, aggregate: &Aggregate) -> String {
    let arguments: Vec<&str> = aggregate.arguments.iter().map(|ty| thawed(ty)).collect();
    let mut text = format!(
        "CREATE AGGREGATE IF NOT EXISTS {} ({}) SFUNC {} STYPE {}",
        path(keyspace, &aggregate.name),
        arguments.join(", "),
        quoted(&aggregate.state_function),
        thawed(&aggregate.state)
    );
    if let Some(name) = &aggregate.final_function {
        text += &format!(" FINALFUNC {}", quoted(name));
    }
    if let Some(initial) = &aggregate.initial {
        text += &format!(" INITCOND {initial}");
    }
    text
}

fn primary_key(columns: &[Column]) -> String {
    let names = |kind| columns.iter().filter(|column| column.kind == kind).map(|column| quoted(&column.name)).collect::<Vec<_>>();
    let (partition, clustering) = (names(Kind::Partition), names(Kind::Clustering));
    let rest = clustering.iter().fold(String::new(), |text, name| text + ", " + name);
    format!("PRIMARY KEY (({}){rest})", partition.join(", "))
}

fn with(columns: &[Column], compact: bool, options: &BTreeMap<String, String>) -> String {
    let orders: Vec<String> = columns
        .iter()
        .filter(|column| column.kind == Kind::Clustering)
        .map(|column| format!("{} {}", quoted(&column.name), if column.descending { "DESC" } else { "ASC" }))
        .collect();
    let mut parts = Vec::new();
    if compact {
        parts.push("COMPACT STORAGE".to_owned());
    }
    if !orders.is_empty() {
        parts.push(format!("CLUSTERING ORDER BY ({})", orders.join(", ")));
    }
    parts.extend(options.iter().map(|(name, literal)| format!("{name} = {literal}")));
    if parts.is_empty() { String::new() } else { format!(" WITH {}", parts.join(" AND ")) }
}

/// `options`: those that the target is given.
pub(super) fn table(keyspace: &str, table: &Table, target: Version, options: &BTreeMap<String, String>) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let fixed = if column.kind == Kind::Static { " static" } else { "" };
            let mask = column.mask.as_ref().filter(|_| target >= Version::ELEMENTS).map_or(String::new(), |mask| format!(" MASKED WITH {mask}"));
            format!("{} {}{fixed}{mask}", quoted(&column.name), column.ty)
        })
        .collect();
    let compact = table.compact && target < Version(4, 0);
    format!(
        "CREATE TABLE IF NOT EXISTS {} ({}, {}){}",
        path(keyspace, &table.name),
        columns.join(", "),
        primary_key(&table.columns),
        with(&table.columns, compact, options)
    )
}

pub(super) fn view(keyspace: &str, view: &View, options: &BTreeMap<String, String>) -> String {
    let columns: Vec<String> = view.columns.iter().map(|column| quoted(&column.name)).collect();
    let selected = if view.all_columns { "*".to_owned() } else { columns.join(", ") };
    format!(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS {} AS SELECT {selected} FROM {} WHERE {} {}{}",
        path(keyspace, &view.name),
        path(keyspace, &view.base),
        view.condition,
        primary_key(&view.columns),
        with(&view.columns, false, options)
    )
}

pub(super) fn index(keyspace: &str, table: &str, index: &Index) -> String {
    let custom = if index.class.is_some() { "CUSTOM " } else { "" };
    let mut text = format!("CREATE {custom}INDEX IF NOT EXISTS {} ON {} ({})", quoted(&index.name), path(keyspace, table), index.target);
    if let Some(class) = &index.class {
        text += &format!(" USING {}", cql::text(class));
    }
    if !index.options.is_empty() {
        text += &format!(" WITH OPTIONS = {}", cql::map(&index.options));
    }
    text
}

pub(super) fn trigger(keyspace: &str, table: &str, name: &str, class: &str) -> String {
    format!("CREATE TRIGGER IF NOT EXISTS {} ON {} USING {}", quoted(name), path(keyspace, table), cql::text(class))
}

/// What the target is given of `options`: those that it knows, with the words that it uses. Names of the others.
pub(super) fn fitting(options: &BTreeMap<String, String>, known: &[String], target: Version) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut fitting, mut left_out) = (BTreeMap::new(), Vec::new());
    for (name, literal) in options {
        // Without effect from 4.0 on, where its column remains for mixed clusters.
        if target >= Version(4, 0) && matches!(name.as_str(), "read_repair_chance" | "dclocal_read_repair_chance") {
            continue;
        }
        if !known.iter().any(|known| known == name) {
            left_out.push(name.clone());
        } else if name == "compression" && target >= Version::SYSTEM_SCHEMA {
            fitting.insert(name.clone(), modern_compression(literal));
        } else if name == "compaction" && target >= Version(5, 0) && literal.contains("DateTieredCompactionStrategy") {
            left_out.push("compaction by DateTieredCompactionStrategy".to_owned());
        } else {
            fitting.insert(name.clone(), literal.clone());
        }
    }
    (fitting, left_out)
}

/// 2.2 has other words for compression, and an empty class for none.
fn modern_compression(literal: &str) -> String {
    if literal == "{}" || literal.contains("'sstable_compression': ''") {
        return "{'enabled': 'false'}".to_owned();
    }
    literal.replace("'sstable_compression'", "'class'").replace("'chunk_length_kb'", "'chunk_length_in_kb'")
}

/// Of a keyspace only what a choice of tables needs: all but the other tables and their views.
pub(super) fn only(keyspace: &Keyspace, wanted: impl Fn(&str) -> bool) -> Keyspace {
    let mut part = keyspace.clone();
    part.tables.retain(|table| wanted(&table.name));
    part.views.retain(|view| wanted(&view.base));
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_told_in_the_targets_words() {
        let options = BTreeMap::from([
            ("compression".to_owned(), "{'sstable_compression': 'x.LZ4Compressor', 'chunk_length_kb': '64'}".to_owned()),
            ("read_repair_chance".to_owned(), "0.0".to_owned()),
            ("odd".to_owned(), "1".to_owned()),
        ]);
        let (fitting, left_out) = fitting(&options, &["compression".to_owned(), "read_repair_chance".to_owned()], Version(5, 0));
        assert_eq!(fitting["compression"], "{'class': 'x.LZ4Compressor', 'chunk_length_in_kb': '64'}");
        assert_eq!(left_out, ["odd"]);
    }
}
