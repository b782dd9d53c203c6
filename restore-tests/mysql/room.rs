//! A target whose disk is full is named, and its restore goes on once there is room.

use std::{path::PathBuf, process::Command};

use super::{
    engine::{fill, restore_run, site, sums},
    rights::{Account, SEEING},
    world::{Make, Names, sql, try_sql},
};
use crate::lab::Sql;

/// A database of a server that lies on a small disk of its own.
struct SmallDisk {
    server: Sql,
    db: String,
    place: PathBuf,
}

impl SmallDisk {
    fn new(server: Sql, db: &str, size: &str) -> SmallDisk {
        sql(&server, &format!("create database {db}"));
        let place = server.socket.parent().unwrap().join("data").join(db);
        let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&place).unwrap());
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", &format!("size={size},uid={owner}"), "tmpfs"]).arg(&place).status().unwrap();
        assert!(done.success(), "the test needs the right to mount a file system");
        SmallDisk { server, db: db.to_owned(), place }
    }

    fn resize(&self, size: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.place).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        for table in ["large", "numbers"] {
            try_sql(&self.server, &format!("drop table if exists {}.{table}", self.db));
        }
        let _gone = Command::new("umount").arg("--lazy").arg(&self.place).status();
        try_sql(&self.server, &format!("drop database if exists {}", self.db));
    }
}

fn a_full_disk_of_the_target_is_named(make: Make) {
    let (_lab, _alone) = (make.servers().together(), make.alone());
    let names = Names::new(make, 1);
    let db = &*names.all[0];
    fill(make, db, 30);
    let account = Account::new(make, "filling", &[SEEING]);
    let site = site(&account, db);
    site.run(&["backup", "p", "--quiet"], 0);
    let disk = SmallDisk::new(make.target(), db, "6M");
    let said = site.run(&["restore", "p", "here", "--into", "there", "--quiet"], 1);
    assert!(said.contains(&format!("{db}.large")) && said.contains("full"), "{said}");
    assert!(!said.contains("found equal"), "{said}");
    disk.resize("200M");
    site.run(&["runs", "resume", &restore_run(&site.run(&["runs", "list"], 0)), "--quiet"], 0);
    assert_eq!(sums(&make.source(), db), sums(&make.target(), db));
}

#[test]
fn a_full_disk_of_a_target_of_mariadb_is_named() {
    a_full_disk_of_the_target_is_named(Make::MariaDb);
}

#[test]
fn a_full_disk_of_a_target_of_mysql8_is_named() {
    a_full_disk_of_the_target_is_named(Make::MySql8);
}
