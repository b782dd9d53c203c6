//! Finds rows that differ between a saved component and the target: each saved row is looked up by its key, then the target is searched for
//! rows that were not saved.

use std::{
    collections::HashSet,
    io::{self, Read},
};

use scylla::{deserialize::row::ColumnIterator, statement::prepared::PreparedStatement};

use tokio::sync::mpsc;

use super::{
    answers::unexpected,
    cql,
    error::CassandraError,
    layout::Layout,
    parts::{self, Part, Parted},
    pipe::BUFFERS,
    rowform::{self, Decoder, Item},
    scan::Scan,
    schema::Kind,
    values::Values,
    wait,
};
use crate::{
    model::{Context, Problem},
    sources::SourceError,
};

/// Most rows that are named.
const MOST: usize = 20;
/// Rows that are looked up at a time.
const AT_A_TIME: usize = 64;
/// Seconds by which the end of a cell may differ: clocks of client and nodes, and the time that a write takes.
pub(super) const TOLERANCE: i64 = 60;
/// Most keys that are remembered to find rows that were not saved: 16 bytes each.
const MOST_KEYS: usize = 4 << 20;

/// Up to [`MOST`] problems, one per row.
pub(super) fn find(scan: Scan, saved: &mut (dyn Read + Send), ctx: &Context) -> Result<Vec<Problem>, SourceError> {
    let lookup = wait(ctx, scan.cluster.prepare(&scan.layout.lookup()))?;
    let mut finder = Finder { scan, lookup, keys: HashSet::new(), problems: Vec::new() };
    let mut decoder = Decoder::default();
    let (mut buffer, mut read_at, mut waiting) = (vec![0; 256 << 10], 0, Vec::new());
    loop {
        let count = match saved.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count.map_err(|source| SourceError::Io { doing: "read", path: "the saved rows".to_owned(), source })?,
        };
        if count == 0 {
            break;
        }
        decoder.feed(&buffer[..count]);
        while let Some(item) = decoder.item()? {
            match item {
                Item::Page(second) => read_at = second,
                Item::Row(row) => waiting.push((row, read_at)),
                Item::End(_) => {}
            }
            if waiting.len() >= AT_A_TIME {
                wait(ctx, finder.look_up(std::mem::take(&mut waiting)))?;
            }
            if finder.problems.len() >= MOST {
                return Ok(finder.problems);
            }
        }
    }
    decoder.finish()?;
    wait(ctx, finder.look_up(waiting))?;
    if finder.keys.len() < MOST_KEYS {
        wait(ctx, finder.unknown())?;
    }
    finder.problems.truncate(MOST);
    Ok(finder.problems)
}

struct Finder {
    scan: Scan,
    lookup: PreparedStatement,
    keys: HashSet<u128>,
    problems: Vec<Problem>,
}

impl Finder {
    async fn look_up(&mut self, rows: Vec<(Vec<u8>, i64)>) -> Result<(), CassandraError> {
        let checks = rows.iter().map(|(row, read_at)| self.check(row, *read_at));
        for (key, problem) in futures::future::try_join_all(checks).await? {
            if self.keys.len() < MOST_KEYS {
                self.keys.insert(key);
            }
            self.problems.extend(problem);
        }
        Ok(())
    }

