//! What a database holds: its tables with their columns and keys, and how large they are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::connect::{Make, Server, Session, literal, quote};
use crate::{config::MysqlConfig, sources::SourceError};

/// Databases of the servers themselves, and what restores leave while they run.
pub(super) const OWN: [&str; 5] = ["information_schema", "performance_schema", "mysql", "sys", super::progress::DATABASE];

/// Types of whole numbers.
const WHOLE_NUMBERS: [&str; 5] = ["tinyint", "smallint", "mediumint", "int", "bigint"];

/// How a column's values travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ColumnKind {
    /// As the server gives them.
    Plain,
    /// As the double that they are: as text they lose digits.
    Float,
    /// As text: its type takes bytes for something else.
    Text,
    /// As the number of its member: as text, a value that is no member and the member that is empty are the same.
    Member,
    /// As the bytes that the server stores; never by `LOAD DATA`, for which MySQL takes one that may not be null for missing.
    Geometry,
}

impl ColumnKind {
    /// What stands before and after a text that is loaded, where the server would take it for something else.
    pub(super) fn conversion(self) -> Option<(&'static str, &'static str)> {
        match self {
            ColumnKind::Text => Some(("convert(", " using utf8mb4)")),
            ColumnKind::Member => Some(("", " + 0")),
            ColumnKind::Plain | ColumnKind::Float | ColumnKind::Geometry => None,
        }
    }
}

/// A column whose values are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    pub name: String,
    pub kind: ColumnKind,
}

impl Column {
    /// The expression that reads it.
    pub(super) fn selected(&self) -> String {
        match self.kind {
            ColumnKind::Float => format!("{} * 1e0", quote(&self.name)),
            ColumnKind::Member => format!("{} + 0", quote(&self.name)),
            _ => quote(&self.name),
        }
    }
}

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub name: String,
    pub engine: String,
    pub transactional: bool,
    pub columns: Vec<Column>,
    pub key: Vec<String>,
    /// Whether the first column of the key is a whole number.
    pub whole_number_key: bool,
    /// Whether the system keeps old versions of its rows, with times.
    pub history: bool,
    pub partitions: Vec<String>,
    /// How much its rows take, by the server's estimate.
    pub bytes: u64,
}

/// What a database holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Database {
    pub name: String,
    pub tables: Vec<Table>,
    pub sequences: Vec<String>,
    pub views: Vec<String>,
}

/// The databases that are to be captured; one that is named and missing is an error.
pub(super) async fn databases(session: &mut Session, config: &MysqlConfig) -> Result<Vec<String>, SourceError> {
    let found = names(session).await?;
    if let Some(missing) = config.databases.iter().find(|name| !found.contains(name)) {
        return Err(super::unfit(
            format!("the database {missing}"),
            "does not exist, or the account may not see it",
            Some("check databases in the configuration, and the account's rights"),
        ));
    }
    Ok(found.into_iter().filter(|name| is_wanted(config, name)).collect())
}

/// Names of all databases that the account may see.
pub(super) async fn names(session: &mut Session) -> Result<Vec<String>, SourceError> {
    session.rows("select schema_name from information_schema.schemata order by 1", "list the databases").await
}

/// Whether a database is captured.
pub(super) fn is_wanted(config: &MysqlConfig, name: &str) -> bool {
    match config.databases.is_empty() {
        true => !OWN.contains(&name.to_lowercase().as_str()) && !config.exclude.iter().any(|left| left == name),
        false => config.databases.iter().any(|wanted| wanted == name),
    }
}

type ColumnRow = (String, String, String, String, Option<String>, Option<String>);
type TableRow = (String, String, Option<String>, Option<u64>, Option<String>);

