//! MariaDB and MySQL: everything in a server at one instant, over several sessions; and back, in parallel. Formats: docs/format/source-mysql.md.

mod apply;
mod capture;
mod catalog;
mod chunk;
mod connect;
mod definition;
mod dump;
mod line;
mod load;
mod objects;
mod plan;
mod progress;
mod readback;
mod rights;
mod snapshot;
mod target;
mod users;

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Read},
    sync::{Arc, Mutex, OnceLock},
};

use capture::{Opened, Prepared};
use chunk::Chunk;
use connect::{Role, Session};
use target::Restore;
use tokio::runtime::Handle;

use super::{
    Capture, CaptureEnd, Component, Existing, Loading, Opening, RowDigest, Sink, Source, SourceError, SourceErrorKind, StreamSink, SystemTarget,
    Target, existing::ThingKind,
};
use crate::{
    config::MysqlConfig,
    model::{Context, Problem},
};

/// A MariaDB or MySQL server.
pub struct MysqlSource {
    config: MysqlConfig,
    /// Where the sessions' tasks run: that of the first call.
    handle: OnceLock<Handle>,
    prepared: Mutex<Option<Prepared>>,
    opened: Mutex<Option<Arc<Opened>>>,
    restore: Mutex<Option<Arc<Restore>>>,
    /// What is being restored, for its end.
    restored: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for MysqlSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlSource").field("config", &self.config).finish_non_exhaustive()
    }
}

/// An error of something that is not as it has to be.
fn unfit(subject: String, why: &str, hint: Option<&'static str>) -> SourceError {
    SourceError::Unfit { subject, why: why.to_owned(), kind: SourceErrorKind::Failed, hint }
}

/// An error of something that may not be seen.
fn denied(subject: String, why: &str, hint: Option<&'static str>) -> SourceError {
    SourceError::Unfit { subject, why: why.to_owned(), kind: SourceErrorKind::Denied, hint }
}

fn held<T: Clone>(place: &Mutex<Option<T>>, what: &str) -> Result<T, SourceError> {
    let value = place.lock().expect("no holder of this lock panics").clone();
    value.ok_or_else(|| unfit(what.to_owned(), "is not open", None))
}

impl MysqlSource {
    /// The server that a configuration describes. Nothing is read yet.
    pub fn new(config: MysqlConfig) -> MysqlSource {
        MysqlSource {
            config,
            handle: OnceLock::new(),
            prepared: Mutex::default(),
            opened: Mutex::default(),
            restore: Mutex::default(),
            restored: Mutex::default(),
        }
    }

    fn handle(&self) -> &Handle {
        self.handle.get_or_init(Handle::current)
    }

    fn restore(&self) -> Result<Arc<Restore>, SourceError> {
        held(&self.restore, "the restore")
    }
}

impl Source for MysqlSource {
    fn kind(&self) -> &'static str {
        "mysql"
    }

    fn lanes(&self) -> usize {
        self.config.lanes
    }

    fn prepare(&self, _ctx: &Context) -> Result<(), SourceError> {
        let prepared = self.handle().block_on(Prepared::new(&self.config))?;
        *self.prepared.lock().expect("no holder of this lock panics") = Some(prepared);
        Ok(())
    }

    fn existing(&self, _ctx: &Context) -> Result<Existing, SourceError> {
        self.handle().block_on(async {
            let mut session = Session::open(&self.config, Role::Definitions).await?;
            let names = catalog::names(&mut session).await;
            session.end().await;
            let is_own = |name: &String| catalog::OWN.contains(&name.to_lowercase().as_str());
            let names = names?.into_iter().filter(|name| !is_own(name));
            Ok(Existing::of(ThingKind::Database, names, |name| catalog::is_wanted(&self.config, name), "databases or exclude leave it out"))
        })
    }

    fn open(&self, opening: &Opening, ctx: &Context) -> Result<Vec<Component>, SourceError> {
        let prepared = self.prepared.lock().expect("no holder of this lock panics").take();
        let opened = self.handle().block_on(async {
            let prepared = match prepared {
                Some(prepared) => prepared,
                None => Prepared::new(&self.config).await?,
            };
            prepared.open(&self.config, opening, ctx).await
        })?;
        let components = opened.components();
        *self.opened.lock().expect("no holder of this lock panics") = Some(Arc::new(opened));
        Ok(components)
    }

    fn capture(&self, component: &Component, ctx: &Context) -> Result<Capture, SourceError> {
        let opened = held(&self.opened, "the snapshot")?;
        Ok(Capture::Stream(opened.capture(component, self.handle(), ctx)?))
    }

    fn close(&self, _ctx: &Context) -> Result<CaptureEnd, SourceError> {
        self.prepared.lock().expect("no holder of this lock panics").take();
        match self.opened.lock().expect("no holder of this lock panics").take() {
            Some(opened) => Ok(self.handle().block_on(opened.close())),
            None => Ok(CaptureEnd::default()),
        }
    }

    fn begin(&self, loading: &Loading, target: &SystemTarget, _ctx: &Context) -> Result<(), SourceError> {
        let restore = self.handle().block_on(Restore::begin(&self.config, loading, target))?;
        let databases = loading.components.iter().flat_map(target::databases).filter(|name| restore.wants(name, None)).collect();
        *self.restored.lock().expect("no holder of this lock panics") = databases;
        *self.restore.lock().expect("no holder of this lock panics") = Some(Arc::new(restore));
        Ok(())
    }

    fn is_selected(&self, component: &Component, target: &SystemTarget) -> bool {
        target::is_selected(component, target)
    }

    fn sink(&self, component: &Component, target: &Target, _ctx: &Context) -> Result<Sink, SourceError> {
        if let Target::Directory { path, overwrite } = target {
            return Ok(Sink::Stream(StreamSink::file(path, &component.name, *overwrite)?));
        }
        let restore = self.restore()?;
        Ok(Sink::Stream(match Chunk::of(component)? {
            Some(chunk) if !restore.wants(&chunk.database, Some(&chunk.table)) => StreamSink::new(io::sink(), || Ok(())),
            Some(chunk) => load::sink(&restore, &component.name, chunk, self.handle()),
            None => apply::sink(&restore, &component.name, self.handle()),
        }))
    }

    fn end(&self, _ctx: &Context) -> Result<Vec<Problem>, SourceError> {
        let restored = self.restored.lock().expect("no holder of this lock panics").clone();
        self.handle().block_on(self.restore()?.end(&restored))
    }

    fn read_back(&self, component: &Component, _ctx: &Context) -> Result<Option<RowDigest>, SourceError> {
        let restore = self.restore()?;
        self.handle().block_on(async {
            match Chunk::of(component)? {
                Some(chunk) => readback::rows(&restore, &chunk).await,
                None => readback::definitions(&restore, component).await,
            }
        })
    }

    fn differences(&self, component: &Component, saved: &mut (dyn Read + Send), _ctx: &Context) -> Result<Vec<Problem>, SourceError> {
        let restore = self.restore()?;
        self.handle().block_on(async {
            match Chunk::of(component)? {
                Some(chunk) => readback::differences(&restore, &chunk, saved).await,
                None => readback::different_definitions(&restore, component, saved).await,
            }
        })
    }
}
