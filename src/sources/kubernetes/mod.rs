//! The objects of a Kubernetes cluster, through its API. Format: docs/format/source-kubernetes.md.
//!
//! Out: `discovery` finds the kinds, `rights` asks whether we may, `listing` reads a kind page by page (`ahead`: one before it is needed), `object`
//! says what is stored of an object, and `inventory` what is no object. Back: `tiers` is the order, `plan` decides what becomes of an object
//! (`select`, `strip`, `convert`, `transform`, `pull_secret`, `residue`), `apply` takes the lines and `write` writes an object, `restore` holds the gates between
//! tiers (`ready`), `readback` reads all of it again and `compare` says what differs. `api` speaks HTTP.

mod ahead;
pub(super) mod api;
mod apply;
mod compare;
mod convert;
mod discovery;
mod existing;
mod fitness;
mod inventory;
mod listing;
mod object;
mod plan;
mod pull_secret;
mod readback;
mod ready;
mod residue;
mod restore;
mod rights;
mod select;
mod strip;
mod tiers;
mod transform;
mod write;

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Cursor, Read},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::{
    api::{Api, server_of},
    discovery::{Discovered, Resource, discover},
    inventory::{INVENTORY, inventory},
    listing::{Filter, Lines},
    object::{is_kept_kind, line},
    plan::Planner,
    residue::{Learned, NOTHING},
    restore::Restore,
    rights::{Right, check},
    select::means,
    tiers::{NEVER, is_applied, tier},
};
pub use self::{
    compare::changed_fields,
    fitness::{Answer, fitness},
    object::{Line, canonical},
    select::fits_path,
};
pub(super) use self::{
    discovery::{list, text},
    object::WORKER,
};
use super::{
    Capture, CaptureEnd, Component, Existing, Loading, Opening, RowKey, Shape, Sink, Source, SourceError, SourceErrorKind, StreamCapture, StreamEnd,
    StreamSink, SystemTarget, Target,
};
use crate::{
    config::KubernetesConfig,
    model::{ByteCount, Context, Problem},
};

/// In `about` of components, what their lines are.
pub const HOLDS: &str = "lines";
/// One object to a line.
pub const OBJECTS: &str = "objects";
/// Kinds that are read or written at a time.
const LANES: usize = 4;

/// A cluster.
#[derive(Debug)]
pub struct KubernetesSource {
    config: KubernetesConfig,
    session: Mutex<Option<Session>>,
    end: Arc<Mutex<CaptureEnd>>,
    learned: Mutex<Learned>,
    restore: Mutex<Option<Arc<Restore>>>,
}

/// A capture that goes on.
#[derive(Debug, Clone)]
struct Session {
    api: Api,
    discovered: Arc<Discovered>,
    captured: Arc<Vec<Resource>>,
    filter: Filter,
    row_key: RowKey,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_open(what: &str) -> SourceError {
    SourceError::Unfit { subject: what.to_owned(), why: "is not open".to_owned(), kind: SourceErrorKind::Failed, hint: None }
}

impl KubernetesSource {
    /// The cluster that a configuration describes. Nothing is read yet.
    pub fn new(config: KubernetesConfig) -> KubernetesSource {
        KubernetesSource { config, session: Mutex::default(), end: Arc::default(), learned: Mutex::default(), restore: Mutex::default() }
    }

    fn session(&self) -> Result<Session, SourceError> {
        locked(&self.session).clone().ok_or_else(|| not_open("the cluster"))
    }

    fn restore(&self) -> Result<Arc<Restore>, SourceError> {
        locked(&self.restore).clone().ok_or_else(|| not_open("the restore"))
    }

    /// Whether nothing of a kind is captured.
    fn is_excluded(&self, resource: &Resource) -> bool {
        let whole = |pattern: &&String| pattern.starts_with("*/") && pattern.ends_with("/*");
        self.config.exclude.iter().filter(whole).any(|pattern| means(pattern, &resource.name(), "_/_"))
    }

    fn inventory(&self, session: &Session, ctx: &Context) -> Result<Capture, SourceError> {
        let from = ctx.clock.now();
        let found = session.api.block(inventory(&session.api, &session.discovered, &self.config))?;
        let mut end = locked(&self.end);
        end.notes.extend(found.notes);
        end.problems.extend(found.problems);
        let (mut text, mut digester) = (Vec::new(), session.row_key.digester());
        for (path, object) in found.lines {
            let (line, canonical) = line(&path, object);
            digester.row(&canonical);
            text.extend(line);
        }
        let (bytes, rows) = (ByteCount(text.len() as u64), Some(digester.digest()));
        let versions = BTreeMap::from([("kubernetes".to_owned(), session.discovered.version.clone())]);
        let end = StreamEnd { consistent_from: from, consistent_to: ctx.clock.now(), versions, bytes, rows, problems: Vec::new() };
        Ok(Capture::Stream(StreamCapture::new(Cursor::new(text), || Ok(end))))
    }
}

impl Source for KubernetesSource {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn lanes(&self) -> usize {
        LANES
    }

