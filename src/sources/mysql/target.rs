//! The server that is restored into: whether it may be written, and what becomes of what is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, atomic::AtomicBool},
};

use super::{
    chunk::Chunk,
    connect::{Role, Server, Session, literal, quote},
    definition::{Definition, Kind},
    dump::Lanes,
    progress::{self, Found},
};
use crate::{
    config::MysqlConfig,
    model::Problem,
    sources::{Component, Loading, Overwrite, RowKey, SourceError, SourceErrorKind, SystemTarget},
};

/// A restore that is under way.
#[derive(Debug)]
pub(super) struct Restore {
    pub config: MysqlConfig,
    pub server: Server,
    pub target: SystemTarget,
    pub row_key: RowKey,
    /// Sessions that load rows.
    pub lanes: Lanes,
    /// Holds the lock of the restore.
    pub control: tokio::sync::Mutex<Session>,
    /// Whether the server takes rows from the client; until it refuses.
    pub infile: AtomicBool,
    /// What a person should know.
    pub problems: Mutex<Vec<Problem>>,
    /// Who had defined what this account had to define itself: by kind, database in the point, and name.
    pub definers: Mutex<BTreeMap<(Kind, String, String), String>>,
}

/// What a component that is not rows says of itself.
pub(super) const MAKE: &str = "make";
pub(super) const VERSION: &str = "version";
pub(super) const DATABASES: &str = "databases";

/// Tables, sequences or views that a component of definitions makes, as `database.name`.
pub(super) const NAMES: &str = "names";

/// The databases that a component's definitions belong to.
pub(super) fn databases(component: &Component) -> Vec<String> {
    listed(component, DATABASES)
}

