//! Edge databases come back equal.

use std::collections::BTreeMap;

use hourglass::{
    model::Activity,
    sources::{MysqlSource, Overwrite, SourceErrorKind, SystemTarget},
};

use super::world::{Make, Names, World, capture, quote, restore, sql, try_sql, whole};
use crate::lab::Sql;

/// The tables of a database.
fn tables(server: &Sql, database: &str) -> Vec<String> {
    let text = sql(
        server,
        &format!(
            "select table_name from information_schema.tables where table_schema = '{database}' and table_type not in ('VIEW', 'SEQUENCE') order by 1"
        ),
    );
    text.lines().map(str::to_owned).collect()
}

/// Checksums of all rows, by the server.
fn checksums(server: &Sql, database: &str) -> Vec<String> {
    let sum = |table: &String| {
        sql(server, &format!("checksum table {}.{} extended", quote(database), quote(table))).trim_start_matches(database).to_owned()
    };
    tables(server, database).iter().map(sum).collect()
}

/// MySQL shows the character set of a column or not, depending on how it was made: columns are compared by themselves.
const CHARSET: &str = " CHARACTER SET latin1";

/// All definitions but events, as the server shows them when asked within their database. A view of what does not exist is not made again.
fn definitions(server: &Sql, database: &str) -> String {
    let of = |table: &str, column: &str| format!("from information_schema.{table} where {column}_schema = '{database}'");
    let quoted = |column: &str| format!("'`', replace({column}, '`', '``'), '`'");
    let show = |kind: &str, column: &str, from: &str| format!("select concat('show create ', {kind}, ' ', {}) {from} order by 1", quoted(column));
    let lists = [
        show("if(table_type = 'VIEW', 'view', 'table')", "table_name", &format!("{} and table_name <> 'broken'", of("tables", "table"))),
        show("routine_type", "routine_name", &of("routines", "routine")),
    ];
    let shows = sql(server, &format!("set names utf8mb4; {}", lists.join("; ")));
    let triggers = "trigger_name, event_object_table, action_order, action_statement, action_timing, event_manipulation, sql_mode, definer, \
                    character_set_client, collation_connection, database_collation";
    let triggers = format!("select {triggers} {} order by 1", of("triggers", "trigger"));
    let text = sql(server, &format!("use {}; {}; {triggers}; show create database {0}", quote(database), shows.trim().replace('\n', "; ")));
    assert!(text.contains("CREATE TABLE"), "{text}");
    text.replace(CHARSET, "")
}

/// Every column with its types and collation.
fn columns(server: &Sql, database: &str) -> String {
    sql(
        server,
        &format!(
            "select table_name, ordinal_position, column_name, column_type, character_set_name, collation_name, is_nullable, column_default, extra, \
             generation_expression, column_comment from information_schema.columns where table_schema = '{database}' and table_name <> 'broken' order by 1, 2"
        ),
    )
}

const EVENTS: &str = "select event_name, definer, time_zone, event_definition, interval_value, interval_field, starts, on_completion, event_comment, sql_mode, collation_connection from information_schema.events where event_schema = ";

fn assert_equal(make: Make, from: &str, to: &str) {
    let (a, b) = (make.source(), make.target());
    let (left, right) = (checksums(&a, from), checksums(&b, to));
    assert!(!left.is_empty());
    assert_eq!(left, right, "{from}");
    assert_eq!(columns(&a, from), columns(&b, to), "{from}");
    assert_eq!(definitions(&a, from), definitions(&b, to), "{from}");
    let events = |server: &Sql, database: &str| sql(server, &format!("{EVENTS} '{database}' order by 1"));
    assert_eq!(events(&a, from), events(&b, to));
}

/// Whether a server takes rows from its clients, until this goes.
struct Infile<'a>(&'a Sql);

impl Infile<'_> {
    fn new(server: &Sql, allowed: bool) -> Infile<'_> {
        sql(server, &format!("set global local_infile = {}", u8::from(allowed)));
        Infile(server)
    }
}

impl Drop for Infile<'_> {
    fn drop(&mut self) {
        try_sql(self.0, "set global local_infile = 1");
    }
}

