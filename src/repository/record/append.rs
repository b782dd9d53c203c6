//! Adding an entry: the signature first, then the entry by conditional put. The entry is the commit.

use bytes::Bytes;

use super::{
    body::Body,
    entry::{Entry, PointRef},
    keep::Keep,
    read::Record,
    rules::VoidReason,
};
use crate::{
    model::{Clock, EntryNumber, ObjectKey, RecoveryPointId, Sha256, Timestamp},
    repository::{
        RepositoryError,
        fetch::{put_signature, read},
        keys::SigningKey,
        layout::{self, FORMAT},
        trust::TrustProblem,
    },
    storage::{ObjectStore, Put, PutOptions, StoreError},
};

/// Void numbers in a row after which a writer stops.
pub const MOST_VOIDS: usize = 64;
/// How often other writers may be faster.
const MOST_RACES: usize = 1000;
/// How often a put that failed without telling whether it happened is tried.
const MOST_PUTS: usize = 5;

/// Who writes, and with what.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// Where.
    pub store: &'a dyn ObjectStore,
    /// Signs.
    pub key: &'a SigningKey,
    /// Gives `written`, which decides nothing.
    pub clock: &'a dyn Clock,
    /// Lock of entry and signature, where the store locks.
    pub retain_until: Option<Timestamp>,
}

/// An entry that was written.
#[derive(Debug, Clone)]
pub struct Appended {
    /// Its number.
    pub number: EntryNumber,
    /// Of its bytes.
    pub sha256: Sha256,
}

impl Appended {
    /// The name of the entry, when it is a point.
    pub fn point<K: Keep>(&self, record: &Record<K>) -> PointRef {
        PointRef { id: RecoveryPointId { lineage: record.lineage().clone(), number: self.number }, sha256: self.sha256 }
    }
}

/// What became of one try.
enum Try {
    Done,
    Taken,
}

/// Writes `body` after the last entry. `record` must have been read from the same store; it goes on with whatever others wrote meanwhile and
/// ends with the new entry. Compare it with the remembered head before (see `Heads`).
///
/// Errors: `EpochClosed` when a point's epoch was closed meanwhile; `Refused` when the entry would be void; `Gap` when entries are missing;
/// `Stuck` after 64 voids in a row; `Contended` after a thousand lost races; the store's.
pub async fn append<K: Keep>(writer: &Writer<'_>, record: &mut Record<K>, body: Body) -> Result<Appended, RepositoryError> {
    record.without_gap()?;
    for _ in 0..MOST_RACES {
        let voids = record.fold.voids().len();
        if voids >= MOST_VOIDS {
            return Err(RepositoryError::Stuck { lineage: record.lineage().clone(), voids });
        }
        let (entry, bytes, signature) = sign(writer, record, &body)?;
        let (number, lineage) = (entry.number, record.lineage().clone());
        let key = layout::record(&lineage, number);
        let options = PutOptions { retain_until: writer.retain_until, ..PutOptions::of(&bytes) };
        let is_valid = |text: &str| entry.signer.verify(&key, &bytes, text).is_ok();
        put_signature(writer.store, &layout::signature(&lineage, options.sha256), signature, &options, is_valid).await?;
        match put_entry(writer.store, &key, &bytes, &options).await? {
            Try::Done => {
                record.accept(entry, options.sha256);
                return Ok(Appended { number, sha256: options.sha256 });
            }
            Try::Taken => catch_up(writer.store, record).await?,
        }
    }
    Err(RepositoryError::Contended { lineage: record.lineage().clone(), tries: MOST_RACES })
}

/// Binds the body to the head, and judges the result as any reader would.
fn sign<K: Keep>(writer: &Writer<'_>, record: &Record<K>, body: &Body) -> Result<(Entry, Bytes, String), RepositoryError> {
    let fold = &record.fold;
    let trust = fold.trusts().head().ok_or(RepositoryError::Trust { number: 1, problem: TrustProblem::Missing })?;
    let entry = Entry {
        format: FORMAT,
        repository: fold.repository().clone(),
        lineage: fold.lineage().clone(),
        number: fold.next(),
        prev: fold.head().sha256,
        trust,
        void: fold.voids().to_vec(),
        written: writer.clock.now(),
        signer: writer.key.public().clone(),
        body: body.clone(),
    };
    let bytes = Bytes::from(entry.to_bytes());
    let signature = writer.key.sign(&layout::record(fold.lineage(), entry.number), &bytes);
    let lineage = fold.lineage().clone();
    fold.judge(&bytes, Some(&signature)).map_err(|reason| match (reason, body) {
        (VoidReason::EpochClosed(_), Body::Point(_)) => RepositoryError::EpochClosed { lineage },
        (reason, _) => RepositoryError::Refused { lineage: lineage.into(), kind: body.kind(), reason },
    })?;
    Ok((entry, bytes, signature))
}

/// Puts the entry. A put that failed may have happened, so what is there decides.
async fn put_entry(store: &dyn ObjectStore, key: &ObjectKey, bytes: &Bytes, options: &PutOptions) -> Result<Try, RepositoryError> {
    let mut failed: Option<StoreError> = None;
    for _ in 0..MOST_PUTS {
        match store.put_new(key, bytes.clone(), options).await {
            Ok(Put::Created) => return Ok(Try::Done),
            Ok(Put::AlreadyThere) => failed = None,
            Err(error) => failed = Some(error),
        }
        match (read(store, key).await?, &failed) {
            (Some(there), _) if there == *bytes => return Ok(Try::Done),
            (Some(_), _) => return Ok(Try::Taken),
            // The store says that the key is taken and shows nothing: a delete marker, or a read that is late.
            (None, None) => return Ok(Try::Taken),
            (None, Some(error)) if !error.is_transient() => break,
            (None, Some(_)) => {}
        }
    }
    Err(failed.expect("the loop ends by an error that was kept").into())
}

/// Takes in what was written since, at least one number.
async fn catch_up<K: Keep>(store: &dyn ObjectStore, record: &mut Record<K>) -> Result<(), RepositoryError> {
    let before = record.fold.next();
    loop {
        let number = record.fold.next();
        if !record.take(store, number, None).await? {
            if number > before {
                return Ok(());
            }
            let key = layout::record(record.lineage(), number);
            let what = "the store says that it exists and shows neither it nor a version of it".to_owned();
            return Err(RepositoryError::Damaged { key, what });
        }
        if record.fold.voids().len() >= MOST_VOIDS {
            return Ok(());
        }
    }
}