/// What `database` holds.
pub(super) async fn database(session: &mut Session, server: &Server, name: &str) -> Result<Database, SourceError> {
    let doing = format!("read the catalogue of {name}");
    let of = format!("where table_schema = {}", literal(name));
    let sql = format!("select table_name, table_type, engine, data_length, table_comment from information_schema.tables {of} order by 1");
    let tables: Vec<TableRow> = session.rows(&sql, &doing).await?;
    let sql = format!(
        "select table_name, column_name, data_type, column_type, extra, generation_expression from information_schema.columns {of} order by 1, ordinal_position"
    );
    let mut columns: BTreeMap<String, Vec<ColumnRow>> = BTreeMap::new();
    for row in session.rows::<ColumnRow>(&sql, &doing).await? {
        columns.entry(row.0.clone()).or_default().push(row);
    }
    let sql = format!("select table_name, column_name from information_schema.statistics {of} and index_name = 'PRIMARY' order by 1, seq_in_index");
    let keys = grouped(session.rows(&sql, &doing).await?);
    let sql = format!(
        "select table_name, partition_name from information_schema.partitions {of} and partition_name is not null order by 1, partition_ordinal_position"
    );
    let partitions = grouped(session.rows(&sql, &doing).await?);
    let engines: Vec<(String, Option<String>)> = session.rows("select engine, transactions from information_schema.engines", &doing).await?;
    let transactional: BTreeSet<String> =
        engines.into_iter().filter(|(_, yes)| yes.as_deref() == Some("YES")).map(|(engine, _)| engine.to_lowercase()).collect();

    let mut database = Database { name: name.to_owned(), ..Database::default() };
    for (table, kind, engine, bytes, comment) in tables {
        match kind.as_str() {
            "SEQUENCE" => database.sequences.push(table),
            "VIEW" => database.views.push(table),
            _ => {
                let Some(engine) = engine else {
                    let why = format!("cannot be read: {}", comment.unwrap_or_default());
                    return Err(super::unfit(format!("the table {name}.{table}"), &why, Some("repair or drop the table, or exclude its database")));
                };
                let key = keys.get(&table).cloned().unwrap_or_default();
                let rows = columns.remove(&table).unwrap_or_default();
                let whole_number_key = rows.iter().any(|row| Some(&row.1) == key.first() && WHOLE_NUMBERS.contains(&row.2.as_str()));
                let history = kind == "SYSTEM VERSIONED";
                database.tables.push(Table {
                    transactional: transactional.contains(&engine.to_lowercase()),
                    columns: stored(rows, server, history),
                    partitions: partitions.get(&table).cloned().map(distinct).unwrap_or_default(),
                    bytes: bytes.unwrap_or(0),
                    name: table,
                    engine,
                    key,
                    whole_number_key,
                    history,
                });
            }
        }
    }
    Ok(database)
}

fn grouped(rows: Vec<(String, String)>) -> BTreeMap<String, Vec<String>> {
    rows.into_iter().fold(BTreeMap::new(), |mut map, (table, name)| {
        map.entry(table).or_insert_with(Vec::new).push(name);
        map
    })
}

/// Subpartitions name their partition once each.
fn distinct(mut names: Vec<String>) -> Vec<String> {
    names.dedup();
    names
}

/// The columns whose values are stored: those that are generated come back by themselves.
fn stored(rows: Vec<ColumnRow>, server: &Server, history: bool) -> Vec<Column> {
    let mut columns = Vec::new();
    let mut period = false;
    for (_, name, kind, whole_kind, extra, expression) in rows {
        let extra = extra.unwrap_or_default().to_uppercase();
        // `DEFAULT_GENERATED` is a default, not a generated column.
        let generated = ["VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT"].iter().any(|word| extra.contains(word));
        let system = matches!(expression.as_deref(), Some("ROW START" | "ROW END"));
        period |= system;
        if generated && !system {
            continue;
        }
        let kind = match kind.as_str() {
            "float" => ColumnKind::Float,
            "enum" | "set" if has_empty_member(&whole_kind) => ColumnKind::Member,
            "json" if server.make == Make::MySql => ColumnKind::Text,
            kind if kind.starts_with("geom") || kind.ends_with("point") || kind.ends_with("linestring") || kind.ends_with("polygon") => {
                ColumnKind::Geometry
            }
            "uuid" | "inet4" | "inet6" => ColumnKind::Text,
            _ => ColumnKind::Plain,
        };
        columns.push(Column { name, kind });
    }
    if history && !period {
        columns.extend(["row_start", "row_end"].map(|name| Column { name: name.to_owned(), kind: ColumnKind::Plain }));
    }
    columns
}

/// Whether `enum('a','')` has the empty text among its members. A quote within one is doubled.
fn has_empty_member(kind: &str) -> bool {
    let (mut inside, mut length) = (false, 0);
    let mut chars = kind.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, inside) {
            ('\'', false) => (inside, length) = (true, 0),
            ('\'', true) if chars.next_if_eq(&'\'').is_some() => length += 1,
            ('\'', true) if length == 0 => return true,
            ('\'', true) => inside = false,
            _ => length += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_member_is_found_and_quotes_within_members_are_not_taken_for_one() {
        let with = ["enum('')", "enum('a','','b')", "set('it''s','')", "enum('a,b','')", "enum('','a')"];
        assert!(with.into_iter().all(has_empty_member));
        let without = ["enum('a','b')", "set('''','a')", "enum('a'',''b')", "enum('''')", "int(11)", "enum(''',','b')"];
        assert!(!without.into_iter().any(has_empty_member));
    }
}
