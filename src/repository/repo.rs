//! `repo.json`: which repository this is. See `docs/format/repo.md`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{RepositoryError, fetch::read, layout, record::to_line};
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
        let Some(bytes) = read(store, &key).await? else { return Ok(None) };
        match serde_json::from_slice::<RepoFile>(&bytes) {
            Ok(file) if file.format == layout::FORMAT => Ok(Some(file)),
            Ok(file) => Err(RepositoryError::Damaged { key, what: format!("it has the unknown format {}", file.format) }),
            Err(_) => Err(RepositoryError::Damaged { key, what: "it is not the JSON of repo.json".to_owned() }),
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
