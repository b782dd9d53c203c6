//! A real PostgreSQL through its own dump and load commands, and everything that can go wrong with them.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{lab::require, site::Site, stores::places::fresh_name};

/// Everything that a dump has to carry: types whose text form is easy to lose, objects that depend on each other, names that need quotes.
const ODD: &str = r#"
create schema "Odd ""Schema";
set search_path = "Odd ""Schema", public;
create type mood as enum ('so so', 'great', 'l''été');
create type pair as (name text, n numeric);
create domain positive as integer check (value > 0);
create table "Types" (
    id bigint generated always as identity primary key, big numeric, small real, double double precision, cash money, flag boolean,
    raw bytea, words text collate "C", fixed char(5), doc jsonb, plain json, tree xml, uid uuid, net inet, mac macaddr, bits bit varying(70),
    at timestamptz, wall timestamp, day date, span interval, spot point, shape polygon, search tsvector, many int[][], texts text[],
    range int4range, ranges datemultirange, how mood, two pair, pos positive, twice int generated always as (pos * 2) stored);
insert into "Types" (big, small, double, cash, flag, raw, words, fixed, doc, plain, tree, uid, net, mac, bits, at, wall, day, span, spot, shape, search, many,
    texts, range, ranges, how, two, pos) values
    ('NaN', 'Infinity', '-0', '-12345.67', null, '\x00ff5c270a', E'tab\t back\\ nl\n "q" ''s'' \x7f é 🙂', 'ab', '{"b": [1.10, null], "a": "\\u00e9"}',
     '{"b" :  1, "a":2, "a":3}', '<a>&amp;</a>', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::ffff:10.0.0.1/120', '08:00:2b:01:02:03', B'1011', 'infinity',
     '4713-01-01 00:00:00 BC', '5874897-12-31', '-1 year 2 mons -3 days 04:05:06.000007', '(1e-300,-2)', '((0,0),(0,1),(1,0))', 'a:1A fat:2B,4C', '{{1,NULL},{3,4}}',
     '{"NULL",NULL,"a,b","{}",""}', '[1,)', '{[2020-01-01,2020-02-01),[2021-01-01,)}', 'l''été', '("a ""b"", c",1.50)', 7),
    (123456789012345678901234567890.000000001, 1.17549435e-38, 4.9e-324, 0, true, '', '', '', 'null', '[]', '', null, '0/0', null, B'', '-infinity', 'epoch', '0001-01-01 BC', '0',
     null, null, '', '{}', '{}', 'empty', '{}', 'great', row(null, null), 2147483647 / 2);
create table measured (day date not null, value double precision) partition by range (day);
create table measured_2025 partition of measured for values from ('2025-01-01') to ('2026-01-01');
create table measured_rest partition of measured default;
insert into measured select date '2025-06-01' + n, sin(n) from generate_series(1, 900) n;
create table nothing ();
insert into nothing default values; insert into nothing default values;
create view seen as select id, how from "Types" where flag is not false;
create materialized view totals as select day, sum(value) as total from measured group by day;
create unique index on totals (day);
create index on "Types" using gin (doc);
create sequence steps increment 7 start 100; select nextval('steps'), nextval('steps');
create function touched() returns trigger language plpgsql as $f$ begin new.words := new.words || ' $$'; return new; end $f$;
create trigger touch before update on "Types" for each row execute function touched();
alter table "Types" enable row level security;
create policy readers on "Types" using (flag);
comment on table "Types" is E'a comment\nof two lines';
select lo_from_bytea(4711, '\x000102ff');
"#;

/// What is compared: every row of every kind as text, and what the catalogue says of the rest.
const QUESTIONS: [&str; 8] = [
    r#"select t::text from "Odd ""Schema"."Types" t order by id"#,
    r#"select tableoid::regclass, m::text from "Odd ""Schema".measured m order by day"#,
    r#"select count(*) from "Odd ""Schema".nothing"#,
    r#"select t::text from "Odd ""Schema".totals t order by day"#,
    r#"select last_value, is_called from "Odd ""Schema".steps"#,
    "select encode(lo_get(4711), 'hex')",
    r#"select pg_get_viewdef('"Odd ""Schema".seen'), obj_description('"Odd ""Schema"."Types"'::regclass)"#,
    "select md5(string_agg(b::text, ',' order by n)) from bulk b",
];

