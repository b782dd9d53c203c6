//! Writes the rows of a component: batches of one partition, a bounded number at a time, each tried again within limits.

use std::sync::Arc;

use futures::{StreamExt, stream::FuturesUnordered};
use scylla::{
    errors::ExecutionError,
    statement::batch::{Batch, BatchType},
};
use tokio::sync::mpsc;

use super::{
    canonical::Vanishing,
    connect::Cluster,
    counters::Counters,
    error::CassandraError,
    layout::Layout,
    life::Moment,
    parts,
    rowform::{self, Decoder, Item},
    statements::{Statements, Write},
    values::Values,
};
use crate::{model::Clock, sources::RowKey};

/// Requests of one component at a time.
const AT_A_TIME: usize = 48;
/// Their bytes together, unless one alone has more.
const BYTES_AT_A_TIME: usize = 8 << 20;
/// Most writes in a batch.
const BATCH_WRITES: usize = 30;
/// Most bytes in a batch.
const BATCH_BYTES: usize = 24 << 10;

/// Where and how rows are written.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub cluster: Arc<Cluster>,
    /// As saved, with the keyspace's name in the target.
    pub layout: Arc<Layout>,
    pub row_key: RowKey,
    /// Whether an earlier try may have written some of it.
    pub again: bool,
    pub clock: Arc<dyn Clock>,
}

/// What a load tells.
#[derive(Debug)]
pub(super) struct Loaded {
    /// What was left out, or will vanish before long.
    pub vanishing: Vanishing,
}

/// Writes of one partition.
#[derive(Debug, Default)]
struct Unit {
    writes: Vec<Write>,
    bytes: usize,
}

impl Load {
    /// Writes the rows of the stream that comes from `input`.
    pub(super) async fn run(self, mut input: mpsc::Receiver<Vec<u8>>) -> Result<Loaded, CassandraError> {
        if self.layout.counter {
            return Counters::new(self).await?.run(input).await;
        }
        let statements = Statements::prepare(&self.cluster, &self.layout).await?;
        let mut decoder = Decoder::default();
        let mut flights = Flights { load: &self, statements: &statements, running: FuturesUnordered::new(), bytes: 0 };
        let mut vanishing = Vanishing::new(&self.row_key, self.clock.now().as_second());
        let mut unit = Unit::default();
        let (mut read_at, mut partition) = (0, None);
        while let Some(bytes) = input.recv().await {
            decoder.feed(&bytes);
            while let Some(item) = self.item(&mut decoder)? {
                let row = match item {
                    Item::Page(second) => {
                        read_at = second;
                        continue;
                    }
                    Item::End(_) => continue,
                    Item::Row(row) => row,
                };
                let cells = rowform::cells(&row)?;
                let parted = parts::part(&self.layout, &cells, read_at)?;
                let first = partition.as_ref() != Some(&parted.partition);
                vanishing.add(&self.layout, &parted, first);
                let moment = Moment { read_at, now: self.clock.now().as_second() };
                let writes = statements.writes(&self.layout, &parted, first, moment);
                let bytes: usize = writes.iter().map(Write::size).sum();
                // Writes of one row stay together: elements of a list have the order in which one node writes them.
                if first || unit.writes.len() + writes.len() > BATCH_WRITES || unit.bytes + bytes > BATCH_BYTES {
                    flights.start(std::mem::take(&mut unit)).await?;
                }
                if first {
                    partition = Some(parted.partition);
                }
                unit.bytes += bytes;
                unit.writes.extend(writes);
            }
        }
        decoder.finish()?;
        flights.start(unit).await?;
        flights.land(0).await?;
        Ok(Loaded { vanishing })
    }

    /// The next item; the header must fit the layout that the point names.
    pub(super) fn item(&self, decoder: &mut Decoder) -> Result<Option<Item>, CassandraError> {
        if let Some(header) = decoder.header()?
            && (header.layout.columns != self.layout.columns || header.layout.table != self.layout.table)
        {
            let what = format!("stream of rows of {}.{}", header.layout.keyspace, header.layout.table);
            return Err(CassandraError::Saved { what, why: "its columns are not those that the point names".to_owned() });
        }
        decoder.item()
    }

    async fn write(&self, statements: &Statements, unit: Unit) -> Result<usize, CassandraError> {
        let has_list = unit.writes.iter().any(Write::is_list);
        let doing = || format!("write to {}.{}", self.layout.keyspace, self.layout.table);
        self.cluster.with_retries(doing, |tried| self.attempt(statements, &unit.writes, has_list, self.again || tried > 0)).await?;
        Ok(unit.bytes)
    }

    async fn attempt(&self, statements: &Statements, writes: &[Write], has_list: bool, again: bool) -> Result<(), ExecutionError> {
        let changed: Vec<Write>;
        let writes = if again && has_list {
            // Element by element it could not be repeated: elements of a list have no names.
            let now = self.clock.now().as_microsecond();
            changed = writes.iter().map(|write| write.clone().again(now)).collect();
            &changed
        } else {
            writes
        };
        if let [one] = writes {
            return self.cluster.session.execute_unpaged(statements.of(one, again), one.values()).await.map(|_| ());
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_consistency(self.cluster.consistency);
        batch.set_is_idempotent(!has_list);
        batch.set_request_timeout(Some(self.cluster.config.timeout));
        writes.iter().for_each(|write| batch.append_statement(statements.of(write, again).clone()));
        let values: Vec<&Values> = writes.iter().map(Write::values).collect();
        self.cluster.session.batch(&batch, values).await.map(|_| ())
    }
}

type Flight<'a> = std::pin::Pin<Box<dyn Future<Output = Result<usize, CassandraError>> + Send + 'a>>;

/// Requests on their way.
struct Flights<'a> {
    load: &'a Load,
    statements: &'a Statements,
    running: FuturesUnordered<Flight<'a>>,
    bytes: usize,
}

impl<'a> Flights<'a> {
    /// Sends a batch, once there is room for it.
    async fn start(&mut self, unit: Unit) -> Result<(), CassandraError> {
        if unit.writes.is_empty() {
            return Ok(());
        }
        while !self.running.is_empty() && (self.running.len() >= AT_A_TIME || self.bytes + unit.bytes > BYTES_AT_A_TIME) {
            self.land(self.running.len() - 1).await?;
        }
        self.bytes += unit.bytes;
        let (load, statements) = (self.load, self.statements);
        self.running.push(Box::pin(load.write(statements, unit)));
        Ok(())
    }

    /// Waits until only `left` are on their way.
    async fn land(&mut self, left: usize) -> Result<(), CassandraError> {
        while self.running.len() > left {
            if let Some(done) = self.running.next().await {
                self.bytes -= done?;
            }
        }
        Ok(())
    }
}
