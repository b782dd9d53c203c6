//! The journal of a run: numbered objects in the control store, each written once. Format: docs/format/journal.md.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{OrchestratorError, part::Place, state::JournalEvent};
use crate::{
    model::{ObjectKey, RunId, Timestamp},
    pipeline::hash::{MacKey, sha256},
    repository::layout,
    storage::{ErrorKind, ObjectStore, Put, PutOptions, list_all},
};

/// One numbered object of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalRecord {
    /// Version of the format: 1.
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// From 1, without gaps.
    pub number: u64,
    /// When it was written.
    pub written: Timestamp,
    /// What happened.
    pub event: JournalEvent,
}

impl JournalRecord {
    /// The bytes that are stored: the record as a line of JSON, and a line with its MAC.
    pub fn encode(&self, key: &MacKey) -> Vec<u8> {
        signed_line::encode(self, key)
    }

    /// Reads them back.
    ///
    /// # Errors
    /// Why they are not record `number` of `run`, written by a holder of `key`.
    pub fn decode(bytes: &[u8], run: &RunId, number: u64, key: &MacKey) -> Result<JournalRecord, &'static str> {
        let record: JournalRecord = signed_line::decode(bytes, key)?;
        match record.format == 1 && record.run == *run && record.number == number {
            true => Ok(record),
            false => Err("it is of another run or number"),
        }
    }
}

/// What lies in the control store: a line of JSON, and a line with its MAC.
pub mod signed_line {
    use serde::{Serialize, de::DeserializeOwned};

    use crate::pipeline::{Mac, MacKey};

    /// The bytes that are stored.
    pub fn encode(value: &impl Serialize, key: &MacKey) -> Vec<u8> {
        let line = serde_json::to_string(value).expect("what is journalled is plain data");
        format!("{line}\n{}\n", key.mac(line.as_bytes())).into_bytes()
    }

    /// Reads them back; says why they were not written by a holder of `key`.
    pub fn decode<T: DeserializeOwned>(bytes: &[u8], key: &MacKey) -> Result<T, &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
        let (line, mac) = text.strip_suffix('\n').and_then(|t| t.split_once('\n')).ok_or("it has not two lines")?;
        let mut code = [0; 32];
        hex::decode_to_slice(mac, &mut code).map_err(|_| "its MAC is not hex")?;
        if !key.verify(line.as_bytes(), &Mac(code)) {
            return Err("its MAC is not ours");
        }
        serde_json::from_str(line).map_err(|_| "it is of an unknown form")
    }
}

/// Writes the journal of one run. Whoever loses a put has lost the run to another process and stops.
#[derive(Debug)]
pub struct Journal {
    store: Arc<dyn ObjectStore>,
    run: RunId,
    key: MacKey,
    next: u64,
}

/// What a journal says, as far as it can be believed.
#[derive(Debug)]
pub struct JournalTail {
    /// The events, in order.
    pub records: Vec<JournalRecord>,
    /// Why reading stopped before the end, if it did: the record after the last good one is not ours.
    pub broken: Option<String>,
}

impl Journal {
    /// A journal for a new run.
    pub fn create(store: Arc<dyn ObjectStore>, run: RunId, key: MacKey) -> Journal {
        Journal { store, run, key, next: 1 }
    }

    /// Goes on after what [`read`] found.
    pub fn resume(store: Arc<dyn ObjectStore>, run: RunId, key: MacKey, tail: &JournalTail) -> Journal {
        Journal { store, run, key, next: tail.records.len() as u64 + 1 }
    }

    /// Whether somebody has written this number.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn has(store: &dyn ObjectStore, run: &RunId, number: u64) -> Result<bool, OrchestratorError> {
        Ok(store.head(&layout::journal(run, number)).await.map_err(OrchestratorError::journal(run))?.is_some())
    }

    /// All that it says now, whoever wrote it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn read(&self) -> Result<JournalTail, OrchestratorError> {
        read(self.store.as_ref(), &self.run, &self.key).await
    }

    /// Where parts of the run are told of.
    pub(super) fn place(&self) -> Place {
        Place { store: Arc::clone(&self.store), key: self.key.clone() }
    }

    /// Appends an event; once this returns the event survives a crash.
    ///
    /// # Errors
    /// [`OrchestratorError::LostRun`] when another process wrote this number; else the store's.
    pub async fn append(&mut self, event: JournalEvent, now: Timestamp) -> Result<(), OrchestratorError> {
        let record = JournalRecord { format: 1, run: self.run.clone(), number: self.next, written: now, event };
        let body = Bytes::from(record.encode(&self.key));
        let options = PutOptions { sha256: sha256(&body), retain_until: None };
        let key = layout::journal(&self.run, self.next);
        let put = self.store.put_new(&key, body.clone(), &options).await.map_err(OrchestratorError::journal(&self.run))?;
        // A retry whose first try was stored finds its own bytes.
        let ours = put == Put::Created || self.store.get(&key, None).await.map_err(OrchestratorError::journal(&self.run))? == body;
        if !ours {
            return Err(OrchestratorError::LostRun { run: self.run.clone() });
        }
        self.next += 1;
        Ok(())
    }
}

/// Reads the journal of a run from 1 upwards until a number is missing or not ours.
///
/// # Errors
/// When the store does not answer.
pub async fn read(store: &dyn ObjectStore, run: &RunId, key: &MacKey) -> Result<JournalTail, OrchestratorError> {
    read_after(store, run, 0, key).await
}

/// The same from the record after number `after` on.
///
/// # Errors
/// When the store does not answer.
pub async fn read_after(store: &dyn ObjectStore, run: &RunId, after: u64, key: &MacKey) -> Result<JournalTail, OrchestratorError> {
    let mut tail = JournalTail { records: Vec::new(), broken: None };
    loop {
        let number = after + tail.records.len() as u64 + 1;
        let bytes = match store.get(&layout::journal(run, number), None).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(tail),
            Err(error) => return Err(OrchestratorError::journal(run)(error)),
        };
        match JournalRecord::decode(&bytes, run, number, key) {
            Ok(record) => tail.records.push(record),
            Err(why) => {
                tail.broken = Some(format!("journal record {number}: {why}"));
                return Ok(tail);
            }
        }
    }
}

/// Whether an object is a record of the run's journal: orders and parts lie below it too.
pub fn is_record(run: &RunId, key: &ObjectKey) -> bool {
    layout::number(key).is_some_and(|number| layout::journal(run, number) == *key)
}

/// Whether the last record of a journal, as a listing shows it, ends the run: known without reading what may be thousands of records.
///
/// # Errors
/// When the store does not answer.
pub async fn is_ended(store: &dyn ObjectStore, run: &RunId, key: &MacKey) -> Result<bool, OrchestratorError> {
    let listed = list_all(store, &layout::journal_prefix(run)).await.map_err(OrchestratorError::journal(run))?;
    let own = listed.iter().rev().find(|object| is_record(run, &object.key));
    let Some((number, last)) = own.and_then(|last| Some((layout::number(&last.key)?, &last.key))) else { return Ok(false) };
    let bytes = store.get(last, None).await.map_err(OrchestratorError::journal(run))?;
    Ok(JournalRecord::decode(&bytes, run, number, key).is_ok_and(|record| matches!(record.event, JournalEvent::RunEnded { .. })))
}
