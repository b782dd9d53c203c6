//! The alert rules and the dashboard in `config/`: every name in them is one that a running daemon gives, and each alert fires at a real Prometheus when
//! its cause is there, and resolves when it is gone. What cannot be provoked, and how long each cause has to last, is in promtool's tests of the rules.

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hourglass::daemon::ledger::event::{End, Happened};
use serde_json::Value;

use super::{outside::get, world::Kept};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config");

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server. Dropped, it is killed.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Server {
    fn start(kept: &Kept, program: &str, arguments: &[String]) -> Server {
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
    _gateway: Server,
}

impl Watched {
    async fn begin() -> Watched {
        let kept = Kept::new("0 0 1 1 *", "    retries: 0\n");
        let [daemon, second, prometheus, gateway] = [(); 4].map(|()| free_port());
        // `m` is due every minute, `q` lacks something once `more` is gone, `one` is made without a daemon.
        let dump = |file: &str| format!("{{ command: {{ dump: [cat, {:?}], load: [cat] }} }}", kept.site.path(file).display().to_string());
        let text = fs::read_to_string(kept.site.path("hourglass.yaml")).unwrap();
        let text = text.replace("policies:\n", &format!("  quick: {}\n  more: {}\npolicies:\n", dump("data"), dump("more")));
        fs::write(kept.site.path("hourglass.yaml"), text).unwrap();
        fs::write(kept.site.path("more"), "more\n").unwrap();
        kept.site.configure(&format!(
            "  q: {{ members: {{ quick: required, more: required }}, retries: 0 }}\n  m: {{ members: {{ quick: required }}, schedule: \"* * * * *\", catch_up: 10s }}\n  \
             one: {{ members: {{ quick: required }}, rpo: 20s }}\npushgateway: {{ url: \"http://127.0.0.1:{gateway}\" }}\n\
             notify: {{ channels: {{ nobody: {{ webhook: {{ url: \"http://127.0.0.1:{}/\", timeout: 1s }} }} }} }}\n",
            free_port()
        ));
        let shared = fs::read_to_string(kept.site.path("hourglass.yaml")).unwrap();
        fs::write(kept.site.path("b.yaml"), format!("{shared}daemon: {{ listen: \"127.0.0.1:{second}\" }}\n")).unwrap();
        fs::write(kept.site.path("copy.yaml"), format!("{shared}daemon: {{ listen: \"127.0.0.1:{daemon}\", identity: a-copy }}\n")).unwrap();
        kept.site.configure(&format!("daemon: {{ listen: \"127.0.0.1:{daemon}\" }}\n"));
        let folder = kept.site.path("prometheus");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("rules.yaml"), hasty_rules()).unwrap();
        fs::write(
            folder.join("prometheus.yaml"),
            format!(
                "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yaml]\nscrape_configs:\n  \
                 - {{ job_name: hourglass, static_configs: [{{ targets: [\"127.0.0.1:{daemon}\", \"127.0.0.1:{second}\"] }}] }}\n  \
                 - {{ job_name: push, honor_labels: true, static_configs: [{{ targets: [\"127.0.0.1:{gateway}\"] }}] }}\n"
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
        let _gateway = Server::start(&kept, "prometheus-pushgateway", &[format!("--web.listen-address=127.0.0.1:{gateway}")]);
        Watched { kept, address: format!("127.0.0.1:{prometheus}"), _prometheus, _gateway }
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
async fn each_alert_fires_when_its_cause_is_there_and_resolves_when_it_is_gone() {
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
    names_are_real(&watched).await;
    fs::rename(kept.site.path("data"), kept.site.path("away")).unwrap();
    fs::remove_file(kept.site.path("more")).unwrap();
    watched.run("p").await;
    watched.until("HourglassSlotFailed p", true).await;
    fs::rename(kept.site.path("away"), kept.site.path("data")).unwrap();
    watched.run("q").await;
    watched.until("HourglassSlotIncomplete q", true).await;
    fs::write(kept.site.path("more"), "more\n").unwrap();
    watched.run("p").await;
    watched.run("q").await;
    watched.until("HourglassSlotFailed p", false).await;
    watched.until("HourglassSlotIncomplete q", false).await;
    kept.site.run(&["schedule", "pause", "p", "--who", "Berta", "--reason", "a test"], 0);
    watched.until("HourglassPausedLong p", true).await;
    kept.site.run(&["schedule", "resume", "p", "--who", "Berta", "--reason", "a test"], 0);
    watched.until("HourglassPausedLong p", false).await;
    a_record_that_is_damaged_or_cannot_be_read(&watched).await;
    what_no_daemon_makes(&watched).await;
    // Another daemon is there while the first one dies.
    let _b = kept.daemon_with("b", &["--config", "b.yaml"]);
    drop(a);
    watched.until("HourglassNoLeader -", true).await;
    watched.until("HourglassNoLeader -", false).await;
}

/// Of a copy nothing is kept, so the slots of a minute are missed.
#[tokio::test]
async fn an_installation_that_is_a_copy_is_told_and_so_is_what_it_did_not_do() {
    let watched = Watched::begin().await;
    let kept = &watched.kept;
    let a = kept.daemon("a");
    watched.until("HourglassObjectiveBroken p", true).await;
    drop(a);
    let copy = kept.daemon_with("b", &["--config", "copy.yaml"]);
    watched.until("HourglassForeign m", true).await;
    tokio::time::sleep(Duration::from_secs(75)).await;
    drop(copy);
    let _a = kept.daemon("a");
    watched.until("HourglassForeign m", false).await;
    watched.until("HourglassSlotMissed m", true).await;
    watched.until("HourglassSlotMissed m", false).await;
}

/// Every name that rules and dashboard speak of is one that the daemon gives, and Prometheus understands every expression.
async fn names_are_real(watched: &Watched) {
    let target = fs::read_to_string(watched.kept.site.path("hourglass.yaml")).unwrap();
    let address = target.lines().find_map(|line| line.strip_prefix("daemon: { listen: \"")).unwrap().split('"').next().unwrap();
    let mut given = names(&get(address, "/metrics", None));
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

async fn a_record_that_is_damaged_or_cannot_be_read(watched: &Watched) {
    let kept = &watched.kept;
    let head = kept.record().await.head().unwrap();
    let strange = kept.site.path(&format!("repository/{}/record/{}.json", kept.lineage(), head.number.next()));
    fs::write(&strange, "{}\n").unwrap();
    watched.until("HourglassRecordDamaged p", true).await;
    let heads = kept.site.path("state/heads.json");
    let known = fs::read(&heads).unwrap();
    fs::write(&heads, "nonsense").unwrap();
    watched.until("HourglassRecordUnreadable p", true).await;
    fs::write(&heads, known).unwrap();
    watched.until("HourglassRecordUnreadable p", false).await;
    fs::remove_file(&strange).unwrap();
    watched.until("HourglassRecordDamaged p", false).await;
}

async fn what_no_daemon_makes(watched: &Watched) {
    let kept = &watched.kept;
    kept.site.run(&["backup", "one", "--quiet"], 0);
    watched.until("HourglassPushedObjectiveBroken one", true).await;
    fs::rename(kept.site.path("data"), kept.site.path("away")).unwrap();
    kept.site.run(&["backup", "one", "--quiet"], 1);
    watched.until("HourglassPushedRunFailed one", true).await;
    fs::rename(kept.site.path("away"), kept.site.path("data")).unwrap();
    kept.site.run(&["backup", "one", "--quiet"], 0);
    watched.until("HourglassPushedRunFailed one", false).await;
    watched.until("HourglassPushedObjectiveBroken one", false).await;
    let history = kept.history().await;
    assert!(history.iter().any(|entry| matches!(entry.event, Happened::Ended { end: End::Done, .. })), "{}", kept.tell(&history));
}
