//! What can be asked of a daemon over HTTP: health by anybody; page, metrics and status with a token or a certificate, orders with a token of their own.
//! Everything about a request is bounded.

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
    Extension, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;

use super::{
    DaemonError, clerk,
    metrics::{self, Own},
    page,
    sight::Sight,
    status::Status,
    tls,
};
use crate::{
    config::DaemonConfig,
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
    /// What is to be seen.
    pub sight: Arc<Sight>,
    /// The term of this daemon, while it leads.
    pub terms: watch::Receiver<Option<Arc<Fence>>>,
    /// How it is.
    pub health: Arc<Health>,
    token: Option<Token>,
    /// Of those who may give orders.
    order_token: Option<Token>,
    /// Certificates of clients count.
    takes_certificates: bool,
    tls: Option<Arc<ServerConfig>>,
}

/// A token, as its MAC under a key of this process: comparing takes the same time whatever was sent.
#[derive(Debug)]
struct Token(MacKey, crate::pipeline::Mac);

fn read_token(path: &Path) -> Result<Secret, DaemonError> {
    let refused = |why: String| DaemonError::Token { path: path.to_owned(), why };
    let text = Secret::new(std::fs::read_to_string(path).map_err(|error| refused(format!("cannot be read: {error}")))?);
    let token = text.expose().trim();
    if token.len() < SHORTEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused(format!("holds no token of at least {SHORTEST_TOKEN} printable characters")));
    }
    Ok(Secret::new(token.to_owned()))
}

impl Token {
    fn new(token: &Secret) -> Token {
        let key = ChunkKey::generate().derive("hourglass token of a daemon");
        let mac = key.mac(token.expose().as_bytes());
        Token(key, mac)
    }

    /// Programs send it as `Bearer`; browsers ask for it as a password, whatever the user is called.
    fn fits(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let password = |pair: &str| {
            let pair = String::from_utf8(STANDARD.decode(pair).ok()?).ok()?;
            pair.split_once(':').map(|(_, password)| password.to_owned())
        };
        let token = sent.and_then(|sent| match sent.split_once(' ')? {
            ("Bearer", token) => Some(token.to_owned()),
            ("Basic", pair) => password(pair),
            _ => None,
        });
        token.is_some_and(|token| self.0.verify(token.as_bytes(), &self.1))
    }
}

impl Seen {
    /// What answers need; reads the tokens.
    ///
    /// # Errors
    /// A token file is no use.
    pub fn new(
        config: &DaemonConfig,
        sight: Arc<Sight>,
        terms: watch::Receiver<Option<Arc<Fence>>>,
        health: Arc<Health>,
    ) -> Result<Seen, DaemonError> {
        let [token, order_token] = [&config.token_file, &config.order_token_file].map(|file| file.as_deref().map(read_token));
        let (token, order_token) = (token.transpose()?, order_token.transpose()?);
        if let (Some(token), Some(order_token), Some(path)) = (&token, &order_token, &config.order_token_file)
            && token.expose() == order_token.expose()
        {
            return Err(DaemonError::Token {
                path: path.clone(),
                why: "holds the token of token_file, and whoever reads may not give orders".to_owned(),
            });
        }
        let [token, order_token] = [token, order_token].map(|token| token.as_ref().map(Token::new));
        let takes_certificates = config.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        let tls = config.tls.as_ref().map(tls::serving).transpose()?;
        Ok(Seen { sight, terms, health, token, order_token, takes_certificates, tls })
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
    let tls = seen.tls.clone().map(TlsAcceptor::from);
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/startupz", get(started))
        .route("/readyz", get(ready))
        .route("/", get(show_page))
        .route("/metrics", get(show_metrics))
        .route("/status.json", get(show_status))
        .route("/orders", post(take_order).layer(DefaultBodyLimit::max(clerk::MOST_BODY)))
        .with_state(seen);
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, for example: it may pass.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (router, tls) = (router.clone(), tls.clone());
        tokio::spawn(async move {
            let _held = permit;
            // Whoever asked may have gone, or was too slow.
            let _ended = tokio::time::timeout(LONGEST, connection(stream, tls, router)).await;
        });
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router) {
    let Some(tls) = tls else { return answer(stream, Peer::default(), router).await };
    if let Ok(Ok(stream)) = tokio::time::timeout(HEAD, tls.accept(stream)).await {
        // One that no authority vouches for did not come so far.
        let is_known = stream.get_ref().1.peer_certificates().is_some_and(|shown| !shown.is_empty());
        answer(stream, Peer { is_known }, router).await;
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer, router: Router) {
    let service = TowerToHyperService::new(router.layer(Extension(peer)));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MOST_HEAD).keep_alive(false);
    let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
}

/// Who asks.
#[derive(Debug, Clone, Copy, Default)]
struct Peer {
    /// It has shown a certificate of an authority that the configuration names.
    is_known: bool,
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

/// Refuses whoever has neither token nor certificate, where one is needed.
fn admit(seen: &Seen, peer: Peer, headers: &HeaderMap) -> Result<(), Response> {
    let is_open = seen.token.is_none() && !seen.takes_certificates;
    if is_open || peer.is_known || seen.token.as_ref().is_some_and(|token| token.fits(headers)) {
        return Ok(());
    }
    Err(unknown())
}

/// Whoever shows nothing, or something wrong.
fn unknown() -> Response {
    let how = [(header::WWW_AUTHENTICATE, "Basic realm=\"hourglass\", charset=\"UTF-8\"")];
    (StatusCode::UNAUTHORIZED, how, "a token is needed\n").into_response()
}

fn failed(error: &DaemonError) -> Response {
    (StatusCode::BAD_GATEWAY, format!("{}\n", explain(error))).into_response()
}

async fn asked(seen: &Seen, peer: Peer, headers: &HeaderMap) -> Result<Status, Response> {
    admit(seen, peer, headers)?;
    seen.sight.status().await.map_err(|error| failed(&error))
}

async fn show_page(State(seen): State<Arc<Seen>>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    if let Err(refused) = admit(&seen, peer, &headers) {
        return refused;
    }
    match seen.sight.picture().await {
        Ok(picture) => {
            let heads = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
                (header::CONTENT_SECURITY_POLICY, page::policy_of_content()),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
                (header::X_FRAME_OPTIONS, "DENY".to_owned()),
                (header::REFERRER_POLICY, "no-referrer".to_owned()),
                (header::CACHE_CONTROL, "no-store".to_owned()),
            ];
            (heads, page::render(&picture)).into_response()
        }
        Err(error) => failed(&error),
    }
}

async fn show_metrics(State(seen): State<Arc<Seen>>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    match asked(&seen, peer, &headers).await {
        Ok(status) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], metrics::text(&status, &Own { leads: seen.leads(), waits: seen.sight.waits() })).into_response()
        }
        Err(refused) => refused,
    }
}

async fn show_status(State(seen): State<Arc<Seen>>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    match asked(&seen, peer, &headers).await {
        Ok(status) => {
            let text = serde_json::to_string(&status).expect("a status has text keys");
            ([(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Err(refused) => refused,
    }
}

/// Whoever reads may not give orders: that takes a token of its own.
async fn take_order(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> Response {
    match &seen.order_token {
        None => (StatusCode::FORBIDDEN, "this daemon takes no orders over HTTP: daemon.order_token_file names no token\n").into_response(),
        Some(token) if token.fits(&headers) => clerk::answer(&seen.sight, &headers, &body).await,
        Some(_) => unknown(),
    }
}
