//! Through the binary: points, restores, and both of them killed.

use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    rights::{Account, PASSWORD, SEEING},
    world::{Make, Names, quote, sql},
};
use crate::{
    lab::{Sql, tls},
    site::Site,
};

/// A source of the configuration: a server, an account with the file of its password, whom to trust, and more keys.
pub fn source(server: &Sql, user: &str, password: &str, ca: &str, more: &str) -> String {
    let place = format!("host: {}, port: {}, user: {user}, password_file: {password}", server.host, server.port);
    // MySQL 8.0.15 offers key exchanges that our TLS does not know.
    let encrypted = server.node.0.starts_with("mariadb");
    let tls = if encrypted { format!(", tls: {{ ca_file: {:?} }}", tls(ca).display().to_string()) } else { String::new() };
    format!("{{ mysql: {{ {place}{tls}, lanes: 2{more} }} }}")
}

/// A site that protects some databases of the source, and knows the target as `there`.
pub fn site(account: &Account, databases: &str) -> Site {
    let make = account.make;
    let site = Site::in_directories();
    site.run(&["init", "--write"], 0);
    let (a, b) = (make.source(), make.target());
    fs::write(site.path("admin"), &b.password).unwrap();
    fs::write(site.path("reader"), PASSWORD).unwrap();
    let here = source(&a, &account.name, "reader", "ca.crt", &format!(", databases: [{databases}]"));
    site.configure(&format!(
        "sources:\n  here: {here}\n  there: {}\npolicies:\n  p: {{ members: {{ here: required }} }}\n",
        source(&b, &b.user, "admin", "ca.crt", "")
    ));
    site.run(&["keys", "prove"], 0);
    site
}

/// Statements that make a database with the numbers from 1 to 1000, and use it.
pub fn numbers(make: Make, db: &str) -> String {
    let depth = if make == Make::MariaDb { "max_recursive_iterations" } else { "cte_max_recursion_depth" };
    format!(
        "set {depth} = 2000; create database {db}; use {db}; create table numbers (n int primary key); insert into numbers \
         with recursive n (n) as (select 1 union all select n + 1 from n where n < 1000) select * from n"
    )
}

/// A table large enough that something is always in the middle.
pub fn fill(make: Make, db: &str, rows: u32) {
    sql(
        &make.source(),
        &format!(
            "{}; create table large (id bigint primary key, t varchar(400), k int, key (k)); \
             insert into large select a.n * 1000 + b.n, concat(md5(a.n * 1000 + b.n), repeat(md5(b.n), 7)), b.n from numbers a join numbers b where a.n <= {rows}",
            numbers(make, db)
        ),
    );
}

pub fn sums(server: &Sql, db: &str) -> String {
    sql(server, &format!("checksum table {db}.large, {db}.numbers; select count(*), sum(id) from {db}.large; show create table {db}.large"))
}

fn a_point_goes_to_another_server(make: Make) {
    let (_lab, _alone) = (make.servers().together(), make.alone());
    let names = Names::new(make, 2);
    let (db, other) = (&*names.all[0], &*names.all[1]);
    sql(&make.source(), &make.edge(db, other));
    let account = Account::new(make, "sender", &[SEEING]);
    let site = site(&account, &format!("{db}, {other}"));
    let said = site.run(&["backup", "p", "--quiet"], 0);
    assert!(said.contains("is complete"), "{said}");
    let said = site.run(&["restore", "p", "here", "--into", "there", "--quiet"], 0);
    assert!(said.contains("was restored and found equal"), "{said}");
    let sum =
        |server: &Sql| sql(server, &format!("checksum table {db}.floats, {db}.bits, {db}.no_key, {other}.elsewhere; show create view {db}.a_on_top"));
    assert_eq!(sum(&make.source()), sum(&make.target()));
    // The target is not empty any more; a database under another name is something else.
    let said = site.run(&["restore", "p", "here", "--into", "there", "--quiet"], 1);
    assert!(said.contains("is not empty"), "{said}");
    let renamed = format!("{db}_too");
    site.run(&["restore", "p", "here", &format!("{db}.floats"), "--into", "there", "--rename", &format!("{db}={renamed}"), "--quiet"], 0);
    let floats = |server: &Sql, db: &str| sql(server, &format!("select * from {db}.floats order by id"));
    assert_eq!(floats(&make.source(), db), floats(&make.target(), &renamed));
    sql(&make.target(), &format!("drop database {}", quote(&renamed)));
    // The streams are files in a form that the stock client loads.
    site.run(&["restore", "p", "here", "--to", "files", "--quiet"], 0);
    assert_eq!(fs::read_to_string(site.path(&format!("files/data/{other}/elsewhere/00000"))).unwrap(), "1\t1\n");
}

#[test]
fn a_point_of_mariadb_goes_to_another_server() {
    a_point_goes_to_another_server(Make::MariaDb);
}

#[test]
fn a_point_of_mysql8_goes_to_another_server() {
    a_point_goes_to_another_server(Make::MySql8);
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(120), "{what} never came");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The restore among the runs that are listed.
pub fn restore_run(listed: &str) -> String {
    let line = listed.lines().find(|line| line.contains("restore")).unwrap_or_else(|| panic!("{listed}"));
    line.split_whitespace().find(|word| word.contains("T") && word.contains('Z')).unwrap_or_else(|| panic!("{listed}")).to_owned()
}

