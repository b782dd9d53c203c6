//! The API of Amazon's registries: passwords that live for hours, and repositories, which have to be made before anything is put into them.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ecr::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use super::login::Login;
use crate::{
    config::EcrConfig,
    model::{Secret, Timestamp},
    sources::{SourceError, SourceErrorKind},
};

/// Longest time until a connection is there.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest time for one attempt.
const ATTEMPT: Duration = Duration::from_secs(30);
/// How often something is asked for. Both calls may be repeated.
const ATTEMPTS: u32 = 4;

/// A registry of Amazon, by its API.
#[derive(Debug, Clone)]
pub struct Ecr {
    client: Client,
    account: Option<String>,
    /// For people.
    shown: String,
}

impl Ecr {
    /// A client with the credentials of this machine or pod: environment, profile, web identity (IRSA), container (pod identity), instance. Nothing is
    /// asked yet.
    pub async fn open(config: &EcrConfig) -> Ecr {
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).region(Region::new(config.region.clone()));
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build();
        let mut settings = aws_sdk_ecr::config::Builder::from(&loader.load().await)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts);
        if let Some(endpoint) = &config.endpoint {
            settings = settings.endpoint_url(endpoint.as_str().trim_end_matches('/'));
        }
        let of = config.account.as_ref().map_or_else(String::new, |account| format!(" of {account}"));
        Ecr { client: Client::from_conf(settings.build()), account: config.account.clone(), shown: format!("ECR{of} in {}", config.region) }
    }

    /// An account and a password for the registry.
    ///
    /// # Errors
    /// When the API cannot be reached, refuses, or its answer cannot be understood.
    pub async fn login(&self) -> Result<Login, SourceError> {
        let doing = || format!("get a password for {} (ecr:GetAuthorizationToken)", self.shown);
        let answer = self.client.get_authorization_token().send().await.map_err(|error| failed(doing(), error))?;
        let understood = || {
            let given = answer.authorization_data().first()?;
            let text = Zeroizing::new(String::from_utf8(BASE64_STANDARD.decode(given.authorization_token()?).ok()?).ok()?);
            let (user, password) = text.split_once(':')?;
            let until = Timestamp::from_second(given.expires_at()?.secs()).ok()?;
            Some(Login { user: user.to_owned(), password: Secret::new(password.to_owned()), until: Some(until) })
        };
        let strange = || SourceError::Database { doing: doing(), kind: SourceErrorKind::Failed, source: "the answer has no password".into() };
        understood().ok_or_else(strange)
    }

    /// Makes a repository, as the account makes them, unless it is there.
    ///
    /// # Errors
    /// When the API cannot be reached or refuses.
    pub async fn create(&self, repository: &str) -> Result<(), SourceError> {
        let asked = self.client.create_repository().set_registry_id(self.account.clone()).repository_name(repository).send().await;
        match asked {
            Err(error) if error.as_service_error().is_some_and(|error| error.is_repository_already_exists_exception()) => Ok(()),
            Err(error) => Err(failed(format!("make the repository {repository} in {} (ecr:CreateRepository)", self.shown), error)),
            Ok(_) => Ok(()),
        }
    }
}

/// What the API's client reports, as an error of a source.
fn failed<E>(doing: String, error: SdkError<E, HttpResponse>) -> SourceError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let lacks_credentials = std::iter::successors(Some(&error as &(dyn std::error::Error + 'static)), |error| error.source())
        .any(|cause| cause.downcast_ref::<CredentialsError>().is_some());
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
    let is_denied = |code: &str| code.starts_with("AccessDenied") || code.starts_with("UnrecognizedClient") || code.contains("Token");
    let kind = match (&error, status) {
        _ if lacks_credentials => SourceErrorKind::Denied,
        (SdkError::TimeoutError(_), _) => SourceErrorKind::TimedOut,
        (_, Some(401 | 403)) => SourceErrorKind::Denied,
        _ if code.as_deref().is_some_and(is_denied) => SourceErrorKind::Denied,
        (SdkError::ConstructionFailure(_), _) | (_, Some(400..=499)) => SourceErrorKind::Failed,
        _ => SourceErrorKind::Io,
    };
    let source: Box<dyn std::error::Error + Send + Sync> = match (lacks_credentials, error.as_service_error()) {
        (true, _) => "there are no credentials: give this machine or pod an identity, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".into(),
        (false, Some(said)) => format!("{}: {}", said.code().unwrap_or("refused"), said.message().unwrap_or_default()).into(),
        (false, None) => error.into(),
    };
    SourceError::Database { doing, kind, source }
}
