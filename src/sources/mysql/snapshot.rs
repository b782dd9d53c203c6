//! One consistent snapshot over several sessions, by the best way that server and rights allow.

use std::{collections::BTreeMap, time::Duration};

use futures::future::{join_all, try_join_all};

use super::{
    connect::{Make, Role, Server, Session, code, quote},
    rights::is_missing_right,
};
use crate::{
    config::MysqlConfig,
    model::{Context, Problem, Timestamp},
    sources::{SourceError, SourceErrorKind},
};

/// How often a lock is tried before the capture fails.
const ATTEMPTS: u32 = 3;

/// How often sessions are opened without a lock in the hope that nothing is committed between them.
const MATCHES: u32 = 200;

/// Statement that opens a snapshot.
const OPEN: &str = "start transaction with consistent snapshot, read only";

/// A snapshot that is open.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Sessions that all see the same; at least one.
    pub lanes: Vec<Session>,
    /// The instant, or the span in which it lies.
    pub span: (Timestamp, Timestamp),
    /// Where the server's log stood.
    pub position: BTreeMap<String, String>,
    /// What a person should know of how it was made.
    pub notes: Vec<Problem>,
}

/// The way in which sessions are made to see the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    BackupStage,
    GlobalReadLock,
    Match,
    LockTables,
    OneSession,
}

/// Makes sessions ready for a snapshot.
pub(super) async fn lanes(config: &MysqlConfig) -> Result<Vec<Session>, SourceError> {
    let lane = || async {
        let mut session = Session::open(config, Role::Rows).await?;
        session.run("set session transaction isolation level repeatable read", "set up the session").await?;
        Ok(session)
    };
    try_join_all((0..config.lanes).map(|_| lane())).await
}

/// Opens the snapshot on `lanes`. `control` takes the locks, and has let go of them when this returns. `tables` are those that are locked
/// one by one where nothing better is allowed.
pub(super) async fn open(
    control: &mut Session,
    mut lanes: Vec<Session>,
    server: &Server,
    tables: &[(String, String)],
    config: &MysqlConfig,
    ctx: &Context,
) -> Result<Snapshot, SourceError> {
    let ways: &[Way] = match server.make {
        Make::MariaDb if server.version >= (10, 5, 0) => &[Way::BackupStage, Way::GlobalReadLock, Way::Match, Way::LockTables, Way::OneSession],
        Make::MariaDb => &[Way::GlobalReadLock, Way::Match, Way::LockTables, Way::OneSession],
        Make::MySql => &[Way::GlobalReadLock, Way::LockTables, Way::OneSession],
    };
    let wait = config.lock_timeout.as_secs().max(1);
    // A session that has vanished without a word lets go of its locks soon.
    control.run(&format!("set session lock_wait_timeout = {wait}, wait_timeout = 60"), "set up the session").await?;
    let mut notes = Vec::new();
    for way in ways {
        let opened = attempt(*way, control, &mut lanes, tables, ctx).await;
        let _released = release(*way, control).await;
        match opened {
            Ok(Some((span, position))) => {
                control.run("set session wait_timeout = 86400", "set up the session").await?;
                notes.extend(note(*way, &position));
                return Ok(Snapshot { lanes, span, position, notes });
            }
            Ok(None) => {}
            Err(error) if is_missing_right(&error) => tracing::debug!(?way, "not allowed: {error}"),
            Err(error) => return Err(error),
        }
    }
    Err(super::unfit("the server".to_owned(), "lets this account open no snapshot", None))
}

type Opened = ((Timestamp, Timestamp), BTreeMap<String, String>);

/// Tries one way; `None` when it leads nowhere now.
async fn attempt(
    way: Way,
    control: &mut Session,
    lanes: &mut Vec<Session>,
    tables: &[(String, String)],
    ctx: &Context,
) -> Result<Option<Opened>, SourceError> {
    match way {
        Way::BackupStage => {
            locked(control, &["backup stage start", "backup stage block_ddl", "backup stage block_commit"], Some("backup stage end")).await?;
        }
        Way::GlobalReadLock => locked(control, &["flush no_write_to_binlog tables", "flush tables with read lock"], None).await?,
        Way::LockTables if tables.is_empty() => return Ok(None),
        Way::LockTables => {
            let list: Vec<String> = tables.iter().map(|(database, table)| format!("{}.{} read", quote(database), quote(table))).collect();
            locked(control, &[&format!("lock tables {}", list.join(", "))], None).await?;
        }
        Way::Match => return matching(lanes, ctx).await,
        Way::OneSession => {
            for session in lanes.drain(1..) {
                session.end().await;
            }
        }
    }
    let from = ctx.clock.now();
    begin(lanes).await?;
    let to = if way == Way::OneSession { ctx.clock.now() } else { from };
    let position = if way == Way::OneSession { snapshot_position(&mut lanes[0]).await? } else { position(control).await? };
    Ok(Some(((from, to), position)))
}