fn edge_databases_come_back(make: Make, infile: bool) {
    // It changes a global setting of the target.
    let (_lab, _alone) = (make.servers().alone(), make.alone());
    let (world, names) = (World::new(), Names::new(make, 2));
    let _runtime = world.enter();
    let (db, other) = (&*names.all[0], &*names.all[1]);
    let (a, b) = (make.source(), make.target());
    sql(&a, &make.edge(db, other));
    let saved = capture(&MysqlSource::new(world.admin(&a, &[db, other]))).unwrap();
    assert!(saved.end.position.contains_key("file") && saved.end.position.contains_key("gtid"), "{:?}", saved.end);
    let notes = format!("{:?}", saved.end.notes);
    assert!(notes.contains("isam") && notes.contains("MyISAM") && notes.contains("broken"), "{notes}");

    let _setting = Infile::new(&b, infile);
    let said = format!("{:?}", restore(&MysqlSource::new(world.admin(&b, &[])), &saved, whole(Overwrite::Refuse)).unwrap());
    assert!(said.contains("nobody@nowhere") && said.contains("broken"), "{said}");
    assert_equal(make, db, db);
    assert_equal(make, other, other);
    assert_eq!(sql(&b, &format!("select count(*) from information_schema.events where event_schema = '{db}' and status = 'ENABLED'")), "0\n");
    assert_eq!(sql(&b, "show databases like 'hourglass_restore'"), "");
    if make == Make::MariaDb {
        let history = |server: &Sql| {
            let all = format!(
                "from {db}.versioned for system_time all order by id, row_start; select *, since, until from {db}.periods for system_time all order by id, since"
            );
            sql(
                server,
                &format!(
                    "set time_zone = '+00:00'; select *, row_start, row_end {all}; select id, secret, plain from {db}.hidden; select nextval({db}.steps)"
                ),
            )
        };
        let found = history(&b);
        assert_eq!(found, history(&a));
        assert!(found.contains("gone\t2020-01-01 00:00:00.250000\t2022-01-01"), "{found}");
    }

    // What is there is not overwritten, unless it is named.
    let again = restore(&MysqlSource::new(world.admin(&b, &[])), &saved, whole(Overwrite::Refuse)).unwrap_err();
    assert!(again.kind() == SourceErrorKind::Occupied && again.to_string().contains("is not empty"), "{again}");
    sql(&b, &format!("delete from {db}.floats; create table {db}.stray (id int)"));
    restore(&MysqlSource::new(world.admin(&b, &[])), &saved, whole(Overwrite::InPlace)).unwrap();
    assert_equal(make, db, db);
}

#[test]
fn edge_databases_of_mariadb_come_back_equal() {
    edge_databases_come_back(Make::MariaDb, true);
}

#[test]
fn edge_databases_of_mysql8_come_back_equal() {
    edge_databases_come_back(Make::MySql8, true);
}

#[test]
fn edge_databases_of_mariadb_come_back_where_rows_may_not_be_sent_as_files() {
    edge_databases_come_back(Make::MariaDb, false);
}

#[test]
fn edge_databases_of_mysql8_come_back_where_rows_may_not_be_sent_as_files() {
    edge_databases_come_back(Make::MySql8, false);
}

fn parts_come_back_under_other_names(make: Make) {
    let (_lab, _alone) = (make.servers().together(), make.alone());
    let (world, names) = (World::new(), Names::new(make, 3));
    let _runtime = world.enter();
    let (db, other, new) = (&*names.all[0], &*names.all[1], &*names.all[2]);
    let (a, b) = (make.source(), make.target());
    sql(&a, &make.edge(db, other));
    let saved = capture(&MysqlSource::new(world.admin(&a, &[db, other]))).unwrap();
    // One database, renamed: what it says of itself follows.
    let target = SystemTarget {
        overwrite: Overwrite::Refuse,
        select: vec![db.to_owned(), other.to_owned()],
        rename: BTreeMap::from([(db.to_owned(), new.to_owned())]),
        activity: Activity::Apply,
    };
    restore(&MysqlSource::new(world.admin(&b, &[])), &saved, target).unwrap();
    assert_eq!(checksums(&b, new), checksums(&a, db));
    assert_eq!(sql(&b, &format!("select count(*) from {new}.a_on_top")), "1\n");
    let references = format!("select unique_constraint_schema from information_schema.referential_constraints where constraint_schema = '{other}'");
    assert_eq!(sql(&b, &references), format!("{new}\n"));
    assert_eq!(sql(&b, &format!("show databases like '{db}'")), "");

    // One table, into a database that holds others.
    sql(&b, &format!("create database {db}; create table {db}.mine (id int); insert into {db}.mine values (1)"));
    let one = |overwrite| SystemTarget { overwrite, select: vec![format!("{db}.composite")], rename: BTreeMap::new(), activity: Activity::Apply };
    restore(&MysqlSource::new(world.admin(&b, &[])), &saved, one(Overwrite::Refuse)).unwrap();
    assert_eq!(sql(&b, &format!("show tables from {db}")), "composite\nmine\n");
    let show = |server: &Sql| sql(server, &format!("checksum table {db}.composite; show create table {db}.composite")).replace(CHARSET, "");
    assert_eq!(show(&a), show(&b));
    let again = restore(&MysqlSource::new(world.admin(&b, &[])), &saved, one(Overwrite::Refuse)).unwrap_err();
    assert!(again.to_string().contains("composite"), "{again}");
    restore(&MysqlSource::new(world.admin(&b, &[])), &saved, one(Overwrite::InPlace)).unwrap();
    assert_eq!(sql(&b, &format!("show tables from {db}")), "composite\nmine\n");
    let unknown = SystemTarget {
        overwrite: Overwrite::Refuse,
        select: vec!["no_such_database".to_owned()],
        rename: BTreeMap::new(),
        activity: Activity::Apply,
    };
    let error = restore(&MysqlSource::new(world.admin(&b, &[])), &saved, unknown).unwrap_err();
    assert!(error.to_string().contains("no_such_database"), "{error}");
}

#[test]
fn parts_of_mariadb_come_back_under_other_names() {
    parts_come_back_under_other_names(Make::MariaDb);
}

#[test]
fn parts_of_mysql8_come_back_under_other_names() {
    parts_come_back_under_other_names(Make::MySql8);
}