/// What the tests ask of the server.
struct Database(String);

impl Database {
    /// A new, empty database.
    fn create() -> Database {
        let name = fresh_name();
        psql("postgres", &format!("create database {name}"));
        Database(name)
    }

    fn sql(&self, text: &str) -> String {
        psql(&self.0, text)
    }

    /// The whole definition, as the server's own tool writes it.
    fn schema(&self) -> String {
        let output = client("pg_dump").args(["--schema-only", "--dbname", &self.0]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // A random word that guards the script against what it contains.
        String::from_utf8(output.stdout).unwrap().lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let dropped =
            client("psql").args(["--quiet", "--dbname=postgres", "--command"]).arg(format!("drop database {} with (force)", self.0)).status();
        assert!(dropped.is_ok_and(|status| status.success()) || std::thread::panicking(), "{} could not be dropped", self.0);
    }
}

fn server() -> url::Url {
    require("HOURGLASS_LAB_POSTGRES").parse().unwrap()
}

fn client(program: &str) -> Command {
    let (server, mut command) = (server(), Command::new(program));
    command.env("PGHOST", server.host_str().unwrap()).env("PGPORT", server.port().unwrap().to_string());
    command.env("PGUSER", server.username()).env("PGPASSWORD", require("HOURGLASS_LAB_PGPASSWORD")).stdin(Stdio::null());
    command
}

fn psql(database: &str, text: &str) -> String {
    let mut command = client("psql");
    command.args(["--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname", database, "--command", text]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A site that protects `from`, loads into `to`, and a folder beside it.
fn site(from: &Database, to: &Database) -> Site {
    let site = Site::in_directories();
    site.run(&["init", "--write"], 0);
    fs::write(site.path("password"), require("HOURGLASS_LAB_PGPASSWORD") + "\n").unwrap();
    fs::create_dir(site.path("folder")).unwrap();
    fs::write(site.path("folder/file"), "beside the database").unwrap();
    let server = server();
    let (host, port, user) = (server.host_str().unwrap(), server.port().unwrap(), server.username());
    let env = format!("env: {{ PGHOST: {host}, PGPORT: \"{port}\", PGUSER: {user} }}, env_files: {{ PGPASSWORD: password }}, timeout: 2m");
    let dump = format!("dump: [pg_dump, --format=custom, --compress=9, --dbname={}]", from.0);
    let load = format!("load: [pg_restore, --exit-on-error, --dbname={}]", to.0);
    site.configure(&format!(
        "sources:\n  database: {{ command: {{ {dump}, {load}, {env} }} }}\n  folder: {{ files: {{ path: {:?} }} }}\n\
         policies:\n  both: {{ members: {{ database: required, folder: required }} }}\n  alone: {{ members: {{ database: required }} }}\n",
        site.path("folder").display().to_string()
    ));
    site.run(&["keys", "prove"], 0);
    site
}

/// Rows that compress badly: a dump of them takes a while.
fn bulk(database: &Database, rows: u32) {
    database.sql(&format!("create table bulk as select n, md5(n::text) || md5((n + 1)::text) as text from generate_series(1, {rows}) n"));
}

#[test]
fn a_database_of_odd_types_comes_back_in_another_database() {
    let (from, to) = (Database::create(), Database::create());
    from.sql(ODD);
    bulk(&from, 20_000);
    let site = site(&from, &to);
    assert!(site.run(&["backup", "both", "--quiet"], 0).contains("is complete"));
    let text = site.run(&["restore", "both", "database", "--in-place", "database", "--quiet"], 0);
    assert!(text.contains("was restored; what was loaded arrived whole"), "{text}");
    for question in QUESTIONS {
        let answer = from.sql(question);
        assert!(!answer.trim().is_empty(), "{question}");
        assert_eq!(to.sql(question), answer, "{question}");
    }
    assert_eq!(to.schema(), from.schema());

    // What is there already is not overwritten: pg_restore fails, and so does the restore.
    let text = site.run(&["restore", "both", "database", "--in-place", "database", "--quiet"], 1);
    assert!(text.contains("already exists"), "{text}");
    // The dump itself is a file that the stock tool reads.
    let restored = site.restore("both", "restored");
    let listed = client("pg_restore").arg("--list").arg(restored.join("database/dump")).output().unwrap();
    assert!(listed.status.success() && String::from_utf8_lossy(&listed.stdout).contains("MATERIALIZED VIEW DATA"));
    assert_eq!(fs::read_to_string(restored.join("folder/file")).unwrap(), "beside the database");
}

#[test]
fn a_wrong_password_makes_an_incomplete_point_and_is_printed_nowhere() {
    const PLANTED: &str = "planted-and-wrong-password";
    let (from, to) = (Database::create(), Database::create());
    let site = site(&from, &to);
    fs::write(site.path("password"), PLANTED).unwrap();
    let mut said = site.run(&["backup", "both", "--output", "json", "--log", "trace"], 3);
    assert!(said.contains("password authentication failed"), "{said}");
    said += &site.run(&["backup", "alone", "--log", "trace"], 1);
    said += &site.run(&["points", "list"], 0);
    assert!(said.contains("INCOMPLETE") || said.contains("incomplete"), "{said}");
    for policy in ["both", "alone"] {
        said += &site.run(&["record", "show", policy, "--output", "json"], 0);
    }
    said += &site.run(&["restore", "both", "--to", "nothing"], 1);
    assert!(!said.contains(PLANTED) && !said.contains(&require("HOURGLASS_LAB_PGPASSWORD")), "{said}");
    for folder in ["repository", "control", "state"] {
        assert!(!holds(&site.path(folder), PLANTED.as_bytes()), "the password lies in {folder}");
    }
    assert!(holds(&site.path("folder"), b"beside the database"), "the search finds what is there");
}

/// Whether a file below a folder holds these bytes.
fn holds(folder: &Path, needle: &[u8]) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.map(|entry| entry.unwrap().path()).any(|path| match path.is_dir() {
            true => holds(&path, needle),
            false => fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle),
        })
    })
}

