//! Servers that belong to somebody else: locks that are not granted, and targets where the account may do little.

use std::{
    process::{Child, Stdio},
    time::Duration,
};

use hourglass::{
    config::MysqlConfig,
    sources::{MysqlSource, Overwrite, SourceErrorKind},
};

use super::{
    faults::eventually,
    rights::{Account, PASSWORD, SEEING},
    world::{Make, Names, World, capture, client, restore, sql, try_sql, whole},
};
use crate::lab::Sql;

/// A client that holds a lock until it is dropped.
struct Holder {
    client: Child,
    server: Sql,
    mark: String,
}

impl Holder {
    fn new(server: Sql, lock: &str, mark: &str) -> Holder {
        let mut command = client("mariadb", &server);
        let child =
            command.arg(format!("--execute={lock}; select sleep(600) as {mark}")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let holder = Holder { client: child, server, mark: mark.to_owned() };
        eventually("the lock", || !holder.sessions().is_empty());
        holder
    }

    fn sessions(&self) -> String {
        sql(&self.server, &format!("select id from information_schema.processlist where info like 'select sleep(600) as {}'", self.mark))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        for id in self.sessions().lines() {
            try_sql(&self.server, &format!("kill {id}"));
        }
        let _gone = self.client.kill().and_then(|()| self.client.wait());
    }
}

fn a_lock_that_is_not_granted_ends_the_capture_and_hinders_nobody(make: Make) {
    // The captures of other tests would wait for it too.
    let _lab = make.servers().alone();
    let (world, names) = (World::new(), Names::new(make, 1));
    let _runtime = world.enter();
    let db = &*names.all[0];
    let server = make.source();
    sql(&server, &format!("create database {db}; use {db}; create table held (id int primary key); create table free (id int primary key)"));
    let account = Account::new(make, "waiting", &[SEEING]);
    let config = MysqlConfig { lock_timeout: Duration::from_secs(1), ..account.config(&world, &[db]) };
    let lock = if make == Make::MariaDb { "backup stage start".to_owned() } else { format!("lock tables {db}.held write") };
    let holder = Holder::new(server.clone(), &lock, &format!("{db}_held"));
    let error = capture(&MysqlSource::new(config.clone())).unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::TimedOut, "{error}");
    sql(&server, &format!("set lock_wait_timeout = 60; insert into {db}.free values (1)"));
    eventually("the end of its sessions", || sql(&server, "select count(*) from information_schema.processlist where user = 'waiting'") == "0\n");
    drop(holder);
    capture(&MysqlSource::new(MysqlConfig { lock_timeout: Duration::from_secs(60), ..config })).unwrap();
}

#[test]
fn a_lock_of_mariadb_that_is_not_granted_ends_the_capture_and_hinders_nobody() {
    a_lock_that_is_not_granted_ends_the_capture_and_hinders_nobody(Make::MariaDb);
}

#[test]
fn a_lock_of_mysql8_that_is_not_granted_ends_the_capture_and_hinders_nobody() {
    a_lock_that_is_not_granted_ends_the_capture_and_hinders_nobody(Make::MySql8);
}

/// The account of a managed target: everything on its databases, and nothing on the server.
struct Tenant(Sql);

impl Tenant {
    fn new(server: Sql, database: &str) -> Tenant {
        let grants: String = [database, "hourglass_restore"].iter().map(|name| format!("grant all on `{name}`.* to 'tenant'@'%';")).collect();
        let created = format!("drop user if exists 'tenant'@'%'; create user 'tenant'@'%' identified by '{PASSWORD}'; {grants}");
        sql(&server, &created);
        Tenant(server)
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        try_sql(&self.0, "drop user if exists 'tenant'@'%'");
    }
}

fn what_others_defined_is_defined_by_an_account_that_may_not_name_them(make: Make) {
    let (_lab, _alone) = (make.servers().together(), make.alone());
    let (world, names) = (World::new(), Names::new(make, 1));
    let _runtime = world.enter();
    let db = &*names.all[0];
    let (a, b) = (make.source(), make.target());
    let nobody = "definer = 'nobody'@'nowhere'";
    sql(
        &a,
        &format!(
            "create database {db}; use {db}; create table t (id int primary key, f float); insert into t values (1, 0.1), (2, 16777217); \
             create {nobody} view v as select 1 as one; create {nobody} procedure p() select 1; \
             create {nobody} event e on schedule every 1 day starts '2035-01-01 00:00:00' disable do delete from t"
        ),
    );
    let saved = capture(&MysqlSource::new(world.admin(&a, &[db]))).unwrap();
    let _tenant = Tenant::new(b.clone(), db);
    let said = restore(&MysqlSource::new(world.config(&b, "tenant", PASSWORD, &[])), &saved, whole(Overwrite::Refuse)).unwrap();
    for name in ["v", "p", "e"] {
        let named = said.iter().find(|problem| problem.subject == format!("{db}.{name}")).unwrap_or_else(|| panic!("{name}: {said:?}"));
        assert!(named.what.contains("nobody") && named.what.contains("tenant defines it now"), "{named:?}");
    }
    assert_eq!(sql(&b, &format!("select definer from information_schema.views where table_schema = '{db}'")), "tenant@%\n");
    let sums = format!("checksum table {db}.t; select id from {db}.t order by id");
    assert_eq!(sql(&a, &sums), sql(&b, &sums));
}

#[test]
fn what_others_defined_is_defined_by_an_account_of_mariadb_that_may_not_name_them() {
    what_others_defined_is_defined_by_an_account_that_may_not_name_them(Make::MariaDb);
}

#[test]
fn what_others_defined_is_defined_by_an_account_of_mysql8_that_may_not_name_them() {
    what_others_defined_is_defined_by_an_account_that_may_not_name_them(Make::MySql8);
}
