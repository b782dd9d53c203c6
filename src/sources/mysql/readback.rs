//! Comparing: the digest of what the target holds, and the rows that differ.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::BuildHasher,
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
};

use super::{
    catalog,
    chunk::Chunk,
    connect::{Role, Session, quote},
    definition::{Definition, Kind, definer, renamed, split},
    dump::{digest, lines},
    line,
    objects::{Objects, objects},
    target::{Restore, VERSION, databases},
};
use crate::{
    model::Problem,
    sources::{Component, RowDigest, SourceError},
};

/// Most rows that are named.
const NAMED: usize = 20;

/// Most rows whose hashes are held in memory.
const HELD: usize = 2_000_000;

/// The digest of a chunk's rows as the target holds them.
pub(super) async fn rows(restore: &Restore, chunk: &Chunk) -> Result<Option<RowDigest>, SourceError> {
    if !restore.wants(&chunk.database, Some(&chunk.table)) {
        return Ok(None);
    }
    let database = restore.name(&chunk.database);
    let mut digester = restore.row_key.digester();
    let mut lane = restore.lanes.take().await?;
    let (select, subject) = (chunk.select(&database, restore.server.make), format!("{database}.{}", chunk.table));
    lines(lane.session(), &select, &subject, None, |line| digester.row(line)).await?;
    lane.give();
    Ok(Some(digester.digest()))
}

/// The digest of a component's definitions as the target holds them; `None` where they cannot be the same text: another version, or only
/// part of them was restored.
pub(super) async fn definitions(restore: &Restore, component: &Component) -> Result<Option<RowDigest>, SourceError> {
    let other_version = component.about.get(VERSION) != Some(&restore.server.text);
    let in_part = |name: &String| !restore.wants(name, None);
    if other_version || databases(component).iter().any(in_part) {
        return Ok(None);
    }
    Ok(found(restore, component).await?.map(|found| digest(&found, restore.row_key)))
}

/// A component's definitions as the target holds them; `None` when it holds something else than a database's definitions.
async fn found(restore: &Restore, component: &Component) -> Result<Option<Vec<Definition>>, SourceError> {
    let Some(part) = Part::of(component) else { return Ok(None) };
    let mut session = Session::open(&restore.config, Role::Definitions).await?;
    let mut found: Vec<Definition> = Vec::new();
    for name in databases(component) {
        let database = catalog::database(&mut session, &restore.server, &restore.name(&name)).await?;
        let definitions = part.take(objects(&mut session, &database).await?).into_iter();
        found.extend(definitions.map(|definition| restore.under_its_definer(under_old_names(definition, &name, &restore.target.rename))));
    }
    session.end().await;
    Ok(Some(found))
}

/// The definitions that differ between a component as it was saved and as the target holds it.
pub(super) async fn different_definitions(
    restore: &Restore,
    component: &Component,
    saved: &mut (dyn Read + Send),
) -> Result<Vec<Problem>, SourceError> {
    // What was saved of a table is without the keys that come later.
    let base = |mut definition: Definition| {
        if definition.kind == Kind::Table {
            definition.sql = split(&definition.sql, false).table;
        }
        ((definition.kind, definition.database.clone(), definition.name.clone()), definition.canonical())
    };
    let odd = |error| super::unfit(format!("the component {}", component.name), &format!("holds no definition: {error}"), None);
    let saved: Result<Vec<Definition>, _> = serde_json::Deserializer::from_reader(saved).into_iter().collect();
    let saved: BTreeMap<_, _> = saved.map_err(odd)?.into_iter().filter(|definition| !definition.invalid).map(base).collect();
    let found: BTreeMap<_, _> = found(restore, component).await?.unwrap_or_default().into_iter().map(base).collect();
    let missing = saved.iter().filter(|(name, text)| found.get(*name) != Some(*text)).map(|(name, _)| name);
    let named = missing.chain(found.keys().filter(|name| !saved.contains_key(*name))).take(NAMED);
    let problem = |(kind, database, name): &(Kind, String, String)| Problem {
        subject: format!("{database}.{name}"),
        what: format!("the {} is not defined as it was saved", kind.words()),
    };
    let problems: Vec<Problem> = named.map(problem).collect();
    let keys = || Problem { subject: component.name.clone(), what: "a key or a foreign key is not as it was saved".to_owned() };
    Ok(if problems.is_empty() { vec![keys()] } else { problems })
}

impl Restore {
    /// A definition as it was before this account had to define it itself, which was told.
    fn under_its_definer(&self, mut definition: Definition) -> Definition {
        let key = (definition.kind, definition.database.clone(), definition.name.clone());
        let definers = self.definers.lock().expect("no holder of this lock panics");
        if let (Some(named), Some(own)) = (definers.get(&key), definer(&definition.sql)) {
            definition.sql = definition.sql.replacen(&format!("DEFINER={own}"), &format!("DEFINER={named}"), 1);
        }
        definition
    }
}

