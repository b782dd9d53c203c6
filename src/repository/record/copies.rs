//! Entries that this machine has read before: an hourly policy has tens of thousands of them after two years, and two requests for each of
//! them would be made by every command.
//!
//! A copy is one file: the time at which the store says that the object was stored, a line feed, the entry (one line), and its signature. It is
//! believed no more than the store is: it is judged as what comes from there. It may be removed at any time.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use super::listing::Numbered;
use crate::{
    model::{EntryNumber, Lineage, Sha256},
    pipeline::sha256,
    repository::{fetch::Stored, layout, sample::bucket},
    storage::{ObjectStore, StoreError, list_each},
};

/// Copies of the entries of one record at one location.
#[derive(Debug, Clone)]
pub struct Copies {
    folder: Option<PathBuf>,
    doubt: Option<Arc<Doubt>>,
}

/// What is asked of the store although there is a copy.
#[derive(Debug)]
struct Doubt {
    /// The entries of which the store lists signatures; others are doubted.
    signed: BTreeSet<Sha256>,
    /// The buckets whose entries are doubted.
    due: BTreeSet<u16>,
}

impl Copies {
    /// None, and none are kept.
    pub fn none() -> Copies {
        Copies { folder: None, doubt: None }
    }

    /// Those of `lineage` at the location `place` (its URL), which lie below `state_dir`.
    pub fn of(state_dir: &Path, place: &str, lineage: &Lineage) -> Copies {
        let name = sha256(format!("{place}\n{lineage}").as_bytes()).to_string();
        Copies { folder: Some(state_dir.join("records").join(&name[..32])), doubt: None }
    }

    /// For those who ask whether the store has it all: no copy counts whose signature the store does not list, and none of an entry in the buckets
    /// `due` ([`bucket`]).
    ///
    /// # Errors
    /// The store's.
    pub async fn as_listed(self, store: &dyn ObjectStore, lineage: &Lineage, due: BTreeSet<u16>) -> Result<Copies, StoreError> {
        let mut signed = BTreeSet::new();
        list_each(store, &layout::signature_prefix(lineage), |object| signed.extend(layout::digest(&object.key))).await?;
        Ok(Copies { doubt: Some(Arc::new(Doubt { signed, due })), ..self })
    }

    fn path(&self, number: EntryNumber) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(number.0.to_string()))
    }

    /// The copy of an object that is still as it was when the copy was made: of the same size, and stored at the same time.
    pub(super) fn find(&self, lineage: &Lineage, listed: &Numbered) -> Option<Stored> {
        let key = || layout::record(lineage, listed.number);
        let copy = self.read(listed)?;
        let is_doubted = |doubt: &Arc<Doubt>| !doubt.signed.contains(&copy.sha256) || doubt.due.contains(&bucket(&key()));
        if self.doubt.as_ref().is_some_and(is_doubted) { None } else { Some(copy) }
    }

    fn read(&self, listed: &Numbered) -> Option<Stored> {
        let text = Bytes::from(fs::read(self.path(listed.number)?).ok()?);
        let stored_at = text.iter().position(|byte| *byte == b'\n')? + 1;
        let signature = stored_at + text[stored_at..].iter().position(|byte| *byte == b'\n')? + 1;
        let bytes = text.slice(stored_at..signature);
        let is_same = text[..stored_at - 1] == *listed.modified.to_string().as_bytes() && bytes.len() as u64 == listed.size.0;
        let text = String::from_utf8_lossy(&text[signature..]).into_owned();
        is_same.then(|| Stored { sha256: sha256(&bytes), bytes, signatures: vec![text] })
    }

    /// Keeps a copy of an object as it was listed. One that cannot be written is none: the store is asked the next time too.
    pub(super) fn keep(&self, listed: &Numbered, stored: &Stored) {
        let (Some(path), [signature]) = (self.path(listed.number), &stored.signatures[..]) else { return };
        let is_one_line = stored.bytes.iter().position(|byte| *byte == b'\n') == stored.bytes.len().checked_sub(1);
        // An object that was replaced since it was listed is another one.
        if !is_one_line || stored.bytes.len() as u64 != listed.size.0 {
            return;
        }
        if let Err(error) = write(&path, &listed.modified.to_string(), &stored.bytes, signature) {
            tracing::debug!(path = %path.display(), %error, "no copy of an entry is kept");
        }
    }

    /// Removes the copy of an entry that was found to be damaged, so that whoever reads the record is told.
    pub(super) fn forget(&self, number: EntryNumber) {
        if let Some(Err(error)) = self.path(number).map(fs::remove_file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(number = number.0, %error, "the copy of a damaged entry stays");
        }
    }
}

/// Whole or not at all, also beside others who write the same. Nothing is lost with it, so it need not survive a power cut.
fn write(path: &Path, stored_at: &str, entry: &[u8], signature: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{stored_at}")?;
    file.write_all(entry)?;
    file.write_all(signature.as_bytes())?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
