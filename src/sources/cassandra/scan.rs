//! Reads the rows of a part of a table: several pieces at a time, handed on in the order of tokens, in pages that are small in bytes.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
};

use scylla::{
    deserialize::row::ColumnIterator,
    response::{PagingState, query_result::QueryRowsResult},
    statement::prepared::PreparedStatement,
};
use tokio::sync::mpsc;

use super::{
    answers::unexpected,
    canonical::{Tally, Vanishing},
    connect::Cluster,
    error::CassandraError,
    layout::Layout,
    parts,
    ranges::Range,
    rowform,
};
use crate::{
    model::Clock,
    sources::{RowDigest, RowKey},
};

/// About how many bytes a page has.
const PAGE_BYTES: usize = 512 << 10;
/// Rows in the first page, before it is known how large they are: a row may have many MiB.
const FIRST_ROWS: i32 = 1;
/// Pieces of one component that are read at a time.
const AT_A_TIME: usize = 4;
/// Pages of a piece that wait to be handed on: about all that it has, so that none waits long for those before it.
const WAITING_PAGES: usize = 6;

/// What is read, and what for.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    pub cluster: Arc<Cluster>,
    pub layout: Arc<Layout>,
    pub range: Range,
    pub pieces: usize,
    pub row_key: RowKey,
    /// Whether the rows themselves are wanted, as [`rowform`] writes them, and not their digest alone.
    pub keep: bool,
    /// Cells that are left out of the digest.
    pub vanishing: Option<Arc<Vanishing>>,
    pub clock: Arc<dyn Clock>,
}

/// What was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanned {
    pub digest: RowDigest,
    pub rows: u64,
    /// Of the pages.
    pub bytes: u64,
    /// Whether there were cells that expire.
    pub expiring: bool,
}

enum Message {
    Page(Vec<u8>),
    Done(RowDigest, u64, bool),
    Failed(CassandraError),
}

impl Scan {
    /// Reads all, and sends the pages, if they are kept, in the order of tokens.
    pub(super) async fn run(self, out: Option<mpsc::Sender<Vec<u8>>>) -> Result<Scanned, CassandraError> {
        let mut prepared = self.cluster.prepare(&self.layout.scan()).await?;
        prepared.set_is_idempotent(true);
        let piece = Arc::new(Piece { prepared, page_rows: AtomicI32::new(FIRST_ROWS), scan: self });
        let mut waiting: VecDeque<Range> = piece.scan.range.cut(piece.scan.pieces).into();
        let mut running: VecDeque<mpsc::Receiver<Message>> = VecDeque::new();
        // Dropping the set ends all that still runs.
        let mut tasks = tokio::task::JoinSet::new();
        let mut scanned = Scanned { digest: piece.scan.row_key.digester().digest(), rows: 0, bytes: 0, expiring: false };
        loop {
            while running.len() < AT_A_TIME {
                let Some(range) = waiting.pop_front() else { break };
                let (sender, receiver) = mpsc::channel(WAITING_PAGES);
                let piece = piece.clone();
                tasks.spawn(async move {
                    let last = match piece.read(range, &sender).await {
                        Ok((digest, rows, expiring)) => Message::Done(digest, rows, expiring),
                        Err(error) => Message::Failed(error),
                    };
                    // Whoever does not listen has ended.
                    let _ = sender.send(last).await;
                });
                running.push_back(receiver);
            }
            let Some(first) = running.front_mut() else { return Ok(scanned) };
            match first.recv().await {
                Some(Message::Page(page)) => {
                    scanned.bytes += page.len() as u64;
                    if let Some(out) = &out {
                        // Whoever does not listen has given up.
                        out.send(page).await.map_err(|_| CassandraError::Cancelled)?;
                    }
                }
                Some(Message::Done(more, count, expiring)) => {
                    scanned.expiring |= expiring;
                    scanned.digest = scanned.digest.plus(more);
                    scanned.rows += count;
                    running.pop_front();
                }
                Some(Message::Failed(error)) => return Err(error),
                None => return Err(CassandraError::Cluster("a reader has vanished".to_owned())),
            }
        }
    }
}

