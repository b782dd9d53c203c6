//! The client of an S3 store: region, endpoint, credentials, certificates, time-outs.

use std::{fs, path::Path, time::Duration};

use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::config::{Credentials, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};

use super::S3Store;
use crate::{
    config::{StoreConfig, StoreUrl},
    model::Secret,
    storage::{ErrorKind, StoreError, limits},
};

/// Credentials for an S3 store that take the place of the default chain.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// Its public name.
    pub id: String,
    /// What requests are signed with.
    pub secret: Secret,
}

/// What a store that is not Amazon's may leave out.
const ANY_REGION: &str = "us-east-1";

impl S3Store {
    /// Makes a client for the bucket of `config`; nothing is sent to the bucket yet. Without `access_key` the default chain looks for credentials:
    /// environment, profile, web identity (IRSA), container (pod identity), instance.
    ///
    /// Errors: `Invalid` when `config` is not of an S3 store, or names no region and no endpoint; those of reading the CA file.
    pub async fn open(config: &StoreConfig, access_key: Option<&AccessKey>) -> Result<S3Store, StoreError> {
        let shown = config.url.to_string();
        let invalid = |note: &str| StoreError::new(ErrorKind::Invalid, "open", "", &shown).note(note);
        let StoreUrl::S3 { bucket, prefix } = &config.url else { return Err(invalid("it is not in S3")) };
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        if let Some(region) = &config.region {
            loader = loader.region(Region::new(region.clone()));
        } else if config.endpoint.is_some() {
            loader = loader.region(Region::new(ANY_REGION));
        }
        if let Some(AccessKey { id, secret }) = access_key {
            loader = loader.credentials_provider(Credentials::new(id, secret.expose(), None, None, "given"));
        }
        if let Some(file) = &config.ca_file {
            loader = loader.http_client(trusting(file, &shown)?);
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            return Err(invalid("no region is configured").advise("name the bucket's region in the configuration, or in AWS_REGION"));
        }
        // No read time-out: the SDK counts the sending of the body in. What stalls is stopped by its stalled-stream protection.
        let timeouts = TimeoutConfig::builder().connect_timeout(limits::CONNECT).operation_attempt_timeout(limits::ATTEMPT).build();
        let mut settings = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(config.path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(endpoint) = &config.endpoint {
            settings = settings.endpoint_url(endpoint.as_str().trim_end_matches('/'));
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(S3Store { client: aws_sdk_s3::Client::from_conf(settings.build()), bucket: bucket.clone(), prefix, lock: config.lock, shown })
    }
}

/// An HTTP client that trusts the authorities in `file` besides the system's.
fn trusting(file: &Path, shown: &str) -> Result<SharedHttpClient, StoreError> {
    let read = || -> std::io::Result<SharedHttpClient> {
        let trust = TrustStore::default().with_pem_certificate(fs::read(file)?);
        let context = TlsContext::builder().with_trust_store(trust).build().map_err(std::io::Error::other)?;
        let builder = aws_smithy_http_client::Builder::new().pool_idle_timeout(Duration::from_secs(60));
        Ok(builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build_https())
    };
    read().map_err(|error| StoreError::io(error, "read the CA file of", "", shown).note(file.display().to_string()))
}