    async fn check(&self, row: &[u8], read_at: i64) -> Result<(u128, Option<Problem>), CassandraError> {
        let layout = &self.scan.layout;
        let cells = rowform::cells(row)?;
        let saved = parts::part(layout, &cells, read_at)?;
        let short = short(&saved);
        if saved.clustering.is_none() {
            // A static row is compared with the rows of its partition, or found by its digest.
            return Ok((short, None));
        }
        let mut key = Values::default();
        key.extend(&saved.key());
        let second = self.scan.clock.now().as_second();
        let cluster = &self.scan.cluster;
        let result = cluster
            .with_retries(|| format!("look up a row of {}", layout.table), |_| async { cluster.session.execute_unpaged(&self.lookup, &key).await })
            .await?;
        let rows = result.into_rows_result().map_err(|error| unexpected("a look-up", error))?;
        let found = rows.maybe_first_row::<ColumnIterator<'_, '_>>().map_err(|error| unexpected("a look-up", error))?;
        let problem = |what: String| Some(Problem { subject: named(layout, &saved), what });
        let lives = |part: &&Part<'_>| part.expires.is_none_or(|at| at > second + TOLERANCE);
        let Some(found) = found else {
            let gone = saved.regulars.is_empty() || saved.regulars.iter().any(|part| lives(&part));
            return Ok((short, gone.then(|| problem("it is missing in the target".to_owned())).flatten()));
        };
        let mut there = Vec::new();
        for column in found {
            there.push(column.map_err(|error| unexpected("a look-up", error))?.slice.map(|slice| slice.as_slice()));
        }
        let there = parts::part(layout, &there, second)?;
        let mut columns = differing(layout, &saved.regulars, &there.regulars, second);
        columns.extend(differing(layout, &saved.statics, &there.statics, second));
        columns.dedup();
        Ok((short, (!columns.is_empty()).then(|| problem(format!("it differs in {}", columns.join(", ")))).flatten()))
    }

    /// Rows that the target has and the point has not.
    async fn unknown(&mut self) -> Result<(), CassandraError> {
        let layout = self.scan.layout.clone();
        let mut decoder = Decoder::default();
        decoder.feed(&rowform::Header::new(Layout::clone(&layout), self.scan.range.above, self.scan.range.up_to).encode());
        let (sender, mut pages) = mpsc::channel(BUFFERS);
        let scan = tokio::spawn(self.scan.clone().run(Some(sender)));
        let mut read_at = 0;
        while let Some(page) = pages.recv().await {
            decoder.feed(&page);
            while let Some(item) = decoder.item()? {
                match item {
                    Item::Page(second) => read_at = second,
                    Item::Row(row) if self.problems.len() < MOST => {
                        let cells = rowform::cells(&row)?;
                        let parted = parts::part(&layout, &cells, read_at)?;
                        if !self.keys.contains(&short(&parted)) {
                            let what = "the target has it, and the point has not".to_owned();
                            self.problems.push(Problem { subject: named(&layout, &parted), what });
                        }
                    }
                    _ => {}
                }
            }
        }
        scan.await.map_err(|_| CassandraError::Cluster("a reader has vanished".to_owned()))?.map(|_| ())
    }
}

fn short(row: &Parted<'_>) -> u128 {
    let mut key = row.key();
    key.push(u8::from(row.clustering.is_some()));
    u128::from_le_bytes(*blake3::hash(&key).as_bytes().first_chunk().expect("a hash has 32 bytes"))
}

/// Names of columns whose cells differ, apart from those that have expired.
fn differing(layout: &Layout, saved: &[Part<'_>], there: &[Part<'_>], now: i64) -> Vec<String> {
    let is_list = |part: &Part<'_>| layout.columns[part.column].form() == super::cells::Form::List;
    let equal = |a: &Part<'_>, b: &Part<'_>| {
        let ends = match (a.expires, b.expires) {
            (None, None) => true,
            (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE,
            _ => false,
        };
        // Places move when a neighbour expires.
        a.column == b.column && a.bytes == b.bytes && ends && (is_list(a) || a.time == b.time)
    };
    let lives = |part: &&Part<'_>| part.expires.is_none_or(|at| at > now + TOLERANCE);
    let missing = saved.iter().filter(lives).filter(|part| !there.iter().any(|there| equal(part, there)));
    let extra = there.iter().filter(|part| !saved.iter().any(|saved| equal(saved, part)));
    let mut names: Vec<String> = missing.chain(extra).map(|part| layout.columns[part.column].name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Keyspace, table and key of a row.
fn named(layout: &Layout, row: &Parted<'_>) -> String {
    let key = row.key();
    let mut rest = key.as_slice();
    let mut words = Vec::new();
    for column in layout.columns.iter().filter(|column| matches!(column.kind, Kind::Partition | Kind::Clustering)) {
        match super::cells::take(&mut rest) {
            Some(Some(value)) => words.push(format!("{} = {}", column.name, cql::literal(column.ty.name(), value))),
            _ => break,
        }
    }
    format!("{}.{}: {}", layout.keyspace, layout.table, words.join(", "))
}
