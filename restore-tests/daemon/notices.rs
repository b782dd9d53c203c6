//! What people are told: once when something begins and once when it is over, by real servers, across deaths and changes of the daemon that leads.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use hourglass::daemon::ledger::event::{End, Happened};
use serde_json::Value;

use super::{
    sinks::{PASSWORD, Sink, USER, body},
    world::Kept,
};
use crate::lab::tls;

const TOKEN: &str = "planted-token-of-the-hook-0123456789";
/// Part of an address that whoever knows it may post to.
const SECRET_PATH: &str = "planted-secret-path-T000-B000";

fn secret(kept: &Kept, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(kept.site.path(name), format!("{text}\n")).unwrap();
    fs::set_permissions(kept.site.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

pub fn smtp(sink: &Sink, mode: &str, more: &str) -> String {
    let ca = tls("ca.crt").display().to_string();
    format!(
        "smtp: {{ host: 127.0.0.1, port: {}, mode: {mode}, ca_file: {ca:?}, from: \"Hourglass <h@example.com>\", to: [a@example.com, b@example.com]{more} }}",
        sink.port
    )
}

fn login() -> String {
    format!(", user: {USER}, password_file: mail.password")
}

pub async fn until<T>(what: &str, kept: &Kept, found: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(240), "{what} does not come\n{}", kept.tell(&kept.history().await));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What a hook of the generic form accepted, by id.
pub fn accepted(hook: &Sink) -> Vec<Value> {
    let bodies = hook.got().into_iter().filter(|got| got["status"] == 200).map(|got| got["body"].as_str().unwrap().to_owned());
    bodies.flat_map(|body| serde_json::from_str::<Value>(&body).unwrap()["notices"].as_array().unwrap().clone()).collect()
}

fn says(notices: &[Value], what: &str, kind: &str) -> bool {
    notices.iter().any(|notice| notice["what"] == what && notice["condition"]["kind"] == kind)
}

/// Whether any mail so far has these words.
fn mailed(mail: &Sink, words: &str) -> Option<Value> {
    mail.got().into_iter().find(|got| body(got).contains(words))
}

fn assert_no_secret(path: &Path) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_no_secret(&path);
        } else if !path.extension().is_some_and(|extension| extension == "password" || extension == "token" || extension == "url") {
            let text = fs::read(&path).unwrap();
            for secret in [PASSWORD, TOKEN, SECRET_PATH] {
                assert!(!text.windows(secret.len()).any(|window| window == secret.as_bytes()), "{} holds {secret}", path.display());
            }
        }
    }
}

async fn run(kept: &Kept, end: End) {
    let before = kept.history().await.len();
    kept.order("run");
    let ended = |event: &Happened| matches!(event, Happened::Ended { end: found, .. } if *found == end);
    kept.until("the end of the run", |history, _| history.iter().skip(before).any(|entry| ended(&entry.event))).await;
}

