//! What happens in the middle: tables that vanish, sessions that are killed, restores that are taken up.

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use hourglass::{
    model::{Context, outcome::explain},
    sources::{Loading, MysqlSource, Opening, Overwrite, RowKey, Sink, Source, Target},
};

use super::{
    engine::numbers,
    rights::{Account, SEEING},
    world::{Make, Names, World, capture, capture_with, sql, whole, write},
};
use crate::stores::places::fresh_name;

/// Waits until `done`, for as long as a slow machine may need.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(120), "{what} never came");
        thread::sleep(Duration::from_millis(50));
    }
}

fn sessions(make: Make, user: &str) -> String {
    sql(&make.source(), &format!("select id from information_schema.processlist where user = '{user}'"))
}

fn what_vanishes_is_named(make: Make) {
    let _lab = make.servers().together();
    let (world, names) = (World::new(), Names::new(make, 1));
    let _runtime = world.enter();
    let db = &*names.all[0];
    let account = Account::new(make, "watchful", &[SEEING]);
    let a = make.source();
    sql(&a, &format!("create database {db}; use {db}; create table stays (id int primary key); insert into stays values (1)"));
    for (change, number) in
        [(format!("drop table {db}.goes"), "doesn't exist"), (format!("alter table {db}.goes add x int, algorithm = copy"), "definition has changed")]
    {
        sql(&a, &format!("create table if not exists {db}.goes (id int primary key); insert into {db}.goes values (1)"));
        let error = capture_with(&MysqlSource::new(account.config(&world, &[db])), || drop(sql(&a, &change))).unwrap_err();
        let text = explain(&error);
        assert!(text.contains(&format!("{db}.goes")) && text.contains(number), "{text}");
        sql(&a, &format!("drop table if exists {db}.goes"));
    }
    // A server that closes the sessions.
    let kill = || {
        for id in sessions(make, "watchful").lines() {
            sql(&a, &format!("kill {id}"));
        }
    };
    let error = capture_with(&MysqlSource::new(account.config(&world, &[db])), kill).unwrap_err();
    let text = explain(&error);
    assert!(text.contains(&format!("{db}.stays")) || text.contains("closed all sessions"), "{text}");
    eventually("the end of the sessions", || sessions(make, "watchful").is_empty());

    // A capture that is given up in the middle leaves nothing behind.
    let source = MysqlSource::new(account.config(&world, &[db]));
    source.prepare(&Context::default()).unwrap();
    source.open(&Opening { row_key: RowKey::generate(), of: None }, &Context::default()).unwrap();
    assert!(!sessions(make, "watchful").is_empty());
    sql(&a, &format!("set lock_wait_timeout = 60; insert into {db}.stays values (2); create table {db}.unhindered (id int)"));
    drop(source);
    eventually("the end of the sessions", || sessions(make, "watchful").is_empty());
}

#[test]
fn what_vanishes_from_mariadb_is_named_and_nothing_stays_open() {
    what_vanishes_is_named(Make::MariaDb);
}

#[test]
fn what_vanishes_from_mysql8_is_named_and_nothing_stays_open() {
    what_vanishes_is_named(Make::MySql8);
}

/// A table of several chunks, each of several pieces.
fn large(make: Make, db: &str) {
    sql(
        &make.source(),
        &format!(
            "{}; create table large (id bigint not null auto_increment primary key, t varchar(400), k int, key (k)); \
             insert into large (id, t, k) select a.n * 1000 + b.n, repeat(md5(a.n * 1000 + b.n), 8), b.n from numbers a join numbers b where a.n <= 200; analyze table large",
            numbers(make, db)
        ),
    );
}

