//! What a keyspace consists of, in CQL's own words, as it is stored in a point.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A keyspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keyspace {
    pub name: String,
    /// `class` and its options.
    pub replication: BTreeMap<String, String>,
    pub durable_writes: bool,
    /// In the order in which they can be created.
    pub types: Vec<UserType>,
    pub functions: Vec<Function>,
    pub aggregates: Vec<Aggregate>,
    pub tables: Vec<Table>,
    pub views: Vec<View>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserType {
    pub name: String,
    /// Name and CQL type.
    pub fields: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Function {
    pub name: String,
    pub arguments: Vec<(String, String)>,
    pub returns: String,
    pub language: String,
    pub body: String,
    pub called_on_null: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Aggregate {
    pub name: String,
    pub arguments: Vec<String>,
    pub state_function: String,
    pub state: String,
    pub final_function: Option<String>,
    /// A CQL literal.
    pub initial: Option<String>,
}

/// What a column is in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Partition,
    Clustering,
    Static,
    Regular,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    pub name: String,
    pub kind: Kind,
    /// Among those of its kind, from 0.
    pub position: i32,
    /// Whether it sorts downwards.
    #[serde(default, skip_serializing_if = "is_false")]
    pub descending: bool,
    /// CQL type, frozen where it is.
    #[serde(rename = "type")]
    pub ty: String,
    /// A mask with its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
}

fn is_false(truth: &bool) -> bool {
    !truth
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub name: String,
    /// Keys in their order, then the others by name.
    pub columns: Vec<Column>,
    /// Name and CQL literal.
    pub options: BTreeMap<String, String>,
    /// Written before CQL: possible before 4.0 only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub compact: bool,
    pub indexes: Vec<Index>,
    /// Name and class.
    pub triggers: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    pub name: String,
    /// As it stands between parentheses.
    pub target: String,
    pub class: Option<String>,
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct View {
    pub name: String,
    pub base: String,
    pub condition: String,
    pub all_columns: bool,
    pub columns: Vec<Column>,
    pub options: BTreeMap<String, String>,
}

impl Table {
    /// Whether its values are counters.
    pub(super) fn is_counter(&self) -> bool {
        self.columns.iter().any(|column| column.ty == "counter")
    }

    /// The option `default_time_to_live`, in seconds; 0 when rows live for ever.
    pub(super) fn default_ttl(&self) -> i64 {
        self.options.get("default_time_to_live").and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// Sorts columns into the order of [`Table::columns`].
pub(super) fn sort(columns: &mut [Column]) {
    let rank = |kind| match kind {
        Kind::Partition => 0,
        Kind::Clustering => 1,
        Kind::Static => 2,
        Kind::Regular => 3,
    };
    columns.sort_by(|a, b| (rank(a.kind), key_position(a), &a.name).cmp(&(rank(b.kind), key_position(b), &b.name)));
}

fn key_position(column: &Column) -> i32 {
    if matches!(column.kind, Kind::Partition | Kind::Clustering) { column.position } else { 0 }
}

/// Sorts types so that each comes after those that it uses.
pub(super) fn sort_types(mut types: Vec<UserType>) -> Vec<UserType> {
    let mut sorted: Vec<UserType> = Vec::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    while !types.is_empty() {
        let names: BTreeSet<String> = types.iter().map(|ty| ty.name.clone()).collect();
        let ready = |ty: &UserType| {
            !ty.fields
                .iter()
                .any(|(_, field)| super::cql::words(field).any(|word| word != ty.name && names.contains(&word) && !known.contains(&word)))
        };
        let (mut first, rest): (Vec<_>, Vec<_>) = types.into_iter().partition(ready);
        if first.is_empty() {
            // Types cannot depend on each other in a circle; whatever this is, the target will say.
            sorted.extend(rest);
            return sorted;
        }
        known.extend(first.iter().map(|ty| ty.name.clone()));
        sorted.append(&mut first);
        types = rest;
    }
    sorted
}
