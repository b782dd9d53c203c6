//! A letter by a POST of JSON.

use reqwest::{Client, redirect::Policy, tls::Version};

use super::{SendError, letter::Letter, read_secret};
use crate::config::notify::{Address, LeastTls, WebhookConfig};

/// Posts it; whoever answers with 2xx has taken it.
///
/// # Errors
/// A file cannot be read or holds no address, the server cannot be reached or refuses, or its TLS is too old or not to be trusted.
pub async fn send(config: &WebhookConfig, letter: &Letter) -> Result<(), SendError> {
    let least = match config.least_tls {
        LeastTls::V12 => Version::TLS_1_2,
        LeastTls::V13 => Version::TLS_1_3,
    };
    // A redirect could take a token anywhere.
    let mut client = Client::builder().timeout(config.timeout).redirect(Policy::none()).tls_version_min(least);
    if let Some(file) = &config.ca_file {
        let pem = std::fs::read(file).map_err(|source| SendError::Read { path: file.clone(), source })?;
        client = client.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem)?);
    }
    let url = match &config.address {
        Address::Open(url) => url.clone(),
        Address::File(file) => {
            let url = url::Url::parse(read_secret(file)?.expose()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            url.ok_or_else(|| SendError::NoAddress { path: file.clone() })?
        }
    };
    let body = letter.json(config.form).to_string();
    let mut request = client.build()?.post(url).header("content-type", "application/json").body(body);
    if let Some(file) = &config.token_file {
        request = request.bearer_auth(read_secret(file)?.expose());
    }
    let status = request.send().await?.status();
    match status.is_success() {
        true => Ok(()),
        false => Err(SendError::Refused { status: status.as_u16() }),
    }
}
