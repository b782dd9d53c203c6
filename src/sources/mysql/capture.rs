//! A capture: what is read before the moment of the point, the snapshot, and its components.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    catalog::{self, Database},
    chunk::Chunk,
    connect::{Make, Role, Server, Session, quote},
    definition::Definition,
    dump::{self, Lanes},
    objects::{Objects, objects},
    plan::Plan,
    rights::Rights,
    snapshot,
    users::users,
};
use crate::{
    config::MysqlConfig,
    model::{Context, Problem, Timestamp},
    sources::{CaptureEnd, Component, Opening, RowDigest, RowKey, SourceError, StreamCapture},
};

/// How often a snapshot is opened anew because definitions were changed at the same time.
const ATTEMPTS: u32 = 3;

/// Everything but rows.
#[derive(Debug, Default)]
struct Catalog {
    databases: Vec<(Database, Objects)>,
    users: Vec<Definition>,
    /// Accounts that the server itself does not know.
    unknown: Vec<String>,
}

impl Catalog {
    async fn read(session: &mut Session, server: &Server, config: &MysqlConfig) -> Result<Catalog, SourceError> {
        let mut catalog = Catalog::default();
        for name in catalog::databases(session, config).await? {
            let database = catalog::database(session, server, &name).await?;
            let objects = objects(session, &database).await?;
            catalog.databases.push((database, objects));
        }
        if config.users {
            (catalog.users, catalog.unknown) = users(session, server).await?;
        }
        Ok(catalog)
    }

    /// Whether both define the same.
    fn same(&self, other: &Catalog, key: RowKey) -> bool {
        let all = |catalog: &Catalog| {
            let parts = |objects: &Objects| {
                [&objects.tables, &objects.routines, &objects.views, &objects.triggers, &objects.events].map(|part| dump::digest(part, key))
            };
            let databases: Vec<_> = catalog.databases.iter().map(|(database, objects)| (database.name.clone(), parts(objects))).collect();
            (databases, dump::digest(&catalog.users, key))
        };
        all(self) == all(other)
    }

    fn tables(&self) -> Vec<(String, String)> {
        let of =
            |(database, _): &(Database, Objects)| database.tables.iter().map(|table| (database.name.clone(), table.name.clone())).collect::<Vec<_>>();
        self.databases.iter().flat_map(of).collect()
    }
}

/// Connected, and allowed to see everything.
#[derive(Debug)]
pub(super) struct Prepared {
    control: Session,
    lanes: Vec<Session>,
    server: Server,
    catalog: Catalog,
}

impl Prepared {
    pub(super) async fn new(config: &MysqlConfig) -> Result<Prepared, SourceError> {
        let mut control = Session::open(config, Role::Definitions).await?;
        let server = control.server().await?;
        Rights::read(&mut control, &server).await?.check(config)?;
        let lanes = snapshot::lanes(config).await?;
        let catalog = Catalog::read(&mut control, &server, config).await?;
        Ok(Prepared { control, lanes, server, catalog })
    }

    /// Opens the snapshot. The definitions are read before it and after it: when they are the same, they are those of the snapshot.
    pub(super) async fn open(mut self, config: &MysqlConfig, opening: &Opening, ctx: &Context) -> Result<Opened, SourceError> {
        if self.server.is(Make::MySql, (8, 0, 0)) {
            // Keeps definitions as they are until the end. Without the right to it, a table that is changed meanwhile fails the capture.
            let wait = config.lock_timeout.as_secs().max(1);
            self.control.run(&format!("set session lock_wait_timeout = {wait}"), "set up the session").await?;
            let _where_allowed = self.control.run("lock instance for backup", "keep definitions as they are").await;
        }
        let mut attempt = 1;
        let mut snapshot = loop {
            let snapshot = snapshot::open(&mut self.control, self.lanes, &self.server, &self.catalog.tables(), config, ctx).await?;
            let catalog = Catalog::read(&mut self.control, &self.server, config).await?;
            if self.catalog.same(&catalog, opening.row_key) {
                break snapshot;
            }
            if attempt == ATTEMPTS {
                return Err(super::unfit(
                    "the server".to_owned(),
                    "has definitions that keep changing",
                    Some("capture when no migration is running"),
                ));
            }
            (self.lanes, self.catalog, attempt) = (snapshot.lanes, catalog, attempt + 1);
        };
        let mut plan = Plan::new(&self.server, opening.row_key);
        let mut notes = notes(&self.catalog, config);
        let mut mixed = false;
        plan.definitions(&self.catalog.databases, &self.catalog.users);
        for (database, _) in &self.catalog.databases {
            for table in &database.tables {
                mixed |= !table.transactional;
                let bounds = if table.wants_chunks() { bounds(&mut snapshot.lanes[0], &database.name, table).await? } else { None };
                plan.rows(&database.name, table, bounds);
            }
        }
        notes.extend(snapshot.notes);
        Ok(Opened {
            server: self.server,
            control: tokio::sync::Mutex::new(Some(self.control)),
            lanes: Lanes::new(snapshot.lanes),
            span: snapshot.span,
            mixed,
            position: snapshot.position,
            row_key: opening.row_key,
            components: plan.components,
            definitions: plan.definitions,
            notes,
        })
    }
}

