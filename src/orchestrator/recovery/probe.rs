//! Assertions that have to become true, and to stay so.

use std::{path::Path, time::Duration};

use reqwest::{Client, redirect::Policy};
use tokio::time::Instant;

use super::command::Call;
use crate::model::{Ask, Context, Probe, outcome::explain};

/// Longest time for one question; a command has its own limit.
const QUESTION: Duration = Duration::from_secs(10);
/// Most of an answer that is looked at.
const ANSWER_MAX: usize = 1 << 20;

/// Asks until the answer has been good for long enough; gives the last one. `call` makes the command, where it is one.
///
/// # Errors
/// The last answer, when the time is over or the run is stopped.
pub(super) async fn probe(probe: &Probe, call: impl Fn() -> Result<Call, String>, ctx: &Context) -> Result<String, String> {
    let (began, mut good_since) = (Instant::now(), None::<Instant>);
    loop {
        let asked = Instant::now();
        let answer = once(&probe.ask, &call, ctx).await;
        match answer {
            Ok(answer) => {
                // Good from the moment of the question, which the answer is about.
                let since = *good_since.get_or_insert(asked);
                if asked.duration_since(since) >= probe.stable.duration() {
                    return Ok(answer);
                }
            }
            Err(why) => {
                good_since = None;
                if began.elapsed() >= probe.until.duration() {
                    return Err(format!("not so after {}: {why}", probe.until));
                }
            }
        }
        if began.elapsed() >= probe.until.duration() {
            return Err(format!("it did not stay so for {} within {}", probe.stable, probe.until));
        }
        if ctx.cancel.is_draining() {
            return Err("stopped by a signal".to_owned());
        }
        tokio::time::sleep(probe.interval.duration()).await;
    }
}

/// Asks once; says what was answered.
pub(super) async fn once(ask: &Ask, call: &impl Fn() -> Result<Call, String>, ctx: &Context) -> Result<String, String> {
    match ask {
        Ask::Tcp(place) => match tokio::time::timeout(QUESTION, tokio::net::TcpStream::connect(place)).await {
            Ok(Ok(_)) => Ok(format!("{place} takes connections")),
            Ok(Err(error)) => Err(format!("{place}: {error}")),
            Err(_) => Err(format!("{place}: no answer in {} s", QUESTION.as_secs())),
        },
        Ask::Command(_) => call()?.run(ctx).await.map(|_| "status 0".to_owned()).map_err(|error| explain(&error)),
        Ask::Http { url, status, contains, ca_file } => http(url, *status, contains.as_deref(), ca_file.as_deref()).await,
    }
}

async fn http(url: &str, status: u16, contains: Option<&str>, ca_file: Option<&Path>) -> Result<String, String> {
    let words = |error: reqwest::Error| explain(&error);
    let mut builder = Client::builder().connect_timeout(QUESTION).timeout(QUESTION).redirect(Policy::none());
    if let Some(file) = ca_file {
        let pem = std::fs::read(file).map_err(|error| format!("reading {}: {error}", file.display()))?;
        builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem).map_err(words)?);
    }
    let mut answer = builder.build().map_err(words)?.get(url).send().await.map_err(words)?;
    let found = answer.status().as_u16();
    if found != status {
        return Err(format!("HTTP {found} instead of {status}"));
    }
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(words)? {
        body.extend_from_slice(&part);
        if body.len() > ANSWER_MAX {
            break;
        }
    }
    match contains {
        Some(text) if !String::from_utf8_lossy(&body).contains(text) => Err(format!("HTTP {found}, without {text:?} in the answer")),
        _ => Ok(format!("HTTP {found}")),
    }
}
