//! Cassandra clusters, logically: what CQL shows of them, cell by cell. Format of what is stored: docs/format/source-cassandra.md.

mod answers;
mod canonical;
mod capture;
mod cells;
mod connect;
mod counters;
mod cql;
mod create;
mod ddl;
mod differences;
mod document;
pub mod error;
mod inspect;
mod inspect_old;
mod java_types;
mod judge;
mod layout;
mod life;
mod load;
mod parts;
mod pipe;
mod ranges;
mod replication;
mod restore;
mod rights;
mod roles;
mod rowform;
mod scan;
mod schema;
mod statements;
mod tls;
mod values;

use std::{
    future::Future,
    io::Read,
    sync::{Arc, Mutex, MutexGuard},
};

pub use error::CassandraError;

use super::{
    Capture, CaptureEnd, Component, Existing, Loading, Opening, Overwrite, RowDigest, Sink, Source, SourceError, StreamSink, SystemTarget, Target,
    existing::{self, ThingKind},
};
use crate::{
    config::CassandraConfig,
    model::{Context, Problem},
};

/// A Cassandra cluster.
#[derive(Debug)]
pub struct CassandraSource {
    config: CassandraConfig,
    capture: Mutex<Option<Arc<capture::Running>>>,
    restore: Mutex<Option<Arc<restore::Running>>>,
}

impl CassandraSource {
    /// The cluster that a configuration describes. Nothing is connected yet.
    pub fn new(config: CassandraConfig) -> CassandraSource {
        CassandraSource { config, capture: Mutex::new(None), restore: Mutex::new(None) }
    }

    fn capturing(&self) -> Result<Arc<capture::Running>, CassandraError> {
        lock(&self.capture).clone().ok_or(CassandraError::NotOpen)
    }

    fn restoring(&self) -> Result<Arc<restore::Running>, CassandraError> {
        lock(&self.restore).clone().ok_or(CassandraError::NotOpen)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

/// Runs a future on the runtime that called us on one of its blocking threads, until the run is stopped.
fn wait<T>(ctx: &Context, future: impl Future<Output = Result<T, CassandraError>>) -> Result<T, SourceError> {
    let cancel = ctx.cancel.clone();
    let stoppable = async move {
        tokio::select! {
            done = future => done,
            () = cancel.stopped() => Err(CassandraError::Cancelled),
        }
    };
    tokio::runtime::Handle::current().block_on(stoppable).map_err(SourceError::from)
}

impl Source for CassandraSource {
    fn kind(&self) -> &'static str {
        "cassandra"
    }

    fn lanes(&self) -> usize {
        self.config.lanes
    }

    fn prepare(&self, ctx: &Context) -> Result<(), SourceError> {
        let running = wait(ctx, capture::Running::prepare(&self.config, ctx))?;
        *lock(&self.capture) = Some(Arc::new(running));
        Ok(())
    }

    fn existing(&self, ctx: &Context) -> Result<Existing, SourceError> {
        let names = wait(ctx, async { inspect::names(&connect::connect(&self.config, &ctx.cancel).await?).await })?;
        let names = names.into_iter().filter(|name| !inspect::is_own(name));
        let mut found = Existing::of(ThingKind::Keyspace, names, |name| self.config.keyspaces.holds(name), "keyspaces leave it out");
        for thing in &mut found.things {
            if self.config.keyspaces.holds(&thing.name) && !self.config.keyspaces.holds_rows(&thing.name) {
                thing.capture = existing::Capture::Left("its schema is captured, and its rows are not (schema_only)".to_owned());
            }
        }
        Ok(found)
    }

    fn open(&self, opening: &Opening, ctx: &Context) -> Result<Vec<Component>, SourceError> {
        if lock(&self.capture).is_none() {
            self.prepare(ctx)?;
        }
        let running = self.capturing()?;
        wait(ctx, running.open(opening, ctx))
    }

    fn capture(&self, component: &Component, ctx: &Context) -> Result<Capture, SourceError> {
        Ok(Capture::Stream(self.capturing()?.component(component, ctx)?))
    }

    fn close(&self, ctx: &Context) -> Result<CaptureEnd, SourceError> {
        let Some(running) = lock(&self.capture).take() else { return Ok(CaptureEnd::default()) };
        wait(ctx, running.close(ctx))
    }

    fn begin(&self, loading: &Loading, target: &SystemTarget, ctx: &Context) -> Result<(), SourceError> {
        let running = wait(ctx, restore::Running::begin(&self.config, loading, target, ctx))?;
        *lock(&self.restore) = Some(Arc::new(running));
        Ok(())
    }

    fn is_selected(&self, component: &Component, target: &SystemTarget) -> bool {
        restore::is_selected(component, target)
    }

    fn sink(&self, component: &Component, target: &Target, ctx: &Context) -> Result<Sink, SourceError> {
        match target {
            Target::Directory { path, overwrite } => Ok(Sink::Stream(StreamSink::file(path, &component.name, *overwrite)?)),
            Target::System(_) => Ok(Sink::Stream(self.restoring()?.sink(component, ctx)?)),
        }
    }

    fn end(&self, _ctx: &Context) -> Result<Vec<Problem>, SourceError> {
        Ok(self.restoring()?.end())
    }

    fn read_back(&self, component: &Component, ctx: &Context) -> Result<Option<RowDigest>, SourceError> {
        let running = self.restoring()?;
        wait(ctx, running.read_back(component, ctx))
    }

    fn differences(&self, component: &Component, saved: &mut (dyn Read + Send), ctx: &Context) -> Result<Vec<Problem>, SourceError> {
        self.restoring()?.differences(component, saved, ctx)
    }
}

/// How a cluster that is a target is treated; kept beside the choice of what is restored.
pub(super) fn in_place(target: &SystemTarget) -> bool {
    target.overwrite == Overwrite::InPlace
}
