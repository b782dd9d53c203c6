//! Which cells a row of a table is read as, and in which order.

use serde::{Deserialize, Serialize};

use super::{
    cells::Form,
    connect::Version,
    cql::{path, quoted},
    schema::{Kind, Table},
};

/// What a server tells of when a column was written and when it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Told {
    /// Nothing: keys, counters, and before 5.0 all collections.
    Nothing,
    /// One time for the value.
    Cell,
    /// A list of times, one per element or field.
    Elements,
}

/// A CQL type, and what its values consist of: asked for every value, so it is found once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(super) struct Type {
    name: String,
    form: Form,
}

impl Type {
    /// As CQL writes it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl From<String> for Type {
    fn from(name: String) -> Type {
        Type { form: Form::of(&name), name }
    }
}

impl From<Type> for String {
    fn from(ty: Type) -> String {
        ty.name
    }
}

/// A column of a row as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Laid {
    pub name: String,
    pub kind: Kind,
    #[serde(rename = "type")]
    pub ty: Type,
    pub told: Told,
}

impl Laid {
    pub(super) fn form(&self) -> Form {
        self.ty.form
    }

    pub(super) fn is_key(&self) -> bool {
        matches!(self.kind, Kind::Partition | Kind::Clustering)
    }

    /// How many cells of a row are its: its value, then time and time to live where they are told.
    pub(super) fn width(&self) -> usize {
        if self.told == Told::Nothing { 1 } else { 3 }
    }
}

/// How the rows of a table are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layout {
    pub keyspace: String,
    pub table: String,
    /// Partition key, clustering key, then the others: the order of cells in a row.
    pub columns: Vec<Laid>,
    pub counter: bool,
    /// In seconds; 0 when rows live for ever.
    pub default_ttl: i64,
}

impl Layout {
    pub(super) fn new(keyspace: &str, table: &Table, version: Version) -> Layout {
        let counter = table.is_counter();
        let told = |kind: Kind, ty: &str| {
            let collection = ["list<", "set<", "map<"].iter().any(|word| ty.trim_start_matches("frozen<").starts_with(word));
            match (kind, Form::of(ty)) {
                (Kind::Partition | Kind::Clustering, _) => Told::Nothing,
                _ if counter => Told::Nothing,
                (_, Form::Whole) if version >= Version::ELEMENTS || !collection => Told::Cell,
                (_, Form::Whole) => Told::Nothing,
                _ if version >= Version::ELEMENTS => Told::Elements,
                _ => Told::Nothing,
            }
        };
        let columns = table.columns.iter().map(|column| Laid {
            name: column.name.clone(),
            kind: column.kind,
            ty: column.ty.clone().into(),
            told: told(column.kind, &column.ty),
        });
        Layout { keyspace: keyspace.to_owned(), table: table.name.clone(), columns: columns.collect(), counter, default_ttl: table.default_ttl() }
    }

    /// Columns of a kind, with their number.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = (usize, &Laid)> {
        self.columns.iter().enumerate().filter(move |(_, column)| column.kind == kind)
    }

    pub(super) fn names(&self, kind: Kind) -> Vec<String> {
        self.of(kind).map(|(_, column)| quoted(&column.name)).collect()
    }

    fn selection(&self) -> String {
        let mut parts = Vec::new();
        for column in &self.columns {
            let name = quoted(&column.name);
            if column.told != Told::Nothing {
                parts.extend([name.clone(), format!("WRITETIME({name})"), format!("TTL({name})")]);
            } else {
                parts.push(name);
            }
        }
        format!("SELECT {} FROM {}", parts.join(", "), path(&self.keyspace, &self.table))
    }

    /// Selects rows by token: above the first bound, up to the second.
    pub(super) fn scan(&self) -> String {
        let token = format!("token({})", self.names(Kind::Partition).join(", "));
        format!("{} WHERE {token} > ? AND {token} <= ?", self.selection())
    }

    /// Selects one row by its whole key, or the static row of a partition by the partition's.
    pub(super) fn lookup(&self) -> String {
        format!("{} WHERE {}", self.selection(), self.key_condition(false))
    }

    /// `WHERE`, without the word.
    pub(super) fn key_condition(&self, partition_only: bool) -> String {
        let mut names = self.names(Kind::Partition);
        if !partition_only {
            names.extend(self.names(Kind::Clustering));
        }
        names.iter().map(|name| format!("{name} = ?")).collect::<Vec<_>>().join(" AND ")
    }

    /// What the server does not tell, in words; `None` when it tells all.
    pub(super) fn untold(&self) -> Option<String> {
        let names: Vec<&str> =
            self.columns.iter().filter(|column| !column.is_key() && column.told == Told::Nothing).map(|column| column.name.as_str()).collect();
        (!self.counter && !names.is_empty()).then(|| {
            format!("this release does not tell when {} were written and when they expire: they get the newest time of their row, and expire with its last other cell if all of these expire", names.join(", "))
        })
    }
}
