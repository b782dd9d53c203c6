//! From a configured store to one that can be used.

use std::sync::Arc;

use super::{AccessKey, AzureStore, Budget, DirectoryStore, ErrorKind, ObjectStore, Retry, S3Store, StoreError};
use crate::config::{StoreConfig, StoreUrl};

/// Opens the store of `config`, with retries of what fails for a transient reason. Credentials that `config` does not name come from the cloud's default chain.
/// A directory must be there; of a bucket or container that is asked only later.
pub async fn open(config: &StoreConfig) -> Result<Arc<dyn ObjectStore>, StoreError> {
    open_with(config, None).await
}

/// As [`open`], with credentials for S3 that take the place of the default chain.
pub async fn open_with(config: &StoreConfig, access_key: Option<&AccessKey>) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let store: Arc<dyn ObjectStore> = match &config.url {
        StoreUrl::Directory(root) => Arc::new(DirectoryStore::open(root)?),
        StoreUrl::S3 { .. } => Arc::new(S3Store::open(config, access_key).await?),
        StoreUrl::Azure { .. } => Arc::new(AzureStore::open(config)?),
    };
    let seed = getrandom::u64().map_err(|error| StoreError::new(ErrorKind::Other, "open", "", &store.describe()).because(error.to_string()))?;
    Ok(Arc::new(Retry::new(store, Budget::default(), seed)))
}

/// What the store of `config` does to its objects of its own accord, each in words: rules that delete them or move them where they cannot be read, and
/// locks. Or why that could not be asked. A directory has none; lifecycle rules of an Azure account are not looked for.
pub async fn rules(config: &StoreConfig, access_key: Option<&AccessKey>) -> Vec<Result<String, StoreError>> {
    match &config.url {
        StoreUrl::Directory(_) => Vec::new(),
        StoreUrl::S3 { .. } => match S3Store::open(config, access_key).await {
            Ok(store) => store.rules().await,
            Err(error) => vec![Err(error)],
        },
        StoreUrl::Azure { .. } => match AzureStore::open(config) {
            Ok(store) => store.rules().await,
            Err(error) => vec![Err(error)],
        },
    }
}
