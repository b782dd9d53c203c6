//! Definitions as a server holds them: databases, tables, sequences, views, routines, triggers, events.

use std::collections::BTreeMap;

use mysql_async::Row;

use super::{
    catalog::Database,
    connect::{Session, code, literal, quote},
    definition::{Definition, Kind, split},
    unfit,
};
use crate::sources::SourceError;

/// Definitions of a database, by what is restored together.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    /// The database itself, its sequences, and its tables whole.
    pub tables: Vec<Definition>,
    pub routines: Vec<Definition>,
    pub views: Vec<Definition>,
    pub triggers: Vec<Definition>,
    pub events: Vec<Definition>,
}

/// Reads the definitions of `database`, which becomes the session's own: so names in it are not qualified by the server.
pub(super) async fn objects(session: &mut Session, database: &Database) -> Result<Objects, SourceError> {
    let name = &database.name;
    session.run(&format!("use {}", quote(name)), &format!("use the database {name}")).await?;
    let mut objects = Objects::default();
    let plain = |kind, object: &str, sql| Definition {
        kind,
        database: name.clone(),
        name: object.to_owned(),
        table: None,
        sql,
        then: Vec::new(),
        session: BTreeMap::new(),
        invalid: false,
    };
    let sql = created(session, Kind::Database, name, name).await?;
    objects.tables.push(plain(Kind::Database, name, sql));
    for sequence in &database.sequences {
        let sql = created(session, Kind::Sequence, name, sequence).await?;
        let doing = format!("read the sequence {name}.{sequence}");
        let next = format!("select cast(next_not_cached_value as char), cast(cycle_count as char) from {}", quote(sequence));
        let (next, round): (String, String) =
            session.first(&next, &doing).await?.ok_or_else(|| unfit(format!("the sequence {name}.{sequence}"), "is empty", None))?;
        let then = vec![format!("do setval({}, {next}, 0, {round})", quote(sequence))];
        objects.tables.push(Definition { then, ..plain(Kind::Sequence, sequence, sql) });
    }
    for table in &database.tables {
        let sql = created(session, Kind::Table, name, &table.name).await?;
        objects.tables.push(plain(Kind::Table, &table.name, sql));
    }
    routines(session, name, &mut objects).await?;
    for view in &database.views {
        let row = show(session, Kind::View, name, view).await?;
        let mut definition = plain(Kind::View, view, body(&row, "Create View", Kind::View, name, view)?);
        definition.session = variables(&row);
        let columns = format!("show columns from {}", quote(view));
        let looked = session.run(&columns, &format!("look at the view {name}.{view}")).await;
        definition.invalid = looked.is_err_and(|error| matches!(code(&error), Some(1356 | 1146 | 1054)));
        objects.views.push(definition);
    }
    triggers(session, name, &mut objects).await?;
    let of = format!("where event_schema = {} order by event_name", literal(name));
    for event in
        session.rows::<String>(&format!("select event_name from information_schema.events {of}"), &format!("list the events of {name}")).await?
    {
        let row = show(session, Kind::Event, name, &event).await?;
        let sql = body(&row, "Create Event", Kind::Event, name, &event)?;
        objects.events.push(Definition { session: variables(&row), ..plain(Kind::Event, &event, sql) });
    }
    Ok(objects)
}

async fn routines(session: &mut Session, name: &str, objects: &mut Objects) -> Result<(), SourceError> {
    let of = format!("where routine_schema = {} order by routine_type, routine_name", literal(name));
    let sql = format!("select routine_type, routine_name from information_schema.routines {of}");
    for (kind, routine) in session.rows::<(String, String)>(&sql, &format!("list the routines of {name}")).await? {
        let (kind, column) = match kind.as_str() {
            "FUNCTION" => (Kind::Function, "Create Function"),
            "PACKAGE" => (Kind::Package, "Create Package"),
            "PACKAGE BODY" => (Kind::PackageBody, "Create Package Body"),
            _ => (Kind::Procedure, "Create Procedure"),
        };
        let row = show(session, kind, name, &routine).await?;
        let sql = body(&row, column, kind, name, &routine)?;
        let session = variables(&row);
        objects.routines.push(Definition {
            kind,
            database: name.to_owned(),
            name: routine,
            table: None,
            sql,
            then: Vec::new(),
            session,
            invalid: false,
        });
    }
    Ok(())
}