fn a_restore_that_is_given_up_is_taken_up(make: Make) {
    let (_lab, _alone) = (make.servers().together(), make.alone());
    let (world, names) = (World::new(), Names::new(make, 1));
    let _runtime = world.enter();
    let db = &*names.all[0];
    large(make, db);
    let saved = capture(&MysqlSource::new(world.admin(&make.source(), &[db]))).unwrap();
    let chunks: Vec<_> =
        saved.parts.iter().filter(|(component, ..)| component.name.contains("/large/") && component.name.starts_with("data/")).collect();
    assert!(chunks.len() > 1 && chunks.iter().all(|(_, bytes, _)| !bytes.is_empty()), "{} chunks", chunks.len());

    let (target, ctx, run) = (whole(Overwrite::Refuse), Context::default(), fresh_name());
    let mut components: Vec<_> = saved.parts.iter().map(|(component, ..)| component.clone()).collect();
    components.sort_by_key(|component| component.stage);
    let loading = |done: &[&str], resumed| Loading {
        components: components.clone(),
        done: done.iter().map(|name| (*name).to_owned()).collect(),
        resumed,
        row_key: saved.key,
        run: run.clone(),
    };
    let first = MysqlSource::new(world.admin(&make.target(), &[]));
    first.begin(&loading(&[], false), &target, &ctx).unwrap();
    let schema = saved.parts.iter().find(|(component, ..)| component.name.starts_with("schema/")).unwrap();
    write(&first, &schema.0, &schema.1, &target).unwrap();
    let Sink::Stream(mut sink) = first.sink(&chunks[0].0, &Target::System(target.clone()), &ctx).unwrap() else { panic!("not a stream") };
    sink.write_all(&chunks[0].1[..chunks[0].1.len() * 2 / 3]).unwrap();
    drop(sink);
    let count = format!("select count(*) from {db}.large");
    eventually("rows of a piece", || sql(&make.target(), &count) != "0\n");
    // Nobody else may write meanwhile.
    let mut impatient = world.admin(&make.target(), &[]);
    impatient.lock_timeout = Duration::from_secs(1);
    let error = MysqlSource::new(impatient).begin(&Loading { run: fresh_name(), ..loading(&[], false) }, &target, &ctx).unwrap_err();
    assert!(error.to_string().contains("being restored into"), "{error}");
    drop(first);

    // Another restore is refused; this one goes on, and is told once more of what it had written.
    let other = MysqlSource::new(world.admin(&make.target(), &[]));
    let error = other.begin(&Loading { run: fresh_name(), ..loading(&[], false) }, &target, &ctx).unwrap_err();
    assert!(error.to_string().contains("another restore"), "{error}");
    drop(other);
    let second = MysqlSource::new(world.admin(&make.target(), &[]));
    second.begin(&loading(&[&schema.0.name], true), &target, &ctx).unwrap();
    for component in &components {
        let (_, bytes, _) = saved.parts.iter().find(|(other, ..)| other.name == component.name).unwrap();
        write(&second, component, bytes, &target).unwrap();
        if component.stage == 1 || component.stage == 2 {
            // Written whole without our knowing: once more changes nothing.
            write(&second, component, bytes, &target).unwrap();
        }
    }
    second.end(&ctx).unwrap();
    for (component, _, end) in &saved.parts {
        let found = second.read_back(component, &ctx).unwrap();
        assert!(found.is_none() || found == end.rows, "{}", component.name);
    }
    let sums = format!("checksum table {db}.large, {db}.numbers; select count(*), sum(id) from {db}.large; show create table {db}.large");
    assert_eq!(sql(&make.source(), &sums), sql(&make.target(), &sums));

    // What differs is named by its key.
    sql(
        &make.target(),
        &format!(
            "update {db}.large set k = -1 where id = 5005; delete from {db}.large where id = 6006; insert into {db}.large values (999999999, 'x', 1)"
        ),
    );
    let mut said = String::new();
    for (component, bytes, end) in &chunks {
        if second.read_back(component, &ctx).unwrap() != end.rows {
            said += &format!("{:?}", second.differences(component, &mut bytes.as_slice(), &ctx).unwrap());
        }
    }
    assert!(["5005", "6006", "999999999"].iter().all(|id| said.contains(&format!("{db}.large")) && said.contains(&format!("id = {id} "))), "{said}");
    assert!(!said.contains("id = 5006 "), "{said}");
}

#[test]
fn a_restore_into_mariadb_that_is_given_up_is_taken_up() {
    a_restore_that_is_given_up_is_taken_up(Make::MariaDb);
}

#[test]
fn a_restore_into_mysql8_that_is_given_up_is_taken_up() {
    a_restore_that_is_given_up_is_taken_up(Make::MySql8);
}
