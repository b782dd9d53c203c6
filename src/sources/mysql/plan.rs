//! What a snapshot is made of: components, in the stages in which they are restored.

use std::collections::BTreeMap;

use super::{
    catalog::{Database, Table},
    chunk::{chunks, word},
    connect::Server,
    definition::{Definition, Kind},
    dump,
    objects::{Objects, stages},
    readback::Part,
    target::{DATABASES, MAKE, NAMES, VERSION},
};
use crate::sources::{Component, RowDigest, RowKey, Shape};

/// Stages of a restore.
const TABLES: u8 = 0;
const ROWS: u8 = 1;
const KEYS: u8 = 2;
const FOREIGN_KEYS: u8 = 3;
const ROUTINES: u8 = 4;
const VIEWS: u8 = 5;
const TRIGGERS: u8 = 6;
const EVENTS: u8 = 7;
const USERS: u8 = 8;

/// Components in the making.
#[derive(Debug)]
pub(super) struct Plan {
    server: Server,
    row_key: RowKey,
    pub components: Vec<Component>,
    /// The definitions of a component that holds some, with their digest where they are compared after a restore.
    pub definitions: BTreeMap<String, (Vec<Definition>, Option<RowDigest>)>,
}

impl Plan {
    /// Of a snapshot of `server`; nothing yet.
    pub(super) fn new(server: &Server, row_key: RowKey) -> Plan {
        Plan { server: server.clone(), row_key, components: Vec::new(), definitions: BTreeMap::new() }
    }

    fn add(&mut self, name: String, stage: u8, databases: &[&str], definitions: Vec<Definition>, digest: Option<RowDigest>) {
        let databases = serde_json::to_string(databases).expect("names are plain data");
        let named = definitions.iter().filter(|one| matches!(one.kind, Kind::Table | Kind::Sequence | Kind::View));
        let names: Vec<String> = named.map(|one| format!("{}.{}", one.database, one.name)).collect();
        let names = serde_json::to_string(&names).expect("names are plain data");
        let about = [(MAKE, self.server.make.to_string()), (VERSION, self.server.text.clone()), (DATABASES, databases), (NAMES, names)];
        let about = about.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        self.components.push(Component { name: name.clone(), shape: Shape::Stream, stage, about });
        self.definitions.insert(name, (definitions, digest));
    }

    /// Adds a table's rows. `bounds` are the least and the greatest value of the first column of its key, where they are known.
    pub(super) fn rows(&mut self, database: &str, table: &Table, bounds: Option<(i128, i128)>) {
        let chunks = chunks(database, table, bounds);
        self.components.extend(chunks.iter().enumerate().map(|(number, chunk)| chunk.component(number, ROWS)));
    }

    /// Adds everything but rows.
    pub(super) fn definitions(&mut self, databases: &[(Database, Objects)], users: &[Definition]) {
        let key = self.row_key;
        for (database, objects) in databases {
            let (name, in_name) = (database.name.as_str(), word(&database.name));
            // A versioned table may not be altered without a trace; without transactions keys are added row by row anyway.
            let keep_keys = |table: &str| database.tables.iter().any(|one| one.name == table && (one.history || !one.transactional));
            let (base, keys, foreign) = stages(&objects.tables, keep_keys);
            self.add(format!("{}/{in_name}", Part::Tables.word()), TABLES, &[name], base, Some(dump::digest(&objects.tables, key)));
            let mut by_table: BTreeMap<String, Vec<Definition>> = BTreeMap::new();
            for definition in keys {
                by_table.entry(definition.table.clone().unwrap_or_default()).or_default().push(definition);
            }
            for (table, keys) in by_table {
                self.add(format!("keys/{in_name}/{}", word(&table)), KEYS, &[name], keys, None);
            }
            if !foreign.is_empty() {
                self.add(format!("foreign-keys/{in_name}"), FOREIGN_KEYS, &[name], foreign, None);
            }
            let parts = [
                (Part::Routines, ROUTINES, &objects.routines),
                (Part::Triggers, TRIGGERS, &objects.triggers),
                (Part::Events, EVENTS, &objects.events),
            ];
            for (part, stage, definitions) in parts {
                if !definitions.is_empty() {
                    self.add(format!("{}/{in_name}", part.word()), stage, &[name], definitions.clone(), Some(dump::digest(definitions, key)));
                }
            }
        }
        // Views may depend on each other across databases: they are made together.
        let views: Vec<Definition> = databases.iter().flat_map(|(_, objects)| objects.views.clone()).collect();
        if !views.is_empty() {
            let names: Vec<&str> = databases.iter().map(|(database, _)| database.name.as_str()).collect();
            let digest = dump::digest(&views, key);
            self.add(Part::Views.word().to_owned(), VIEWS, &names, views, Some(digest));
        }
        if !users.is_empty() {
            self.add("users".to_owned(), USERS, &[], users.to_vec(), None);
        }
    }
}
