//! A part of a table's rows: which, how they are selected, and how they are loaded. It travels in a component's `about`.

use std::{collections::BTreeMap, fmt::Write};

use serde::{Deserialize, Serialize};

use super::{
    catalog::{Column, ColumnKind, Table},
    connect::{Make, quote},
};
use crate::sources::{Component, Shape, SourceError, SourceErrorKind};

/// How many bytes of a table a chunk aims at.
const CHUNK_BYTES: u64 = 32 << 20;

/// Most chunks of one table.
const MOST_CHUNKS: u64 = 4096;

/// Which rows of a table a chunk has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Part {
    /// All.
    All,
    /// Those of one partition.
    Partition(String),
    /// Those whose whole number in this column is at least the first and below the second number.
    Range(String, Option<i128>, Option<i128>),
}

/// A part of a table's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chunk {
    pub database: String,
    pub table: String,
    pub columns: Vec<Column>,
    /// The primary key, or what takes its place; empty when there is none.
    pub key: Vec<String>,
    /// Whether rows of the past are kept too: their table is versioned by the system.
    pub history: bool,
    /// Whether its engine knows transactions.
    pub transactional: bool,
    pub part: Part,
}

const ABOUT: &str = "rows";

impl Chunk {
    /// The component that holds it: number `number` of its table.
    pub(super) fn component(&self, number: usize, stage: u8) -> Component {
        let name = format!("data/{}/{}/{number:05}", word(&self.database), word(&self.table));
        let about = serde_json::to_string(self).expect("a chunk is plain data");
        Component { name, shape: Shape::Stream, stage, about: BTreeMap::from([(ABOUT.to_owned(), about)]) }
    }

    /// The chunk that a component holds; `None` when it holds something else.
    pub(super) fn of(component: &Component) -> Result<Option<Chunk>, SourceError> {
        let parse = |text: &String| {
            serde_json::from_str(text).map_err(|error| SourceError::Unfit {
                subject: format!("the component {}", component.name),
                why: format!("does not say which rows it holds: {error}"),
                kind: SourceErrorKind::Usage,
                hint: None,
            })
        };
        component.about.get(ABOUT).map(parse).transpose()
    }

    /// `database.table`, for people.
    pub(super) fn subject(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }

    /// The statement that reads its rows from `database`, in the order of the key where that costs nothing.
    pub(super) fn select(&self, database: &str, make: Make) -> String {
        let mut sql = "select ".to_owned();
        if make == Make::MariaDb {
            sql.push_str("sql_no_cache ");
        }
        let columns: Vec<String> = self.columns.iter().map(Column::selected).collect();
        sql.push_str(&columns.join(", "));
        let _ = write!(sql, " from {}.{}", quote(database), quote(&self.table));
        if let Part::Partition(name) = &self.part {
            let _ = write!(sql, " partition ({})", quote(name));
        }
        if self.history {
            sql.push_str(" for system_time all");
        }
        if let Part::Range(column, from, before) = &self.part {
            let bounds = [from.map(|n| format!("{} >= {n}", quote(column))), before.map(|n| format!("{} < {n}", quote(column)))];
            let bounds: Vec<String> = bounds.into_iter().flatten().collect();
            if !bounds.is_empty() {
                let _ = write!(sql, " where {}", bounds.join(" and "));
            }
        }
        if !self.key.is_empty() && self.transactional && !self.history {
            let _ = write!(sql, " order by {}", self.key.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", "));
        }
        sql
    }

    /// What follows the table's name in a statement that loads its rows.
    pub(super) fn load_columns(&self) -> String {
        let (mut targets, mut set) = (Vec::new(), Vec::new());
        for (number, column) in self.columns.iter().enumerate() {
            let (name, variable) = (quote(&column.name), format!("@hourglass_{number}"));
            let Some((head, tail)) = column.kind.conversion() else {
                targets.push(name);
                continue;
            };
            set.push(format!("{name} = {head}{variable}{tail}"));
            targets.push(variable);
        }
        let set = if set.is_empty() { String::new() } else { format!(" set {}", set.join(", ")) };
        format!("({}){set}", targets.join(", "))
    }

    /// Whether `LOAD DATA` takes its rows.
    pub(super) fn fits_infile(&self) -> bool {
        self.columns.iter().all(|column| column.kind != ColumnKind::Geometry)
    }

    /// Where the key's columns stand in a line.
    pub(super) fn key_positions(&self) -> Vec<usize> {
        self.key.iter().filter_map(|name| self.columns.iter().position(|column| column.name == *name)).collect()
    }
}

/// A name as a word of a component's name: letters, digits, `_`, `-` and `$` stay, other bytes are percent-encoded.
pub(super) fn word(name: &str) -> String {
    name.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'$' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
        text
    })
}

/// The chunks of a table. `bounds` are the least and the greatest value of the first column of its key, where that is a whole number.
pub(super) fn chunks(database: &str, table: &Table, bounds: Option<(i128, i128)>) -> Vec<Chunk> {
    let parts = match bounds {
        Some(bounds) if table.wants_chunks() => ranges(&table.key[0], table.bytes, bounds),
        _ if table.transactional && !table.partitions.is_empty() => table.partitions.iter().cloned().map(Part::Partition).collect(),
        _ => vec![Part::All],
    };
    let chunk = |part| Chunk {
        database: database.to_owned(),
        table: table.name.clone(),
        columns: table.columns.clone(),
        key: table.key.clone(),
        history: table.history,
        transactional: table.transactional,
        part,
    };
    parts.into_iter().map(chunk).collect()
}

impl Table {
    /// Whether it is so large that its rows are read in several chunks, and they can be.
    pub(super) fn wants_chunks(&self) -> bool {
        self.transactional && self.bytes > CHUNK_BYTES + CHUNK_BYTES / 2 && self.whole_number_key
    }
}

/// Ranges that together hold every number: the first and the last are open.
fn ranges(column: &str, bytes: u64, (least, greatest): (i128, i128)) -> Vec<Part> {
    let span = greatest - least + 1;
    let count = i128::from(bytes.div_ceil(CHUNK_BYTES).clamp(1, MOST_CHUNKS)).min(span.max(1));
    let edge = |number: i128| (number > 0 && number < count).then(|| least + span * number / count);
    (0..count).map(|number| Part::Range(column.to_owned(), edge(number), edge(number + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_components_are_words_whatever_the_tables_are_called() {
        assert_eq!(word("we`ird tab-le.x"), "we%60ird%20tab-le%2Ex");
        assert_eq!((word(".."), word("ä/b")), ("%2E%2E".to_owned(), "%C3%A4%2Fb".to_owned()));
    }

    #[test]
    fn ranges_are_open_at_their_ends_and_meet_between() {
        let parts = ranges("id", 3 * CHUNK_BYTES, (-5, 94));
        let range = |from, before| Part::Range("id".to_owned(), from, before);
        assert_eq!(parts, [range(None, Some(28)), range(Some(28), Some(61)), range(Some(61), None)]);
        assert_eq!(ranges("id", 3 * CHUNK_BYTES, (7, 7)), [range(None, None)]);
        let all = ranges("id", u64::MAX, (0, i128::from(u64::MAX)));
        assert_eq!(all.len(), MOST_CHUNKS as usize);
    }
}
