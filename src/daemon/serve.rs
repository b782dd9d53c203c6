//! What can be asked of a daemon over HTTP: health without a token, metrics and status with one. Everything about a request is bounded.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, Semaphore, watch},
};

use super::{DaemonError, facts::Reader, metrics, status::Status};
use crate::{
    config::{Config, DaemonConfig},
    model::{Secret, outcome::explain},
    pipeline::{ChunkKey, MacKey},
    storage::Fence,
};

/// Connections at a time.
const MOST_CONNECTIONS: usize = 64;
/// Longest time for one connection, slow senders and readers included.
const LONGEST: Duration = Duration::from_secs(30);
/// Longest time until the head of a request is there.
const HEAD: Duration = Duration::from_secs(5);
/// Bytes of a head at most.
const MOST_HEAD: usize = 16 << 10;
/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(5);
/// A daemon whose control store has not answered for so long is not ready.
const READY: Duration = Duration::from_secs(60);
const SHORTEST_TOKEN: usize = 16;

/// How the daemon is.
#[derive(Debug, Default)]
pub struct Health {
    /// When the control store answered last, in seconds of uptime; zero for never.
    answered: AtomicI64,
}

impl Health {
    /// The control store has answered.
    pub fn answered(&self) {
        self.answered.store(Fence::uptime().as_secs() as i64 + 1, Ordering::Relaxed);
    }

    fn is_started(&self) -> bool {
        self.answered.load(Ordering::Relaxed) > 0
    }

    fn is_ready(&self) -> bool {
        self.is_started() && Fence::uptime().as_secs() as i64 - self.answered.load(Ordering::Relaxed) < READY.as_secs() as i64
    }
}

/// What answers need.
#[derive(Debug)]
pub struct Seen {
    /// The configuration in force.
    pub configs: watch::Receiver<Arc<Config>>,
    /// The term of this daemon, while it leads.
    pub terms: watch::Receiver<Option<Arc<Fence>>>,
    /// How it is.
    pub health: Arc<Health>,
    token: Option<Token>,
    read: Mutex<(Reader, Option<(Duration, Status)>)>,
}

/// A token, as its MAC under a key of this process: comparing takes the same time whatever was sent.
#[derive(Debug)]
struct Token(MacKey, crate::pipeline::Mac);

impl Token {
    fn read(path: &Path) -> Result<Token, DaemonError> {
        let refused = |why: String| DaemonError::Token { path: path.to_owned(), why };
        let text = Secret::new(std::fs::read_to_string(path).map_err(|error| refused(format!("cannot be read: {error}")))?);
        let token = text.expose().trim();
        if token.len() < SHORTEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refused(format!("holds no token of at least {SHORTEST_TOKEN} printable characters")));
        }
        let key = ChunkKey::generate().derive("hourglass token of a daemon");
        let mac = key.mac(token.as_bytes());
        Ok(Token(key, mac))
    }

    fn fits(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
        sent.is_some_and(|sent| self.0.verify(sent.as_bytes(), &self.1))
    }
}

impl Seen {
    /// What answers need; reads the token.
    ///
    /// # Errors
    /// The token file is no use.
    pub fn new(
        config: &DaemonConfig,
        configs: watch::Receiver<Arc<Config>>,
        terms: watch::Receiver<Option<Arc<Fence>>>,
        health: Arc<Health>,
    ) -> Result<Seen, DaemonError> {
        let token = config.token_file.as_deref().map(Token::read).transpose()?;
        Ok(Seen { configs, terms, health, token, read: Mutex::default() })
    }

    async fn status(&self) -> Result<Status, DaemonError> {
        let mut read = self.read.lock().await;
        if let Some((at, status)) = &read.1
            && Fence::uptime() - *at < FRESH
        {
            return Ok(status.clone());
        }
        let config = self.configs.borrow().clone();
        let status = read.0.read(&config).await?;
        read.1 = Some((Fence::uptime(), status.clone()));
        Ok(status)
    }

    fn leads(&self) -> bool {
        self.terms.borrow().as_ref().is_some_and(|fence| fence.is_open())
    }
}

/// Listens.
///
/// # Errors
/// The address cannot be had.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, DaemonError> {
    TcpListener::bind(address).await.map_err(|source| DaemonError::Listen { address, source })
}

/// Answers for ever.
pub async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/startupz", get(started))
        .route("/readyz", get(ready))
        .route("/metrics", get(show_metrics))
        .route("/status.json", get(show_status))
        .with_state(seen);
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, for example: it may pass.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let _held = permit;
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MOST_HEAD).keep_alive(false);
            // Whoever asked may have gone, or was too slow.
            let _ended = tokio::time::timeout(LONGEST, builder.serve_connection(TokioIo::new(stream), service)).await;
        });
    }
}

async fn started(State(seen): State<Arc<Seen>>) -> Response {
    health(seen.health.is_started())
}

async fn ready(State(seen): State<Arc<Seen>>) -> Response {
    health(seen.health.is_ready())
}

fn health(is_well: bool) -> Response {
    match is_well {
        true => "ok\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the control store has not answered\n").into_response(),
    }
}

/// Refuses whoever has no token, where one is needed.
fn admit(seen: &Seen, headers: &HeaderMap) -> Result<(), Response> {
    match seen.token.as_ref().is_none_or(|token| token.fits(headers)) {
        true => Ok(()),
        false => Err((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], "a token is needed\n").into_response()),
    }
}

async fn asked(seen: &Seen, headers: &HeaderMap) -> Result<Status, Response> {
    admit(seen, headers)?;
    seen.status().await.map_err(|error| (StatusCode::BAD_GATEWAY, format!("{}\n", explain(&error))).into_response())
}

async fn show_metrics(State(seen): State<Arc<Seen>>, headers: HeaderMap) -> Response {
    match asked(&seen, &headers).await {
        Ok(status) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], metrics::text(&status, seen.leads())).into_response()
        }
        Err(refused) => refused,
    }
}

async fn show_status(State(seen): State<Arc<Seen>>, headers: HeaderMap) -> Response {
    match asked(&seen, &headers).await {
        Ok(status) => {
            let text = serde_json::to_string(&status).expect("a status has text keys");
            ([(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Err(refused) => refused,
    }
}