/// The child of a process that runs this program, once it has written that much.
fn child_that_wrote(parent: u32, program: &str, bytes: u64) -> Pid {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        let tasks = fs::read_dir(format!("/proc/{parent}/task")).unwrap();
        let children: String = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("children")).ok()).collect();
        for child in children.split_whitespace() {
            let read = |name| fs::read_to_string(format!("/proc/{child}/{name}")).unwrap_or_default();
            let written = read("io").lines().find_map(|line| line.strip_prefix("wchar: ")?.parse::<u64>().ok());
            if read("comm").trim() == program && written.is_some_and(|written| written > bytes) {
                return Pid::from_raw(child.parse().unwrap()).unwrap();
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{program} never wrote {bytes} bytes");
}

#[test]
fn a_dump_that_is_killed_in_the_middle_is_never_a_complete_point() {
    let (from, to) = (Database::create(), Database::create());
    bulk(&from, 500_000);
    let site = site(&from, &to);
    for (policy, status) in [("alone", 1), ("both", 3)] {
        let running = site.command(&["backup", policy, "--quiet"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        kill_process(child_that_wrote(running.id(), "pg_dump", 1 << 20), Signal::KILL).unwrap();
        let output = running.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{policy}: {text}");
        assert!(text.contains("killed by signal 9") && !text.contains("is complete"), "{policy}: {text}");
        site.run(&["restore", policy, "--to", "nothing"], 1);
        assert!(!site.path("nothing/database").exists());
    }
    // The next run makes a whole one.
    assert!(site.run(&["backup", "alone", "--quiet"], 0).contains("is complete"));
    site.run(&["restore", "alone", "database", "--in-place", "database", "--quiet"], 0);
    assert_eq!(to.sql(QUESTIONS[7]), from.sql(QUESTIONS[7]));
}
