//! What a daemon answers over HTTP: health, metrics and status; and that bad requests are refused and bounded.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use hourglass::daemon::ledger::event::{End, Happened};

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

/// Posts a text that says that it is JSON; gives status and body of the answer.
fn post(address: &str, token: &str, kind: &str, body: &str) -> (u16, String) {
    let head = format!("POST /orders HTTP/1.1\r\nHost: here\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\n");
    let answer = send(address, format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn orders_over_http_take_a_token_of_their_own_and_are_obeyed() {
    const ORDERS: &str = "another-token-of-this-test-0123456789";
    let kept = Kept::new("0 0 1 1 *", "");
    for (name, token) in [("daemon.token", TOKEN), ("orders.token", TOKEN)] {
        fs::write(kept.site.path(name), format!("{token}\n")).unwrap();
        fs::set_permissions(kept.site.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let config = "daemon: { listen: \"127.0.0.1:0\", token_file: daemon.token, order_token_file: orders.token }\n";
    kept.site.configure(config);
    let same = kept.site.run(&["daemon", "--quiet"], 2);
    assert!(same.contains("orders.token") && same.contains("whoever reads may not give orders"), "{same}");
    fs::write(kept.site.path("orders.token"), format!("{ORDERS}\n")).unwrap();
    let daemon = kept.daemon("a");
    let address = daemon.says("listens", 1)["address"].as_str().unwrap().to_owned();
    daemon.says("leads", 1);
    let json = "application/json";
    let order = |of: &str, what: &str| format!("{{\"of\": {of:?}, \"what\": {what:?}, \"who\": \"Berta\", \"reason\": \"a test\"}}");
    for token in ["", TOKEN, "wrong-token-0123456789"] {
        assert_eq!(post(&address, token, json, &order("p", "pause")).0, 401, "{token}");
    }
    assert!(get(&address, "/orders", Some(ORDERS)).starts_with("HTTP/1.1 405"));
    assert!(get(&address, "/status.json", Some(ORDERS)).starts_with("HTTP/1.1 401"), "who gives orders does not read");
    for (kind, body, status, why) in [
        ("text/plain", order("p", "pause"), 415, "application/json"),
        (json, "{".to_owned(), 400, "write {\"of\": NAME"),
        (json, order("p", "delete"), 400, "unknown variant `delete`"),
        (json, order("../p", "pause"), 400, "write {\"of\": NAME"),
        (json, order("p", "pause").replace("a test", " "), 400, "reason: write 1 to 500 characters"),
        (json, order("p", "pause").replace("Berta", &"B".repeat(501)), 400, "who: write 1 to 500 characters"),
        (json, order("q", "pause"), 404, "no policy and no task q"),
        (json, order("p", &"a".repeat(9000)), 413, ""),
    ] {
        let (found, said) = post(&address, ORDERS, kind, &body);
        assert!(found == status && said.contains(why), "{body}: {found} {said}");
    }
    assert!(kept.history().await.iter().all(|entry| !matches!(entry.event, Happened::Ordered { .. })), "nothing was ordered so far");
    let (status, said) = post(&address, ORDERS, json, &order("p", "pause"));
    assert_eq!((status, said.as_str()), (202, "{\"of\":\"p\",\"order\":1,\"what\":\"pause\"}"));
    kept.until("the pause", |_, balance| balance.paused.as_ref().is_some_and(|paused| paused.by == "Berta" && paused.reason == "a test")).await;
    assert_eq!(post(&address, ORDERS, json, &order("p", "resume")).0, 202);
    assert_eq!(post(&address, ORDERS, json, &order("p", "run")).0, 202);
    assert_eq!(kept.ended("p", 1).await.0, End::Done);
    kept.until("the end of the pause", |_, balance| balance.paused.is_none()).await;
    drop(daemon);
    // A copy orders nothing, and without that token nobody does over HTTP.
    let text = fs::read_to_string(kept.site.path("hourglass.yaml")).unwrap();
    fs::write(kept.site.path("hourglass.yaml"), text.replace("daemon: {", "daemon: { identity: copy,")).unwrap();
    let daemon = kept.daemon("b");
    let address = daemon.says("listens", 1)["address"].as_str().unwrap().to_owned();
    let (status, said) = post(&address, ORDERS, json, &order("p", "pause"));
    assert!(status == 409 && said.contains("this one only reports"), "{status} {said}");
    drop(daemon);
    fs::write(kept.site.path("hourglass.yaml"), text.replace(", order_token_file: orders.token", "")).unwrap();
    let daemon = kept.daemon("b");
    let address = daemon.says("listens", 1)["address"].as_str().unwrap().to_owned();
    let (status, said) = post(&address, TOKEN, json, &order("p", "pause"));
    assert!(status == 403 && said.contains("order_token_file"), "{status} {said}");
}
