//! HTTP to an API server: JSON in, JSON out, bounded in time and in size, tried again when the server is busy or away.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    Method, Request, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::BodyExt;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, value::RawValue};
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};
use url::form_urlencoded::Serializer;

use crate::{
    config::ClusterAccess,
    model::Cancel,
    sources::{SourceError, SourceErrorKind},
};

/// Objects of one page of a list that is read whole.
const WHOLE_PAGE: &str = "500";
/// Longest time for one request.
const REQUEST: Duration = Duration::from_secs(60);
/// How long a server may be away, restarted for example, before that is an error.
const AWAY: Duration = Duration::from_secs(90);
/// How often a request is sent that the server fails to serve, though it is there.
const FAILURES: u32 = 4;
/// Wait after the first attempt; it doubles up to the last, or is what the server asks for, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(3);
const ASKED_WAIT: Duration = Duration::from_secs(30);
/// Requests under way at a time.
const AT_ONCE: usize = 32;
/// Largest answer that is read.
pub const ANSWER_MAX: usize = 16 << 20;
/// What stands for JSON.
pub const JSON: &str = "application/json";
/// What stands for names, labels, annotations and owners alone, in a list.
pub const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// The same of one object.
pub const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// A cluster.
#[derive(Clone)]
pub struct Api {
    client: Client,
    handle: Handle,
    /// Each request holds one of its permits.
    at_once: Arc<Semaphore>,
    /// Asked before each request that changes something.
    cancel: Cancel,
    /// Where it answers.
    pub server: String,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("server", &self.server).finish_non_exhaustive()
    }
}

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Path below the server's root.
    pub path: String,
    /// Names and values.
    pub query: Vec<(&'static str, String)>,
    /// Wanted form of the answer; JSON when absent.
    pub accept: Option<&'static str>,
    /// What is sent, and in which form.
    pub body: Option<(&'static str, Bytes)>,
}

impl Ask {
    /// Asks for a path.
    pub fn path(path: impl Into<String>) -> Ask {
        Ask { path: path.into(), ..Ask::default() }
    }

    /// With one more parameter.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Ask {
        self.query.push((name, value.into()));
        self
    }

    /// With something to send, in this form.
    #[must_use]
    pub fn sending(self, form: &'static str, what: &Value) -> Ask {
        let text = serde_json::to_vec(what).expect("JSON has a text");
        Ask { body: Some((form, text.into())), ..self }
    }

    fn uri(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let mut query = Serializer::new(String::new());
        query.extend_pairs(&self.query);
        format!("{}?{}", self.path, query.finish())
    }
}

/// An answer that says no.
#[derive(Debug, thiserror::Error)]
#[error("{status}: {reason}")]
pub struct Refused {
    /// Its status.
    pub status: StatusCode,
    /// What the server says.
    pub reason: String,
    /// Where a list may be read on whose version is gone.
    pub resume: Option<String>,
}

/// Where the cluster of a kubeconfig answers; `None` when that cannot be read, or a pod reaches its own cluster in the way that all pods do.
pub fn server_of(access: &ClusterAccess) -> Option<String> {
    let read = Kubeconfig::read_from(access.kubeconfig.as_ref()?).ok()?;
    let current = access.context.as_ref().or(read.current_context.as_ref())?;
    let context = read.contexts.iter().find(|named| named.name == *current)?.context.as_ref()?;
    let server = read.clusters.iter().find(|named| named.name == context.cluster)?.cluster.as_ref()?.server.as_ref()?;
    Some(server.parse::<http::Uri>().ok()?.to_string())
}

/// What came of one attempt.
enum Attempt {
    Answer(Vec<u8>),
    /// Not to be tried again.
    Failed(SourceError),
    /// To be tried again, after this time if the server asks for it.
    Again {
        error: SourceError,
        wait: Option<Duration>,
        is_away: bool,
    },
}

