//! What a container does to its objects of its own accord. Lifecycle rules belong to the account, which is not asked.

use azure_storage_blob::models::BlobContainerClientGetPropertiesResultHeaders;

use super::AzureStore;
use crate::storage::StoreError;

impl AzureStore {
    /// See [`crate::storage::rules`].
    pub(in crate::storage) async fn rules(&self) -> Vec<Result<String, StoreError>> {
        match self.immutability().await {
            Ok(flags) => flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, what)| Ok(format!("the container has {what}"))).collect(),
            Err(error) => vec![Err(error)],
        }
    }

    async fn immutability(&self) -> Result<[(bool, &'static str); 3], StoreError> {
        let wrap = |error: azure_core::Error| self.error(&error, "get", "the properties of the container");
        let found = self.container.get_properties(None).await.map_err(wrap)?;
        let is = |flag: azure_core::Result<Option<bool>>| flag.map(|flag| flag == Some(true)).map_err(wrap);
        Ok([
            (is(found.has_immutability_policy())?, "an immutability policy: nothing in it can be replaced or deleted"),
            (is(found.has_legal_hold())?, "a legal hold: nothing in it can be replaced or deleted"),
            (is(found.is_immutable_storage_with_versioning_enabled())?, "version-level immutability: what is deleted there may stay"),
        ])
    }
}
