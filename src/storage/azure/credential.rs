//! Who we are to Azure, when neither a key nor a SAS token is given.

use std::{env, sync::Arc, sync::OnceLock, time::Duration};

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_identity::{DeveloperToolsCredential, ManagedIdentityCredential, WorkloadIdentityCredential};

/// How long a machine's identity service may take to answer the first time; outside Azure nobody answers.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// Workload identity where its variables are set, else the first of managed identity and developer tools that gives a token.
pub(super) fn find() -> azure_core::Result<Arc<dyn TokenCredential>> {
    if env::var_os("AZURE_FEDERATED_TOKEN_FILE").is_some() {
        return Ok(WorkloadIdentityCredential::new(None)?);
    }
    Ok(Arc::new(Chain { managed: ManagedIdentityCredential::new(None)?, developer: DeveloperToolsCredential::new(None)?, chosen: OnceLock::new() }))
}

#[derive(Debug)]
struct Chain {
    managed: Arc<ManagedIdentityCredential>,
    developer: Arc<DeveloperToolsCredential>,
    /// Whoever gave the first token gives all others, so that an outage does not change who we are.
    chosen: OnceLock<Arc<dyn TokenCredential>>,
}

#[async_trait]
impl TokenCredential for Chain {
    async fn get_token(&self, scopes: &[&str], options: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        if let Some(chosen) = self.chosen.get() {
            return chosen.get_token(scopes, options).await;
        }
        let managed = tokio::time::timeout(FIRST_ANSWER, self.managed.get_token(scopes, options.clone())).await;
        let (token, by): (_, Arc<dyn TokenCredential>) = match managed {
            Ok(Ok(token)) => (token, self.managed.clone()),
            _ => (self.developer.get_token(scopes, options).await?, self.developer.clone()),
        };
        self.chosen.get_or_init(|| by);
        Ok(token)
    }
}