fn killed_runs_lose_and_double_nothing(make: Make) {
    let (_lab, _alone) = (make.servers().together(), make.alone());
    let names = Names::new(make, 1);
    let db = &*names.all[0];
    fill(make, db, 150);
    let account = Account::new(make, "killed", &[SEEING]);
    let site = site(&account, db);
    let (a, b) = (make.source(), make.target());
    let busy = |server: &Sql| {
        sql(server, "select count(*) from information_schema.processlist where info like '%large%' and info not like '%processlist%'") != "0\n"
    };
    let idle = |server: &Sql, user: &str| {
        sql(server, &format!("select count(*) from information_schema.processlist where user = '{user}' and id <> connection_id()")) == "0\n"
    };
    // In the middle of the capture.
    let start = |arguments: &[&str]| site.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut backup = start(&["backup", "p", "--quiet"]);
    wait_for("the rows' capture", || busy(&a) || backup.try_wait().unwrap().is_some());
    let _gone = kill_process(Pid::from_child(&backup), Signal::KILL);
    backup.wait().unwrap();
    wait_for("the end of its sessions", || idle(&a, "killed"));
    sql(
        &a,
        &format!(
            "set lock_wait_timeout = 60; insert into {db}.numbers values (-1); create table {db}.unhindered (id int); drop table {db}.unhindered"
        ),
    );
    site.run(&["backup", "p", "--quiet"], 0);

    // In the middle of the restore, again and again, at other places.
    let mut restore = start(&["restore", "p", "here", "--into", "there", "--quiet"]);
    let mut kills = 0;
    let run = || site.run(&["runs", "list"], 0);
    for delay in [0, 150, 400, 800] {
        let tables = || sql(&b, &format!("select count(*) from information_schema.tables where table_schema = '{db}'")) != "0\n";
        wait_for("rows in the target", || (tables() && busy(&b)) || restore.try_wait().unwrap().is_some());
        thread::sleep(Duration::from_millis(delay));
        let _gone = kill_process(Pid::from_child(&restore), Signal::KILL);
        if restore.wait().unwrap().success() {
            break;
        }
        kills += 1;
        wait_for("the end of its sessions", || idle(&b, &b.user));
        restore = start(&["runs", "resume", &restore_run(&run()), "--quiet"]);
    }
    if !restore.wait().unwrap().success() {
        site.run(&["runs", "resume", &restore_run(&run()), "--quiet"], 0);
    }
    assert!(kills > 0, "nothing was killed");
    assert_eq!(sums(&a, db), sums(&b, db));
    assert_eq!(sql(&b, "show databases like 'hourglass_restore'"), "");
    wait_for("the end of its sessions", || idle(&b, &b.user));
}

#[test]
fn killed_runs_lose_and_double_nothing_on_mariadb() {
    killed_runs_lose_and_double_nothing(Make::MariaDb);
}

#[test]
fn killed_runs_lose_and_double_nothing_on_mysql8() {
    killed_runs_lose_and_double_nothing(Make::MySql8);
}

fn killed_servers_make_no_green_point(make: Make) {
    let (_lab, _alone) = (make.servers().alone(), make.alone());
    let names = Names::new(make, 1);
    let db = &*names.all[0];
    fill(make, db, 100);
    let account = Account::new(make, "broken", &[SEEING]);
    let site = site(&account, db);
    let (a, b) = (make.source(), make.target());
    let start = |arguments: &[&str]| site.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let busy = |server: &Sql| {
        sql(server, "select count(*) from information_schema.processlist where info like '%large%' and info not like '%processlist%'") != "0\n"
    };
    let mut backup = start(&["backup", "p", "--quiet"]);
    wait_for("the rows' capture", || busy(&a) || backup.try_wait().unwrap().is_some());
    a.node.kill();
    let output = backup.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    a.node.start();
    assert!(matches!(output.status.code(), Some(1 | 3)) && !text.contains("is complete"), "{text}");
    assert!(text.contains(db), "{text}");
    site.run(&["backup", "p", "--quiet"], 0);

    let mut restore = start(&["restore", "p", "here", "--into", "there", "--quiet"]);
    wait_for("rows in the target", || busy(&b) || restore.try_wait().unwrap().is_some());
    b.node.kill();
    let output = restore.wait_with_output().unwrap();
    b.node.start();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() != Some(0) && text.contains("runs resume"), "{text}");
    let run = restore_run(&site.run(&["runs", "list"], 0));
    site.run(&["runs", "resume", &run, "--quiet"], 0);
    assert_eq!(sums(&a, db), sums(&b, db));
}

#[test]
fn killed_servers_of_mariadb_make_no_green_point_and_the_next_run_completes() {
    killed_servers_make_no_green_point(Make::MariaDb);
}

#[test]
fn killed_servers_of_mysql8_make_no_green_point_and_the_next_run_completes() {
    killed_servers_make_no_green_point(Make::MySql8);
}
