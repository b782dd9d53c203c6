//! Counters can only be added to, so a write must not be repeated blindly: after any doubt the target's value is read, and what is missing
//! is added.

use std::time::Duration;

use scylla::statement::prepared::PreparedStatement;
use tokio::sync::mpsc;

use super::{
    canonical::Vanishing,
    cells,
    cql::{path, quoted},
    error::CassandraError,
    layout::Layout,
    load::{Load, Loaded},
    parts::{self, Part, Parted},
    rowform::{self, Decoder, Item},
    schema::Kind,
    values::Values,
};

/// Rows at a time; each is one request.
const AT_A_TIME: usize = 32;
/// How long a write whose fate is unknown may still arrive.
pub(super) const SETTLE: Duration = Duration::from_secs(5);

/// Writes counters.
pub(super) struct Counters {
    load: Load,
    regular: Option<Pair>,
    fixed: Option<Pair>,
}

/// What reads and adds to the counters of a row.
struct Pair {
    columns: Vec<usize>,
    add: PreparedStatement,
    read: PreparedStatement,
}

/// A row's key and the values that its counters must have, in the order of the pair's columns.
struct Goal {
    fixed: bool,
    key: Vec<u8>,
    wanted: Vec<Option<i64>>,
}

impl Counters {
    pub(super) async fn new(load: Load) -> Result<Counters, CassandraError> {
        let regular = Self::pair(&load, Kind::Regular).await?;
        let fixed = Self::pair(&load, Kind::Static).await?;
        Ok(Counters { load, regular, fixed })
    }

    async fn pair(load: &Load, kind: Kind) -> Result<Option<Pair>, CassandraError> {
        let layout: &Layout = &load.layout;
        let columns: Vec<usize> = layout.of(kind).map(|(number, _)| number).collect();
        if columns.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = columns.iter().map(|number| quoted(&layout.columns[*number].name)).collect();
        let (name, condition) = (path(&layout.keyspace, &layout.table), layout.key_condition(kind == Kind::Static));
        let sums: Vec<String> = names.iter().map(|name| format!("{name} = {name} + ?")).collect();
        let mut add = load.cluster.prepare(&format!("UPDATE {name} SET {} WHERE {condition}", sums.join(", "))).await?;
        add.set_is_idempotent(false);
        let distinct = if kind == Kind::Static { " LIMIT 1" } else { "" };
        let mut read = load.cluster.prepare(&format!("SELECT {} FROM {name} WHERE {condition}{distinct}", names.join(", "))).await?;
        read.set_is_idempotent(true);
        Ok(Some(Pair { columns, add, read }))
    }

    pub(super) async fn run(self, mut input: mpsc::Receiver<Vec<u8>>) -> Result<Loaded, CassandraError> {
        let layout = &self.load.layout;
        let mut decoder = Decoder::default();
        let (mut partition, mut waiting) = (None, Vec::new());
        while let Some(bytes) = input.recv().await {
            decoder.feed(&bytes);
            while let Some(item) = self.load.item(&mut decoder)? {
                let Item::Row(row) = item else { continue };
                let cells = rowform::cells(&row)?;
                let parted = parts::part(layout, &cells, 0)?;
                if partition.as_ref() != Some(&parted.partition) {
                    partition = Some(parted.partition.clone());
                    waiting.extend(self.goal(&parted, true));
                }
                waiting.extend(self.goal(&parted, false));
                if waiting.len() >= AT_A_TIME {
                    self.reach(std::mem::take(&mut waiting)).await?;
                }
            }
        }
        decoder.finish()?;
        self.reach(waiting).await?;
        Ok(Loaded { vanishing: Vanishing::new(&self.load.row_key, self.load.clock.now().as_second()) })
    }

    /// What a row, or the static row of its partition, must come to; `None` when it has no counters.
    fn goal(&self, row: &Parted<'_>, fixed: bool) -> Option<Goal> {
        let (pair, parts, key) =
            if fixed { (self.fixed.as_ref()?, &row.statics, row.partition.clone()) } else { (self.regular.as_ref()?, &row.regulars, row.key()) };
        let value = |column: &usize| parts.iter().find(|part: &&Part<'_>| part.column == *column).and_then(|part| cells::long(part.bytes));
        let wanted: Vec<Option<i64>> = pair.columns.iter().map(value).collect();
        wanted.iter().any(Option::is_some).then_some(Goal { fixed, key, wanted })
    }

    async fn reach(&self, goals: Vec<Goal>) -> Result<(), CassandraError> {
        futures::future::try_join_all(goals.iter().map(|goal| self.one(goal))).await.map(|_| ())
    }

    async fn one(&self, goal: &Goal) -> Result<(), CassandraError> {
        let cluster = &self.load.cluster;
        let pair = if goal.fixed { &self.fixed } else { &self.regular }.as_ref().expect("a goal is made for a pair");
        let mut doubt = self.load.again;
        for _ in 0..=cluster.config.retries {
            let have = if doubt { self.read(pair, goal).await? } else { vec![None; goal.wanted.len()] };
            let missing: Vec<Option<i64>> = goal
                .wanted
                .iter()
                .zip(&have)
                // A counter that is not there yet becomes one even if it stands at zero.
                .map(|(wanted, have)| wanted.filter(|wanted| *have != Some(*wanted)).map(|wanted| wanted.wrapping_sub(have.unwrap_or(0))))
                .collect();
            if missing.iter().all(Option::is_none) {
                return Ok(());
            }
            let mut values = Values::default();
            for number in missing {
                match number {
                    Some(number) => values.push(&number.to_be_bytes()),
                    None => values.unset(),
                }
            }
            values.extend(&goal.key);
            cluster.go_on()?;
            match cluster.session.execute_unpaged(&pair.add, &values).await {
                Ok(_) => return Ok(()),
                Err(error) => tracing::debug!(%error, "a counter may or may not have been written"),
            }
            doubt = true;
            tokio::select! {
                () = tokio::time::sleep(SETTLE) => {}
                () = cluster.cancel.stopped() => return Err(CassandraError::Cancelled),
            }
        }
        let table = format!("{}.{}", self.load.layout.keyspace, self.load.layout.table);
        Err(CassandraError::Query {
            doing: format!("write counters of {table}"),
            tries: cluster.config.retries + 1,
            after: SETTLE * (cluster.config.retries + 1),
            what: "the writes were not acknowledged".to_owned(),
            kind: crate::sources::SourceErrorKind::Io,
        })
    }

    async fn read(&self, pair: &Pair, goal: &Goal) -> Result<Vec<Option<i64>>, CassandraError> {
        let cluster = &self.load.cluster;
        let mut key = Values::default();
        key.extend(&goal.key);
        let result =
            cluster.with_retries(|| "read counters".to_owned(), |_| async { cluster.session.execute_unpaged(&pair.read, &key).await }).await?;
        let rows = result.into_rows_result().map_err(|error| super::answers::unexpected("a counter", error))?;
        let row = rows.maybe_first_row::<scylla::value::Row>().map_err(|error| super::answers::unexpected("a counter", error))?;
        let Some(row) = row else { return Ok(vec![None; pair.columns.len()]) };
        Ok(row.columns.iter().map(|value| value.as_ref().and_then(|value| value.as_counter()).map(|counter| counter.0)).collect())
    }
}
