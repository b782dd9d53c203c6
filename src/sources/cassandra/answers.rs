//! Answers to small queries, decoded, by the names of their columns.

use std::collections::BTreeMap;

use scylla::{
    response::query_result::QueryRowsResult,
    value::{CqlValue, Row},
};

use super::error::CassandraError;

/// Rows of a small query, by column name.
#[derive(Debug, Default)]
pub(super) struct Rows {
    names: Vec<String>,
    rows: Vec<Row>,
}

impl Rows {
    /// Adds a page of the answer to `text`.
    pub(super) fn add(&mut self, result: QueryRowsResult, text: &str) -> Result<(), CassandraError> {
        self.names = result.column_specs().iter().map(|spec| spec.name().to_owned()).collect();
        for row in result.rows::<Row>().map_err(|error| unexpected(text, error))? {
            self.rows.push(row.map_err(|error| unexpected(text, error))?);
        }
        Ok(())
    }

    /// Each row, to be asked by column name.
    pub(super) fn iter(&self) -> impl Iterator<Item = Named<'_>> {
        self.rows.iter().map(|row| Named { names: &self.names, row })
    }
}

/// One row of a small query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    names: &'a [String],
    row: &'a Row,
}

impl<'a> Named<'a> {
    /// A column's value; absent columns and nulls are alike.
    pub(super) fn get(self, name: &str) -> Option<&'a CqlValue> {
        let at = self.names.iter().position(|known| known == name)?;
        self.row.columns.get(at)?.as_ref()
    }

    /// A text, empty when it is absent.
    pub(super) fn text(self, name: &str) -> String {
        self.get(name).and_then(|value| value.as_text().or(value.as_ascii())).cloned().unwrap_or_default()
    }

    /// Texts of a list or set.
    pub(super) fn texts(self, name: &str) -> Vec<String> {
        let values = self.get(name).map(|value| value.as_list().or(value.as_set()).map_or(&[][..], |values| values.as_slice()));
        values.unwrap_or_default().iter().filter_map(|value| value.as_text().cloned()).collect()
    }

    /// Texts of a map.
    pub(super) fn map(self, name: &str) -> BTreeMap<String, String> {
        let pairs = self.get(name).and_then(|value| value.as_map()).map_or(&[][..], |pairs| pairs.as_slice());
        pairs.iter().filter_map(|(key, value)| Some((key.as_text()?.clone(), value.as_text()?.clone()))).collect()
    }

    /// A truth, false when it is absent.
    pub(super) fn truth(self, name: &str) -> bool {
        self.get(name).and_then(CqlValue::as_boolean).unwrap_or(false)
    }

    /// Names and values of all columns.
    pub(super) fn all(self) -> impl Iterator<Item = (&'a str, &'a CqlValue)> {
        self.names.iter().zip(&self.row.columns).filter_map(|(name, value)| Some((name.as_str(), value.as_ref()?)))
    }
}

/// An answer that does not have the form that it must have.
pub(super) fn unexpected(text: &str, error: impl std::fmt::Display) -> CassandraError {
    CassandraError::Cluster(format!("the answer to {} cannot be read: {error}", shortened(text)))
}

/// The beginning of a statement, for messages; passwords never stand in statements that reach this.
pub(super) fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(100) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
