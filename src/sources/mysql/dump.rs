//! Reading: a chunk's rows as lines, in a task of its own, into a reader that blocks.

use std::{
    io::{self, Read},
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mysql_async::{QueryResult, TextProtocol, Value, prelude::Queryable};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};

use super::{
    chunk::Chunk,
    connect::{Make, Session, late, refused},
    definition::Definition,
    line,
};
use crate::{
    model::{ByteCount, Clock, Timestamp},
    sources::{RowDigest, RowKey, SourceError, StreamCapture, StreamEnd},
};

/// Bytes that are handed over at a time.
const BLOCK: usize = 256 << 10;

/// Blocks between the session and its reader.
const BLOCKS: usize = 2;

/// Longest time without a block, while the server looks for the first row or sorts.
const SILENCE: Duration = Duration::from_secs(1800);

/// Sessions that several threads take from and give back to.
#[derive(Debug, Clone)]
pub(super) struct Lanes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    home: Mutex<Vec<Session>>,
    /// As many permits as sessions are at home; closed when all are lost.
    free: Arc<Semaphore>,
    left: AtomicUsize,
}

/// A session on loan. One that is not given back is closed: its state is unknown.
#[derive(Debug)]
pub(super) struct Lane {
    session: Option<Session>,
    permit: Option<OwnedSemaphorePermit>,
    lanes: Lanes,
}

impl Lanes {
    pub(super) fn new(sessions: Vec<Session>) -> Lanes {
        let (free, left) = (Arc::new(Semaphore::new(sessions.len())), AtomicUsize::new(sessions.len()));
        Lanes(Arc::new(Shared { home: Mutex::new(sessions), free, left }))
    }

    /// Waits for a session; an error when all have been lost.
    pub(super) async fn take(&self) -> Result<Lane, SourceError> {
        let lost = || super::unfit("the server".to_owned(), "has closed all sessions of this run", None);
        let permit = Arc::clone(&self.0.free).acquire_owned().await.map_err(|_| lost())?;
        let session = self.0.home.lock().expect("no holder of this lock panics").pop().ok_or_else(lost)?;
        Ok(Lane { session: Some(session), permit: Some(permit), lanes: self.clone() })
    }

    /// Closes all that are at home; those on loan close when they come back.
    pub(super) async fn end(&self) {
        self.0.free.close();
        let sessions = mem::take(&mut *self.0.home.lock().expect("no holder of this lock panics"));
        futures::future::join_all(sessions.into_iter().map(Session::end)).await;
    }
}

impl Lane {
    /// The session.
    pub(super) fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("a lane has its session until it is given back")
    }

    /// Gives the session back.
    pub(super) fn give(mut self) {
        let session = self.session.take().filter(|_| !self.lanes.0.free.is_closed());
        self.lanes.0.home.lock().expect("no holder of this lock panics").extend(session);
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if self.session.take().is_some() {
            self.permit.take().expect("a lane has its permit until it is dropped").forget();
            if self.lanes.0.left.fetch_sub(1, Ordering::SeqCst) == 1 {
                self.lanes.0.free.close();
            }
        }
    }
}

/// Runs a chunk's `select`, and hands every row as a line (without its line feed) to `each`. Blocks of whole lines go to `sender`, where there
/// is one; whether all of them were taken is the answer.
pub(super) async fn lines(
    session: &mut Session,
    sql: &str,
    subject: &str,
    sender: Option<&mpsc::Sender<Vec<u8>>>,
    mut each: impl FnMut(&[u8]) + Send,
) -> Result<bool, SourceError> {
    let error = |error| refused(format!("read the rows of {subject}"), error);
    let silent = |_| error(late(SILENCE));
    let mut result = timeout(SILENCE, session.conn.query_iter(sql)).await.map_err(silent)?.map_err(error)?;
    let mut block = Vec::with_capacity(BLOCK + BLOCK / 8);
    loop {
        let more = timeout(SILENCE, fill(&mut block, &mut result, &mut each)).await.map_err(silent)?.map_err(error)?;
        match sender {
            Some(sender) if !block.is_empty() => {
                let full = mem::replace(&mut block, Vec::with_capacity(BLOCK + BLOCK / 8));
                if sender.send(full).await.is_err() {
                    return Ok(false);
                }
            }
            _ => block.clear(),
        }
        if !more {
            return Ok(true);
        }
    }
}