fn listed(component: &Component, key: &str) -> Vec<String> {
    component.about.get(key).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Whether a database as a whole, or a table of it, is to be restored.
fn wants(target: &SystemTarget, database: &str, table: Option<&str>) -> bool {
    let named = |table: &str| target.select.iter().any(|name| *name == format!("{database}.{table}"));
    target.select.is_empty() || target.select.iter().any(|name| name == database) || table.is_some_and(named)
}

/// Whether part of a component is to be restored. Accounts are, when everything is, under its own name.
pub(super) fn is_selected(component: &Component, target: &SystemTarget) -> bool {
    if let Ok(Some(chunk)) = Chunk::of(component) {
        return wants(target, &chunk.database, Some(&chunk.table));
    }
    let databases = databases(component);
    let within = |database: &String| wants(target, database, None) || target.select.iter().any(|name| name.starts_with(&format!("{database}.")));
    if databases.is_empty() { target.select.is_empty() && target.rename.is_empty() } else { databases.iter().any(within) }
}

impl Restore {
    /// Connects, and makes the target ready: empty where it has to be, with a note of whose restore this is.
    pub(super) async fn begin(config: &MysqlConfig, loading: &Loading, target: &SystemTarget) -> Result<Restore, SourceError> {
        let mut control = Session::open(config, Role::Definitions).await?;
        let server = control.server().await?;
        same_make(&server, &loading.components)?;
        let infile: Option<u8> = control.first("select @@global.local_infile", "ask whether rows may be sent").await?;
        let lock_timeout = config.lock_timeout.as_secs();
        if loading.resumed {
            progress::evict(&mut control, &loading.run).await?;
        }
        progress::lock(&mut control, lock_timeout, &config.address()).await?;
        let mut sessions = Vec::new();
        for _ in 0..config.lanes {
            sessions.push(Session::open(config, Role::Rows).await?);
        }
        let ids: Vec<u32> = std::iter::once(&control).chain(&sessions).map(|session| session.conn.id()).collect();
        let restore = Restore {
            config: config.clone(),
            server,
            target: target.clone(),
            row_key: loading.row_key,
            lanes: Lanes::new(sessions),
            control: tokio::sync::Mutex::new(control),
            infile: AtomicBool::new(infile == Some(1)),
            problems: Mutex::default(),
            definers: Mutex::default(),
        };
        if restore.make_ready(loading).await? {
            progress::register(&mut *restore.control.lock().await, &loading.run, &ids).await?;
        }
        Ok(restore)
    }

    /// Whether anything is left to do in it, and the notes of that are there.
    async fn make_ready(&self, loading: &Loading) -> Result<bool, SourceError> {
        let mut control = self.control.lock().await;
        let found = progress::find(&mut control, &loading.run).await?;
        let all_done = loading.components.iter().all(|component| loading.done.contains(&component.name));
        match found {
            Found::Ready => return Ok(true),
            // It had ended already, but for the comparison.
            Found::Nothing if loading.resumed && all_done => return Ok(false),
            Found::Foreign if self.target.overwrite == Overwrite::Refuse => {
                return Err(SourceError::Unfit {
                    subject: self.config.address(),
                    why: "holds the rest of another restore that did not end".to_owned(),
                    kind: SourceErrorKind::Occupied,
                    hint: Some("resume that restore; or give it up: drop the database hourglass_restore and what it restored"),
                });
            }
            _ => {}
        }
        self.check_selection(loading)?;
        let there = self.there(&mut control, loading).await?;
        if let (Overwrite::Refuse, Some(first)) = (self.target.overwrite, there.first()) {
            let (kind, name) = (first.0.words(), first.1.join("."));
            return Err(SourceError::NotEmpty { path: format!("the {kind} {name} on {}", self.config.address()) });
        }
        progress::start(&mut control, &loading.run).await?;
        for (kind, name) in there {
            let quoted: Vec<String> = name.iter().map(|part| quote(part)).collect();
            let doing = format!("drop the {} {}", kind.words(), name.join("."));
            control.run(&format!("drop {} {}", kind.words(), quoted.join(".")), &doing).await?;
        }
        progress::ready(&mut control).await?;
        Ok(true)
    }

    /// Refuses a selection or a new name of something that the point does not hold.
    fn check_selection(&self, loading: &Loading) -> Result<(), SourceError> {
        let held: BTreeSet<String> = loading.components.iter().flat_map(databases).collect();
        let names: BTreeSet<String> = loading.components.iter().flat_map(|component| listed(component, NAMES)).collect();
        let unknown = self.target.select.iter().find(|name| !held.contains(*name) && !names.contains(*name));
        if let Some(name) = unknown.or_else(|| self.target.rename.keys().find(|name| !held.contains(*name))) {
            return Err(super::unfit(name.clone(), "is not in this recovery point", Some("name a database, or database.table")));
        }
        let mut taken = BTreeSet::new();
        match held.iter().map(|name| self.name(name)).find(|name| !taken.insert(name.clone())) {
            Some(name) => Err(super::unfit(format!("the database {name}"), "would be made of two", Some("give each its own name"))),
            None => Ok(()),
        }
    }

    /// What stands where something will be restored: whole databases that hold anything, or single tables.
    async fn there(&self, control: &mut Session, loading: &Loading) -> Result<Vec<(Kind, Vec<String>)>, SourceError> {
        let doing = "look at what the target holds";
        let mut there = Vec::new();
        let held: BTreeSet<String> = loading.components.iter().flat_map(databases).collect();
        for database in held {
            let name = self.name(&database);
            if self.wants(&database, None) {
                let of = |table: &str, column: &str| format!("(select count(*) from information_schema.{table} where {column} = {})", literal(&name));
                let parts = [of("tables", "table_schema"), of("routines", "routine_schema"), of("events", "event_schema")];
                if control.first::<u64>(&format!("select {}", parts.join(" + ")), doing).await?.is_some_and(|count| count > 0) {
                    there.push((Kind::Database, vec![name]));
                }
                continue;
            }
            let sql = format!("select table_name, table_type from information_schema.tables where table_schema = {}", literal(&name));
            for (table, kind) in control.rows::<(String, String)>(&sql, doing).await? {
                let kind = match kind.as_str() {
                    "VIEW" => Kind::View,
                    "SEQUENCE" => Kind::Sequence,
                    _ => Kind::Table,
                };
                if self.wants(&database, Some(&table)) {
                    there.push((kind, vec![name.clone(), table]));
                }
            }
        }
        Ok(there)
    }

    /// What a database is called in the target.
    pub(super) fn name(&self, database: &str) -> String {
        self.target.rename.get(database).map_or(database, String::as_str).to_owned()
    }

    /// Whether a database as a whole, or a table of it, is to be restored.
    pub(super) fn wants(&self, database: &str, table: Option<&str>) -> bool {
        wants(&self.target, database, table)
    }

    /// Whether a definition is to be restored.
    pub(super) fn wants_definition(&self, definition: &Definition) -> bool {
        let (database, name) = (&definition.database, &definition.name);
        match definition.kind {
            Kind::Role | Kind::User | Kind::Grant => self.target.select.is_empty() && self.target.rename.is_empty(),
            Kind::Database => self.wants(database, None) || self.target.select.iter().any(|one| one.starts_with(&format!("{database}."))),
            Kind::Table | Kind::Sequence | Kind::View => self.wants(database, Some(name)),
            Kind::Key | Kind::ForeignKey | Kind::Trigger => self.wants(database, definition.table.as_deref()),
            Kind::Function | Kind::Procedure | Kind::Package | Kind::PackageBody | Kind::Event => self.wants(database, None),
        }
    }

    /// Notes what a person should know.
    pub(super) fn note(&self, subject: &str, what: String) {
        let mut problems = self.problems.lock().expect("no holder of this lock panics");
        let problem = Problem { subject: subject.to_owned(), what };
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// Ends the restore: its notes in the target go; definers that do not exist are named.
    pub(super) async fn end(&self, databases: &BTreeSet<String>) -> Result<Vec<Problem>, SourceError> {
        let mut control = self.control.lock().await;
        for database in databases {
            self.definers(&mut control, &self.name(database)).await?;
        }
        progress::end(&mut control).await?;
        Ok(self.problems.lock().expect("no holder of this lock panics").clone())
    }

    async fn definers(&self, control: &mut Session, database: &str) -> Result<(), SourceError> {
        let of = |table: &str, column: &str| format!("select definer from information_schema.{table} where {column} = {}", literal(database));
        let all = [of("views", "table_schema"), of("routines", "routine_schema"), of("triggers", "trigger_schema"), of("events", "event_schema")];
        let named: Vec<String> = control.rows(&all.join(" union "), "list the definers").await?;
        let accounts: Result<Vec<(String, String)>, _> =
            control.rows("select cast(user as char), cast(host as char) from mysql.user", "list the accounts").await;
        let Ok(accounts) = accounts else { return Ok(()) };
        let known: BTreeSet<String> = accounts.into_iter().flat_map(|(user, host)| [format!("{user}@{host}"), user]).collect();
        for definer in named.iter().filter(|definer| !known.contains(*definer)) {
            self.note(database, format!("the definer {definer} does not exist here: what it defined will not run until it does"));
        }
        Ok(())
    }
}

/// Definitions of one make are not the other's.
fn same_make(server: &Server, components: &[Component]) -> Result<(), SourceError> {
    let about: BTreeMap<&str, &str> = components.iter().flat_map(|c| c.about.iter().map(|(key, value)| (key.as_str(), value.as_str()))).collect();
    match about.get(MAKE) {
        Some(make) if *make != server.make.to_string() => {
            let why = format!("is {} {}, and the recovery point is of {make}", server.make, server.text);
            Err(super::unfit("the server".to_owned(), &why, Some("restore to a server of the same make")))
        }
        _ => Ok(()),
    }
}
