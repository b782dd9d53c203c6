//! A restore from its beginning to its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    sync::{Arc, Mutex},
};

use tokio::sync::mpsc;

use super::{
    canonical::{NEAR, Vanishing},
    capture::{INDEXES, ROLES, Rows, TABLES},
    connect::{self, Cluster},
    counters::SETTLE,
    cql::path,
    create, differences,
    document::{self, Choice, Collector, Schema},
    error::CassandraError,
    in_place, inspect,
    load::Load,
    lock,
    pipe::{BUFFERS, PipeWriter},
    rights, roles,
    scan::Scan,
};
use crate::{
    config::CassandraConfig,
    model::{Context, Problem},
    sources::{Component, Loading, Overwrite, RowDigest, RowKey, SourceError, StreamSink, SystemTarget},
};

/// A cluster that is being written.
#[derive(Debug)]
pub(super) struct Running {
    cluster: Arc<Cluster>,
    choice: Choice,
    overwrite: Overwrite,
    /// Whether something of the same restore may be there.
    resumed: bool,
    row_key: RowKey,
    notes: Mutex<Vec<Problem>>,
    /// By component that this process wrote.
    vanishing: Mutex<BTreeMap<String, Arc<Vanishing>>>,
}

/// Whether a component belongs to what is asked for. Keyspaces are always created; roles belong to a whole cluster.
pub(super) fn is_selected(component: &Component, target: &SystemTarget) -> bool {
    let choice = Choice { select: target.select.clone(), rename: BTreeMap::new() };
    match Rows::of(component) {
        Ok(rows) => choice.table(&rows.layout.keyspace, &rows.layout.table),
        Err(_) => component.name != ROLES || target.select.is_empty(),
    }
}

impl Running {
    /// Connects, and checks that nothing is there that a restore would mix with.
    pub(super) async fn begin(config: &CassandraConfig, loading: &Loading, target: &SystemTarget, ctx: &Context) -> Result<Running, CassandraError> {
        let cluster = connect::connect(config, &ctx.cancel).await?;
        rights::check_cluster(&cluster).await?;
        let running = Running {
            cluster: Arc::new(cluster),
            choice: Choice { select: target.select.clone(), rename: target.rename.clone() },
            overwrite: if in_place(target) { Overwrite::InPlace } else { Overwrite::Refuse },
            resumed: loading.resumed,
            row_key: loading.row_key,
            notes: Mutex::new(Vec::new()),
            vanishing: Mutex::new(BTreeMap::new()),
        };
        if loading.resumed {
            // What a killed process has sent may still arrive.
            tokio::time::sleep(SETTLE).await;
        } else if !in_place(target) {
            running.check_empty(&loading.components).await?;
        }
        Ok(running)
    }

    async fn check_empty(&self, components: &[Component]) -> Result<(), CassandraError> {
        let mut tables = BTreeSet::new();
        for component in components.iter().filter(|component| component.about.contains_key("layout")) {
            let rows = Rows::of(component)?;
            if self.choice.table(&rows.layout.keyspace, &rows.layout.table) {
                tables.insert((self.choice.renamed(&rows.layout.keyspace).to_owned(), rows.layout.table));
            }
        }
        let keyspaces = inspect::keyspaces(&self.cluster, |name| tables.iter().any(|(keyspace, _)| keyspace == name)).await?;
        for (keyspace, table) in keyspaces.iter().flat_map(|keyspace| keyspace.tables.iter().map(|table| (keyspace.name.clone(), table.name.clone())))
        {
            if tables.contains(&(keyspace.clone(), table.clone())) {
                let rows = self.cluster.rows(&format!("SELECT * FROM {} LIMIT 1", path(&keyspace, &table)), ()).await?;
                if rows.iter().next().is_some() {
                    return Err(CassandraError::Occupied { table: format!("{keyspace}.{table}") });
                }
            }
        }
        Ok(())
    }