/// The least and greatest value of the first column of a table's key.
async fn bounds(session: &mut Session, database: &str, table: &catalog::Table) -> Result<Option<(i128, i128)>, SourceError> {
    let column = quote(&table.key[0]);
    let sql = format!("select cast(min({column}) as char), cast(max({column}) as char) from {}.{}", quote(database), quote(&table.name));
    let doing = format!("read the bounds of {database}.{}", table.name);
    session.run("savepoint hourglass", &doing).await?;
    let row: Option<(Option<String>, Option<String>)> = session.first(&sql, &doing).await?;
    session.run("rollback to savepoint hourglass", &doing).await?;
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
    Ok(row.and_then(|(least, greatest)| number(least).zip(number(greatest))))
}

/// What cannot be preserved, and what a person should know.
fn notes(catalog: &Catalog, config: &MysqlConfig) -> Vec<Problem> {
    let mut notes = Vec::new();
    let mut note = |subject: String, what: &str| notes.push(Problem { subject, what: what.to_owned() });
    for (database, objects) in &catalog.databases {
        for view in objects.views.iter().filter(|view| view.invalid) {
            note(
                format!("{}.{}", database.name, view.name),
                "the view refers to something that does not exist: it is kept, and cannot be made again",
            );
        }
        for table in database.tables.iter().filter(|table| !table.transactional) {
            let what =
                format!("its engine, {}, knows no transactions: its rows are of the time when they were read, not of the snapshot", table.engine);
            note(format!("{}.{}", database.name, table.name), &what);
        }
    }
    for account in &catalog.unknown {
        note(account.clone(), "the account stands in the server's table, and the server does not know it (skip_name_resolve): it was not captured");
    }
    if config.tls.is_none() && config.socket.is_none() {
        note(config.address(), "the connection was not encrypted");
    }
    if !config.users {
        note(config.address(), "users, roles and grants were not captured");
    }
    notes
}

/// A snapshot with its components.
#[derive(Debug)]
pub(super) struct Opened {
    server: Server,
    control: tokio::sync::Mutex<Option<Session>>,
    lanes: Lanes,
    span: (Timestamp, Timestamp),
    /// Whether there are tables without transactions, whose rows are of the time when they are read.
    mixed: bool,
    position: BTreeMap<String, String>,
    row_key: RowKey,
    components: Vec<Component>,
    definitions: BTreeMap<String, (Vec<Definition>, Option<RowDigest>)>,
    notes: Vec<Problem>,
}

impl Opened {
    pub(super) fn components(&self) -> Vec<Component> {
        self.components.clone()
    }

    pub(super) fn capture(&self, component: &Component, handle: &tokio::runtime::Handle, ctx: &Context) -> Result<StreamCapture, SourceError> {
        if let Some((definitions, digest)) = self.definitions.get(&component.name) {
            return Ok(dump::definitions(definitions, *digest, self.span));
        }
        let chunk =
            Chunk::of(component)?.ok_or_else(|| super::unfit(format!("the component {}", component.name), "is not of this snapshot", None))?;
        let clock = (!chunk.transactional).then(|| Arc::clone(&ctx.clock));
        Ok(dump::rows(&self.lanes, chunk, self.server.make, self.row_key, self.span, clock, handle))
    }

    /// Ends all sessions.
    pub(super) async fn close(&self) -> CaptureEnd {
        self.lanes.end().await;
        if let Some(control) = self.control.lock().await.take() {
            control.end().await;
        }
        CaptureEnd {
            consistent: (!self.mixed).then_some(self.span),
            position: self.position.clone(),
            versions: BTreeMap::from([(self.server.make.to_string(), self.server.text.clone())]),
            problems: Vec::new(),
            notes: self.notes.clone(),
        }
    }
}