struct Piece {
    scan: Scan,
    prepared: PreparedStatement,
    /// Learned from the pages before, by all pieces together.
    page_rows: AtomicI32,
}

impl Piece {
    async fn read(&self, range: Range, out: &mpsc::Sender<Message>) -> Result<(RowDigest, u64, bool), CassandraError> {
        let layout = &self.scan.layout;
        let mut tally = Tally::new(layout, &self.scan.row_key);
        let mut state = PagingState::start();
        loop {
            let doing = || format!("read {}.{}", layout.keyspace, layout.table);
            let (second, result, next) = self
                .scan
                .cluster
                .with_retries(doing, |tried| {
                    if tried > 0 {
                        // What did not come in time may come in smaller portions.
                        self.page_rows.store((self.page_rows.load(Relaxed) / 4).max(1), Relaxed);
                    }
                    let mut prepared = self.prepared.clone();
                    prepared.set_page_size(self.page_rows.load(Relaxed));
                    let second = self.scan.clock.now().as_second();
                    let state = state.clone();
                    async move {
                        let (result, next) = self.scan.cluster.session.execute_single_page(&prepared, (range.above, range.up_to), state).await?;
                        Ok((second, result, next))
                    }
                })
                .await?;
            let rows = result.into_rows_result().map_err(|error| unexpected(&layout.scan(), error))?;
            self.learn(&rows);
            let page = self.page(&rows, second, &mut tally)?;
            drop(rows);
            if self.scan.keep && !page.is_empty() && out.send(Message::Page(page)).await.is_err() {
                return Err(CassandraError::Cancelled);
            }
            match next.into_paging_control_flow() {
                ControlFlow::Break(()) => return Ok((tally.digest(), tally.rows, tally.expiring)),
                ControlFlow::Continue(next) => state = next,
            }
        }
    }

    /// Next pages have about the right size if rows stay as they are; they grow slowly, in case they do not.
    fn learn(&self, rows: &QueryRowsResult) {
        if let Some(each) = rows.rows_bytes_size().checked_div(rows.rows_num()) {
            let most = i32::try_from(self.scan.cluster.config.page_rows).unwrap_or(i32::MAX);
            let fitting = i32::try_from(PAGE_BYTES / each.max(1)).unwrap_or(i32::MAX);
            let grown = self.page_rows.load(Relaxed).saturating_mul(8);
            self.page_rows.store(fitting.min(grown).min(most).max(1), Relaxed);
        }
    }

    fn page(&self, rows: &QueryRowsResult, second: i64, tally: &mut Tally<'_>) -> Result<Vec<u8>, CassandraError> {
        let layout = &self.scan.layout;
        let bad = |error: &dyn std::fmt::Display| unexpected(&layout.scan(), error);
        let mut page = Vec::new();
        if self.scan.keep && rows.rows_num() > 0 {
            page.reserve(rows.rows_bytes_size() + 5 * rows.rows_num() + 9);
            rowform::put_page(&mut page, second);
        }
        let mut cells = Vec::new();
        for row in rows.rows::<ColumnIterator<'_, '_>>().map_err(|error| bad(&error))? {
            cells.clear();
            for column in row.map_err(|error| bad(&error))? {
                cells.push(column.map_err(|error| bad(&error))?.slice.map(|slice| slice.as_slice()));
            }
            let parted = parts::part(layout, &cells, second)?;
            tally.add(&parted, |form| self.scan.vanishing.as_ref().is_some_and(|vanishing| vanishing.holds(form)));
            if self.scan.keep {
                rowform::put_row(&mut page, cells.iter().copied());
            }
        }
        Ok(page)
    }
}