    fn prepare(&self, _ctx: &Context) -> Result<(), SourceError> {
        let api = Api::connect(&self.config.access)?;
        let discovered = api.block(discover(&api))?;
        let captured: Vec<Resource> = discovered.capturable().filter(|kind| is_kept_kind(kind) && !self.is_excluded(kind)).cloned().collect();
        let wanted: Vec<Right> = captured.iter().cloned().chain(inventory::kinds(&discovered)).map(|resource| ("list", resource)).collect();
        if wanted.is_empty() {
            return Err(SourceError::Nothing { kind: self.kind() });
        }
        api.block(check(&api, wanted, "a capture"))?;
        let kinds = captured.iter().map(|resource| format!("{}/{}", resource.group, resource.kind)).collect();
        let filter = Filter { config: self.config.clone(), kinds: Arc::new(kinds) };
        *locked(&self.end) = CaptureEnd::default();
        let (discovered, captured, row_key) = (Arc::new(discovered), Arc::new(captured), RowKey::from_bytes([0; 32]));
        *locked(&self.session) = Some(Session { api, discovered, captured, filter, row_key });
        Ok(())
    }

    fn existing(&self, _ctx: &Context) -> Result<Existing, SourceError> {
        let api = Api::connect(&self.config.access)?;
        api.block(existing::existing(&api, &self.config))
    }

    fn open(&self, opening: &Opening, _ctx: &Context) -> Result<Vec<Component>, SourceError> {
        let mut session = locked(&self.session);
        let session = session.as_mut().ok_or_else(|| not_open("the cluster"))?;
        session.row_key = opening.row_key;
        let about = BTreeMap::from([(HOLDS.to_owned(), OBJECTS.to_owned())]);
        let inventory = Component { stage: NEVER, about, ..Component::single(INVENTORY, Shape::Stream) };
        let kinds = session.captured.iter().map(|resource| resource.component(tier(resource)));
        Ok(std::iter::once(inventory).chain(kinds).collect())
    }

    fn capture(&self, component: &Component, ctx: &Context) -> Result<Capture, SourceError> {
        let session = self.session()?;
        let Some(resource) = Resource::of(component) else { return self.inventory(&session, ctx) };
        let (ended, all, name) = (Arc::default(), Arc::clone(&self.end), component.name.clone());
        let lines = Lines::new(session.api, resource, session.filter, session.row_key.digester(), Arc::clone(&ended), ctx);
        Ok(Capture::Stream(StreamCapture::new(lines, move || {
            let (version, end) = locked(&ended).take().ok_or_else(|| not_open("the list"))??;
            if version.is_empty() {
                let what = "the kind was removed while the cluster was captured, and its objects with it".to_owned();
                locked(&all).notes.push(Problem { subject: name, what });
            } else {
                locked(&all).position.insert(name, version);
            }
            Ok(end)
        })))
    }

    fn close(&self, _ctx: &Context) -> Result<CaptureEnd, SourceError> {
        *locked(&self.session) = None;
        Ok(std::mem::take(&mut *locked(&self.end)))
    }

    fn begin(&self, loading: &Loading, target: &SystemTarget, ctx: &Context) -> Result<(), SourceError> {
        *locked(&self.restore) = Some(Arc::new(Restore::begin(&self.config, &locked(&self.learned), loading, target, ctx)?));
        Ok(())
    }

    fn is_selected(&self, component: &Component, target: &SystemTarget) -> bool {
        Resource::of(component).is_some_and(|resource| is_applied(&resource, &target.activity))
            && select::Selection::new(&target.select).may_mean(&component.name)
    }

    fn learns_from(&self, component: &Component) -> bool {
        component.name == INVENTORY
    }

    fn learn(&self, component: &Component, saved: &mut (dyn Read + Send)) -> Result<(), SourceError> {
        let unreadable = |source: io::Error| SourceError::Io { doing: "read", path: component.name.clone(), source };
        let mut learned = Learned::default();
        for line in BufReader::new(saved).lines() {
            learned.take(&serde_json::from_str(&line.map_err(unreadable)?).map_err(|error| unreadable(error.into()))?);
        }
        *locked(&self.learned) = learned;
        Ok(())
    }

    fn foresees(&self) -> bool {
        true
    }

    fn objections(&self, component: &Component, saved: &mut (dyn Read + Send), target: &SystemTarget) -> Result<Vec<Problem>, SourceError> {
        let learned = locked(&self.learned).clone();
        // A cluster that is made by an earlier step has no kubeconfig yet, and is another one.
        let is_home = server_of(&self.config.access).is_some_and(|server| learned.cluster["server"] == *server);
        plan::objections(&Planner::new(&self.config, target, if is_home { &NOTHING } else { &learned }), component, saved)
    }

    fn sink(&self, component: &Component, target: &Target, ctx: &Context) -> Result<Sink, SourceError> {
        match target {
            Target::Directory { path, overwrite } => StreamSink::file(path, &component.name, *overwrite),
            Target::System(_) => apply::sink(&self.restore()?, component, ctx),
        }
        .map(Sink::Stream)
    }

    fn end(&self, ctx: &Context) -> Result<Vec<Problem>, SourceError> {
        let restore = self.restore()?;
        restore.api.block(restore.end(ctx))
    }

    fn tally(&self) -> BTreeMap<String, u64> {
        self.restore().map(|restore| locked(&restore.tally).clone()).unwrap_or_default()
    }

    fn compares_alone(&self) -> bool {
        !self.config.restore.dry_run
    }

    fn differences(&self, component: &Component, saved: &mut (dyn Read + Send), _ctx: &Context) -> Result<Vec<Problem>, SourceError> {
        readback::compare(&*self.restore()?, component, saved)
    }
}
