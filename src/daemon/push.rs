//! The metrics of a run that no daemon made, pushed to a Pushgateway.

use std::time::Duration;

use super::{DaemonError, facts, metrics, notify::SendError};
use crate::{
    config::{Config, PushgatewayConfig},
    model::{PolicyName, Secret},
};

/// Longest time for the push.
const LONGEST: Duration = Duration::from_secs(10);

/// Why nothing was pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// There is nothing to push.
    #[error(transparent)]
    Status(#[from] DaemonError),
    /// The Pushgateway did not take it.
    #[error("the Pushgateway was not told")]
    Send(#[source] SendError),
}

/// Pushes what is known of a policy after a run, and whether that made a complete point. Whatever was pushed for it before is replaced.
///
/// # Errors
/// The status cannot be read, or the Pushgateway did not take it.
pub async fn push(config: &Config, to: &PushgatewayConfig, policy: &PolicyName, succeeded: bool) -> Result<(), PushError> {
    let mut status = facts::now(config).await?;
    status.policies.retain(|found| found.policy == *policy);
    // The rest is known by a daemon alone.
    status.conditions.clear();
    let body = metrics::of_run(&status, succeeded);
    post(to, config.site.as_str(), policy, body).await.map_err(PushError::Send)
}

async fn post(to: &PushgatewayConfig, site: &str, policy: &PolicyName, body: String) -> Result<(), SendError> {
    let mut url = to.url.clone();
    url.path_segments_mut().expect("an address of the web has a path").pop_if_empty().extend([
        "metrics",
        "job",
        "hourglass_backup",
        "site",
        site,
        "policy",
        policy.as_str(),
    ]);
    let read = |path: &std::path::PathBuf| std::fs::read_to_string(path).map_err(|source| SendError::Read { path: path.clone(), source });
    let mut client = reqwest::Client::builder().timeout(LONGEST).redirect(reqwest::redirect::Policy::none());
    if let Some(file) = &to.ca_file {
        client = client.tls_certs_merge(reqwest::Certificate::from_pem_bundle(read(file)?.as_bytes())?);
    }
    let mut request = client.build()?.put(url).header("content-type", "text/plain; version=0.0.4").body(body);
    if let Some((user, file)) = &to.login {
        let password = Secret::new(read(file)?);
        request = request.basic_auth(user, Some(password.expose().trim()));
    }
    let status = request.send().await?.status();
    match status.is_success() {
        true => Ok(()),
        false => Err(SendError::Refused { status: status.as_u16() }),
    }
}
