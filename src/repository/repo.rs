//! `repo.json`: which repository this is. See `docs/format/repo.md`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    RepositoryError,
    fetch::{bodies, read},
    layout,
    record::to_line,
};
use crate::{
    model::{RepositoryId, Timestamp},
    storage::{ObjectStore, PutOptions},
};

/// The content of `repo.json`. It is not signed: believe it only when the trust, which is, says the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepoFile {
    /// [`layout::FORMAT`].
    pub format: u32,
    /// Random; named by every signed object.
    pub repository: RepositoryId,
    /// When it was made.
    pub created: Timestamp,
}

impl RepoFile {
    /// Reads it; `None` when there is no repository. Errors: the store's, and `Damaged` when it is not of a known format.
    pub async fn load(store: &dyn ObjectStore) -> Result<Option<RepoFile>, RepositoryError> {
        let key = layout::repo();
        let shown = match read(store, &key).await? {
            Some(bytes) => RepoFile::parse(&bytes).map(Some),
            None => Ok(None),
        };
        if let Ok(Some(_)) = &shown {
            return shown;
        }
        // A delete marker may hide it, or something was put over it.
        let older = bodies(store, &key).await?.iter().find_map(|bytes| RepoFile::parse(bytes).ok());
        older.map_or(shown, |file| Ok(Some(file)))
    }

    /// Whether a plain read shows it as it should be. Errors: the store's.
    pub async fn is_shown(store: &dyn ObjectStore) -> Result<bool, RepositoryError> {
        Ok(read(store, &layout::repo()).await?.is_some_and(|bytes| RepoFile::parse(&bytes).is_ok()))
    }

    fn parse(bytes: &[u8]) -> Result<RepoFile, RepositoryError> {
        let damaged = |what: String| RepositoryError::Damaged { key: layout::repo(), what };
        match serde_json::from_slice::<RepoFile>(bytes) {
            Ok(file) if file.format == layout::FORMAT => Ok(file),
            Ok(file) => Err(damaged(format!("it has the unknown format {}", file.format))),
            Err(_) => Err(damaged("it is not the JSON of repo.json".to_owned())),
        }
    }

    /// Writes it unless there is one, and gives the one that is there afterwards.
    pub async fn create(store: &dyn ObjectStore, repository: &RepositoryId, created: Timestamp) -> Result<RepoFile, RepositoryError> {
        let key = layout::repo();
        let bytes = Bytes::from(to_line(&RepoFile { format: layout::FORMAT, repository: repository.clone(), created }));
        let _ = store.put_new(&key, bytes.clone(), &PutOptions::of(&bytes)).await?;
        RepoFile::load(store).await?.ok_or_else(|| RepositoryError::Missing { key, store: store.describe() })
    }
}
