//! Runs that are taken over from a process that is frozen, by one of another machine: what wakes up afterwards changes nothing any more.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use hourglass::orchestrator::execute::LEASE;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use super::{Watched, World, once, until};
use crate::{
    lab::{Servers, require},
    mysql::world::{Make, Names, sql, yaml},
    site::{Site, assert_same_tree, find, listing},
    stores::places::fresh_name,
};

/// A home of the same operator on another machine: its own state, machine id, processes.
pub struct Elsewhere {
    home: tempfile::TempDir,
}

impl Elsewhere {
    pub fn new(site: &Site) -> Elsewhere {
        let home = tempfile::tempdir_in(require("HOURGLASS_LAB_DIR")).unwrap();
        for entry in fs::read_dir(site.path("")).unwrap().map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_file()) {
            fs::copy(entry.path(), home.path().join(entry.file_name())).unwrap();
        }
        fs::write(home.path().join("machine-id"), "fedcba9876543210fedcba9876543210\n").unwrap();
        Elsewhere { home }
    }

    fn start(&self, arguments: &[&str]) -> Watched {
        let script = "mount --bind machine-id /etc/machine-id && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_hourglass")]);
        command.args(["--output", "json"]).args(arguments).current_dir(self.home.path()).env_clear().env("HOME", self.home.path());
        command.env("PATH", std::env::var_os("PATH").unwrap());
        Watched::of(command)
    }

    /// Takes a recovery over.
    pub fn take_over(&self, run: &str, more: &[&str]) -> Watched {
        self.start(&[&["runs", "takeover", run, "--who", "Anna", "--reason", "it hangs", "--report", "report.html"], more].concat())
    }

    /// Takes a restore over from a process that a person says is stopped.
    pub fn take_restore_over(&self, run: &str) -> Watched {
        self.start(&["runs", "takeover", run, "--who", "Anna", "--reason", "it hangs", "--stopped"])
    }
}

/// How long before it was frozen a process may have journalled last.
const MARGIN: Duration = Duration::from_secs(20);

/// A process that stands still, with the groups of all that it started.
pub struct Frozen {
    process: Pid,
    groups: Vec<Pid>,
    since: Instant,
}

impl Frozen {
    pub fn new(running: &Watched) -> Frozen {
        let process = running.pid();
        kill_process(process, Signal::STOP).unwrap();
        let groups: Vec<Pid> = children(process);
        groups.iter().for_each(|group| kill_process_group(*group, Signal::STOP).unwrap());
        Frozen { process, groups, since: Instant::now() }
    }

    /// The kernel ends it with its lease, as it stands, so that nothing of it can wake.
    pub fn ends_with_its_lease(self, running: Watched) {
        assert_eq!(running.signalled(), Some(Signal::KILL.as_raw()), "after {:?}", self.since.elapsed());
    }

