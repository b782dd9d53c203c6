//! A row as the cells that Cassandra keeps: what can be written, and expire, by itself.

use super::{
    cells::{self, Form},
    error::CassandraError,
    layout::{Layout, Told},
    schema::Kind,
};

/// A cell, or an element that is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// Number of its column in the layout.
    pub column: usize,
    /// For elements their place in the value; fields have it for ever.
    pub place: usize,
    /// The value; an element as [`cells::elements`] gives it.
    pub bytes: &'a [u8],
    /// When it was written, in microseconds, as the client said; absent where the server does not tell.
    pub time: Option<i64>,
    /// The second at which it expires.
    pub expires: Option<i64>,
}

/// A row, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parted<'a> {
    /// Partition key, each value with its length.
    pub partition: Vec<u8>,
    /// The same of the clustering key; absent when there is only a static row.
    pub clustering: Option<Vec<u8>>,
    /// Cells that all rows of the partition share.
    pub statics: Vec<Part<'a>>,
    /// Its own cells.
    pub regulars: Vec<Part<'a>>,
}

impl Parted<'_> {
    /// The whole key.
    pub(super) fn key(&self) -> Vec<u8> {
        [self.partition.as_slice(), self.clustering.as_deref().unwrap_or_default()].concat()
    }
}

/// Takes a row apart that was read at the second `read_at`.
pub(super) fn part<'a>(layout: &Layout, row: &[Option<&'a [u8]>], read_at: i64) -> Result<Parted<'a>, CassandraError> {
    let bad = |why: &str| CassandraError::Saved { what: format!("row of {}.{}", layout.keyspace, layout.table), why: why.to_owned() };
    let width: usize = layout.columns.iter().map(super::layout::Laid::width).sum();
    if row.len() != width {
        return Err(bad(&format!("it has {} cells instead of {width}", row.len())));
    }
    let mut parted = Parted { partition: Vec::new(), clustering: Some(Vec::new()), statics: Vec::new(), regulars: Vec::new() };
    let mut at = 0;
    for (number, column) in layout.columns.iter().enumerate() {
        let value = row[at];
        let (times, ttls) = if column.told == Told::Nothing { (None, None) } else { (row[at + 1], row[at + 2]) };
        at += column.width();
        match (column.kind, value) {
            (Kind::Partition, value) => cells::put(&mut parted.partition, value),
            (Kind::Clustering, None) => parted.clustering = None,
            (Kind::Clustering, value) => {
                if let Some(key) = &mut parted.clustering {
                    cells::put(key, value);
                }
            }
            (_, None) => {}
            (kind, Some(value)) => {
                let parts = if kind == Kind::Static { &mut parted.statics } else { &mut parted.regulars };
                let told = Times { told: column.told, times, ttls, read_at };
                told.parts(number, column.form(), value, parts).ok_or_else(|| bad(&format!("the column {} cannot be taken apart", column.name)))?;
            }
        }
    }
    inherit(layout, &mut parted.statics);
    inherit(layout, &mut parted.regulars);
    Ok(parted)
}

/// What the server told of one column's times.
struct Times<'a> {
    told: Told,
    times: Option<&'a [u8]>,
    ttls: Option<&'a [u8]>,
    read_at: i64,
}

impl Times<'_> {
    fn parts<'v>(&self, column: usize, form: Form, value: &'v [u8], out: &mut Vec<Part<'v>>) -> Option<()> {
        let expires = |ttl: Option<i64>| ttl.map(|ttl| self.read_at + ttl);
        if form == Form::Whole {
            let (time, ttl) = match self.told {
                Told::Cell => (
                    self.times.map_or(Some(None), |time| cells::long(time).map(Some))?,
                    self.ttls.map_or(Some(None), |ttl| cells::int(ttl).map(Some))?,
                ),
                _ => (None, None),
            };
            out.push(Part { column, place: 0, bytes: value, time, expires: expires(ttl) });
            return Some(());
        }
        let (times, ttls) = match self.told {
            Told::Elements => (self.times.map_or(Some(Vec::new()), cells::numbers)?, self.ttls.map_or(Some(Vec::new()), cells::numbers)?),
            _ => (Vec::new(), Vec::new()),
        };
        for (place, bytes) in cells::elements(form, value)?.into_iter().enumerate() {
            // A field that is null has no cell.
            if form == Form::Fields && bytes.len() == 4 && bytes == (-1i32).to_be_bytes() {
                continue;
            }
            let (time, ttl) = (times.get(place).copied().flatten(), ttls.get(place).copied().flatten());
            out.push(Part { column, place, bytes, time, expires: expires(ttl) });
        }
        Some(())
    }
}

/// What the server does not tell of expires with the last of the others, when all of these expire: otherwise it would keep a row alive
/// that had an end.
fn inherit(layout: &Layout, parts: &mut [Part<'_>]) {
    let untold = |part: &Part<'_>| layout.columns[part.column].told == Told::Nothing;
    let told: Option<Vec<i64>> = parts.iter().filter(|part| !untold(part)).map(|part| part.expires).collect();
    if let Some(last) = told.and_then(|told| told.into_iter().max()) {
        parts.iter_mut().filter(|part| untold(part)).for_each(|part| part.expires = Some(last));
    }
}
