//! The walk-through of the README.

use std::fs;

use super::world::{Make, sql, try_sql};
use crate::{
    docs::{of_readme, run},
    lab::{alone, tls},
};

#[test]
fn the_mysql_walk_through_of_the_readme_works_as_written() {
    let _lab = alone();
    // MySQL 8.0.15 offers key exchanges that our TLS does not know.
    for make in [Make::MariaDb] {
        let (home, server) = (tempfile::tempdir().unwrap(), make.source());
        sql(
            &server,
            "create database orders; use orders; create table lines (id int primary key, what varchar(20)); insert into lines values (1, 'one'), (2, 'two')",
        );
        fs::write(home.path().join("orders.password"), &server.password).unwrap();
        fs::copy(tls("ca.crt"), home.path().join("orders-ca.pem")).unwrap();
        let heading = "MariaDB and MySQL";
        let place = format!("host: {}\n      port: {}", server.host, server.port);
        let sources =
            of_readme(heading, "yaml").replace("host: db.example.internal", &place).replace("user: backup", &format!("user: {}", server.user));
        let commands = of_readme(heading, "sh");
        let (before, restore) = commands.split_once("hourglass restore").unwrap();
        run(
            home.path(),
            &format!("chmod 600 orders.password\nhourglass init --directory store\ncat >> hourglass.yaml <<'END'\n{sources}END\n{before}"),
        );
        sql(&server, "delete from orders.lines where id = 2");
        let said = run(home.path(), &format!("hourglass restore{restore}"));
        assert!(said.contains("found equal to what was saved"), "{said}");
        assert_eq!(sql(&server, "select * from orders.lines order by id; drop database orders"), "1\tone\n2\ttwo\n");
        try_sql(&server, "drop database if exists orders");
    }
}
