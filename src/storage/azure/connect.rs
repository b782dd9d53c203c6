//! The client of an Azure store: endpoint, credentials, certificates, time-outs.

use std::{env, fs, path::Path, sync::Arc};

use azure_core::{
    credentials::TokenCredential,
    http::{ClientOptions, RetryOptions, Transport, Url, policies::Policy},
};
use azure_storage_blob::{BlobContainerClient, BlobContainerClientOptions};

use super::{
    AzureStore, credential,
    policy::{SendChecksum, SharedKey},
};
use crate::{
    config::{StoreConfig, StoreUrl},
    model::Secret,
    storage::{ErrorKind, StoreError, limits},
};

enum Access {
    Sas(Secret),
    Key(Box<SharedKey>),
    Token(Arc<dyn TokenCredential>),
}

impl AzureStore {
    /// Makes a client for the container of `config`; nothing is sent yet. Credentials are the first found of: SAS file, shared-key file, `AZURE_STORAGE_KEY`,
    /// workload identity, managed identity, developer tools.
    ///
    /// Errors: `Invalid` when `config` is not of an Azure store or the key is malformed; those of reading the files.
    pub fn open(config: &StoreConfig) -> Result<AzureStore, StoreError> {
        let shown = config.url.to_string();
        let invalid = |note: &str| StoreError::new(ErrorKind::Invalid, "open", "", &shown).note(note);
        let StoreUrl::Azure { account, container, prefix } = &config.url else { return Err(invalid("it is not in Azure")) };
        let mut url = match &config.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => Url::parse(&format!("https://{account}.blob.core.windows.net")).map_err(|error| invalid("malformed account").because(error))?,
        };
        url.path_segments_mut().map_err(|()| invalid("malformed endpoint"))?.pop_if_empty().push(container);
        let mut policies: Vec<Arc<dyn Policy>> = vec![Arc::new(SendChecksum)];
        let mut token = None;
        match access(config, account, &shown)? {
            Access::Sas(sas) => url.set_query(Some(sas.expose())),
            Access::Key(key) => policies.push(Arc::<SharedKey>::from(key)),
            Access::Token(credential) => token = Some(credential),
        }
        let client_options = ClientOptions {
            per_try_policies: policies,
            retry: RetryOptions::none(),
            transport: Some(Transport::new(Arc::new(transport(config.ca_file.as_deref(), &shown)?))),
            ..Default::default()
        };
        let options = BlobContainerClientOptions { client_options, ..Default::default() };
        let container = BlobContainerClient::new(url, token, Some(options))
            .map_err(|error| StoreError::silence(&error, ErrorKind::Invalid, "open", "", &shown))?;
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(AzureStore { container, prefix, lock: config.lock, shown })
    }
}

fn access(config: &StoreConfig, account: &str, shown: &str) -> Result<Access, StoreError> {
    if let Some(file) = &config.sas_file {
        let text = read(file, "read the SAS file of", shown)?;
        return Ok(Access::Sas(Secret::new(text.trim().trim_start_matches('?').to_owned())));
    }
    let key = match &config.account_key_file {
        Some(file) => Some(read(file, "read the key file of", shown)?),
        None => env::var("AZURE_STORAGE_KEY").ok(),
    };
    if let Some(key) = key.map(Secret::new) {
        let malformed = || StoreError::new(ErrorKind::Invalid, "open", "", shown).note("the account's key is not base64");
        return SharedKey::parse(account, key.expose()).map(|key| Access::Key(Box::new(key))).ok_or_else(malformed);
    }
    credential::find().map(Access::Token).map_err(|error| StoreError::silence(&error, ErrorKind::AccessDenied, "open", "", shown))
}

fn read(file: &Path, action: &'static str, shown: &str) -> Result<String, StoreError> {
    fs::read_to_string(file).map_err(|error| StoreError::io(error, action, "", shown).note(file.display().to_string()))
}

/// An HTTP client that trusts the authorities in `ca_file` besides the system's, and gives up on a connection that has gone silent.
fn transport(ca_file: Option<&Path>, shown: &str) -> Result<reqwest::Client, StoreError> {
    let invalid = |error| StoreError::silence(&error, ErrorKind::Invalid, "open", "", shown);
    let mut builder = reqwest::Client::builder()
        .connect_timeout(limits::CONNECT)
        .read_timeout(limits::SILENCE)
        .timeout(limits::ATTEMPT)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(file) = ca_file {
        let pem = read(file, "read the CA file of", shown)?;
        builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(invalid)?);
    }
    builder.build().map_err(invalid)
}
