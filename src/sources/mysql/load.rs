//! Writing: a chunk's lines into its table, piece by piece, each in one transaction with the note that it is there.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use mysql_async::prelude::Queryable;
use tokio::{runtime::Handle, sync::mpsc, task::JoinHandle, time::timeout};

use super::{
    chunk::Chunk,
    connect::{Session, code, late, quote, refused},
    line, progress,
    target::Restore,
};
use crate::sources::{SourceError, StreamSink};

/// Bytes at which a piece is full; a row is never divided.
const PIECE: usize = 8 << 20;

/// How often a piece is tried when it meets another transaction.
const ATTEMPTS: u32 = 8;

/// Bytes of one `INSERT`, but for its last row.
const INSERT: usize = 512 << 10;

/// Whole lines.
struct Piece {
    lines: Bytes,
    rows: u64,
}

/// Cuts bytes into pieces, and hands them to the task that loads them.
struct Pieces {
    sender: mpsc::Sender<Piece>,
    bytes: Vec<u8>,
    /// How much of `bytes` is whole lines.
    whole: usize,
    rows: u64,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let rest = self.bytes.split_off(self.whole);
        let lines = Bytes::from(mem::replace(&mut self.bytes, rest));
        let piece = Piece { lines, rows: mem::take(&mut self.rows) };
        self.whole = 0;
        self.sender.blocking_send(piece).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the table takes no more rows"))
    }
}

impl Write for Pieces {
    /// Takes part of the bytes when a piece becomes full, so that pieces are the same however the bytes arrive.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.bytes.extend_from_slice(part);
            taken += part.len();
            if part.ends_with(b"\n") {
                self.rows += 1;
                self.whole = self.bytes.len();
                if self.whole >= PIECE {
                    self.send()?;
                    break;
                }
            }
        }
        Ok(taken)
    }

    /// A flush ends the last piece; it comes once, before the end.
    fn flush(&mut self) -> io::Result<()> {
        if self.whole < self.bytes.len() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the rows end within a row"));
        }
        if self.whole > 0 { self.send() } else { Ok(()) }
    }
}

/// A sink for a chunk's lines.
pub(super) fn sink(restore: &Arc<Restore>, name: &str, chunk: Chunk, handle: &Handle) -> StreamSink {
    let (sender, pieces) = mpsc::channel(1);
    let (restore, name) = (Arc::clone(restore), name.to_owned());
    let task: JoinHandle<Result<(), SourceError>> = handle.spawn(async move { load(&restore, &name, &chunk, pieces).await });
    let handle = handle.clone();
    let ended = move || handle.block_on(task).unwrap_or_else(|_| Err(super::unfit("the restore".to_owned(), "was abandoned", None)));
    StreamSink::new(Pieces { sender, bytes: Vec::new(), whole: 0, rows: 0 }, ended)
}

async fn load(restore: &Restore, name: &str, chunk: &Chunk, mut pieces: mpsc::Receiver<Piece>) -> Result<(), SourceError> {
    let mut lane = restore.lanes.take().await?;
    let database = restore.name(&chunk.database);
    let table = format!("{}.{}", quote(&database), quote(&chunk.table));
    let subject = format!("{database}.{}", chunk.table);
    if !chunk.transactional {
        // What an earlier process left cannot be told from what it did not: such a table has one chunk, and begins anew.
        lane.session().run(&format!("truncate table {table}"), &format!("empty the table {subject}")).await?;
    }
    let mut number = 0;
    while let Some(piece) = pieces.recv().await {
        let work = Work { restore, name, chunk, table: &table, subject: &subject, number };
        work.retried(lane.session(), &piece).await?;
        number += 1;
    }
    lane.give();
    Ok(())
}

/// A piece on its way into its table.
struct Work<'a> {
    restore: &'a Restore,
    name: &'a str,
    chunk: &'a Chunk,
    table: &'a str,
    subject: &'a str,
    number: u64,
}