#[tokio::test]
async fn people_are_told_once_that_something_began_and_once_that_it_is_over_whoever_leads() {
    let (mail, hook, slack, teams) = (Sink::mail("starttls", "TLSv1_3"), Sink::web(), Sink::web_with_tls(), Sink::web());
    let kept = Kept::new("0 0 1 1 *", "    retries: 0\n");
    for (name, text) in [("mail.password", PASSWORD), ("hook.token", TOKEN)] {
        secret(&kept, name, text);
    }
    secret(&kept, "slack.url", &format!("https://127.0.0.1:{}/{SECRET_PATH}", slack.port));
    kept.site.configure(&format!(
        "notify:\n  digest: \"* * * * *\"\n  channels:\n    mail: {{ {} }}\n    hook: {{ webhook: {{ url: \"http://127.0.0.1:{}/hook\", token_file: hook.token }} }}\n    \
         slack: {{ webhook: {{ url_file: slack.url, form: slack, ca_file: {:?} }}, digest: false }}\n    \
         teams: {{ webhook: {{ url: \"http://127.0.0.1:{}/teams\", form: teams }}, least: critical, digest: false }}\n",
        smtp(&mail, "starttls", &login()),
        hook.port,
        tls("ca.crt").display().to_string(),
        teams.port,
    ));
    let a = kept.daemon("a");
    until("the beginning", &kept, || says(&accepted(&hook), "began", "objective-broken").then_some(())).await;
    let mail_of_it = until("its mail", &kept, || mailed(&mail, "CRITICAL  p: it has no good point")).await;
    assert_eq!(
        (mail_of_it["to"].as_array().unwrap().len(), mail_of_it["user"].as_str(), mail_of_it["tls"].as_str()),
        (2, Some(USER), Some("TLSv1.3"))
    );
    for head in [
        "Auto-Submitted: auto-generated",
        "Message-ID: <hourglass.we.mail.",
        "From: \"Hourglass\" <h@example.com>",
        "Subject: [Hourglass we] CRITICAL",
    ] {
        let message = mail_of_it["message"].as_str().unwrap();
        assert!(message.contains(head) || message.contains(&head.replace('"', "")), "{head}: {message}");
    }
    run(&kept, End::Done).await;
    until("that it is over", &kept, || says(&accepted(&hook), "over", "objective-broken").then_some(())).await;
    until("its mail", &kept, || mailed(&mail, "OVER  p: it has no good point")).await;
    // The hook is away while a slot fails, and the daemon dies before it is back.
    hook.answer(503);
    fs::rename(kept.site.path("data"), kept.site.path("away")).unwrap();
    run(&kept, End::Failed).await;
    until("mail of the failure", &kept, || mailed(&mail, "CRITICAL  p: slot")).await;
    until("a refusal", &kept, || hook.got().iter().any(|got| got["status"] == 503).then_some(())).await;
    drop(a);
    hook.answer(200);
    let _b = kept.daemon("b");
    until("what the first daemon still owed", &kept, || says(&accepted(&hook), "began", "slot-failed").then_some(())).await;
    fs::rename(kept.site.path("away"), kept.site.path("data")).unwrap();
    run(&kept, End::Done).await;
    until("that it is over", &kept, || says(&accepted(&hook), "over", "slot-failed").then_some(())).await;
    until("its mail", &kept, || mailed(&mail, "OVER  p: slot")).await;
    kept.site.run(&["schedule", "pause", "p", "--who", "Berta <b> & co", "--reason", "the database moves"], 0);
    until("that it is paused", &kept, || {
        slack.got().iter().any(|got| got["body"].as_str().unwrap().contains("NOTE  p: it was paused by Berta &lt;b&gt; &amp; co")).then_some(())
    })
    .await;
    // The digest holds where the record ends.
    let head = kept.record().await.head().unwrap();
    until("a digest with the head", &kept, || mailed(&mail, &format!("p@we/1 entry {} sha256 {}", head.number.0, head.sha256))).await;
    // Nobody was told anything twice, or out of order.
    let mut counted: BTreeMap<u64, usize> = BTreeMap::new();
    let notices = accepted(&hook);
    notices.iter().for_each(|notice| *counted.entry(notice["id"].as_u64().unwrap()).or_default() += 1);
    assert!(counted.values().all(|count| *count == 1), "{counted:?}");
    assert!(notices.is_sorted_by_key(|notice| notice["id"].as_u64()), "{notices:#?}");
    let failures = mail.got().iter().filter(|got| body(got).contains("CRITICAL  p: slot")).count();
    assert_eq!(failures, 1);
    let token = format!("Bearer {TOKEN}");
    assert!(hook.got().iter().all(|got| got["headers"]["authorization"] == token.as_str()));
    assert!(
        slack.got().iter().all(|got| got["path"] == format!("/{SECRET_PATH}")
            && serde_json::from_str::<Value>(got["body"].as_str().unwrap()).unwrap()["text"].is_string())
    );
    let cards: Vec<Value> = teams.got().iter().map(|got| serde_json::from_str(got["body"].as_str().unwrap()).unwrap()).collect();
    assert!(!cards.is_empty() && cards.iter().all(|card| card["attachments"][0]["content"]["type"] == "AdaptiveCard"), "{cards:#?}");
    assert!(!cards.iter().any(|card| card.to_string().contains("paused")), "a note is not critical");
    assert_no_secret(&kept.site.path(""));
}

