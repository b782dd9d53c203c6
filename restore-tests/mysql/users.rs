//! Accounts: roles, users, passwords and grants.

use hourglass::{
    config::MysqlConfig,
    sources::{MysqlSource, Overwrite},
};

use super::world::{Make, Names, World, capture, client, restore, sql, try_sql, whole};
use crate::lab::Sql;

const PASSWORD: &str = "pa'ss \"word\\ ä";

fn accounts_come_back(make: Make) {
    // The accounts of other tests come and go.
    let (_lab, _alone) = (make.servers().alone(), make.alone());
    let (world, names) = (World::new(), Names::new(make, 1));
    let _runtime = world.enter();
    let db = &*names.all[0];
    let (a, b) = (make.source(), make.target());
    let accounts = ["'re`ader'@'%'", "'wri''ter'@'10.0.0.0/255.0.0.0'", "'there'@'localhost'"];
    let drop_all = |server: &Sql| {
        for account in accounts {
            try_sql(server, &format!("drop user if exists {account}"));
        }
        try_sql(server, "drop role if exists tellers; drop role if exists clerks");
    };
    drop_all(&a);
    drop_all(&b);
    let quoted = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    let default = if make == Make::MariaDb { "set default role tellers for 're`ader'@'%'" } else { "alter user 're`ader'@'%' default role tellers" };
    sql(
        &a,
        &format!(
            "create database {db}; use {db}; create table t (id int primary key, secret int); create procedure p() select 1; create role tellers, clerks; \
             create user {} identified by '{quoted}'; create user {} identified by '{quoted}' require x509 account lock; create user {} identified by 'x'; \
             grant select on {db}.* to tellers; grant tellers to clerks; grant tellers to {}; grant select (id), update (id) on {db}.t to {} with grant option; \
             grant execute on procedure {db}.p to {}; grant process on *.* to {}; {default}",
            accounts[0], accounts[1], accounts[2], accounts[0], accounts[1], accounts[1], accounts[1]
        ),
    );
    sql(&b, "create user 'there'@'localhost' identified by 'another'");
    let config = MysqlConfig { users: true, ..world.admin(&a, &[db]) };
    let saved = capture(&MysqlSource::new(config)).unwrap();
    let said = restore(&MysqlSource::new(world.admin(&b, &[])), &saved, whole(Overwrite::Refuse)).unwrap();
    let shown = |server: &Sql, account: &str| {
        let mut grants: Vec<String> = sql(server, &format!("show grants for {account}")).lines().map(str::to_owned).collect();
        grants.sort();
        grants
    };
    for account in &accounts[..2] {
        assert_eq!(shown(&a, account), shown(&b, account));
        let created = |server: &Sql| sql(server, &format!("show create user {account}"));
        assert_eq!(created(&a), created(&b));
    }
    for role in ["tellers", "clerks"] {
        assert_eq!(shown(&a, role), shown(&b, role));
    }
    // The password is the same one.
    let mut login = client("mariadb", &Sql { user: "re`ader".to_owned(), password: PASSWORD.to_owned(), ..b.clone() });
    let output = login.arg("--execute=select 1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.iter().any(|problem| problem.subject == accounts[2] && problem.what.contains("left as they are")), "{said:?}");
    let text = format!("{said:?}");
    assert!(!text.contains("could not be made"), "{text}");
    drop_all(&a);
    drop_all(&b);
}

#[test]
fn accounts_of_mariadb_come_back() {
    accounts_come_back(Make::MariaDb);
}

#[test]
fn accounts_of_mysql8_come_back() {
    accounts_come_back(Make::MySql8);
}