impl Api {
    /// A client of the cluster, with the credentials of the pod that this runs in unless there is a kubeconfig. Nothing is asked yet.
    ///
    /// # Errors
    /// When the credentials cannot be read or used.
    pub fn connect(access: &ClusterAccess) -> Result<Api, SourceError> {
        let handle = Handle::current();
        let unusable = |what: String, source: Box<dyn Error + Send + Sync>| SourceError::Database {
            doing: format!("use the credentials of {what}"),
            kind: SourceErrorKind::Usage,
            source,
        };
        let mut kube = match &access.kubeconfig {
            Some(file) => {
                let shown = file.display().to_string();
                let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
                let read = Kubeconfig::read_from(file).map_err(|error| unusable(shown.clone(), error.into()))?;
                handle.block_on(Config::from_custom_kubeconfig(read, &options)).map_err(|error| unusable(shown, error.into()))?
            }
            None => Config::incluster().map_err(|error| unusable("the pod that this runs in".to_owned(), error.into()))?,
        };
        // Ours is bounded.
        kube.default_retry = false;
        let server = kube.cluster_url.to_string();
        let _entered = handle.enter();
        let client = Client::try_from(kube).map_err(|error| unusable(server.clone(), error.into()))?;
        Ok(Api { client, handle, at_once: Arc::new(Semaphore::new(AT_ONCE)), cancel: Cancel::default(), server })
    }

    /// The same, which changes nothing any more once this says stop. A process that was frozen and whose run was taken over meanwhile asks it when it
    /// wakes, before what it had begun to send.
    #[must_use]
    pub fn within(self, cancel: Cancel) -> Api {
        Api { cancel, ..self }
    }

    /// Runs something on the runtime, and waits for it: for threads that may block.
    pub fn block<T>(&self, work: impl Future<Output = T>) -> T {
        self.handle.block_on(work)
    }

    /// The runtime.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What is at a path.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or has nothing there.
    pub async fn get(&self, ask: &Ask) -> Result<Value, SourceError> {
        self.json(&Method::GET, ask).await
    }

    /// As [`Api::get`], but `None` when there is nothing.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn find(&self, ask: &Ask) -> Result<Option<Value>, SourceError> {
        match self.get(ask).await {
            Err(error) if error.kind() == SourceErrorKind::Vanished => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Sends a request whose answer is JSON.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn json(&self, method: &Method, ask: &Ask) -> Result<Value, SourceError> {
        let bytes = self.bytes(method, ask).await?;
        serde_json::from_slice(&bytes).map_err(|error| failed(format!("understand {}", ask.path), error.into()))
    }

    /// Sends a request whose answer does not matter.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn send(&self, method: &Method, ask: &Ask) -> Result<(), SourceError> {
        self.bytes(method, ask).await.map(drop)
    }

    /// One page of a list.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses, or the page is too large.
    pub async fn page(&self, ask: &Ask) -> Result<Page, SourceError> {
        let bytes = self.bytes(&Method::GET, ask).await?;
        serde_json::from_slice(&bytes).map_err(|error| failed(format!("understand {}", ask.path), error.into()))
    }

