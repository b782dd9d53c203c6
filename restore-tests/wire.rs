//! A proxy between a store's client and its server, which does to a request what networks and overloaded servers do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hourglass::config::StoreConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Nothing.
    Pass,
    /// It arrives this much later.
    Slow(Duration),
    /// The proxy answers with this status, and asks to come again in a second. The server never sees it.
    Status(u16),
    /// The connection ends when half of what the client sends has gone through.
    CutRequest,
    /// The connection ends when half of the answer's body has gone through.
    CutAnswer,
    /// The server does it, and no answer comes back.
    LostAnswer,
    /// It is taken and never answered.
    BlackHole,
}

/// Says what happens to the request of each number, from 1, which begins with this line.
type Script = Arc<dyn Fn(u64, &str) -> Wire + Send + Sync>;

/// A running proxy; it ends when it is dropped, and so does every connection through it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// Stands before the server of `config`.
    pub async fn before(config: &StoreConfig, script: impl Fn(u64) -> Wire + Send + Sync + 'static) -> Proxy {
        let endpoint = config.endpoint.as_ref().unwrap();
        Proxy::at(format!("{}:{}", endpoint.host_str().unwrap(), endpoint.port().unwrap()), move |number, _| script(number)).await
    }

    /// Stands before a server, as `host:port`.
    pub async fn at(server: String, script: impl Fn(u64, &str) -> Wire + Send + Sync + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (script, number): (Script, _) = (Arc::new(script), Arc::new(AtomicU64::new(0)));
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // A connection that breaks is what this is for.
                let exchange = exchange(client, server.clone(), Arc::clone(&script), Arc::clone(&number));
                connections.spawn(async move { drop(exchange.await) });
            }
        });
        Proxy { port, accepting }
    }

    /// Where it listens on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same store, by way of this proxy.
    pub fn through(&self, config: &StoreConfig) -> StoreConfig {
        let mut endpoint = config.endpoint.clone().unwrap();
        endpoint.set_port(Some(self.port)).unwrap();
        StoreConfig { endpoint: Some(endpoint), ..config.clone() }
    }
}

/// One request and its answer: every connection has only one, because the server is asked to close it.
async fn exchange(mut client: TcpStream, server: String, script: Script, number: Arc<AtomicU64>) -> std::io::Result<()> {
    let Some((head, mut body)) = head(&mut client).await? else { return Ok(()) };
    let wire = script(number.fetch_add(1, Ordering::SeqCst) + 1, head.lines().next().unwrap_or_default());
    let length = length(&head);
    if let Wire::Status(status) = wire {
        receive(&mut client, &mut body, length).await?;
        let answer = format!("HTTP/1.1 {status} Wait\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        client.write_all(answer.as_bytes()).await?;
        return client.shutdown().await;
    }
    if let Wire::BlackHole = wire {
        return std::future::pending().await;
    }
    if let Wire::Slow(wait) = wire {
        tokio::time::sleep(wait).await;
    }
    let mut upstream = TcpStream::connect(server).await?;
    upstream.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes()).await?;
    if let Wire::CutRequest = wire {
        receive(&mut client, &mut body, length / 2).await?;
        return upstream.write_all(&body[..length / 2]).await;
    }
    receive(&mut client, &mut body, length).await?;
    upstream.write_all(&body).await?;
    match wire {
        Wire::LostAnswer => drop(upstream.read_to_end(&mut Vec::new()).await?),
        Wire::CutAnswer => {
            let mut answer = Vec::new();
            upstream.read_to_end(&mut answer).await?;
            let begin = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or_default() + 4;
            client.write_all(&answer[..begin + (answer.len() - begin) / 2]).await?;
            client.flush().await?;
        }
        _ => drop(copy(&mut upstream, &mut client).await?),
    }
    Ok(())
}

/// The head of a request without connection headers, and what of its body has come with it. `None` when the client has nothing to say.
async fn head(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    loop {
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            let lines = String::from_utf8(bytes).unwrap();
            let kept: Vec<&str> = lines.split("\r\n").filter(|line| !line.to_lowercase().starts_with("connection:")).collect();
            return Ok(Some((kept.join("\r\n"), body)));
        }
    }
}

fn length(head: &str) -> usize {
    let named = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(|length| length.trim().parse().unwrap()));
    named.unwrap_or_default()
}

/// Reads on until `body` has `length` bytes.
async fn receive(client: &mut TcpStream, body: &mut Vec<u8>, length: usize) -> std::io::Result<()> {
    while body.len() < length {
        if client.read_buf(body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
