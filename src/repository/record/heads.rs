//! What was the highest entry seen, per location and lineage: a location must not show less, or other, than it did.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{entry::to_line, keep::Keep, read::Record, rules::Head};
use crate::{
    model::{EntryNumber, Lineage, Sha256},
    repository::{RepositoryError, layout::FORMAT},
};

/// How a record compares with what was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is as before or goes on.
    Current,
    /// It ends before what was seen: entries have not arrived, or were removed.
    Behind {
        /// The last number seen.
        remembered: EntryNumber,
    },
}

/// The heads seen so far; a small file on the machine that looks.
#[derive(Debug)]
pub struct Heads {
    path: PathBuf,
    file: HeadsFile,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadsFile {
    format: u32,
    /// By location and lineage.
    heads: BTreeMap<String, BTreeMap<Lineage, Seen>>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    number: EntryNumber,
    sha256: Sha256,
}

impl Heads {
    /// Reads the file; one that is not there remembers nothing.
    pub fn open(path: &Path) -> Result<Heads, RepositoryError> {
        let empty = HeadsFile { format: FORMAT, heads: BTreeMap::new() };
        match fs::read(path) {
            Ok(text) => Heads::parse(&text, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Heads { path: path.to_owned(), file: empty }),
            Err(source) => Err(RepositoryError::IdentityIo { path: path.to_owned(), source }),
        }
    }

    /// Heads that were written down elsewhere; they are kept nowhere by themselves.
    ///
    /// # Errors
    /// It is not such a file.
    pub fn parse(text: &[u8], path: &Path) -> Result<Heads, RepositoryError> {
        let parsed = serde_json::from_slice(text).ok().filter(|file: &HeadsFile| file.format == FORMAT);
        let refused = || RepositoryError::IdentityRefused { path: path.to_owned(), rule: "it is not a file of remembered heads" };
        parsed.map(|file| Heads { path: path.to_owned(), file }).ok_or_else(refused)
    }

    /// Writes down what is known of these locations.
    pub fn to_bytes(&self, locations: &[String]) -> Vec<u8> {
        let heads = self.file.heads.iter().filter(|(location, _)| locations.contains(location));
        to_line(&HeadsFile { format: FORMAT, heads: heads.map(|(location, of)| (location.clone(), of.clone())).collect() })
    }

    /// Remembers what others have seen, where it is more.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn adopt(&mut self, others: &Heads) -> Result<(), RepositoryError> {
        self.rewrite(|heads| {
            for (location, of) in &others.file.heads {
                for (lineage, seen) in of {
                    let known = heads.entry(location.clone()).or_default().entry(lineage.clone()).or_insert(*seen);
                    if known.number < seen.number {
                        *known = *seen;
                    }
                }
            }
        })
    }

    /// The head that was seen at `location`.
    pub fn seen(&self, location: &str, lineage: &Lineage) -> Option<Head> {
        self.file.heads.get(location)?.get(lineage).map(|seen| Head { number: seen.number, sha256: seen.sha256 })
    }

    /// Whether anything was ever seen at `location`.
    pub fn knows(&self, location: &str) -> bool {
        self.file.heads.contains_key(location)
    }

    /// Compares `record`, as read from `location`, with what was seen there. Errors with `Rewritten` when the remembered entry has changed.
    pub fn check<K: Keep>(&self, location: &str, record: &Record<K>) -> Result<Standing, RepositoryError> {
        let Some(seen) = self.seen(location, record.lineage()) else { return Ok(Standing::Current) };
        // A revoked entry is void and still the same bytes: nobody has rewritten anything.
        match record.digest_at(seen.number) {
            Some(found) if found == seen.sha256 => Ok(Standing::Current),
            None if record.fold.next() <= seen.number => Ok(Standing::Behind { remembered: seen.number }),
            found => Err(RepositoryError::Rewritten {
                lineage: Box::new(record.lineage().clone()),
                number: seen.number,
                remembered: seen.sha256,
                found: found.map_or("nothing that can be read".to_owned(), |found| found.to_string()),
            }),
        }
    }

    /// For writers: errors with `Behind` when `record` ends before what was seen, because a new entry would fork the record.
    pub fn require_current<K: Keep>(&self, location: &str, record: &Record<K>) -> Result<(), RepositoryError> {
        match self.check(location, record)? {
            Standing::Current => Ok(()),
            Standing::Behind { remembered } => {
                let found = record.fold.head().number;
                Err(RepositoryError::Behind { lineage: record.lineage().clone(), found, remembered })
            }
        }
    }

    /// Remembers the head of `record` when it is higher than what was seen; writes the file whole, then renames it. What other processes have
    /// written since this one read the file is kept.
    pub fn remember<K: Keep>(&mut self, location: &str, record: &Record<K>) -> Result<(), RepositoryError> {
        let Some(head) = record.head() else { return Ok(()) };
        if self.seen(location, record.lineage()).is_some_and(|seen| seen.number >= head.number) {
            return Ok(());
        }
        self.rewrite(|heads| {
            let lineages = heads.entry(location.to_owned()).or_default();
            let seen = lineages.entry(record.lineage().clone()).or_insert(Seen { number: head.number, sha256: head.sha256 });
            if seen.number < head.number {
                *seen = Seen { number: head.number, sha256: head.sha256 };
            }
        })
    }

    /// Reads the file again, changes it, writes it whole, then renames it; one process at a time.
    fn rewrite(&mut self, change: impl FnOnce(&mut BTreeMap<String, BTreeMap<Lineage, Seen>>)) -> Result<(), RepositoryError> {
        let path = self.path.clone();
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let failed = |source| RepositoryError::IdentityIo { path: path.clone(), source };
        let lock = || {
            fs::create_dir_all(folder)?;
            let lock = File::create(path.with_extension("lock"))?;
            lock.lock().map(|()| lock)
        };
        let _until_the_end = lock().map_err(failed)?;
        *self = Heads::open(&path)?;
        change(&mut self.file.heads);
        let write = || {
            let mut new = tempfile::NamedTempFile::new_in(folder)?;
            io::Write::write_all(&mut new, &to_line(&self.file))?;
            new.as_file().sync_all()?;
            new.persist(&path).map(drop).map_err(|error| error.error)
        };
        write().map_err(failed)
    }
}
