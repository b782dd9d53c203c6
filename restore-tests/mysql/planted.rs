//! Failures that were planted, through the binary: none of them makes a green point.

use std::{fs, path::PathBuf, process::Command};

use super::{
    engine::source,
    rights::{Account, PASSWORD, SEEING},
    world::{Make, Names, sql},
};
use crate::{
    lab::{Sql, tls},
    site::Site,
};

/// A failure: a source of the configuration, what its policy says besides its member, and what has to be said of it.
struct Planted {
    name: &'static str,
    source: String,
    policy: String,
    words: &'static str,
}

fn none_is_green(failures: &[Planted]) {
    let site = Site::in_directories();
    site.run(&["init", "--write"], 0);
    fs::write(site.path("reader"), PASSWORD).unwrap();
    fs::write(site.path("wrong"), "planted-and-wrong").unwrap();
    let sources: String = failures.iter().map(|planted| format!("  {}: {}\n", planted.name, planted.source)).collect();
    let policy = |planted: &Planted| format!("  {0}: {{ members: {{ {0}: required }}{1} }}\n", planted.name, planted.policy);
    site.configure(&format!("sources:\n{sources}policies:\n{}", failures.iter().map(policy).collect::<String>()));
    for Planted { name, words, .. } in failures {
        let output = site.output(&["backup", name, "--quiet"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 3)) && !said.contains("is complete"), "{name}: {:?} {said}", output.status);
        assert!(said.contains(words) && !said.contains("planted-and-wrong"), "{name}: {said}");
    }
}

fn planted_failures_are_never_green(make: Make) {
    let (_lab, names) = (make.servers().together(), Names::new(make, 1));
    let (server, db) = (make.source(), &*names.all[0]);
    sql(&server, &format!("create database {db}; use {db}; create table stays (id int primary key); create table goes (id int primary key)"));
    let seeing = Account::new(make, "planted", &[SEEING]);
    let blind = Account::new(make, "blind", &["select, show view, event, reload on *.*"]);
    let of = |account: &Account, password: &str, ca: &str| source(&server, &account.name, password, ca, &format!(", databases: [{db}]"));
    let plain = |name, source, words| Planted { name, source, policy: String::new(), words };
    // Writers go on once the snapshot is open: the moment at which the table goes.
    let words = ["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--skip-ssl"].map(str::to_owned).into_iter();
    let own = [format!("--port={}", server.port), format!("--user={}", server.user), format!("--password={}", server.password)];
    let drop = words.chain(own).chain([format!("--execute=drop table if exists {db}.goes")]);
    let drop: Vec<String> = drop.map(|word| format!("{word:?}")).collect();
    let dropped = Planted {
        policy: format!(", pause: {{ command: [\"true\"], resume: [mariadb, {}], timeout: 2m, until: opened }}", drop.join(", ")),
        ..plain("dropped", of(&seeing, "reader", "ca.crt"), "goes")
    };
    let mut failures =
        vec![plain("unseeing", of(&blind, "reader", "ca.crt"), "lacks TRIGGER"), plain("unknown", of(&seeing, "wrong", "ca.crt"), "Access denied")];
    if make == Make::MariaDb {
        failures.push(plain("mistrusted", of(&seeing, "reader", "rogue-ca.crt"), "certificate"));
    }
    failures.push(dropped);
    none_is_green(&failures);
}

#[test]
fn planted_failures_are_never_green_on_mariadb() {
    planted_failures_are_never_green(Make::MariaDb);
}

#[test]
fn planted_failures_are_never_green_on_mysql8() {
    planted_failures_are_never_green(Make::MySql8);
}

/// A server that shows another certificate of the lab than its own.
struct Disguised {
    folder: PathBuf,
    server: Sql,
}

impl Disguised {
    fn new(server: Sql, certificate: &str) -> Disguised {
        let disguised = Disguised { folder: server.socket.parent().unwrap().to_owned(), server };
        disguised.show(certificate);
        disguised
    }

    fn show(&self, certificate: &str) {
        for ending in ["crt", "key"] {
            fs::copy(tls(&format!("{certificate}.{ending}")), self.folder.join(format!("server.{ending}"))).unwrap();
        }
        // Over the socket: the client would refuse the certificate too.
        let mut client = Command::new("mariadb");
        let done =
            client.args(["--no-defaults", "--user=root", "--execute=flush ssl"]).arg(format!("--socket={}", self.server.socket.display())).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Disguised {
    fn drop(&mut self) {
        self.show("server");
    }
}

#[test]
fn a_certificate_of_mariadb_that_is_out_of_date_is_never_green() {
    // Everybody sees it.
    let _lab = Make::MariaDb.servers().alone();
    let server = Make::MariaDb.source();
    let account = Account::new(Make::MariaDb, "careful", &[SEEING]);
    let here = source(&server, &account.name, "reader", "ca.crt", "");
    let _disguised = Disguised::new(server, "expired");
    none_is_green(&[Planted { name: "expired", source: here, policy: String::new(), words: "xpired" }]);
}
