//! HTTP to an Elasticsearch or OpenSearch cluster: JSON in, JSON out, bounded in time and in size.

use std::{error::Error, fs, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Client, Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::Value;
use tokio::runtime::Handle;
use url::Url;

use crate::{
    config::{AnalyticsConfig, Login},
    model::Cancel,
    sources::{SourceError, SourceErrorKind},
};

/// Longest time for one request. What takes longer is begun and then asked for.
const REQUEST: Duration = Duration::from_secs(90);
/// Longest time until a connection is there.
const CONNECT: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const ANSWER_MAX: usize = 64 << 20;
/// How often something is asked for that changes nothing.
const ATTEMPTS: u32 = 5;
/// Wait after the first attempt; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(300);

/// A cluster. Its methods block: they are for threads that may.
#[derive(Debug)]
pub struct Api {
    client: Client,
    base: Url,
    handle: Handle,
    /// Asked before each request that changes something.
    cancel: Cancel,
}

/// An answer that says no.
#[derive(Debug, thiserror::Error)]
#[error("{status}: {reason}")]
struct Refused {
    status: StatusCode,
    reason: String,
}

impl Api {
    /// A client of the cluster. Nothing is asked yet.
    ///
    /// # Errors
    /// When a file with credentials or authorities cannot be read or used.
    pub fn new(config: &AnalyticsConfig) -> Result<Api, SourceError> {
        let unusable = |source: reqwest::Error| database(format!("connect to {}", config.url), SourceErrorKind::Usage, source.into());
        let mut builder = Client::builder().connect_timeout(CONNECT).timeout(REQUEST).redirect(reqwest::redirect::Policy::none());
        if let Some(file) = &config.ca_file {
            let pem = read(file)?;
            builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(unusable)?);
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(login) = &config.login {
            headers.insert(AUTHORIZATION, authorization(login)?);
        }
        let client = builder.default_headers(headers).build().map_err(unusable)?;
        Ok(Api { client, base: config.url.clone(), handle: Handle::current(), cancel: Cancel::default() })
    }

    /// The same, which changes nothing any more once this says stop: a process that was frozen asks when it wakes, because somebody else may have its run.
    #[must_use]
    pub fn within(self, cancel: Cancel) -> Api {
        Api { cancel, ..self }
    }

    /// What is at a path; tried again when the cluster is busy.
    ///
    /// # Errors
    /// When the cluster cannot be reached, refuses, or has nothing there.
    pub fn get(&self, path: &[&str], query: &str) -> Result<Value, SourceError> {
        let mut wait = FIRST_WAIT;
        for _ in 1..ATTEMPTS {
            match self.send(&Method::GET, path, query, None) {
                Err(SourceError::Database { kind: SourceErrorKind::Io | SourceErrorKind::TimedOut, .. }) => std::thread::sleep(wait),
                answer => return answer,
            }
            wait *= 2;
        }
        self.send(&Method::GET, path, query, None)
    }

    /// As [`Api::get`], but `None` when there is nothing.
    ///
    /// # Errors
    /// When the cluster cannot be reached or refuses.
    pub fn find(&self, path: &[&str], query: &str) -> Result<Option<Value>, SourceError> {
        match self.get(path, query) {
            Err(SourceError::Database { kind: SourceErrorKind::Vanished, .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Puts something at a path.
    ///
    /// # Errors
    /// When the cluster cannot be reached or refuses.
    pub fn put(&self, path: &[&str], query: &str, body: &Value) -> Result<Value, SourceError> {
        self.send(&Method::PUT, path, query, Some(body))
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// When the cluster cannot be reached or refuses.
    pub fn post(&self, path: &[&str], query: &str, body: Option<&Value>) -> Result<Value, SourceError> {
        self.send(&Method::POST, path, query, body)
    }

    /// Deletes what is at a path, if there is something.
    ///
    /// # Errors
    /// When the cluster cannot be reached or refuses.
    pub fn delete(&self, path: &[&str]) -> Result<(), SourceError> {
        match self.send(&Method::DELETE, path, "", None) {
            Err(SourceError::Database { kind: SourceErrorKind::Vanished, .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn send(&self, method: &Method, path: &[&str], query: &str, body: Option<&Value>) -> Result<Value, SourceError> {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("the configuration takes http and https only").pop_if_empty().extend(path);
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let doing = format!("{method} {url}");
        if *method != Method::GET && self.cancel.is_stopped() {
            return Err(SourceError::Cancelled { program: doing });
        }
        let mut request = self.client.request(method.clone(), url);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answered = self.handle.block_on(async {
            let mut answer = request.send().await?;
            let (status, mut bytes) = (answer.status(), Vec::new());
            while let Some(chunk) = answer.chunk().await? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() > ANSWER_MAX {
                    break;
                }
            }
            Ok::<_, reqwest::Error>((status, bytes))
        });
        let (status, bytes) = answered.map_err(|error| {
            let kind = if error.is_timeout() { SourceErrorKind::TimedOut } else { SourceErrorKind::Io };
            // Its own text repeats the URL; the causes say what happened.
            database(doing.clone(), kind, error.without_url().into())
        })?;
        if bytes.len() > ANSWER_MAX {
            return Err(database(doing, SourceErrorKind::Failed, format!("the answer is larger than {} MiB", ANSWER_MAX >> 20).into()));
        }
        match status.is_success() {
            true if bytes.is_empty() => Ok(Value::Null),
            true => serde_json::from_slice(&bytes).map_err(|error| database(doing, SourceErrorKind::Failed, error.into())),
            false => Err(refused(doing, status, &bytes)),
        }
    }
}

fn refused(doing: String, status: StatusCode, bytes: &[u8]) -> SourceError {
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let error = &body["error"];
    let cause = ["root_cause", "failed_shards"].iter().find_map(|list| error[*list][0]["reason"].as_str());
    let reason = match (error["type"].as_str(), error["reason"].as_str().or(cause), error.as_str()) {
        (Some(kind), Some(reason), _) => format!("{kind}: {reason}"),
        (_, _, Some(text)) => text.to_owned(),
        _ => String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).trim().to_owned(),
    };
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => SourceErrorKind::Denied,
        StatusCode::NOT_FOUND => SourceErrorKind::Vanished,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            SourceErrorKind::Io
        }
        _ => SourceErrorKind::Failed,
    };
    database(doing, kind, Refused { status, reason }.into())
}

fn database(doing: String, kind: SourceErrorKind, source: Box<dyn Error + Send + Sync>) -> SourceError {
    SourceError::Database { doing, kind, source }
}

fn read(file: &Path) -> Result<String, SourceError> {
    fs::read_to_string(file).map_err(|source| SourceError::Io { doing: "read", path: file.display().to_string(), source })
}

fn authorization(login: &Login) -> Result<HeaderValue, SourceError> {
    let (text, file) = match login {
        Login::Basic { user, password_file } => {
            let password = read(password_file)?;
            (format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.trim_end_matches(['\r', '\n'])))), password_file)
        }
        Login::ApiKey(file) => (format!("ApiKey {}", read(file)?.trim()), file),
    };
    let unusable = |_| SourceError::Unfit {
        subject: file.display().to_string(),
        why: "holds what no header can carry".to_owned(),
        kind: SourceErrorKind::Usage,
        hint: Some("it has to hold the key alone, on one line"),
    };
    let mut value = HeaderValue::from_str(&text).map_err(unusable)?;
    value.set_sensitive(true);
    Ok(value)
}
