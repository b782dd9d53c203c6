//! The page in a real browser, and who may see it.

use std::process::Command;

use hourglass::daemon::ledger::event::End;

use super::{
    outside::{TOKEN, answering_with, get, send},
    world::Kept,
};
use crate::{
    browser::{browse, shows},
    lab::tls,
};

async fn fill(kept: &Kept) {
    let run = async |end: &str| {
        let before = kept.history().await.len();
        kept.order("run");
        let ended = |text: String| text.contains(end);
        kept.until("the end of the run", |history, _| history.iter().skip(before).any(|entry| ended(entry.event.sentence()))).await;
    };
    for _ in 0..3 {
        run(": done").await;
    }
    kept.site.configure("tasks:\n  reads: { verify: { within: 30d }, schedule: \"0 0 1 1 *\" }\n");
    kept.order_of("reads", "run");
    assert_eq!(kept.ended("reads", 1).await, (End::Done, None));
    kept.site.run(&["coverage"], 3);
    kept.site.run(&["verify", "--depth", "restorable"], 0);
    kept.site.run(&["restore", "p", "--to", "out", "--quiet"], 0);
    kept.site.run(&["schedule", "pause", "p", "--who", "<script>alert(1)</script>", "--reason", "</style><img src=x onerror=alert(2)> \"'&"], 0);
    kept.halt();
    kept.order("run");
    kept.until("a run", |_, balance| balance.open.as_ref().is_some_and(|open| open.run.is_some())).await;
}

#[tokio::test]
async fn a_browser_shows_the_page_wide_and_narrow_light_and_dark_and_has_nothing_to_complain_about() {
    let (kept, daemon, address) = answering_with("");
    daemon.says("leads", 1);
    fill(&kept).await;
    kept.site.run(&["status"], 0);
    // What the page shows may be half a minute old.
    let began = std::time::Instant::now();
    let page = loop {
        let page = get(&address, "/", Some(TOKEN));
        if page.contains("of 3 steps") || page.contains(" steps, ") && page.contains("&lt;script&gt;") {
            break page;
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(180), "{page}");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    };
    let head = page.split_once("\r\n\r\n").unwrap().0.to_lowercase();
    for line in [
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "x-frame-options: deny",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
    ] {
        assert!(head.contains(line), "{line} is not in {head}");
    }
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains(TOKEN), "{page}");
    let home = tempfile::tempdir_in(crate::lab::require("HOURGLASS_LAB_DIR")).unwrap();
    let address = format!("http://any:{TOKEN}@{address}/");
    for (name, size, scheme) in
        [("wide-light", "1280,1600", 1), ("wide-dark", "1280,1600", 0), ("phone-light", "390,2400", 1), ("phone-dark", "390,2400", 0)]
    {
        let arguments = [format!("--window-size={size}"), format!("--blink-settings=preferredColorScheme={scheme}")];
        shows(home.path(), &address, &format!("{name}.png"), &arguments.each_ref().map(String::as_str));
    }
    let shown = String::from_utf8(browse(home.path(), &address, &["--dump-dom"]).stdout).unwrap();
    for words in [
        "Hourglass we",
        "Running work",
        "restored and compared",
        "restorable",
        "p@we/1:",
        "Not measured",
        "0 uncovered, 1 unknown",
        "data/unknown/*",
        "255 of 256 parts",
        "it was paused by &lt;script&gt;",
    ] {
        assert!(shown.contains(words), "{words} is not in {shown}");
    }
    kept.go();
}

#[tokio::test]
async fn with_tls_a_certificate_or_the_token_is_asked_of_all_but_health() {
    let path = |name: &str| tls(name).display().to_string();
    let (_kept, daemon, address) = answering_with(&format!(
        ", tls: {{ cert_file: {:?}, key_file: {:?}, client_ca_file: {:?} }}",
        path("server.crt"),
        path("server.key"),
        path("ca.crt")
    ));
    daemon.says("leads", 1);
    let (ca, client, key) = (path("ca.crt"), path("client.crt"), path("client.key"));
    let (rogue, rogue_key, expired, expired_key) = (path("rogue.crt"), path("rogue.key"), path("expired.crt"), path("expired.key"));
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let ask = |path: &str, more: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "60", "--output", "/dev/null", "--write-out", "%{http_code}", "--cacert", &ca]);
        let done = command.args(more).arg(format!("https://{address}{path}")).output().unwrap();
        String::from_utf8(done.stdout).unwrap()
    };
    assert_eq!(ask("/livez", &[]), "200");
    for path in ["/", "/metrics", "/status.json"] {
        assert_eq!(ask(path, &[]), "401", "{path}");
        assert_eq!(ask(path, &["--cert", &client, "--key", &key]), "200", "{path}");
        assert_eq!(ask(path, &["--header", &bearer]), "200", "{path}");
        assert_eq!(ask(path, &["--user", &format!("anybody:{TOKEN}")]), "200", "{path}");
        assert_eq!(ask(path, &["--user", "anybody:wrong-token-0123456789"]), "401", "{path}");
        // No answer at all.
        assert_eq!(ask(path, &["--cert", &rogue, "--key", &rogue_key]), "000", "{path}");
        assert_eq!(ask(path, &["--cert", &expired, "--key", &expired_key]), "000", "{path}");
    }
    assert_eq!(ask("/livez", &["--tls-max", "1.1"]), "000");
    // Whoever speaks no TLS, or nothing at all, is cut off, and the next one is answered.
    assert!(!send(&address, b"GET /status.json HTTP/1.1\r\nHost: here\r\n\r\n").contains("200 OK"));
    let silent: Vec<_> = (0..80).map(|_| std::net::TcpStream::connect(&address).unwrap()).collect();
    assert_eq!(ask("/livez", &[]), "200");
    drop(silent);
    for header in
        ["Authorization: Basic", "Authorization: Basic !!!", "Authorization: Basic bm8tY29sb24=", "Authorization: Bearer", "Authorization: Digest x"]
    {
        assert_eq!(ask("/", &["--header", header]), "401", "{header}");
    }
}
