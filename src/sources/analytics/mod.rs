//! Elasticsearch and OpenSearch, through the snapshots that they take themselves. Format: docs/format/source-analytics.md.
//!
//! A point holds what is needed to bring a snapshot back and to know that it is whole: `catalog` (indices, data streams, how far they were written),
//! `cluster` (templates, pipelines, settings), `snapshot` (one per point; those of points that are gone are `spent`), `repository` (where it lies: only one cluster writes it). `restore` brings
//! indices back, where `versions` allow it, and `proof` puts what was restored beside the snapshot. `live` shows a repository to whoever copies it. `api` speaks HTTP.

mod api;
mod catalog;
mod cluster;
mod live;
mod proof;
mod repository;
mod restore;
mod snapshot;
mod spent;
mod versions;

use std::{
    collections::BTreeMap,
    io::{Cursor, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

pub use self::live::LiveRepository;
use self::{
    api::Api,
    catalog::{CLUSTER, Object, cluster_component, count, objects, settled},
    restore::Restore,
    snapshot::Snapshot,
    versions::Version,
};
use super::{
    Capture, CaptureEnd, Component, Existing, Judged, Loading, Opening, Owner, RowDigest, Sink, Source, SourceError, SourceErrorKind, StreamCapture,
    StreamEnd, StreamSink, SystemTarget, Target, existing::ThingKind,
};
use crate::{
    config::AnalyticsConfig,
    model::{ByteCount, Context, Problem, RunId, Timestamp},
};

/// Largest description of an index that is taken back.
const DESCRIPTION_MAX: usize = 64 << 20;

/// A cluster.
#[derive(Debug)]
pub struct AnalyticsSource {
    config: AnalyticsConfig,
    prepared: Mutex<Option<Prepared>>,
    snapshot: Mutex<Option<Snapshot>>,
    restore: Mutex<Option<Arc<Restore>>>,
    notes: Arc<Mutex<Vec<Problem>>>,
    refused: Arc<Mutex<Vec<Problem>>>,
}

#[derive(Debug, Clone)]
struct Prepared {
    api: Arc<Api>,
    cluster: String,
    version: Version,
    number: String,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_open(what: &str) -> SourceError {
    SourceError::Unfit { subject: what.to_owned(), why: "is not open".to_owned(), kind: SourceErrorKind::Failed, hint: None }
}

impl AnalyticsSource {
    /// The cluster that a configuration describes. Nothing is read yet.
    pub fn new(config: AnalyticsConfig) -> AnalyticsSource {
        let (prepared, snapshot, restore) = (Mutex::default(), Mutex::default(), Mutex::default());
        AnalyticsSource { config, prepared, snapshot, restore, notes: Arc::default(), refused: Arc::default() }
    }

    fn prepared(&self) -> Result<Prepared, SourceError> {
        locked(&self.prepared).clone().ok_or_else(|| not_open("the cluster"))
    }

    fn restore(&self) -> Result<Arc<Restore>, SourceError> {
        locked(&self.restore).clone().ok_or_else(|| not_open("the restore"))
    }

    /// What a component's bytes say, and its documents where they can be known.
    fn description(&self, component: &Component, ctx: &Context) -> Result<(Value, Option<RowDigest>, Timestamp, Timestamp), SourceError> {
        let Prepared { api, .. } = self.prepared()?;
        let mut snapshot = locked(&self.snapshot);
        let snapshot = snapshot.as_mut().ok_or_else(|| not_open("the snapshot"))?;
        let done = snapshot.wait(&api, &self.config, ctx)?;
        let span = (snapshot.begun, done.at);
        let (found, rows) = match Object::of(component) {
            Some(object) => {
                let found = match object.is_stream() {
                    true => api.get(&["_data_stream", &object.name], "")?,
                    false => api.get(&[&object.name], "flat_settings=true")?,
                };
                (found, settled(&api, &object, &snapshot.before, &done.writes)?)
            }
            None => (cluster::read(&api)?, None),
        };
        let value = match component.name == CLUSTER {
            true => found,
            false => json!({"about": component.about, "snapshot_uuid": done.uuid, "definition": found, "documents": rows.map(|rows| rows.rows)}),
        };
        Ok((value, rows, span.0, span.1))
    }
}

impl Source for AnalyticsSource {
    fn kind(&self) -> &'static str {
        "analytics"
    }

    fn lanes(&self) -> usize {
        self.config.lanes
    }

    fn prepare(&self, _ctx: &Context) -> Result<(), SourceError> {
        let api = Arc::new(Api::new(&self.config)?);
        let server = api.get(&[], "")?;
        let version = Version::of_server(&server)?;
        repository::for_writing(&api, &self.config)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (cluster, number) = (text(&server["cluster_uuid"]), text(&server["version"]["number"]));
        *locked(&self.prepared) = Some(Prepared { api, cluster, version, number });
        Ok(())
    }

    fn existing(&self, _ctx: &Context) -> Result<Existing, SourceError> {
        let all = AnalyticsConfig { indices: Vec::new(), ..self.config.clone() };
        let api = Api::new(&self.config)?;
        let names = |config: &AnalyticsConfig| Ok::<_, SourceError>(objects(&api, config)?.into_iter().map(|object| object.name).collect::<Vec<_>>());
        let captured = names(&self.config)?;
        Ok(Existing::of(ThingKind::Index, names(&all)?, |name| captured.iter().any(|known| known == name), "indices leave it out"))
    }

    fn open(&self, opening: &Opening, ctx: &Context) -> Result<Vec<Component>, SourceError> {
        let Prepared { api, cluster, .. } = self.prepared()?;
        let objects = objects(&api, &self.config)?;
        let snapshot = Snapshot::begin(&api, &self.config, &objects, spent::name(opening, ctx), ctx)?;
        let about = snapshot.about(&self.config, &cluster);
        *locked(&self.snapshot) = Some(snapshot);
        let indices = objects.iter().map(|object| object.component(&about));
        Ok(std::iter::once(cluster_component(&about)).chain(indices).collect())
    }

    fn capture(&self, component: &Component, ctx: &Context) -> Result<Capture, SourceError> {
        let (value, rows, consistent_from, consistent_to) = self.description(component, ctx)?;
        let text = format!("{value}\n");
        let bytes = ByteCount(text.len() as u64);
        let end = StreamEnd { consistent_from, consistent_to, versions: BTreeMap::new(), bytes, rows, problems: Vec::new() };
        Ok(Capture::Stream(StreamCapture::new(Cursor::new(text), || Ok(end))))
    }

    fn close(&self, _ctx: &Context) -> Result<CaptureEnd, SourceError> {
        let Ok(Prepared { api, version, number, .. }) = self.prepared() else { return Ok(CaptureEnd::default()) };
        let mut end = CaptureEnd::default();
        end.versions.insert(version.make.word().to_owned(), number);
        let Some(snapshot) = locked(&self.snapshot).take() else { return Ok(end) };
        if !snapshot.is_done() {
            snapshot.abandon(&api, &self.config)?;
            return Ok(end);
        }
        let what =
            format!("its documents lie in the repository {}, where nothing may delete them as long as this point is needed", self.config.repository);
        end.notes.push(Problem { subject: format!("snapshot {}", snapshot.name), what });
        end.position.insert("snapshot".to_owned(), snapshot.name);
        Ok(end)
    }

    fn release(&self, owner: &Owner, is_spent: &dyn Fn(&RunId) -> bool, ctx: &Context) -> Vec<Problem> {
        self.prepared().map_or_else(|_| Vec::new(), |prepared| spent::remove(&prepared.api, &self.config, owner, is_spent, ctx))
    }

    fn begin(&self, loading: &Loading, target: &SystemTarget, ctx: &Context) -> Result<(), SourceError> {
        locked(&self.notes).clear();
        *locked(&self.restore) = Some(Arc::new(Restore::begin(&self.config, loading, target, ctx)?));
        Ok(())
    }

    fn is_selected(&self, component: &Component, target: &SystemTarget) -> bool {
        let selected = |object: Object| target.select.contains(&object.name);
        target.select.is_empty() || Object::of(component).is_some_and(selected)
    }

    fn sink(&self, component: &Component, target: &Target, ctx: &Context) -> Result<Sink, SourceError> {
        if let Target::Directory { path, overwrite } = target {
            return StreamSink::file(path, &component.name, *overwrite).map(Sink::Stream);
        }
        let (restore, component, ctx) = (self.restore()?, component.clone(), ctx.clone());
        let (notes, refused) = (Arc::clone(&self.notes), Arc::clone(&self.refused));
        let saved = Description::default();
        let writer = saved.clone();
        Ok(Sink::Stream(StreamSink::new(writer, move || {
            let told = match Object::of(&component) {
                Some(object) => restore.object(&object, &ctx)?,
                None => {
                    let restored = cluster::restore(&restore.api, &locked(&saved.0))?;
                    *locked(&refused) = restored.refused;
                    restored.notes
                }
            };
            locked(&notes).extend(told);
            Ok(())
        })))
    }

    fn refused(&self, component: &Component) -> Vec<Problem> {
        if component.name == CLUSTER { std::mem::take(&mut *locked(&self.refused)) } else { Vec::new() }
    }

    fn end(&self, _ctx: &Context) -> Result<Vec<Problem>, SourceError> {
        Ok(std::mem::take(&mut *locked(&self.notes)))
    }

    fn read_back(&self, component: &Component, _ctx: &Context) -> Result<Option<RowDigest>, SourceError> {
        let restore = self.restore()?;
        Object::of(component).map(|object| count(&restore.api, restore.name(&object))).transpose()
    }

    fn judge(&self, component: &Component, _ctx: &Context) -> Result<Option<Judged>, SourceError> {
        let restore = self.restore()?;
        let Some(object) = Object::of(component) else { return Ok(None) };
        Ok(Some(restore.compare(&object)?.map_or(Judged::Unknown, Judged::Compared)))
    }
}

/// A component's bytes, gathered.
#[derive(Debug, Clone, Default)]
struct Description(Arc<Mutex<Vec<u8>>>);

impl Write for Description {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut gathered = locked(&self.0);
        if gathered.len() + bytes.len() > DESCRIPTION_MAX {
            return Err(std::io::Error::other(format!("the description is larger than {} MiB", DESCRIPTION_MAX >> 20)));
        }
        gathered.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
