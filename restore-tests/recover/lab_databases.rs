//! The runbook `runbooks/lab-databases.md` as written, after a region was lost: a PostgreSQL server that did not exist, its rows and files.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    lab::require,
    recover::{PATIENCE, until},
    site::{Site, assert_same_tree, listing, make_tree},
    stores::places::fresh_name,
};

const BOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks/lab-databases.md");
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const PASSWORD: &str = "of-the-recovered-server";

/// The server of region A.
fn lab() -> url::Url {
    require("HOURGLASS_LAB_POSTGRES").parse().unwrap()
}

fn sql(host: (&str, u16), user: &str, password: &str, database: &str, text: &str) -> String {
    let mut psql = Command::new("psql");
    psql.args(["--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname", database, "--command", text]);
    psql.env("PGHOST", host.0).env("PGPORT", host.1.to_string()).env("PGUSER", user).env("PGPASSWORD", password).stdin(Stdio::null());
    let output = psql.output().unwrap();
    assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn source(port: u16, user: &str, database: &str) -> String {
    let env = format!(
        "env: {{ PGHOST: 127.0.0.1, PGPORT: \"{port}\", PGUSER: {user}, PGDATABASE: {database} }}, env_files: {{ PGPASSWORD: password }}, timeout: 5m"
    );
    format!(
        "command: {{ dump: [pg_dump, --format=custom, --no-owner], load: [pg_restore, --no-owner, --clean, --if-exists, --single-transaction, --dbname={database}], {env}, consistency: snapshot }}"
    )
}

fn folder(path: &Path) -> String {
    format!("{{ files: {{ path: {:?} }} }}", path.display().to_string())
}

const POLICY: &str = "policies:\n  production: { members: { database: required, folder: required } }\n";

/// Region A with one point, copied to a store that survives; what remains of it when it is lost.
struct Lost {
    /// Outside any region: the copy, and what people keep in a safe.
    kept: tempfile::TempDir,
    trust_root: String,
    database: String,
    rows: String,
    tree: Vec<String>,
}

fn lose_region_a() -> Lost {
    let kept = tempfile::tempdir_in(require("HOURGLASS_LAB_DIR")).unwrap();
    let (server, database) = (lab(), fresh_name());
    let place = (server.host_str().unwrap(), server.port().unwrap());
    let (user, password) = (server.username(), require("HOURGLASS_LAB_PGPASSWORD"));
    sql(place, user, &password, "postgres", &format!("create database {database}"));
    sql(
        place,
        user,
        &password,
        &database,
        "create table orders as select n, md5(n::text) as what from generate_series(1, 20000) n; create index on orders (n)",
    );
    let rows = sql(place, user, &password, &database, "select count(*), md5(string_agg(o::text, ',' order by n)) from orders o");
    fs::create_dir(kept.path().join("copy")).unwrap();
    let a = Site::in_directories();
    let config = fs::read_to_string(a.path("hourglass.yaml")).unwrap();
    let other = format!("  other: {{ url: {:?} }}\ncontrol:", kept.path().join("copy").display().to_string());
    fs::write(a.path("hourglass.yaml"), config.replace("control:", &other)).unwrap();
    make_tree(&a.path("folder"), 300_000);
    fs::write(a.path("password"), &password).unwrap();
    a.run(&["init", "--write"], 0);
    a.configure(&format!("sources:\n  database: {{ {} }}\n  folder: {}\n{POLICY}", source(place.1, user, &database), folder(&a.path("folder"))));
    a.run(&["keys", "prove"], 0);
    a.run(&["backup", "production", "--quiet"], 0);
    a.run(&["copy", "--to", "other", "--quiet"], 0);
    for key in ["operator.key", "root.key"] {
        fs::copy(a.path(key), kept.path().join(key)).unwrap();
    }
    let lost = Lost { trust_root: a.trust_root(), tree: listing(&a.path("folder")), kept, rows, database };
    sql(place, user, &password, "postgres", &format!("drop database {} with (force)", lost.database));
    lost
}

/// Region B: its own site and keys, and a machine for the new server.
struct RegionB {
    site: Site,
    machine: tempfile::TempDir,
    bin: tempfile::TempDir,
    port: u16,
}

impl RegionB {
    fn new(lost: &Lost) -> RegionB {
        let site =
            Site::new("ne", &[("primary", format!("{{ url: {:?} }}", lost.kept.path().join("copy").display().to_string()))], "{ url: control }");
        let config = fs::read_to_string(site.path("hourglass.yaml")).unwrap();
        fs::create_dir(site.path("control")).unwrap();
        fs::write(site.path("hourglass.yaml"), config.replace("url: control", &format!("url: {:?}", site.path("control").display().to_string())))
            .unwrap();
        fs::copy(lost.kept.path().join("operator.key"), site.path("operator.key")).unwrap();
        // Where the server may go, which does not run as root.
        let (machine, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::write(site.path("password"), PASSWORD).unwrap();
        let (is_root, nobody) = (rustix::process::geteuid().is_root(), 65_534);
        for program in ["initdb", "pg_ctl", "pg_isready", "createdb", "psql"] {
            let as_nobody =
                if is_root && ["initdb", "pg_ctl"].contains(&program) { "setpriv --reuid nobody --regid nogroup --clear-groups" } else { "" };
            let path = bin.path().join(program);
            fs::write(&path, format!("#!/bin/sh\ncd /\nexec {as_nobody} {PROGRAMS}/{program} \"$@\"\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(machine.path().join("password"), PASSWORD).unwrap();
        if is_root {
            chown(machine.path(), Some(nobody), None).unwrap();
            chown(machine.path().join("password"), Some(nobody), None).unwrap();
            fs::set_permissions(bin.path(), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let sources =
            format!("sources:\n  database: {{ {} }}\n  folder: {}\n", source(port, "recovery", "shop"), folder(&machine.path().join("files")));
        site.configure(&format!("trust_root: {}\n{sources}{POLICY}", lost.trust_root));
        // The lost site's capture key is lost; this one has its own.
        site.run(&["keys", "signer", "new", "--role", "capture", "--to", "capture.key"], 0);
        let root = lost.kept.path().join("root.key");
        site.run(&["keys", "signer", "add", "capture.key.pub", "--root", root.to_str().unwrap()], 0);
        site.run(&["keys", "prove"], 0);
        RegionB { site, machine, bin, port }
    }

    fn arguments(&self) -> Vec<String> {
        let (machine, bin) = (self.machine.path().display(), self.bin.path().display());
        let values = [format!("folder={machine}"), format!("port={}", self.port), format!("password={machine}/password"), format!("bin={bin}")];
        let values = values.into_iter().flat_map(|value| ["--var".to_owned(), value]);
        ["recover", BOOK, "--report", "report.html"].map(str::to_owned).into_iter().chain(values).collect()
    }

    fn psql(&self, text: &str) -> String {
        sql(("127.0.0.1", self.port), "recovery", PASSWORD, "shop", text)
    }
}

impl Drop for RegionB {
    fn drop(&mut self) {
        let data = format!("--pgdata={}/data", self.machine.path().display());
        let _stopped = Command::new(self.bin.path().join("pg_ctl")).args([&data, "--mode=immediate", "stop"]).output();
    }
}

#[test]
fn a_lost_region_is_rebuilt_by_the_shipped_runbook() {
    let lost = lose_region_a();
    let b = RegionB::new(&lost);
    b.site.run(&["runbook", "lint", BOOK], 0);
    let arguments = b.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let log = fs::File::create(b.site.path("said")).unwrap();
    let mut running = b.site.command(&arguments).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    until(b.site.path("said"), "STEP fence ASKS");
    // The first process dies while the server is being made.
    until(b.site.path("said"), "cluster");
    running.kill().unwrap();
    running.wait().unwrap();
    let runs: Value = serde_json::from_str(&b.site.run(&["--output", "json", "runs", "list"], 0)).unwrap();
    let run = runs["data"]["runs"][0]["run"].as_str().unwrap().to_owned();
    let approve = |step: &str| b.site.run(&["runs", "approve", &run, step, "--who", "Berta", "--reason", "looked at it"], 0);
    approve("fence");
    let log = fs::File::create(b.site.path("said")).unwrap();
    let running = b.site.command(&["runs", "resume", &run, "--report", "report.html"]).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    until(b.site.path("said"), "STEP cutover ASKS");
    assert!(!b.machine.path().join("active").exists(), "nothing goes live before a person says so");
    approve("cutover");
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &fs::read_to_string(b.site.path("said")).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    // Judged by the server's own tools and by the files themselves.
    assert_eq!(b.psql("select count(*), md5(string_agg(o::text, ',' order by n)) from orders o"), lost.rows);
    assert_same_tree(&lost.tree, &b.machine.path().join("files"));
    assert_eq!(fs::read_to_string(b.machine.path().join("active")).unwrap(), format!("port={} rows=20000\n", b.port));
    let report: Value = serde_json::from_str(&fs::read_to_string(b.site.path("report.json")).unwrap()).unwrap();
    assert_eq!((&report["outcome"], &report["point"]), (&Value::from("succeeded"), &Value::from("production@we/1:3")));
    let seconds = |key: &str| report["clocks"][key].as_u64().unwrap();
    println!("service green after {} s, all green after {} s", seconds("service_seconds"), seconds("full_seconds"));
    assert!(seconds("service_seconds") <= seconds("full_seconds") && seconds("full_seconds") < PATIENCE.as_secs() * 3);
    let member = |name: &str| report["members"].as_array().unwrap().iter().find(|member| member["name"] == name).unwrap().clone();
    assert_eq!(member("folder")["equal"], true);
    assert!(member("database")["rpo_seconds"].is_u64());
    // It goes on with the policy: its own record has the recovery, and the first point of the next generation, which is good.
    assert!(b.site.run(&["record", "show", "production"], 0).contains("lab-databases succeeded"));
    assert!(b.site.run(&["points", "list", "production"], 0).contains("production@ne/2:"));
    assert!(b.site.run(&["record", "show", "production"], 0).contains("continues production@we/1"));
    b.site.run(&["record", "check"], 0);
    b.psql("delete from orders");
    b.site.run(&["restore", "production", "database", "--in-place", "database", "--quiet"], 0);
    assert_eq!(b.psql("select count(*) from orders").trim(), "20000");
}
