//! The alert rules and the dashboard in `config/`: every name in them is one that a running daemon gives, and alerts fire at a real Prometheus when their
//! cause is there, and resolve when it is gone. Those that are not provoked here, and how long each cause has to last, are in promtool's tests of the rules.

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hourglass::{
    daemon::ledger::event::End,
    model::{FixedClock, Timestamp},
    orchestrator::{
        coverage::Coverage,
        findings::{COVERAGE, Findings},
    },
    repository::sample::Sampling,
};
use jiff::SignedDuration;
use serde_json::Value;

use super::{outside::get, world::Kept};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config");

/// A recovery of nothing, which the record knows of.
const DRILL: &str = "---\nname: drill\npolicy: p\nrto: { service: 30m, full: 30m }\n---\n# Rebuild nothing\n\n## Nothing\n\n```yaml step\n\
                     id: nothing\nneeds: []\nbudget: 1m\ncommand: { run: [\"true\"] }\n```\n";

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

fn promtool(arguments: &[&str]) {
    let done = Command::new("promtool").args(arguments).current_dir(CONFIG).output().unwrap();
    assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
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

/// Everything in the configuration that is asked of Prometheus: expressions of rules, panels and variables.
fn expressions() -> Vec<String> {
    let rules = fs::read_to_string(format!("{CONFIG}/prometheus/rules.yaml")).unwrap();
    let mut found: Vec<String> = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned).collect();
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(format!("{CONFIG}/grafana/dashboard.json")).unwrap()).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        found.extend(panel["targets"].as_array().unwrap().iter().map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    assert!(found.len() > 25, "{found:?}");
    found
}

fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let names = words.filter(|word| word.starts_with("hourglass_") && *word != "hourglass_backup");
    names.map(str::to_owned).collect()
}

struct Watched {
    kept: Kept,
    address: String,
    _prometheus: Server,
}

