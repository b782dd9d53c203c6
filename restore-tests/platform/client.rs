//! A client of the platform, which writes down, outside of any region, what was acknowledged to it.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{JoinHandle, sleep, spawn},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;

/// Longest wait for an answer: a loaded machine is slow.
const LIMIT: Duration = Duration::from_secs(60);
/// Requests that are made with one token.
const PER_TOKEN: u64 = 4;

/// The status and body of an answer, or why there is none.
pub fn ask(server: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<(u16, String), String> {
    let address: SocketAddr = server.parse().map_err(|error| format!("{server}: {error}"))?;
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        // Without chunks, and over when the server closes.
        stream
            .write_all(format!("{method} {path} HTTP/1.0\r\nHost: {server}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| format!("{server}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{server}: cut off after {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| format!("{server}: {head}"))?;
    Ok((status, body.to_owned()))
}

/// A new token.
pub fn token(manager: &str) -> Result<String, String> {
    let (status, body) = ask(manager, "POST", "/tokens/shop", &[], "")?;
    let answer: Value = serde_json::from_str(&body).unwrap_or_default();
    answer["access_token"].as_str().filter(|_| status == 201).map(str::to_owned).ok_or(body)
}

/// The status of a call of the API with a token.
pub fn call(gateway: &str, token: &str, request: &str) -> Result<u16, String> {
    let bearer = format!("Bearer {token}");
    ask(gateway, "GET", "/api/orders", &[("Authorization", &bearer), ("X-Request-Id", request)], "").map(|(status, _)| status)
}

/// Something that was written and acknowledged.
#[derive(Debug, Clone)]
pub struct Written {
    /// `token` or `call`.
    pub kind: String,
    pub id: String,
    pub began: Timestamp,
    pub acknowledged: Timestamp,
}

/// Clients at work, until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
    log: PathBuf,
}

impl Load {
    /// Two clients that use a manager and a gateway, and write to `log`. When nobody answers they ask again.
    pub fn start(manager: &str, gateway: &str, log: &Path) -> Load {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..2).map(|number| {
            let mut client = Client { number, manager: manager.to_owned(), gateway: gateway.to_owned(), log: open(log), done: 0 };
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    acknowledged.fetch_add(client.round(), Ordering::Relaxed);
                }
            })
        });
        Load { clients: clients.collect(), stop, acknowledged, log: log.to_owned() }
    }

    /// Waits until so many more writes were acknowledged.
    pub fn goes_on(&self, more: u64) {
        let from = self.acknowledged.load(Ordering::Relaxed);
        crate::clusters::eventually(|| match self.acknowledged.load(Ordering::Relaxed) - from {
            done if done >= more => Ok(()),
            done => Err(format!("{done} of {more} more writes were acknowledged")),
        });
    }

    /// Stops the clients; all that was acknowledged, in the order in which it was.
    pub fn stop(self) -> Vec<Written> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let written = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
            [kind, id, began, acknowledged] => {
                Written { kind: kind.to_owned(), id: id.to_owned(), began: time(began), acknowledged: time(acknowledged) }
            }
            _ => panic!("{line}"),
        };
        let mut all: Vec<Written> = fs::read_to_string(&self.log).unwrap().lines().map(written).collect();
        all.sort_by_key(|write| write.acknowledged);
        all
    }
}

fn open(log: &Path) -> fs::File {
    fs::OpenOptions::new().create(true).append(true).open(log).unwrap()
}

struct Client {
    number: u64,
    manager: String,
    gateway: String,
    log: fs::File,
    done: u64,
}

impl Client {
    /// Gets a token and uses it; how many writes were acknowledged.
    fn round(&mut self) -> u64 {
        let began = Timestamp::now();
        let Ok(token) = token(&self.manager) else {
            sleep(Duration::from_millis(200));
            return 0;
        };
        self.note("token", &token, began);
        let mut acknowledged = 1;
        for _ in 0..PER_TOKEN {
            self.done += 1;
            let (request, began) = (format!("r{}-{}", self.number, self.done), Timestamp::now());
            if call(&self.gateway, &token, &request) == Ok(200) {
                self.note("call", &request, began);
                acknowledged += 1;
            }
            sleep(Duration::from_millis(20));
        }
        acknowledged
    }

    /// In one write, so that lines of two clients do not mix.
    fn note(&mut self, kind: &str, id: &str, began: Timestamp) {
        self.log.write_all(format!("{kind} {id} {began} {}\n", Timestamp::now()).as_bytes()).unwrap();
    }
}