async fn begin(lanes: &mut [Session]) -> Result<(), SourceError> {
    join_all(lanes.iter_mut().map(|session| session.run(OPEN, "open a snapshot"))).await.into_iter().collect()
}

/// Takes a lock in steps, each of which waits for a bounded time; lets go and begins anew a few times, so that writers get through between.
async fn locked(control: &mut Session, steps: &[&str], undo: Option<&str>) -> Result<(), SourceError> {
    let mut attempt = 1;
    loop {
        let mut taken = Ok(());
        for step in steps {
            taken = control.run(step, "take the lock under which the snapshot opens").await;
            if taken.is_err() {
                break;
            }
        }
        match taken {
            Err(error) if matches!(error_kind(&error), Some(1205 | 1213)) && attempt < ATTEMPTS => {
                if let Some(undo) = undo {
                    let _nothing_was_held = control.run(undo, "let go of a lock").await;
                }
                tokio::time::sleep(Duration::from_millis(500) * attempt).await;
                attempt += 1;
            }
            other => return other,
        }
    }
}

fn error_kind(error: &SourceError) -> Option<u16> {
    code(error).or_else(|| (error.kind() == SourceErrorKind::TimedOut).then_some(1205))
}

/// Lets go of everything that a way may hold.
async fn release(way: Way, control: &mut Session) -> Result<(), SourceError> {
    match way {
        Way::BackupStage => control.run("backup stage end", "let go of a lock").await,
        Way::GlobalReadLock | Way::LockTables => control.run("unlock tables", "let go of a lock").await,
        Way::Match | Way::OneSession => Ok(()),
    }
}

/// Opens all sessions again and again until each says that it stands at the same place of the log: then nothing was committed between them.
async fn matching(lanes: &mut [Session], ctx: &Context) -> Result<Option<Opened>, SourceError> {
    for _ in 0..MATCHES {
        let from = ctx.clock.now();
        begin(lanes).await?;
        let to = ctx.clock.now();
        match common_position(lanes).await? {
            Some(position) if position.is_empty() => return Ok(None),
            Some(position) => return Ok(Some(((from, to), position))),
            None => {}
        }
    }
    Ok(None)
}

/// The place of the log that all sessions name. The server keeps what it answers in one place for everybody while it answers: sessions that
/// ask at the same time may be told each other's. So ours ask one after the other, and a second time, lest somebody else was told ours.
async fn common_position(lanes: &mut [Session]) -> Result<Option<BTreeMap<String, String>>, SourceError> {
    let first = snapshot_position(&mut lanes[0]).await?;
    for _ in 0..2 {
        for session in lanes.iter_mut() {
            if snapshot_position(session).await? != first {
                return Ok(None);
            }
        }
    }
    Ok(Some(first))
}

/// Where the log stood when this session's snapshot opened; empty where the server does not say.
async fn snapshot_position(session: &mut Session) -> Result<BTreeMap<String, String>, SourceError> {
    let rows: Vec<(String, String)> = session.rows("show status like 'binlog_snapshot_%'", "read the position of the snapshot").await?;
    let name = |name: &str| name.to_lowercase().trim_start_matches("binlog_snapshot_").to_owned();
    Ok(rows.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (name(&key), value)).collect())
}

/// Where the log stands now; empty where the account may not know.
async fn position(control: &mut Session) -> Result<BTreeMap<String, String>, SourceError> {
    let mut position = BTreeMap::new();
    let doing = "read the position of the log";
    for sql in ["show master status", "show binary log status"] {
        if let Ok(Some(row)) = control.first::<mysql_async::Row>(sql, doing).await {
            let text = |index: usize| row.get_opt::<String, _>(index).and_then(Result::ok).unwrap_or_default();
            position.extend([("file".to_owned(), text(0)), ("position".to_owned(), text(1))]);
            break;
        }
    }
    for sql in ["select @@global.gtid_binlog_pos", "select @@global.gtid_executed"] {
        if let Ok(Some(gtid)) = control.first::<String>(sql, doing).await {
            position.insert("gtid".to_owned(), gtid.replace('\n', ""));
        }
    }
    position.retain(|_, value| !value.is_empty());
    Ok(position)
}

fn note(way: Way, position: &BTreeMap<String, String>) -> Vec<Problem> {
    let how = match way {
        Way::BackupStage | Way::GlobalReadLock => None,
        Way::Match => Some("the account may not lock (RELOAD): sessions were opened until none had missed a commit of the others"),
        Way::LockTables => Some("the account may not lock the server (RELOAD): every table was locked for reading while the sessions opened"),
        Way::OneSession => Some("the account may lock nothing: one session reads everything, one table after the other"),
    };
    let nowhere =
        position.is_empty().then_some("no position in the binary log is known: it is off, or the account lacks REPLICATION CLIENT (BINLOG MONITOR)");
    let problem = |what: &str| Problem { subject: "snapshot".to_owned(), what: what.to_owned() };
    how.into_iter().chain(nowhere).map(problem).collect()
}