async fn triggers(session: &mut Session, name: &str, objects: &mut Objects) -> Result<(), SourceError> {
    let of = format!("where trigger_schema = {}", literal(name));
    let order = "order by event_object_table, event_manipulation, action_timing, action_order";
    let sql = format!("select trigger_name, event_object_table from information_schema.triggers {of} {order}");
    for (trigger, table) in session.rows::<(String, String)>(&sql, &format!("list the triggers of {name}")).await? {
        let row = show(session, Kind::Trigger, name, &trigger).await?;
        let sql = body(&row, "SQL Original Statement", Kind::Trigger, name, &trigger)?;
        let session = variables(&row);
        objects.triggers.push(Definition {
            kind: Kind::Trigger,
            database: name.to_owned(),
            name: trigger,
            table: Some(table),
            sql,
            then: Vec::new(),
            session,
            invalid: false,
        });
    }
    Ok(())
}

/// What the server shows of an object.
async fn show(session: &mut Session, kind: Kind, database: &str, name: &str) -> Result<Row, SourceError> {
    let doing = format!("read the definition of the {} {database}.{name}", kind.words());
    let qualified = if kind == Kind::Database { quote(name) } else { format!("{}.{}", quote(database), quote(name)) };
    let row = session.first(&format!("show create {} {qualified}", kind.words()), &doing).await?;
    row.ok_or_else(|| unfit(format!("the {} {database}.{name}", kind.words()), "has no definition", None))
}

/// The statement that makes it: always in the second column.
async fn created(session: &mut Session, kind: Kind, database: &str, name: &str) -> Result<String, SourceError> {
    let row = show(session, kind, database, name).await?;
    let text: Option<Option<String>> = row.get_opt(1).and_then(Result::ok);
    text.flatten().ok_or_else(|| hidden(kind, database, name))
}

fn body(row: &Row, column: &str, kind: Kind, database: &str, name: &str) -> Result<String, SourceError> {
    let text: Option<Option<String>> = row.get_opt(column).and_then(Result::ok);
    // A definition that the account may not see is null, without an error.
    text.flatten().ok_or_else(|| hidden(kind, database, name))
}

fn hidden(kind: Kind, database: &str, name: &str) -> SourceError {
    let why = "has a definition that this account may not see";
    super::denied(format!("the {} {database}.{name}", kind.words()), why, Some("docs/how-to/mysql.md has the rights that a backup account needs"))
}

/// The variables of the session that made an object.
fn variables(row: &Row) -> BTreeMap<String, String> {
    let names = ["sql_mode", "character_set_client", "collation_connection", "time_zone"];
    let value = |name: &&str| row.get_opt::<Option<String>, _>(*name).and_then(Result::ok).flatten();
    names.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect()
}

/// The tables as they are made before their rows, their keys, and their foreign keys.
pub(super) fn stages(tables: &[Definition], keep_keys: impl Fn(&str) -> bool) -> (Vec<Definition>, Vec<Definition>, Vec<Definition>) {
    let (mut base, mut keys, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
    for definition in tables {
        if definition.kind != Kind::Table {
            base.push(definition.clone());
            continue;
        }
        let parts = split(&definition.sql, keep_keys(&definition.name));
        let of = |kind, clauses: &[String]| {
            let adds: Vec<String> = clauses.iter().map(|clause| format!("add {clause}")).collect();
            let sql = format!("alter table {} {}", quote(&definition.name), adds.join(", "));
            let name = super::definition::clause_name(&clauses[0]);
            Definition { kind, name, table: Some(definition.name.clone()), sql, ..definition.clone() }
        };
        base.push(Definition { sql: parts.table.clone(), ..definition.clone() });
        if !parts.keys.is_empty() {
            keys.push(of(Kind::Key, &parts.keys));
        }
        keys.extend(parts.single_keys.iter().map(|clause| of(Kind::Key, std::slice::from_ref(clause))));
        foreign.extend(parts.foreign_keys.iter().map(|clause| of(Kind::ForeignKey, std::slice::from_ref(clause))));
    }
    (base, keys, foreign)
}