impl Watched {
    async fn begin() -> Watched {
        let kept = Kept::new("0 0 1 1 *", "    retries: 0\n");
        let [daemon, prometheus] = [(); 2].map(|()| free_port());
        kept.site.configure(&format!(
            "notify: {{ channels: {{ nobody: {{ webhook: {{ url: \"http://127.0.0.1:{}/\", timeout: 1s }} }} }} }}\ndaemon: {{ listen: \"127.0.0.1:{daemon}\" }}\n",
            free_port()
        ));
        kept.site.configure("tasks:\n  reads: { verify: { within: 30d }, schedule: \"0 0 1 1 *\" }\n");
        let folder = kept.site.path("prometheus");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("rules.yaml"), hasty_rules()).unwrap();
        fs::write(
            folder.join("prometheus.yaml"),
            format!(
                "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yaml]\nscrape_configs:\n  \
                 - {{ job_name: hourglass, static_configs: [{{ targets: [\"127.0.0.1:{daemon}\"] }}] }}\n"
            ),
        )
        .unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        let prometheus_arguments = [
            format!("--config.file={}", path("prometheus.yaml")),
            format!("--storage.tsdb.path={}", path("data")),
            format!("--web.listen-address=127.0.0.1:{prometheus}"),
        ];
        let _prometheus = Server::start(&kept, "prometheus", &prometheus_arguments);
        Watched { kept, address: format!("127.0.0.1:{prometheus}"), _prometheus }
    }

    fn ask(&self, path: &str) -> Option<Value> {
        // It may not listen yet.
        std::net::TcpStream::connect(&self.address).ok()?;
        let answer = get(&self.address, path, None);
        let body = answer.split_once("\r\n\r\n")?.1;
        // It may come in pieces, each with its length on a line.
        let (from, to) = (body.find('{')?, body.rfind('}')?);
        serde_json::from_str(&body.get(from..=to)?.lines().filter(|line| u64::from_str_radix(line.trim(), 16).is_err()).collect::<String>()).ok()
    }

    /// Alerts that fire, of a policy or of none.
    fn firing(&self) -> BTreeSet<String> {
        let Some(answer) = self.ask("/api/v1/alerts") else { return BTreeSet::new() };
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let fires = alerts.iter().filter(|alert| alert["state"] == "firing");
        let name =
            |alert: &Value| format!("{} {}", alert["labels"]["alertname"].as_str().unwrap(), alert["labels"]["policy"].as_str().unwrap_or("-"));
        fires.map(name).collect()
    }

    async fn until(&self, alert: &str, fires: bool) {
        let began = Instant::now();
        while self.firing().contains(alert) != fires {
            if began.elapsed() > Duration::from_secs(240) {
                panic!("{alert} does not become {fires}: {:?}\n{}", self.firing(), self.kept.tell(&self.kept.history().await));
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn run(&self, policy: &str) {
        self.kept.site.run(&["schedule", "run", policy, "--who", "Berta", "--reason", "a test"], 0);
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_the_rules_and_their_tests_pass() {
    promtool(&["check", "rules", "prometheus/rules.yaml"]);
    promtool(&["test", "rules", "prometheus/rules.test.yaml"]);
}

#[tokio::test]
async fn alerts_fire_when_their_cause_is_there_and_resolve_when_it_is_gone() {
    let watched = Watched::begin().await;
    let kept = &watched.kept;
    watched.until("HourglassAbsent -", true).await;
    let a = kept.daemon("a");
    watched.until("HourglassAbsent -", false).await;
    // No point yet, and nobody who could be told of it.
    watched.until("HourglassObjectiveBroken p", true).await;
    watched.until("HourglassNoticesWait -", true).await;
    kept.halt();
    watched.run("p").await;
    watched.until("HourglassRunLong p", true).await;
    kept.go();
    watched.until("HourglassRunLong p", false).await;
    watched.until("HourglassObjectiveBroken p", false).await;
    watched.until("HourglassUnverified p", true).await;
    kept.site.run(&["verify", "--depth", "restorable"], 0);
    watched.until("HourglassUnverified p", false).await;
    what_was_found(&watched).await;
    fs::write(kept.site.path("drill.md"), DRILL).unwrap();
    kept.site.run(&["recover", "drill.md"], 0);
    names_are_real(&watched).await;
    fs::rename(kept.site.path("data"), kept.site.path("away")).unwrap();
    watched.run("p").await;
    watched.until("HourglassSlotFailed p", true).await;
    fs::rename(kept.site.path("away"), kept.site.path("data")).unwrap();
    watched.run("p").await;
    watched.until("HourglassSlotFailed p", false).await;
    drop(a);
}

/// What is not covered and what is not ready is told until it is found otherwise. Everything is read, too.
async fn what_was_found(watched: &Watched) {
    let kept = &watched.kept;
    kept.site.run(&["coverage"], 3);
    kept.site.run(&["ready"], 3);
    watched.until("HourglassUncovered -", true).await;
    watched.until("HourglassNotReady -", true).await;
    kept.site.configure("excluded: { data/unknown: one program knows its data }\nready: { licences: { of-a-test: 2999-12-31 } }\n");
    kept.site.run(&["coverage"], 0);
    kept.site.run(&["ready"], 0);
    watched.until("HourglassUncovered -", false).await;
    watched.until("HourglassNotReady -", false).await;
    // As if nobody had asked for nine days, nor read anything for ninety.
    let findings = Findings::new(kept.store("control").await, &kept.keys());
    let ago = |days: i64| Timestamp::now() - SignedDuration::from_hours(24 * days);
    let covered: Coverage = findings.newest(COVERAGE).await.unwrap().unwrap().found;
    findings.write(COVERAGE, &covered, &FixedClock::new(ago(9))).await.unwrap();
    let read = Sampling::begin(ago(90)).after(&(0..=255).collect(), &BTreeSet::new(), ago(90));
    findings.write("read/primary", &read, &FixedClock::new(ago(90))).await.unwrap();
    watched.until("HourglassAnswersOld -", true).await;
    watched.until("HourglassReadsOld -", true).await;
    kept.site.run(&["coverage"], 0);
    watched.run("reads").await;
    assert_eq!(kept.ended("reads", 1).await, (End::Done, None));
    watched.until("HourglassAnswersOld -", false).await;
    watched.until("HourglassReadsOld -", false).await;
}

/// Every name that rules and dashboard speak of is one that the daemon gives, and Prometheus understands every expression.
async fn names_are_real(watched: &Watched) {
    let target = fs::read_to_string(watched.kept.site.path("hourglass.yaml")).unwrap();
    let address = target.lines().find_map(|line| line.strip_prefix("daemon: { listen: \"")).unwrap().split('"').next().unwrap();
    // What is given may be some seconds old.
    let began = Instant::now();
    let mut given = loop {
        let given = names(&get(address, "/metrics", None));
        if given.contains("hourglass_recovery_full_seconds") || began.elapsed() > Duration::from_secs(120) {
            break given;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    given.insert("hourglass_run_succeeded".to_owned());
    for expression in expressions() {
        let expression = expression.trim_matches('"').replace("$site", ".*").replace("$policy", ".*");
        let missing: Vec<_> = names(&expression).difference(&given).cloned().collect();
        assert!(missing.is_empty(), "{expression} asks for {missing:?}, and there are {given:?}");
        let asked: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let answer = watched.ask(&format!("/api/v1/query?query={asked}")).unwrap_or_default();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
    }
}
