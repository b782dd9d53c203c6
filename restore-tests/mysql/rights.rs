//! Accounts that see less than everything, and connections that cannot be trusted, never make a green point.

use std::{collections::BTreeSet, time::Duration};

use hourglass::{
    config::{MysqlConfig, MysqlTls},
    model::outcome::explain,
    sources::{MysqlSource, SourceErrorKind},
};

use super::world::{Make, Names, World, capture, sql, try_sql};
use crate::lab::tls;

/// An account of the source that is dropped at the end.
pub struct Account {
    pub make: Make,
    pub name: String,
}

/// What an account needs to see everything, to lock, and to know its place in the log.
pub const SEEING: &str = "select, show view, trigger, event, reload, lock tables, process, replication client on *.*";

pub const PASSWORD: &str = "planted-password";

impl Account {
    pub fn new(make: Make, name: &str, grants: &[&str]) -> Account {
        let account = Account { make, name: name.to_owned() };
        let created = format!("drop user if exists '{name}'@'%'; create user '{name}'@'%' identified by '{PASSWORD}';");
        sql(&make.source(), &(created + &grants.iter().map(|grant| format!("grant {grant} to '{name}'@'%';")).collect::<String>()));
        account
    }

    pub fn config(&self, world: &World, databases: &[&str]) -> MysqlConfig {
        world.config(&self.make.source(), &self.name, PASSWORD, databases)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        try_sql(&self.make.source(), &format!("drop user if exists '{}'@'%'", self.name));
    }
}

fn an_account_that_sees_less_is_refused(make: Make) {
    let _lab = make.servers().together();
    let (world, names) = (World::new(), Names::new(make, 1));
    let _runtime = world.enter();
    let db = &*names.all[0];
    sql(
        &make.source(),
        &format!(
            "create database {db}; use {db}; create table t (id int primary key); create procedure p() select 1; create view v as select 1 as one"
        ),
    );
    let all = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"];
    for missing in all {
        let rights: Vec<&str> = all.into_iter().filter(|right| *right != missing).collect();
        let grant = format!("{} on *.*", rights.join(", "));
        let account = Account::new(make, "lacking", &[&grant]);
        let error = capture(&MysqlSource::new(account.config(&world, &[db]))).unwrap_err();
        let text = error.to_string();
        assert!(error.kind() == SourceErrorKind::Denied && text.contains("lacking") && text.contains(&format!("lacks {missing}")), "{text}");
    }
    // Rights on the database alone hide its routines.
    let grant = format!("select, show view, trigger, event on `{db}`.*");
    let account = Account::new(make, "lacking", &[&grant]);
    let error = capture(&MysqlSource::new(account.config(&world, &[db]))).unwrap_err();
    assert!(error.kind() == SourceErrorKind::Denied && error.to_string().contains("routines"), "{error}");
    let account = Account::new(make, "lacking", &["select, show view, trigger, event on *.*"]);
    let error = capture(&MysqlSource::new(account.config(&world, &["no_such_database"]))).unwrap_err();
    assert!(error.to_string().contains("no_such_database"), "{error}");
}

#[test]
fn an_account_that_sees_less_is_refused_by_mariadb() {
    an_account_that_sees_less_is_refused(Make::MariaDb);
}

#[test]
fn an_account_that_sees_less_is_refused_by_mysql8() {
    an_account_that_sees_less_is_refused(Make::MySql8);
}

fn without_the_right_to_lock_the_snapshot_is_still_one(make: Make) {
    let _lab = make.servers().together();
    let (world, names) = (World::new(), Names::new(make, 1));
    let _runtime = world.enter();
    let db = &*names.all[0];
    sql(
        &make.source(),
        &format!(
            "create database {db}; use {db}; create table t (id int primary key); insert into t values (1); create table u (id int primary key)"
        ),
    );
    let ways = [("lock tables", "lock"), ("", "lock nothing")];
    let mut seen = BTreeSet::new();
    for (extra, _) in ways {
        let comma = if extra.is_empty() { "" } else { ", " };
        let grant = format!("select, show view, trigger, event{comma}{extra} on *.*");
        let account = Account::new(make, "humble", &[&grant]);
        let saved = capture(&MysqlSource::new(account.config(&world, &[db]))).unwrap();
        assert_eq!(
            saved.parts.iter().filter_map(|(component, _, end)| component.name.starts_with("data/").then_some(end.rows.unwrap().rows)).sum::<u64>(),
            1
        );
        let notes: Vec<_> = saved.end.notes.iter().filter(|note| note.subject == "snapshot").map(|note| note.what.clone()).collect();
        assert!(notes.iter().any(|note| note.contains("may not lock") || note.contains("may lock nothing")), "{notes:?}");
        seen.extend(notes);
    }
    assert!(!seen.is_empty());
}

#[test]
fn without_the_right_to_lock_the_snapshot_of_mariadb_is_still_one() {
    without_the_right_to_lock_the_snapshot_is_still_one(Make::MariaDb);
}

#[test]
fn without_the_right_to_lock_the_snapshot_of_mysql8_is_still_one() {
    without_the_right_to_lock_the_snapshot_is_still_one(Make::MySql8);
}

#[test]
fn a_wrong_authority_a_wrong_name_and_a_wrong_password_are_named_for_mariadb() {
    let _lab = Make::MariaDb.servers().together();
    let world = World::new();
    let _runtime = world.enter();
    {
        let make = Make::MariaDb;
        let server = make.source();
        let good = world.admin(&server, &[]);
        let wrong_ca = MysqlConfig { tls: Some(MysqlTls { ca_file: Some(tls("rogue-ca.crt")), ..MysqlTls::default() }), ..good.clone() };
        let wrong_name = MysqlConfig {
            tls: Some(MysqlTls { ca_file: Some(tls("ca.crt")), server_name: Some("elsewhere.example".to_owned()), ..MysqlTls::default() }),
            ..good.clone()
        };
        let wrong_password = world.config(&server, &server.user, "planted-and-wrong", &[]);
        let unreachable = MysqlConfig { port: 1, ..good.clone() };
        // A certificate of ours, out of date since yesterday.
        let expired = Some((tls("expired.crt"), tls("expired.key")));
        let expired = MysqlConfig { tls: Some(MysqlTls { ca_file: Some(tls("ca.crt")), identity: expired, ..MysqlTls::default() }), ..good.clone() };
        let missing = MysqlConfig { tls: Some(MysqlTls { ca_file: Some("no-such-file.pem".into()), ..MysqlTls::default() }), ..good };
        for (config, words) in [
            (wrong_ca, "certificate"),
            (wrong_name, "certificate"),
            (expired, "ertificate"),
            (wrong_password, "Access denied"),
            (unreachable, "refused"),
            (missing, "no-such-file.pem"),
        ] {
            let error = capture(&MysqlSource::new(MysqlConfig { lock_timeout: Duration::from_secs(1), ..config })).unwrap_err();
            let text = explain(&error);
            assert!(text.contains(words) && !text.contains("planted-and-wrong"), "{words}: {text}");
        }
    }
}