#[test]
fn a_test_message_says_which_channel_does_not_work_and_why() {
    let [starttls, implicit, old, none] =
        [("starttls", "TLSv1_3"), ("implicit", "TLSv1_3"), ("starttls", "TLSv1_2"), ("none", "")].map(|(mode, newest)| Sink::mail(mode, newest));
    let (plain, secure) = (Sink::web(), Sink::web_with_tls());
    let kept = Kept::new("0 0 1 1 *", "");
    for (name, text) in [
        ("mail.password", PASSWORD),
        ("wrong.password", "planted-Pa55w0rd-of-the-mail-but-wrong"),
        ("hook.url", &format!("http://127.0.0.1:{}/{SECRET_PATH}", plain.port)),
    ] {
        secret(&kept, name, text);
    }
    // A port that nobody listens on.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let rogue = format!("ca_file: {:?}", tls("rogue-ca.crt").display().to_string());
    let trusted = format!("ca_file: {:?}", tls("ca.crt").display().to_string());
    let good = [
        ("starttls", smtp(&starttls, "starttls", &login())),
        ("implicit", smtp(&implicit, "implicit", &format!("{}, least_tls: \"1.3\"", login()))),
        ("old", smtp(&old, "starttls", &login())),
        ("none", smtp(&none, "none", "")),
        ("web", "webhook: { url_file: hook.url }".to_owned()),
        ("secure", format!("webhook: {{ url: \"https://127.0.0.1:{}/x\", {trusted} }}", secure.port)),
    ];
    let bad = [
        ("wrong-password", smtp(&starttls, "starttls", &login().replace("mail.password", "wrong.password")), "password_file"),
        ("no-login", smtp(&starttls, "starttls", ""), "did not take it"),
        ("too-old", smtp(&old, "starttls", &format!("{}, least_tls: \"1.3\"", login())), "least_tls"),
        ("no-starttls", smtp(&none, "starttls", &login()), "did not take it"),
        ("untrusted", smtp(&starttls, "starttls", &login()).replace("ca.crt", "rogue-ca.crt"), "ca_file"),
        ("no-such-file", smtp(&starttls, "starttls", &login().replace("mail.password", "none.password")), "cannot read"),
        ("nobody", format!("webhook: {{ url: \"http://127.0.0.1:{nobody}/\", timeout: 5s }}"), "cannot be reached"),
        ("untrusted-web", format!("webhook: {{ url: \"https://127.0.0.1:{}/x\", {rogue} }}", secure.port), "cannot be reached"),
    ];
    kept.site.configure("notify:\n  channels:\n");
    for (name, way) in good.iter().map(|(name, way)| (name, way)).chain(bad.iter().map(|(name, way, _)| (name, way))) {
        kept.site.configure(&format!("    {name}: {{ {way} }}\n"));
    }
    for (name, _) in &good {
        let said = kept.site.run(&["notify", "test", name], 0);
        assert!(said.contains("sent"), "{said}");
    }
    for (name, _, why) in &bad {
        let said = kept.site.run(&["notify", "test", name, "--log", "trace"], 1);
        assert!(said.contains("NOT SENT") && said.contains(why), "{name}: {said}");
        assert!(![PASSWORD, SECRET_PATH].iter().any(|secret| said.contains(secret)), "{said}");
    }
    plain.answer(500);
    let said = kept.site.run(&["notify", "test", "web", "--output", "json"], 1);
    assert!(said.contains("refused it with status 500") && !said.contains(SECRET_PATH), "{said}");
    kept.site.run(&["notify", "test", "wbe"], 2);
    assert_eq!([&starttls, &implicit, &old, &none].map(|sink| sink.got().len()), [1, 1, 1, 1]);
    assert_eq!(implicit.got()[0]["tls"], "TLSv1.3");
    assert_eq!(old.got()[0]["tls"], "TLSv1.2");
}