/// A definition as it was before its database, and those that it names, got other names.
fn under_old_names(mut definition: Definition, database: &str, rename: &BTreeMap<String, String>) -> Definition {
    if definition.kind == Kind::Database {
        definition.sql = definition.sql.replacen(&quote(&definition.name), &quote(database), 1);
        definition.name = database.to_owned();
    }
    let back: BTreeMap<String, String> = rename.iter().map(|(old, new)| (new.clone(), old.clone())).collect();
    definition.sql = renamed(&definition.sql, &back);
    definition.database = database.to_owned();
    definition
}

/// Which of a database's definitions a component holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Tables,
    Routines,
    Views,
    Triggers,
    Events,
}

impl Part {
    /// The first word of its components' names.
    pub(super) fn word(self) -> &'static str {
        match self {
            Part::Tables => "schema",
            Part::Routines => "routines",
            Part::Views => "views",
            Part::Triggers => "triggers",
            Part::Events => "events",
        }
    }

    fn of(component: &Component) -> Option<Part> {
        let word = component.name.split('/').next();
        [Part::Tables, Part::Routines, Part::Views, Part::Triggers, Part::Events].into_iter().find(|part| word == Some(part.word()))
    }

    /// These of a database's definitions.
    pub(super) fn take(self, objects: Objects) -> Vec<Definition> {
        match self {
            Part::Tables => objects.tables,
            Part::Routines => objects.routines,
            Part::Views => objects.views,
            Part::Triggers => objects.triggers,
            Part::Events => objects.events,
        }
    }
}

/// How often a row, by its hash, is in the target and not yet found in the point.
struct Held<S> {
    counts: HashMap<u64, i64>,
    hasher: S,
}

impl<S: BuildHasher> Held<S> {
    fn count(&mut self, line: &[u8]) -> &mut i64 {
        self.counts.entry(self.hasher.hash_one(line)).or_insert(0)
    }
}

/// The rows that differ between a chunk as it was saved and as the target holds it, by table and key.
pub(super) async fn differences(restore: &Restore, chunk: &Chunk, saved: &mut (dyn Read + Send)) -> Result<Vec<Problem>, SourceError> {
    let spool = |source| SourceError::Io { doing: "keep rows in", path: "a temporary file".to_owned(), source };
    let mut kept = tempfile::tempfile().map_err(spool)?;
    std::io::copy(saved, &mut kept).map_err(spool)?;
    kept.flush().map_err(spool)?;
    kept.seek(SeekFrom::Start(0)).map_err(spool)?;

    let database = restore.name(&chunk.database);
    let subject = format!("{database}.{}", chunk.table);
    let select = chunk.select(&database, restore.server.make);
    let mut held = Held { counts: HashMap::new(), hasher: std::hash::RandomState::new() };
    let mut lane = restore.lanes.take().await?;
    let count = |line: &[u8]| {
        if held.counts.len() < HELD {
            *held.count(line) += 1;
        }
    };
    lines(lane.session(), &select, &subject, None, count).await?;
    if held.counts.len() >= HELD {
        lane.give();
        return Ok(vec![Problem { subject, what: "differs; it has too many rows in one part for naming them".to_owned() }]);
    }
    let positions = chunk.key_positions();
    let mut keys = BTreeSet::new();
    for row in BufReader::new(kept).split(b'\n') {
        let row = row.map_err(spool)?;
        let left = held.count(&row);
        *left -= 1;
        if *left < 0 && keys.len() < NAMED {
            keys.insert(key(&positions, chunk, &row));
        }
    }
    let extra = |line: &[u8]| {
        let left = held.count(line);
        if *left > 0 && keys.len() < NAMED {
            *left -= 1;
            keys.insert(key(&positions, chunk, line));
        }
    };
    lines(lane.session(), &select, &subject, None, extra).await?;
    lane.give();
    Ok(keys.into_iter().map(|key| Problem { subject: subject.clone(), what: format!("the row {key} is not as it was saved") }).collect())
}

/// A row's key for people; the whole row where its table has none.
fn key(positions: &[usize], chunk: &Chunk, row: &[u8]) -> String {
    let fields: Vec<&[u8]> = line::fields(row).collect();
    let named = |position: &usize| Some(format!("{} = {}", chunk.columns.get(*position)?.name, line::shown(fields.get(*position)?)));
    let all: Vec<usize> = (0..chunk.columns.len()).collect();
    let positions = if positions.is_empty() { &all } else { positions };
    positions.iter().filter_map(named).collect::<Vec<_>>().join(", ")
}
