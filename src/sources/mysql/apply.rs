//! Writing: definitions, each by its statement. Safe to do again: what an earlier attempt made is found, or made anew.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use tokio::runtime::Handle;

use super::{
    connect::{MODE, Role, Session, code, literal, quote},
    definition::{Definition, Kind, definer, disabled, renamed},
    target::Restore,
    users::without_password,
};
use crate::sources::{SourceError, SourceErrorKind, StreamSink};

/// How often a statement is tried that meets another one's locks.
const ATTEMPTS: u32 = 8;

/// Collects a component of definitions: they are small.
struct Text(Arc<Mutex<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no holder of this lock panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink for lines of definitions, which are carried out at its end.
pub(super) fn sink(restore: &Arc<Restore>, name: &str, handle: &Handle) -> StreamSink {
    let text = Arc::new(Mutex::new(Vec::new()));
    let (restore, name, handle, taken) = (Arc::clone(restore), name.to_owned(), handle.clone(), Arc::clone(&text));
    StreamSink::new(Text(text), move || {
        let bytes = std::mem::take(&mut *taken.lock().expect("no holder of this lock panics"));
        let odd = |error: serde_json::Error| super::unfit(format!("the component {name}"), &format!("holds no definition: {error}"), None);
        let definitions: Result<Vec<Definition>, _> =
            serde_json::Deserializer::from_slice(&bytes).into_iter().map(|line| line.map_err(odd)).collect();
        handle.block_on(all(&restore, definitions?))
    })
}

/// Carries them out in order. Those that depend on each other, views and accounts, are tried again as long as that leads on.
async fn all(restore: &Restore, definitions: Vec<Definition>) -> Result<(), SourceError> {
    let mut session = Session::open(&restore.config, Role::Definitions).await?;
    let mut waiting: Vec<Definition> = definitions.into_iter().filter(|definition| restore.wants_definition(definition)).collect();
    loop {
        let (before, mut left) = (waiting.len(), Vec::new());
        for definition in std::mem::take(&mut waiting) {
            match one(restore, &mut session, &definition).await {
                Ok(()) => {}
                Err(error) if can_wait(definition.kind, &error) => left.push((definition, error)),
                Err(error) => return Err(error),
            }
        }
        if left.is_empty() || left.len() == before {
            for (definition, error) in left {
                let subject = format!("{} {} {}", definition.kind.words(), definition.database, definition.name);
                restore.note(&subject, format!("could not be made: {}", crate::model::outcome::explain(&error)));
            }
            session.end().await;
            return Ok(());
        }
        waiting = left.into_iter().map(|(definition, _)| definition).collect();
    }
}

/// Whether an error may go once others of the same kind are there; and is no reason to stop, if it stays.
fn can_wait(kind: Kind, error: &SourceError) -> bool {
    matches!(kind, Kind::View | Kind::User | Kind::Grant) && error.kind() != SourceErrorKind::Io && code(error).is_some()
}

async fn one(restore: &Restore, session: &mut Session, definition: &Definition) -> Result<(), SourceError> {
    let database = restore.name(&definition.database);
    let doing = format!("make the {} {}", definition.kind.words(), subject(definition, &database));
    match definition.kind {
        Kind::Role | Kind::User | Kind::Grant => return account(restore, session, definition, &doing).await,
        Kind::Database => return self::database(restore, session, definition, &database, &doing).await,
        _ => {}
    }
    session.run(&format!("use {}", quote(&database)), &doing).await?;
    let mut sql = renamed(&definition.sql, &restore.target.rename);
    let name = quote(&definition.name);
    match definition.kind {
        Kind::Key | Kind::ForeignKey if exists(session, definition, &database, &doing).await? => return Ok(()),
        Kind::Sequence | Kind::Function | Kind::Procedure | Kind::Package | Kind::PackageBody | Kind::Trigger | Kind::Event => {
            session.run(&format!("drop {} if exists {name}", definition.kind.words()), &doing).await?;
        }
        Kind::View => sql = sql.replacen("CREATE ", "CREATE OR REPLACE ", 1),
        _ => {}
    }
    if definition.kind == Kind::Event && !restore.config.enable_events {
        sql = disabled(&sql);
    }
    variables(session, definition, &sql, &doing).await?;
    let made = make(restore, session, definition, &sql, &doing).await;
    if !definition.session.is_empty() {
        let settings = "time_zone = '+00:00', character_set_client = utf8mb4, collation_connection = utf8mb4_general_ci";
        session.run(&format!("set session sql_mode = '{MODE}', {settings}"), &doing).await?;
    }
    restore.warn_of_old_names(definition, &database);
    made
}

/// Runs a definition's statement, and those that follow it.
async fn make(restore: &Restore, session: &mut Session, definition: &Definition, sql: &str, doing: &str) -> Result<(), SourceError> {
    match retried(session, sql, doing).await {
        // An earlier attempt made it, or nobody could have: the target was empty.
        Err(error) if definition.kind == Kind::Table && code(&error) == Some(1050) => {}
        Err(error) if code(&error) == Some(1227) && definer(sql).is_some() => {
            let named = definer(sql).unwrap_or_default();
            retried(session, &sql.replacen(&format!("DEFINER={named}"), "DEFINER=CURRENT_USER", 1), doing).await?;
            let what = format!("was defined by {named}, which this account may not set: {} defines it now", restore.config.user);
            restore.note(&subject(definition, &restore.name(&definition.database)), what);
            let key = (definition.kind, definition.database.clone(), definition.name.clone());
            restore.definers.lock().expect("no holder of this lock panics").insert(key, named.to_owned());
        }
        other => other?,
    }
    for then in &definition.then {
        session.run(then, doing).await?;
    }
    Ok(())
}

fn subject(definition: &Definition, database: &str) -> String {
    match &definition.table {
        _ if definition.database.is_empty() => definition.name.clone(),
        Some(table) => format!("{} of {database}.{table}", definition.name),
        None => format!("{database}.{}", definition.name),
    }
}

/// The session becomes like the one that made the object.
async fn variables(session: &mut Session, definition: &Definition, sql: &str, doing: &str) -> Result<(), SourceError> {
    for (name, value) in &definition.session {
        // The statement is sent in UTF-8: where that makes a difference to the client's character set, it stays.
        if name != "character_set_client" || sql.is_ascii() || value.starts_with("utf8") {
            session.run(&format!("set session {name} = {}", literal(value)), doing).await?;
        }
    }
    Ok(())
}

async fn retried(session: &mut Session, sql: &str, doing: &str) -> Result<(), SourceError> {
    let mut attempt = 1;
    loop {
        match session.run(sql, doing).await {
            Err(error) if matches!(code(&error), Some(1205 | 1213)) && attempt < ATTEMPTS => attempt += 1,
            other => return other,
        }
    }
}

/// A database may be there already, without anything in it; or with other tables, when only some are restored: then it stays as it is.
async fn database(restore: &Restore, session: &mut Session, definition: &Definition, name: &str, doing: &str) -> Result<(), SourceError> {
    let quoted = quote(&definition.name);
    let options = definition.sql.split_once(&quoted).map_or("", |(_, options)| options);
    session.run(&format!("create database if not exists {} {options}", quote(name)), doing).await?;
    if options.trim().is_empty() || !restore.wants(&definition.database, None) {
        Ok(())
    } else {
        session.run(&format!("alter database {} {options}", quote(name)), doing).await
    }
}

/// Whether the first key, or the foreign key, that a statement adds is there: then the whole statement was carried out.
async fn exists(session: &mut Session, definition: &Definition, database: &str, doing: &str) -> Result<bool, SourceError> {
    let table = definition.table.as_deref().unwrap_or_default();
    let sql = match definition.kind {
        Kind::Key => format!(
            "select count(*) from information_schema.statistics where table_schema = {} and table_name = {} and index_name = {}",
            literal(database),
            literal(table),
            literal(&definition.name)
        ),
        _ => format!(
            "select count(*) from information_schema.table_constraints where constraint_schema = {} and table_name = {} and constraint_name = {}",
            literal(database),
            literal(table),
            literal(&definition.name)
        ),
    };
    Ok(session.first::<u64>(&sql, doing).await?.is_some_and(|count| count > 0))
}

/// An account that is there is never changed; an earlier attempt's is found by the note of this restore.
async fn account(restore: &Restore, session: &mut Session, definition: &Definition, doing: &str) -> Result<(), SourceError> {
    let name = &definition.name;
    if definition.kind == Kind::Grant {
        if restore.keeps(name) {
            return Ok(());
        }
        // One that is there may be one that we could not give.
        let held: Vec<String> = session.rows(&format!("show grants for {name}"), doing).await?;
        let is_held = held.iter().any(|grant| without_password(grant) == definition.sql);
        return if is_held { Ok(()) } else { session.run(&definition.sql, doing).await };
    }
    let there = match definition.kind {
        Kind::Role => format!("select count(*) from mysql.user where user = {name} and host = ''"),
        _ => format!("select count(*) from mysql.user where concat(quote(user), '@', quote(host)) = {}", literal(name)),
    };
    if session.first::<u64>(&there, doing).await?.is_some_and(|count| count > 0) {
        let same = definition.kind == Kind::Role || {
            let shown: Vec<String> = session.rows(&format!("show create user {name}"), doing).await?;
            shown.first() == Some(&definition.sql)
        };
        if !same {
            restore.note(name, KEPT.to_owned());
        }
        return Ok(());
    }
    session.run(&definition.sql, doing).await?;
    for then in &definition.then {
        session.run(then, doing).await?;
    }
    Ok(())
}

/// What is said of an account that was there.
const KEPT: &str = "was there, with another password or other settings: the account and its rights are left as they are";

impl Restore {
    /// Whether an account is one that was there and is another.
    fn keeps(&self, account: &str) -> bool {
        self.problems.lock().expect("no holder of this lock panics").iter().any(|problem| problem.subject == account && problem.what == KEPT)
    }

    /// Code that names its database by the old name, without the server's quotes, is not ours to change.
    fn warn_of_old_names(&self, definition: &Definition, database: &str) {
        let is_code = !definition.session.is_empty() && definition.kind != Kind::View;
        for old in self.target.rename.keys().filter(|_| is_code) {
            if renamed(&definition.sql, &self.target.rename).contains(&format!("{old}.")) {
                self.note(&subject(definition, database), format!("names the database {old}, which has another name here; look at it"));
            }
        }
    }
}
