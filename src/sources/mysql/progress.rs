//! What a restore remembers in its target: which pieces of rows are committed, and whose they are. It lies in a database of its own,
//! which goes when the restore ends.

use super::connect::{Session, code, literal};
use crate::sources::{SourceError, SourceErrorKind};

/// The database.
pub(super) const DATABASE: &str = "hourglass_restore";

/// How far a restore had come when it was taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// There is nothing.
    Nothing,
    /// This restore had begun, but the target was not yet made ready.
    Begun,
    /// This restore had made the target ready.
    Ready,
    /// Another restore was left unfinished.
    Foreign,
}

/// Makes sure that nobody else restores into this server as long as the session lives.
pub(super) async fn lock(session: &mut Session, seconds: u64, address: &str) -> Result<(), SourceError> {
    let sql = format!("select get_lock('{DATABASE}', {seconds})");
    let got: Option<Option<i64>> = session.first(&sql, "take the lock of restores").await?;
    if got.flatten() == Some(1) {
        return Ok(());
    }
    Err(SourceError::Unfit {
        subject: address.to_owned(),
        why: "is being restored into by somebody else".to_owned(),
        kind: SourceErrorKind::Occupied,
        hint: Some("wait for the other restore, or end it"),
    })
}

/// Ends the sessions of an earlier process of the same restore, which may hang somewhere and wake up. Those of others are left alone.
pub(super) async fn evict(session: &mut Session, run: &str) -> Result<(), SourceError> {
    let holder: Option<Option<u64>> = session.first(&format!("select is_used_lock('{DATABASE}')"), "ask who restores").await?;
    let Some(holder) = holder.flatten() else { return Ok(()) };
    let sql = format!("select id from {DATABASE}.sessions where run = {} order by id = {holder}", literal(run));
    // Numbers of sessions begin anew with a server: they are this restore's as long as its first one holds the lock.
    let sessions = session.rows::<u64>(&sql, "list the sessions of an earlier process").await.unwrap_or_default();
    if !sessions.contains(&holder) {
        return Ok(());
    }
    for id in sessions {
        match session.run(&format!("kill {id}"), "end a session of an earlier process").await {
            Err(error) if code(&error) != Some(1094) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Notes which sessions are this process's.
pub(super) async fn register(session: &mut Session, run: &str, ids: &[u32]) -> Result<(), SourceError> {
    let doing = "note the restore's sessions";
    let columns = "id bigint unsigned primary key, run varchar(255) character set utf8mb4 collate utf8mb4_bin not null";
    session.run(&format!("create table if not exists {DATABASE}.sessions ({columns})"), doing).await?;
    let values: Vec<String> = ids.iter().map(|id| format!("({id}, {})", literal(run))).collect();
    session.run(&format!("replace into {DATABASE}.sessions values {}", values.join(", ")), doing).await
}

/// What an earlier process left.
pub(super) async fn find(session: &mut Session, run: &str) -> Result<Found, SourceError> {
    let doing = "look for an unfinished restore";
    let sql = format!("select count(*) from information_schema.schemata where schema_name = '{DATABASE}'");
    if session.first::<u64>(&sql, doing).await? == Some(0) {
        return Ok(Found::Nothing);
    }
    match session.rows::<(String, u8)>(&format!("select id, ready from {DATABASE}.run"), doing).await {
        Ok(rows) if rows.is_empty() => Ok(Found::Begun),
        Ok(rows) => match rows.iter().find(|(id, _)| id == run) {
            Some((_, ready)) => Ok(if *ready > 0 { Found::Ready } else { Found::Begun }),
            None => Ok(Found::Foreign),
        },
        // It ended while it made its tables: nothing was restored.
        Err(error) if code(&error) == Some(1146) => Ok(Found::Begun),
        Err(error) => Err(error),
    }
}

/// Makes the tables, for this restore alone.
pub(super) async fn start(session: &mut Session, run: &str) -> Result<(), SourceError> {
    for sql in [
        format!("drop database if exists {DATABASE}"),
        format!("create database {DATABASE}"),
        format!(
            "create table {DATABASE}.pieces (component varchar(767) character set ascii collate ascii_bin not null, piece bigint unsigned not null, \
             primary key (component, piece)) engine = innodb"
        ),
        format!(
            "create table {DATABASE}.run (id varchar(255) character set utf8mb4 collate utf8mb4_bin primary key, ready tinyint not null) engine = innodb"
        ),
        format!("insert into {DATABASE}.run values ({}, 0)", literal(run)),
    ] {
        session.run(&sql, "make the table of the restore's progress").await?;
    }
    Ok(())
}

/// Notes that the target is ready: what is in it from now on is this restore's.
pub(super) async fn ready(session: &mut Session) -> Result<(), SourceError> {
    session.run(&format!("update {DATABASE}.run set ready = 1"), "note the restore's progress").await
}

/// Marks a piece in the transaction that is open; says no when it is marked already: then it was committed before. Waits for a process
/// of the past that is still at it.
pub(super) async fn mark(session: &mut Session, component: &str, piece: u64) -> Result<bool, SourceError> {
    let sql = format!("insert into {DATABASE}.pieces values ({}, {piece})", literal(component));
    match session.run(&sql, "note the restore's progress").await {
        Ok(()) => Ok(true),
        Err(error) if code(&error) == Some(1062) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Forgets everything: the restore is over.
pub(super) async fn end(session: &mut Session) -> Result<(), SourceError> {
    session.run(&format!("drop database if exists {DATABASE}"), "forget the restore's progress").await
}