    /// All objects at a path, page by page; with a label, those that have it.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn all(&self, path: &str, label: Option<&str>) -> Result<Vec<Value>, SourceError> {
        let (mut found, mut more) = (Vec::new(), String::new());
        loop {
            let mut ask = Ask::path(path).with("limit", WHOLE_PAGE);
            ask = label.into_iter().fold(ask, |ask, label| ask.with("labelSelector", label));
            ask = if more.is_empty() { ask } else { ask.with("continue", more) };
            let page = self.page(&ask).await?;
            found.extend(page.items.unwrap_or_default().iter().filter_map(|item| serde_json::from_str(item.get()).ok()));
            more = page.metadata.more;
            if more.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn bytes(&self, method: &Method, ask: &Ask) -> Result<Vec<u8>, SourceError> {
        let (began, mut failures, mut wait) = (Instant::now(), 0, FIRST_WAIT);
        loop {
            match self.attempt(method, ask).await {
                Attempt::Answer(bytes) => return Ok(bytes),
                Attempt::Failed(error) => return Err(error),
                Attempt::Again { error, wait: asked, is_away } => {
                    failures += u32::from(!is_away);
                    let pause = asked.unwrap_or(wait).min(ASKED_WAIT);
                    if failures >= FAILURES || began.elapsed() + pause > AWAY {
                        return Err(error);
                    }
                    tokio::time::sleep(pause).await;
                    wait = (wait * 2).min(LAST_WAIT);
                }
            }
        }
    }

    async fn attempt(&self, method: &Method, ask: &Ask) -> Attempt {
        let _permit = self.at_once.acquire().await.expect("it is never closed");
        let doing = format!("{method} {} at {}", ask.path, self.server);
        let mut request = Request::builder().method(method).uri(ask.uri()).header(ACCEPT, ask.accept.unwrap_or(JSON));
        let mut body = Bytes::new();
        if let Some((form, text)) = &ask.body {
            request = request.header(CONTENT_TYPE, *form);
            body = text.clone();
        }
        let request = match request.body(Body::from(body)) {
            Ok(request) => request,
            Err(error) => return Attempt::Failed(failed(doing, error.into())),
        };
        let away = |error: Box<dyn Error + Send + Sync>, kind| Attempt::Again {
            error: SourceError::Database { doing: doing.clone(), kind, source: error },
            wait: None,
            is_away: true,
        };
        // The last thing before it is sent.
        if method != Method::GET && self.cancel.is_stopped() {
            return Attempt::Failed(SourceError::Cancelled { program: doing });
        }
        match timeout(REQUEST, self.exchange(request)).await {
            Err(_) => away(format!("no answer in {} s", REQUEST.as_secs()).into(), SourceErrorKind::TimedOut),
            Ok(Err(Exchange::TooLarge)) => Attempt::Failed(SourceError::Unfit {
                subject: ask.path.clone(),
                why: format!("gives an answer of more than {} MiB", ANSWER_MAX >> 20),
                kind: SourceErrorKind::Changed,
                hint: None,
            }),
            // Bad credentials do not become better.
            Ok(Err(Exchange::Broken(error @ (kube::Error::Auth(_) | kube::Error::RustlsTls(_))))) => Attempt::Failed(failed(doing, error.into())),
            Ok(Err(Exchange::Broken(error))) => away(error.into(), SourceErrorKind::Io),
            Ok(Ok((status, _, bytes))) if status.is_success() => Attempt::Answer(bytes),
            Ok(Ok((status, wait, bytes))) => {
                let error = refused(doing.clone(), status, &bytes);
                match status.as_u16() {
                    429 | 503 | 504 => Attempt::Again { error, wait, is_away: true },
                    500 | 502 => Attempt::Again { error, wait, is_away: false },
                    _ => Attempt::Failed(error),
                }
            }
        }
    }

    async fn exchange(&self, request: Request<Body>) -> Result<(StatusCode, Option<Duration>, Vec<u8>), Exchange> {
        let answer = self.client.send(request).await?;
        let wait = answer.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let (status, mut body, mut bytes) = (answer.status(), answer.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            if let Ok(part) = frame?.into_data() {
                bytes.extend_from_slice(&part);
            }
            if bytes.len() > ANSWER_MAX {
                return Err(Exchange::TooLarge);
            }
        }
        Ok((status, wait, bytes))
    }
}

enum Exchange {
    Broken(kube::Error),
    TooLarge,
}

impl From<kube::Error> for Exchange {
    fn from(error: kube::Error) -> Exchange {
        Exchange::Broken(error)
    }
}

/// One page of a list; its items are not looked into yet.
#[derive(Debug, serde::Deserialize)]
pub struct Page {
    /// Where it stands.
    #[serde(default)]
    pub metadata: PageMetadata,
    /// `null` instead of none, from some servers.
    pub items: Option<Vec<Box<RawValue>>>,
}

/// Where a page stands.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageMetadata {
    /// What the list is a snapshot of.
    #[serde(default)]
    pub resource_version: String,
    /// How to ask for the next page; empty after the last.
    #[serde(default, rename = "continue")]
    pub more: String,
}

fn refused(doing: String, status: StatusCode, bytes: &[u8]) -> SourceError {
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = || String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).trim().to_owned();
    let reason = body["message"].as_str().map_or_else(text, str::to_owned);
    let resume = body["metadata"]["continue"].as_str().map(str::to_owned);
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => SourceErrorKind::Denied,
        StatusCode::NOT_FOUND => SourceErrorKind::Vanished,
        _ => SourceErrorKind::Failed,
    };
    SourceError::Database { doing, kind, source: Refused { status, reason, resume }.into() }
}

fn failed(doing: String, source: Box<dyn Error + Send + Sync>) -> SourceError {
    SourceError::Database { doing, kind: SourceErrorKind::Failed, source }
}

/// What the server said against it, if it was the server that said so.
pub fn refusal(error: &SourceError) -> Option<&Refused> {
    match error {
        SourceError::Database { source, .. } => source.downcast_ref(),
        _ => None,
    }
}