    /// Begins to write a component.
    pub(super) fn sink(self: Arc<Self>, component: &Component, ctx: &Context) -> Result<StreamSink, CassandraError> {
        if matches!(component.name.as_str(), TABLES | INDEXES | ROLES) {
            let collector = Collector::default();
            let (taken, name, runtime) = (collector.clone(), component.name.clone(), tokio::runtime::Handle::current());
            return Ok(StreamSink::new(collector, move || {
                let notes = runtime.block_on(self.document(&name, &taken.take()))?;
                lock(&self.notes).extend(notes);
                Ok(())
            }));
        }
        let mut rows = Rows::of(component)?;
        if !self.choice.table(&rows.layout.keyspace, &rows.layout.table) {
            return Ok(StreamSink::new(io::sink(), || Ok(())));
        }
        rows.layout.keyspace = self.choice.renamed(&rows.layout.keyspace).to_owned();
        let load = Load {
            cluster: self.cluster.clone(),
            layout: Arc::new(rows.layout),
            row_key: self.row_key,
            again: self.resumed,
            clock: ctx.clock.clone(),
        };
        let (sender, receiver) = mpsc::channel(BUFFERS);
        let runtime = tokio::runtime::Handle::current();
        let task = runtime.spawn(load.run(receiver));
        let name = component.name.clone();
        Ok(StreamSink::new(PipeWriter(sender), move || {
            let ended = runtime.block_on(task).map_err(|_| CassandraError::Cluster("a writer has vanished".to_owned()));
            let loaded = ended.and_then(|ended| ended)?;
            lock(&self.vanishing).insert(name, Arc::new(loaded.vanishing));
            Ok(())
        }))
    }

    async fn document(&self, name: &str, bytes: &[u8]) -> Result<Vec<Problem>, CassandraError> {
        match name {
            TABLES => create::tables(&self.cluster, &self.schema(bytes)?, &self.choice, self.overwrite).await,
            INDEXES => create::indexes(&self.cluster, &self.schema(bytes)?, &self.choice).await,
            _ if self.cluster.config.skip_roles || !self.choice.select.is_empty() => {
                Ok(vec![Problem { subject: "roles".to_owned(), what: "they were left as the target has them".to_owned() }])
            }
            _ => roles::write(&self.cluster, &document::decode(bytes, document::ROLES)?, &self.choice).await,
        }
    }

    fn schema(&self, bytes: &[u8]) -> Result<Schema, CassandraError> {
        document::decode(bytes, document::SCHEMA)
    }

    /// Ends the writing. Says what a person should know.
    pub(super) fn end(&self) -> Vec<Problem> {
        lock(&self.notes).clone()
    }

    /// The scan of what the target has of a component; `None` for what has no rows.
    pub(super) fn scan(&self, component: &Component, keep: bool, ctx: &Context) -> Result<Option<Scan>, CassandraError> {
        if !component.about.contains_key("layout") {
            return Ok(None);
        }
        let mut rows = Rows::of(component)?;
        if !self.choice.table(&rows.layout.keyspace, &rows.layout.table) {
            return Ok(None);
        }
        rows.layout.keyspace = self.choice.renamed(&rows.layout.keyspace).to_owned();
        Ok(Some(Scan {
            cluster: self.cluster.clone(),
            layout: Arc::new(rows.layout),
            range: rows.range,
            pieces: rows.pieces,
            row_key: self.row_key,
            keep,
            vanishing: lock(&self.vanishing).get(&component.name).cloned(),
            clock: ctx.clock.clone(),
        }))
    }

    /// The digest of what the target has, and of what has vanished from it as it should.
    pub(super) async fn read_back(&self, component: &Component, ctx: &Context) -> Result<Option<RowDigest>, CassandraError> {
        let Some(scan) = self.scan(component, false, ctx)? else { return Ok(None) };
        let vanishing = scan.vanishing.clone();
        let scanned = scan.run(None).await?;
        let digest = scanned.digest;
        Ok(match vanishing {
            Some(vanishing) if vanishing.overflowed || ctx.clock.now().as_second() > vanishing.since + NEAR => {
                // More cells than can be remembered may have expired since.
                None
            }
            Some(vanishing) => Some(digest.plus(vanishing.digest())),
            // Another process wrote it, and which of its cells have expired is not known.
            None if scanned.expiring => None,
            None => Some(digest),
        })
    }

    /// What differs, row by row.
    pub(super) fn differences(&self, component: &Component, saved: &mut (dyn Read + Send), ctx: &Context) -> Result<Vec<Problem>, SourceError> {
        let Some(scan) = self.scan(component, true, ctx)? else { return Ok(Vec::new()) };
        differences::find(scan, saved, ctx)
    }
}
