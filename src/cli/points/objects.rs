//! Components that hold objects, one to a line: listed, and compared object by object.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;

use super::{diff::Change, live::Live};
use crate::{
    cli::CliError,
    model::{Context, Progress, Quiet, Sha256, step_id},
    repository::sealed::SealedComponent,
    restore::{RestoreError, opened::OpenedPoint, stream::restore_stream},
    sources::{
        Component, StreamSink,
        kubernetes::{HOLDS, Line, OBJECTS, canonical, changed_fields},
    },
};

/// Bytes of changed objects that are kept to say in what they changed; of further ones only that they did.
const KEPT_MAX: usize = 64 << 20;

/// Whether a component holds objects.
pub(super) fn holds_objects(component: &SealedComponent) -> bool {
    component.about.get(HOLDS).is_some_and(|what| what == OBJECTS)
}

/// A component that holds objects.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side<'a> {
    /// In a point.
    Stored(&'a OpenedPoint, &'a SealedComponent),
    /// As it is now.
    Live(&'a Live, &'a Component),
}

impl<'a> Side<'a> {
    /// Its name.
    pub(super) fn name(self) -> &'a str {
        match self {
            Side::Stored(_, component) => &component.name,
            Side::Live(_, component) => &component.name,
        }
    }
}

/// Hands every object of a component to `take`, with a state that is given back.
///
/// # Errors
/// A part of it is at no location as it should be, or is no object; what is live cannot be read.
pub(super) async fn each<S: Send + 'static>(
    side: Side<'_>,
    state: S,
    take: impl Fn(&mut S, Line, usize) + Send + 'static,
    ctx: &Context,
) -> Result<S, CliError> {
    let (point, component) = match side {
        Side::Stored(point, component) => (point, component),
        Side::Live(live, component) => return live.each(component, state, take, ctx).await,
    };
    let state = Arc::new(Mutex::new(Some(state)));
    let writer = Splitter { text: Vec::new(), state: Arc::clone(&state), take };
    let quiet = Progress::new(Arc::new(Quiet), step_id(&["objects"]), None);
    restore_stream(component, StreamSink::new(writer, || Ok(())), &point.packs, quiet, ctx).await?;
    let state = state.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(state.ok_or(RestoreError::TornDown)?)
}

struct Splitter<S, F> {
    text: Vec<u8>,
    state: Arc<Mutex<Option<S>>>,
    take: F,
}

impl<S, F: Fn(&mut S, Line, usize)> Write for Splitter<S, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.text.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = serde_json::from_slice(&self.text)?;
                if let Some(state) = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner) {
                    (self.take)(state, line, self.text.len());
                }
                self.text.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What differs between two components.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// By path; what changed, in which fields.
    pub(super) differing: BTreeMap<String, (Change, Vec<String>)>,
    /// Objects that did not change.
    pub(super) same: u64,
    was: BTreeMap<String, Sha256>,
    kept: BTreeMap<String, Value>,
    bytes: usize,
}

/// Compares two components object by object.
///
/// # Errors
/// A part of one is at no location as it should be.
pub(super) async fn compare(one: Option<Side<'_>>, other: Option<Side<'_>>, ctx: &Context) -> Result<Compared, CliError> {
    let mut found = Compared::default();
    if let Some(one) = one {
        let take = |found: &mut Compared, line: Line, _: usize| found.was.extend([(line.path, line.sha256)]);
        found = each(one, found, take, ctx).await?;
    }
    if let Some(other) = other {
        found = each(other, found, Compared::later, ctx).await?;
    }
    let removed = std::mem::take(&mut found.was).into_keys().map(|path| (path, (Change::Removed, Vec::new())));
    found.differing.extend(removed);
    match one {
        Some(one) if !found.kept.is_empty() => each(one, found, Compared::fields, ctx).await,
        _ => Ok(found),
    }
}

impl Compared {
    fn later(&mut self, line: Line, bytes: usize) {
        let change = match self.was.remove(&line.path) {
            Some(digest) if digest == line.sha256 => return self.same += 1,
            Some(_) => Change::Changed,
            None => Change::Added,
        };
        if change == Change::Changed && self.bytes + bytes <= KEPT_MAX {
            self.bytes += bytes;
            self.kept.insert(line.path.clone(), canonical(line.object));
        }
        self.differing.insert(line.path, (change, Vec::new()));
    }

    fn fields(&mut self, line: Line, _: usize) {
        if let Some(is) = self.kept.remove(&line.path) {
            self.differing.insert(line.path, (Change::Changed, changed_fields(&canonical(line.object), &is)));
        }
    }
}
