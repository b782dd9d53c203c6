//! A site with a real Prometheus beside it, which has the rules of `config/`, and asks two daemons and a Pushgateway.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{outside::get, world::Kept};

pub const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config");

/// Longest wait for an alert.
const PATIENCE: Duration = Duration::from_secs(240);

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server. Dropped, it is killed.
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Server {
    pub fn start(kept: &Kept, program: &str, arguments: &[String]) -> Server {
        let log = fs::File::create(kept.site.path(&format!("{program}.log"))).unwrap();
        Server(Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }
}

/// A Pushgateway that listens.
pub fn pushgateway(kept: &Kept, address: &str) -> Server {
    let server = Server::start(kept, "prometheus-pushgateway", &[format!("--web.listen-address={address}")]);
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

/// The rules without the time that a cause has to last, and with limits of seconds.
fn hasty_rules() -> String {
    let rules = fs::read_to_string(format!("{CONFIG}/prometheus/rules.yaml")).unwrap();
    let lines = rules.lines().filter(|line| !line.trim_start().starts_with("for: "));
    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
    [("> 900", "> 5"), ("[6h]", "[5s]"), (") > 60", ") > 2")].into_iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

/// A site, and what watches it.
pub struct Watched {
    pub kept: Kept,
    /// Where its daemon answers, and where another one may.
    pub daemons: [String; 2],
    /// Where a Pushgateway may answer.
    pub gateway: String,
    prometheus: String,
    _server: Server,
}

impl Watched {
    /// One whose policy and whose task `reads` never run by themselves.
    pub fn begin() -> Watched {
        let kept = Kept::new("0 0 1 1 *", "    retries: 0\n");
        let [one, other, gateway, prometheus, nobody] = [(); 5].map(|()| format!("127.0.0.1:{}", free_port()));
        kept.site.configure(&format!(
            "notify: {{ channels: {{ nobody: {{ webhook: {{ url: \"http://{nobody}/\", timeout: 1s }} }} }} }}\ndaemon: {{ identity: first, listen: {one:?} }}\n"
        ));
        kept.site.configure("tasks:\n  reads: { verify: { within: 30d }, schedule: \"0 0 1 1 *\" }\n");
        let folder = kept.site.path("prometheus");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("rules.yaml"), hasty_rules()).unwrap();
        let scrapes = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yaml]\nscrape_configs:\n  \
             - {{ job_name: hourglass, static_configs: [{{ targets: [{one:?}, {other:?}] }}] }}\n  \
             - {{ job_name: pushed, honor_labels: true, static_configs: [{{ targets: [{gateway:?}] }}] }}\n"
        );
        fs::write(folder.join("prometheus.yaml"), scrapes).unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        let arguments = [
            format!("--config.file={}", path("prometheus.yaml")),
            format!("--storage.tsdb.path={}", path("data")),
            format!("--web.listen-address={prometheus}"),
        ];
        let _server = Server::start(&kept, "prometheus", &arguments);
        Watched { kept, daemons: [one, other], gateway, prometheus, _server }
    }

    /// What Prometheus answers; none while it does not.
    pub fn ask(&self, path: &str) -> Option<Value> {
        // It may not listen yet.
        TcpStream::connect(&self.prometheus).ok()?;
        let answer = get(&self.prometheus, path, None);
        let body = answer.split_once("\r\n\r\n")?.1;
        // It may come in pieces, each with its length on a line.
        let (from, to) = (body.find('{')?, body.rfind('}')?);
        serde_json::from_str(&body.get(from..=to)?.lines().filter(|line| u64::from_str_radix(line.trim(), 16).is_err()).collect::<String>()).ok()
    }

    /// Alerts that fire, each with its policy or task, or a dash.
    fn firing(&self) -> BTreeSet<String> {
        let Some(answer) = self.ask("/api/v1/alerts") else { return BTreeSet::new() };
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let name = |alert: &Value| {
            let of = |label: &str| alert["labels"][label].as_str().map(str::to_owned);
            format!("{} {}", of("alertname").unwrap(), of("policy").or(of("task")).unwrap_or("-".to_owned()))
        };
        alerts.iter().filter(|alert| alert["state"] == "firing").map(name).collect()
    }

    /// Waits until an alert fires, or fires no more.
    pub async fn until(&self, alert: &str, fires: bool) {
        if !self.becomes(alert, fires, PATIENCE).await {
            panic!("{alert} does not become {fires}: {:?}\n{}", self.firing(), self.kept.tell(&self.kept.history().await));
        }
    }

    /// Whether an alert fires, or fires no more, within a time.
    pub async fn becomes(&self, alert: &str, fires: bool, within: Duration) -> bool {
        let began = Instant::now();
        while self.firing().contains(alert) != fires {
            if began.elapsed() > within {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        true
    }
}
