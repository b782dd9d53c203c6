//! Captures while others write: amounts that are moved between tables are neither lost nor doubled.

use std::{
    collections::BTreeSet,
    process::{Child, Stdio},
};

use hourglass::sources::{MysqlSource, Overwrite};

use super::{
    faults::eventually,
    rights::{Account, SEEING},
    world::{Make, Names, World, capture, client, restore, sql, try_sql, whole},
};

/// Clients that write at a time, each with accounts of its own.
const WRITERS: usize = 3;

/// Amounts move from `paid` to `got`, which together hold nothing, and `tally` counts them; a token of each writer moves between `here` and
/// `there`. Small, and it stays small.
const TABLES: &str = "
create table paid (id int primary key, n bigint not null);
create table got (id int primary key, n bigint not null);
create table tally (writer int primary key, moved bigint not null, times bigint not null);
create table here (id int primary key);
create table there (id int primary key);
create table running (id int primary key);
insert into running values (1);
insert into paid values (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0);
insert into got select * from paid;
insert into tally values (1, 0, 0), (2, 0, 0), (3, 0, 0);
insert into here values (1), (2), (3);
delimiter //
create procedure move_on(w int) begin
    declare amount int;
    set session transaction isolation level read committed;
    while exists (select 1 from running) do
        begin
            declare exit handler for 1205, 1213 rollback;
            set amount = floor(1 + rand() * 100);
            start transaction;
            update paid set n = n - amount where id = (amount * 7) mod 10;
            update got set n = n + amount where id = amount mod 10;
            update tally set moved = moved + amount, times = times + 1 where writer = w;
            delete from here where id = w;
            if row_count() = 1 then
                insert into there values (w);
            else
                delete from there where id = w;
                insert into here values (w);
            end if;
            commit;
        end;
    end while;
end//
";

/// What holds in every moment, and how often amounts were moved.
const SUMS: &str = "select (select sum(n) from paid) + (select sum(n) from got), (select sum(n) from got) - (select sum(moved) from tally),
    (select count(*) from here) + (select count(*) from there), (select sum(times) from tally)";

/// A client that writes until it is told to end: a server does not notice that its client has gone.
struct Writer {
    child: Child,
    make: Make,
    db: String,
}

impl Writer {
    fn new(make: Make, db: &str, number: usize) -> Writer {
        let mut command = client("mariadb", &make.source());
        let child = command.args([db, "--execute", &format!("call move_on({number})")]).stdout(Stdio::null()).spawn().unwrap();
        Writer { child, make, db: db.to_owned() }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        try_sql(&self.make.source(), &format!("delete from {}.running", self.db));
        self.child.wait().unwrap();
    }
}

/// Whether the sums hold in every one of `times` restores.
fn sums_hold(make: Make, grants: &str, times: usize) {
    let (_lab, _alone) = (make.servers().together(), make.alone());
    let (world, names) = (World::new(), Names::new(make, 1));
    let _runtime = world.enter();
    let db = &*names.all[0];
    sql(&make.source(), &format!("create database {db}; use {db}; {TABLES}"));
    let account = Account::new(make, "steady", &[grants]);
    let writers: Vec<Writer> = (1..=WRITERS).map(|number| Writer::new(make, db, number)).collect();
    let idle = format!("select count(*) from {db}.tally where times = 0");
    eventually("a move of every writer", || sql(&make.source(), &idle) == "0\n");
    let mut seen = BTreeSet::new();
    for _ in 0..times {
        let saved = capture(&MysqlSource::new(account.config(&world, &[db]))).unwrap();
        let (from, to) = saved.end.consistent.unwrap();
        assert!(from <= to);
        restore(&MysqlSource::new(world.admin(&make.target(), &[])), &saved, whole(Overwrite::InPlace)).unwrap();
        let found = sql(&make.target(), &format!("use {db}; {SUMS}"));
        assert!(found.starts_with("0\t0\t3\t"), "{found}");
        seen.insert(found);
    }
    drop(writers);
    assert!(seen.len() > times / 2, "the writers wrote too little: {seen:?}");
}

#[test]
fn sums_hold_in_50_restores_of_50_under_writers_on_mariadb() {
    sums_hold(Make::MariaDb, SEEING, 50);
}

#[test]
fn sums_hold_in_50_restores_of_50_under_writers_on_mysql8() {
    sums_hold(Make::MySql8, SEEING, 50);
}

#[test]
fn sums_hold_under_writers_on_mariadb_without_the_right_to_lock() {
    sums_hold(Make::MariaDb, "select, show view, trigger, event on *.*", 25);
}

#[test]
fn sums_hold_under_writers_on_mysql8_with_table_locks_alone() {
    sums_hold(Make::MySql8, "select, show view, trigger, event, lock tables on *.*", 10);
}
