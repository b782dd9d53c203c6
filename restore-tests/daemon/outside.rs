//! What a daemon answers over HTTP: health, metrics and status; and that bad requests are refused and bounded.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use super::world::{Daemon, Kept};

pub const TOKEN: &str = "a-token-of-this-test-0123456789";

fn answering() -> (Kept, Daemon, String) {
    answering_with("")
}

/// One that answers with a token, and more keys of its part of the configuration.
pub fn answering_with(more: &str) -> (Kept, Daemon, String) {
    let kept = Kept::new("0 * * * *", "");
    fs::write(kept.site.path("daemon.token"), format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(kept.site.path("daemon.token"), fs::Permissions::from_mode(0o600)).unwrap();
    kept.site.configure(&format!("daemon: {{ listen: \"127.0.0.1:0\", token_file: daemon.token{more} }}\n"));
    let daemon = kept.daemon("a");
    let address = daemon.says("listens", 1)["address"].as_str().unwrap().to_owned();
    (kept, daemon, address)
}

/// What comes back for these bytes, until the server ends the connection.
pub fn send(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    // It may stop listening before all of a bad request is sent.
    drop(stream.write_all(request));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

pub fn get(address: &str, path: &str, token: Option<&str>) -> String {
    let token = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    send(address, format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{token}\r\n").as_bytes())
}

#[tokio::test]
async fn health_needs_no_token_and_metrics_and_status_do() {
    let (kept, daemon, address) = answering();
    daemon.says("leads", 1);
    for path in ["/livez", "/startupz", "/readyz"] {
        assert!(get(&address, path, None).starts_with("HTTP/1.1 200"), "{path}");
    }
    for path in ["/", "/metrics", "/status.json"] {
        for token in [None, Some("wrong-token-0123456789"), Some("")] {
            let refused = get(&address, path, token);
            assert!(refused.starts_with("HTTP/1.1 401") && !refused.contains("hourglass_"), "{path} {token:?}: {refused}");
        }
    }
    kept.order("run");
    kept.until("a point", |history, balance| history.len() > 3 && balance.open.is_none() && balance.wanted.is_none()).await;
    // What is shown may be some seconds old.
    let began = Instant::now();
    let metrics = loop {
        let metrics = get(&address, "/metrics", Some(TOKEN));
        if metrics.contains("hourglass_last_success_timestamp_seconds{site=\"we\",policy=\"p\"}") {
            break metrics;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{metrics}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    for line in [
        "hourglass_leader{site=\"we\"} 1",
        "hourglass_rpo_broken{site=\"we\",policy=\"p\"} 0",
        "hourglass_rpo_seconds{site=\"we\",policy=\"p\"} 3600",
        "hourglass_slots{site=\"we\",policy=\"p\",end=\"done\"} 1",
        "hourglass_phase{site=\"we\",policy=\"p\",phase=\"waiting\"} 1",
        "# EOF",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
    }
    let status = get(&address, "/status.json", Some(TOKEN));
    let body: serde_json::Value = serde_json::from_str(status.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((body["policies"][0]["objective"].as_str(), body["site"].as_str()), (Some("met"), Some("we")), "{body}");
    assert!(!status.contains(TOKEN));
}

#[tokio::test]
async fn bad_requests_are_refused_and_slow_ones_end() {
    let (_kept, daemon, address) = answering();
    daemon.says("leads", 1);
    for path in ["/../etc/passwd", "/index.html", "/style.css", "/status.json/..", "/%2e%2e/status.json", "//metrics", "/nothing"] {
        let answer = get(&address, path, Some(TOKEN));
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: here\r\n\r\n", "a".repeat(1 << 20));
    let answer = send(&address, long.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    let many: String = (0..10_000).map(|number| format!("X-{number}: x\r\n")).collect();
    let answer = send(&address, format!("GET /livez HTTP/1.1\r\n{many}\r\n").as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert!(send(&address, b"POST /status.json HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n").starts_with("HTTP/1.1 405"));
    assert!(!send(&address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 nonsense\r\n\r\n").contains("200 OK"));
    // More clients than there is room for, none of which ever finishes: the next one is answered once they are cut off.
    let slow: Vec<TcpStream> = (0..80)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: h").unwrap();
            stream
        })
        .collect();
    assert!(get(&address, "/livez", None).starts_with("HTTP/1.1 200"));
    drop(slow);
}