impl Work<'_> {
    async fn retried(&self, session: &mut Session, piece: &Piece) -> Result<(), SourceError> {
        let mut attempt = 1;
        loop {
            let done = self.transaction(session, piece).await;
            let Err(error) = done else { return Ok(()) };
            session.run("rollback", &format!("roll back in {}", self.subject)).await?;
            match code(&error) {
                // Deadlock, or a wait for a lock: another chunk of the same table, or a process of the past.
                Some(1205 | 1213) if attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(100) * attempt).await;
                    attempt += 1;
                }
                // The server, or something on the way to it, takes no rows from clients.
                Some(1148 | 3948 | 3950 | 4166) if self.restore.infile.swap(false, Ordering::SeqCst) => {}
                _ => return Err(error),
            }
        }
    }

    async fn transaction(&self, session: &mut Session, piece: &Piece) -> Result<(), SourceError> {
        let doing = format!("write rows to {}", self.subject);
        session.run("start transaction", &doing).await?;
        if self.chunk.transactional && !progress::mark(session, self.name, self.number).await? {
            return session.run("rollback", &doing).await;
        }
        let rows = if self.chunk.fits_infile() && self.restore.infile.load(Ordering::SeqCst) {
            self.infile(session, piece).await?
        } else {
            self.inserts(session, piece).await?
        };
        if rows != piece.rows {
            let warnings: Vec<(String, String, String)> = session.rows("show warnings limit 3", &doing).await?;
            let words: Vec<String> = warnings.into_iter().map(|(_, _, message)| message).collect();
            let why = format!("took {rows} of {} rows: {}", piece.rows, words.join("; "));
            return Err(super::unfit(format!("the table {}", self.subject), &why, None));
        }
        session.run("commit", &doing).await
    }

    async fn infile(&self, session: &mut Session, piece: &Piece) -> Result<u64, SourceError> {
        let sql = format!(
            "load data local infile 'rows' into table {} character set binary fields terminated by '\\t' escaped by '\\\\' lines terminated by '\\n' {}",
            self.table,
            self.chunk.load_columns()
        );
        let lines = piece.lines.clone();
        let blocks = (0..lines.len()).step_by(256 << 10).map(move |at| Ok(lines.slice(at..lines.len().min(at + (256 << 10)))));
        let blocks: Vec<io::Result<Bytes>> = blocks.collect();
        session.conn.set_infile_handler(async move { Ok(stream::iter(blocks).boxed()) });
        self.statement(session, sql.into_bytes()).await
    }

    async fn inserts(&self, session: &mut Session, piece: &Piece) -> Result<u64, SourceError> {
        let columns: Vec<String> = self.chunk.columns.iter().map(|column| quote(&column.name)).collect();
        let head = format!("insert into {} ({}) values ", self.table, columns.join(", "));
        let mut rows = 0;
        let mut sql = head.clone().into_bytes();
        for line in piece.lines.split_inclusive(|byte| *byte == b'\n') {
            self.chunk.values(&mut sql, &line[..line.len() - 1]);
            if sql.len() >= INSERT {
                sql.pop();
                rows += self.statement(session, mem::replace(&mut sql, head.clone().into_bytes())).await?;
            }
        }
        if sql.len() > head.len() {
            sql.pop();
            rows += self.statement(session, sql).await?;
        }
        Ok(rows)
    }

    /// Runs a statement, and says how many rows it wrote.
    async fn statement(&self, session: &mut Session, sql: Vec<u8>) -> Result<u64, SourceError> {
        let doing = || format!("write rows to {}", self.subject);
        let limit = self.restore.config.timeout;
        let done = timeout(limit, session.conn.query_drop(sql)).await.unwrap_or_else(|_| Err(late(limit)));
        done.map_err(|error| refused(doing(), error))?;
        Ok(session.conn.affected_rows())
    }
}

impl Chunk {
    /// Appends a line's fields as a row of `VALUES`, with a comma after it.
    fn values(&self, sql: &mut Vec<u8>, text: &[u8]) {
        sql.push(b'(');
        for (number, (field, column)) in line::fields(text).zip(&self.columns).enumerate() {
            if number > 0 {
                sql.push(b',');
            }
            let (head, tail) = column.kind.conversion().unwrap_or_default();
            sql.extend_from_slice(head.as_bytes());
            line::literal(sql, field);
            sql.extend_from_slice(tail.as_bytes());
        }
        sql.extend_from_slice(b"),");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_with_a_row_and_do_not_depend_on_how_the_bytes_arrive() {
        let row = [vec![b'x'; 3 << 20], vec![b'\n']].concat();
        let text = row.repeat(4);
        let cut = |step: usize| {
            let (sender, mut receiver) = mpsc::channel(8);
            let mut pieces = Pieces { sender, bytes: Vec::new(), whole: 0, rows: 0 };
            text.chunks(step).for_each(|part| pieces.write_all(part).unwrap());
            pieces.flush().unwrap();
            drop(pieces);
            std::iter::from_fn(|| receiver.blocking_recv()).map(|piece| (piece.lines.len(), piece.rows)).collect::<Vec<_>>()
        };
        assert_eq!(cut(1000), [(3 * row.len(), 3), (row.len(), 1)]);
        assert_eq!(cut(1000), cut(text.len()));
    }

    #[test]
    fn rows_that_end_in_the_middle_are_an_error() {
        let (sender, _receiver) = mpsc::channel(1);
        let mut pieces = Pieces { sender, bytes: Vec::new(), whole: 0, rows: 0 };
        pieces.write_all(b"1\ta\n2").unwrap();
        assert!(pieces.flush().is_err());
    }
}