    /// It wakes, and what it started after it has ended, if that is still there. When that took longer than its lease, the kernel has ended it.
    fn wake(self, running: Watched) {
        let _ended = kill_process(self.process, Signal::CONT);
        let (code, envelope, said) = running.any_end();
        let error = &envelope["error"];
        if code.is_some() {
            assert_eq!((code, error["kind"].as_str()), (Some(1), Some("lost-run")), "{envelope}\n{said}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("fedcba9876543210") && message.contains("Anna decided so (it hangs)"), "{message}");
        } else {
            assert!(self.since.elapsed() + MARGIN > LEASE, "{said}");
        }
        for group in self.groups {
            let began = Instant::now();
            while is_running(group) {
                assert!(began.elapsed() < super::PATIENCE, "what it started is still there");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Whether a process of this group is there that has not ended; nobody may have taken note of one that has.
fn is_running(group: Pid) -> bool {
    let of_group = |entry: fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        (fields.get(2)?.parse() == Ok(group.as_raw_nonzero().get()) && fields.first() != Some(&"Z")).then_some(())
    };
    fs::read_dir("/proc").unwrap().any(|entry| of_group(entry.unwrap()).is_some())
}

fn children(of: Pid) -> Vec<Pid> {
    let child = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent: i32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        (parent == of.as_raw_nonzero().get()).then(|| Pid::from_raw(pid))?
    };
    fs::read_dir("/proc").unwrap().filter_map(|entry| child(entry.ok()?)).collect()
}

fn begins(running: &mut Watched, step: &str) {
    let step = format!("\"{step}\"");
    let reached = running.reaches(|said| said.iter().any(|line| line.contains("step-started") && line.contains(&step)));
    assert!(reached, "{}", running.said());
}

fn assert_not_ended(running: &Watched, step: &str) {
    let step = format!("\"{step}\"");
    assert!(!running.said().lines().any(|line| line.contains("step-ended") && line.contains(&step)), "it was too fast: {}", running.said());
}

#[test]
fn a_process_frozen_in_a_command_does_nothing_when_it_wakes_after_a_takeover() {
    let world = World::new(1000);
    let slow = "id: slow\nneeds: []\nbudget: 1s\ncommand:\n  run: [sh, -c, 'echo begin >> \"$0/log\"; while ! test -e \"$0/go\"; do sleep 0.05; done; echo end >> \"$0/log\"', \"${dir}\"]\n  check: [grep, -q, end, \"${dir}/log\"]";
    world.book("", &[slow, &once("after", "slow")]);
    let elsewhere = Elsewhere::new(&world.site);
    let running = world.start(&[]);
    until(world.site.path("log"), "begin");
    let (run, frozen) = (world.run_id(), Frozen::new(&running));
    assert_eq!(frozen.groups.len(), 1);
    let taking = elsewhere.take_over(&run, &["--stopped"]);
    until(world.site.path("log"), "begin\nbegin");
    fs::write(world.site.path("go"), "").unwrap();
    let (_, said) = taking.end(0);
    assert!(said.contains("\"after\""), "{said}");
    frozen.wake(running);
    assert_eq!((world.text("log").as_str(), world.text("ran").as_str()), ("begin\nbegin\nend\n", "after\n"));
    let shown = world.site.run(&["runs", "list"], 0);
    assert!(shown.contains("succeeded"), "{shown}");
}

#[test]
fn a_process_frozen_in_a_restore_writes_no_file_when_it_wakes_after_a_takeover() {
    let world = World::new(96 << 20);
    let expected = listing(&world.site.path("tree"));
    world.book("", &["id: tree\nneeds: []\nbudget: 1s\nrestore: { member: files, to: \"${dir}/restored\" }"]);
    let elsewhere = Elsewhere::new(&world.site);
    let mut running = world.start(&[]);
    begins(&mut running, "tree");
    until_there(&world, "restored/noise");
    let frozen = Frozen::new(&running);
    assert_not_ended(&running, "tree");
    let run = world.run_id();
    elsewhere.take_over(&run, &["--stopped"]).end(0);
    assert_same_tree(&expected, &world.site.path("restored"));
    // The service runs again, and changes what was restored.
    fs::write(world.site.path("restored/noise"), "of the new service").unwrap();
    fs::remove_file(world.site.path("restored/a/b/small-09")).unwrap();
    let after = listing(&world.site.path("restored"));
    frozen.wake(running);
    assert_same_tree(&after, &world.site.path("restored"));
}

fn until_there(world: &World, name: &str) {
    let began = Instant::now();
    while !world.site.path(name).exists() {
        assert!(began.elapsed() < super::PATIENCE, "{name} never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A process that is at work keeps its run; of two that take a silent one, one gets it, and the other is told.
#[test]
fn a_run_is_taken_from_a_silent_process_only_and_by_one_taker_only() {
    let world = World::new(1000);
    world.book("", &["id: go\nneeds: []\nbudget: 1s\napprove: { question: \"Go?\" }", &once("after", "go")]);
    let [one, other] = [Elsewhere::new(&world.site), Elsewhere::new(&world.site)];
    let mut running = world.start(&[]);
    assert!(running.says("ASKS: Go?"));
    let run = world.run_id();
    let (envelope, said) = one.take_over(&run, &[]).end(1);
    assert_eq!(envelope["error"]["kind"], "busy", "{envelope}");
    assert!(said.contains("taken over when it has journalled nothing for 90 s"), "{said}");
    let frozen = Frozen::new(&running);
    let mut takers = [one.take_over(&run, &[]), other.take_over(&run, &[])];
    let asked: Vec<bool> = takers.iter_mut().map(|taker| taker.says("ASKS: Go?")).collect();
    assert_eq!(asked.iter().filter(|asked| **asked).count(), 1, "{}\n{}", takers[0].said(), takers[1].said());
    world.order(&["approve", "go"], 0);
    let ends = takers.map(Watched::any_end);
    let codes: Vec<Option<i32>> = ends.iter().map(|(code, ..)| *code).collect();
    assert!(codes.contains(&Some(0)) && codes.contains(&Some(1)), "{ends:?}");
    let told = ends.iter().find(|(code, ..)| *code == Some(1)).unwrap();
    assert!(["lost-run", "busy"].contains(&find(&told.1, "kind").and_then(Value::as_str).unwrap()), "{told:?}");
    frozen.ends_with_its_lease(running);
    assert_eq!(world.text("ran"), "after\n");
}

#[test]
fn sessions_of_a_process_frozen_in_a_load_into_mariadb_are_ended_by_who_takes_it_over() {
    let _lab = Servers::MariaDb.together();
    let _alone = Make::MariaDb.alone();
    let (a, b, names) = (Make::MariaDb.source(), Make::MariaDb.target(), Names::new(Make::MariaDb, 1));
    let db = &*names.all[0];
    sql(
        &a,
        &format!(
            "create database {db}; use {db}; create table t (id int primary key, what varchar(200)); insert into t select seq, repeat(md5(seq), 5) from seq_1_to_400000"
        ),
    );
    let world = World::new(1000);
    let source =
        |name: &str, server| format!("  {name}: {}\n", yaml(&world.site, server, &format!("databases: [{db}], users: false, lock_timeout: 60s")));
    let config = world.text("hourglass.yaml").replace("sources:\n", &format!("sources:\n{}{}", source("shop", &a), source("target", &b)));
    fs::write(world.site.path("hourglass.yaml"), config + "  shop: { members: { shop: required } }\n").unwrap();
    world.site.run(&["keys", "prove"], 0);
    world.site.run(&["backup", "shop", "--quiet"], 0);
    world.book("", &["id: load\nneeds: []\nbudget: 1s\nrestore: { member: shop, into: target }"]);
    fs::write(world.site.path("book.md"), world.text("book.md").replace("policy: single", "policy: shop")).unwrap();
    let elsewhere = Elsewhere::new(&world.site);
    let mut running = world.start(&[]);
    begins(&mut running, "load");
    let pieces = "select count(*) from information_schema.tables where table_schema = 'hourglass_restore' and table_name = 'sessions'";
    crate::mysql::faults::eventually("the first rows", || sql(&b, pieces).trim() == "1");
    let frozen = Frozen::new(&running);
    assert_not_ended(&running, "load");
    let run = world.run_id();
    elsewhere.take_over(&run, &["--stopped"]).end(0);
    let digest = format!("select count(*), md5(group_concat(md5(concat(id, what)) order by id)) from {db}.t where id % 100 = 0");
    assert_eq!(sql(&a, &digest), sql(&b, &digest));
    sql(&b, &format!("use {db}; delete from t where id > 10; update t set what = 'of the new service'"));
    frozen.wake(running);
    assert_eq!(sql(&b, &format!("select count(*), min(what), max(what) from {db}.t")).trim(), "10\tof the new service\tof the new service");
}

#[test]
fn a_load_command_that_ends_earlier_sessions_first_is_alone_after_a_takeover() {
    let server: url::Url = require("HOURGLASS_LAB_POSTGRES").parse().unwrap();
    let database = fresh_name();
    let world = World::new(1000);
    fs::write(world.site.path("password"), require("HOURGLASS_LAB_PGPASSWORD")).unwrap();
    let psql = |database: &str, text: &str| {
        let mut command = Command::new("psql");
        command.args(["--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname", database, "--command", text]);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", server.port().unwrap().to_string()).env("PGUSER", server.username());
        let output = command.env("PGPASSWORD", require("HOURGLASS_LAB_PGPASSWORD")).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    psql("postgres", &format!("create database {database}"));
    psql(&database, "create table t as select n, repeat(md5(n::text), 10) as what from generate_series(1, 300000) n");
    let rows = psql(&database, "select count(*), md5(string_agg(md5(t::text), '' order by n)) from t");
    // The recipe of docs/how-to/protect-a-database.md.
    let load = format!(
        "psql -qAtc \"select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'hourglass-{database}' and pid <> pg_backend_pid()\" >&2; exec psql -q --set=ON_ERROR_STOP=1 --single-transaction"
    );
    let env = format!(
        "env: {{ PGHOST: 127.0.0.1, PGPORT: \"{}\", PGUSER: {}, PGDATABASE: {database}, PGAPPNAME: hourglass-{database} }}, env_files: {{ PGPASSWORD: {:?} }}",
        server.port().unwrap(),
        server.username(),
        world.site.path("password").display().to_string()
    );
    let source =
        format!("  shop: {{ command: {{ dump: [pg_dump, --clean, --if-exists], load: [sh, -c, {load:?}], {env}, consistency: snapshot }} }}\n");
    let config = world.text("hourglass.yaml").replace("sources:\n", &format!("sources:\n{source}"));
    fs::write(world.site.path("hourglass.yaml"), config + "  shop: { members: { shop: required } }\n").unwrap();
    world.site.run(&["keys", "prove"], 0);
    world.site.run(&["backup", "shop", "--quiet"], 0);
    world.book("", &["id: load\nneeds: []\nbudget: 1s\nrestore: { member: shop, into: shop, replace: true }"]);
    fs::write(world.site.path("book.md"), world.text("book.md").replace("policy: single", "policy: shop")).unwrap();
    let elsewhere = Elsewhere::new(&world.site);
    let mut running = world.start(&[]);
    begins(&mut running, "load");
    let busy =
        format!("select count(*) from pg_stat_activity where application_name = 'hourglass-{database}' and state = 'active' and query like 'COPY%'");
    crate::mysql::faults::eventually("the load", || psql("postgres", &busy) == "1");
    let frozen = Frozen::new(&running);
    assert_not_ended(&running, "load");
    let run = world.run_id();
    elsewhere.take_over(&run, &["--stopped"]).end(0);
    assert_eq!(psql(&database, "select count(*), md5(string_agg(md5(t::text), '' order by n)) from t"), rows);
    psql(&database, "delete from t where n > 10");
    frozen.wake(running);
    assert_eq!(psql(&database, "select count(*) from t"), "10");
    psql("postgres", &format!("drop database {database} with (force)"));
}