/// Appends rows as lines until the block is full; says whether there may be more.
async fn fill(
    block: &mut Vec<u8>,
    result: &mut QueryResult<'_, '_, TextProtocol>,
    each: &mut (impl FnMut(&[u8]) + Send),
) -> Result<bool, mysql_async::Error> {
    while block.len() < BLOCK {
        let Some(row) = result.next().await? else { return Ok(false) };
        let begin = block.len();
        for (number, value) in row.unwrap_raw().into_iter().enumerate() {
            if number > 0 {
                block.push(b'\t');
            }
            match value {
                Some(Value::Bytes(bytes)) => line::field(block, Some(&bytes)),
                // The text protocol has bytes and nulls only.
                _ => line::field(block, None),
            }
        }
        each(&block[begin..]);
        block.push(b'\n');
    }
    Ok(true)
}

/// What came of a capture: digest and bytes.
type Done = Result<(RowDigest, u64), SourceError>;

/// The reading end of the task's blocks. Dropping it before their end stops the task.
struct Blocks {
    blocks: mpsc::Receiver<Vec<u8>>,
    block: Vec<u8>,
    at: usize,
    ended: bool,
    task: tokio::task::AbortHandle,
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            match self.blocks.blocking_recv() {
                Some(block) => (self.block, self.at) = (block, 0),
                None => {
                    self.ended = true;
                    return Ok(0);
                }
            }
        }
        let count = buffer.len().min(self.block.len() - self.at);
        buffer[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        if !self.ended {
            self.task.abort();
        }
    }
}

/// Captures a chunk's rows on a session of the snapshot. Its table is let go of afterwards, so that nobody who changes it waits for us.
/// With a `clock`, rows are of the time until they are read: their table knows no transactions.
pub(super) fn rows(
    lanes: &Lanes,
    chunk: Chunk,
    make: Make,
    key: RowKey,
    span: (Timestamp, Timestamp),
    clock: Option<Arc<dyn Clock>>,
    handle: &Handle,
) -> StreamCapture {
    let lanes = lanes.clone();
    let (sender, blocks) = mpsc::channel(BLOCKS);
    let task: JoinHandle<Done> = handle.spawn(async move {
        let mut lane = lanes.take().await?;
        let subject = chunk.subject();
        let doing = format!("read the rows of {subject}");
        lane.session().run("savepoint hourglass", &doing).await?;
        let (mut digester, mut bytes) = (key.digester(), 0_u64);
        let sql = chunk.select(&chunk.database, make);
        let each = |line: &[u8]| {
            digester.row(line);
            bytes += line.len() as u64 + 1;
        };
        if lines(lane.session(), &sql, &subject, Some(&sender), each).await? {
            lane.session().run("rollback to savepoint hourglass", &doing).await?;
            lane.give();
        }
        Ok((digester.digest(), bytes))
    });
    let (abort, handle) = (task.abort_handle(), handle.clone());
    let reader = Blocks { blocks, block: Vec::new(), at: 0, ended: false, task: abort };
    StreamCapture::new(reader, move || {
        let done = handle.block_on(task).unwrap_or_else(|_| Err(super::unfit("the capture".to_owned(), "was abandoned", None)));
        let (digest, bytes) = done?;
        Ok(end((span.0, clock.map_or(span.1, |clock| clock.now())), Some(digest), bytes))
    })
}

fn end((consistent_from, consistent_to): (Timestamp, Timestamp), rows: Option<RowDigest>, bytes: u64) -> StreamEnd {
    let (versions, problems) = (std::collections::BTreeMap::new(), Vec::new());
    StreamEnd { consistent_from, consistent_to, versions, bytes: ByteCount(bytes), rows, problems }
}

/// Captures definitions, which are in memory, with their digest, where they are compared after a restore.
pub(super) fn definitions(definitions: &[Definition], digest: Option<RowDigest>, span: (Timestamp, Timestamp)) -> StreamCapture {
    let text: Vec<u8> = definitions.iter().flat_map(Definition::line).collect();
    let bytes = text.len() as u64;
    StreamCapture::new(io::Cursor::new(text), move || Ok(end(span, digest, bytes)))
}

/// The digest of definitions in the form in which they are compared.
pub(super) fn digest<'a>(definitions: impl IntoIterator<Item = &'a Definition>, key: RowKey) -> RowDigest {
    let mut digester = key.digester();
    definitions.into_iter().filter(|definition| !definition.invalid).for_each(|definition| digester.row(&definition.canonical()));
    digester.digest()
}
