//! Files in PersistentVolumeClaims of a Kubernetes cluster. Format: docs/format/source-volumes.md.
//!
//! Nothing of a volume passes through here or through the API server: a Job of our own image mounts the claim and reads or writes it. `claims` finds
//! the claims and the pods beside them, `job` says what a Job is made of, `state` what its pods tell, `workers` starts it and waits. What a worker
//! does, and how its result comes back, is not known here.

mod claims;
mod job;
mod state;
mod workers;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub use self::{
    job::INDEX,
    workers::{Ended, Errand, Workers, unfit},
};
pub use super::kubernetes::fits_path;
use super::{Capture, CaptureEnd, Component, Existing, Opening, Shape, Sink, Source, SourceError, Target, existing::ThingKind};
use crate::{
    config::VolumesConfig,
    model::{Context, Problem},
};

/// The word for it in the configuration.
pub const KIND: &str = "volumes";

/// The claims of a cluster.
#[derive(Debug)]
pub struct VolumesSource {
    config: VolumesConfig,
    found: Mutex<Found>,
}

/// What a capture found.
#[derive(Debug, Clone, Default)]
struct Found {
    components: Vec<Component>,
    /// Claims that cannot be captured, and why.
    problems: Vec<Problem>,
}

impl VolumesSource {
    /// The claims that a configuration describes. Nothing is read yet.
    pub fn new(config: VolumesConfig) -> VolumesSource {
        VolumesSource { config, found: Mutex::default() }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A claim as a component: a tree.
fn component(path: &str, about: BTreeMap<String, String>) -> Component {
    Component { about, ..Component::single(path, Shape::Tree) }
}

impl Source for VolumesSource {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn by_workers(&self) -> Option<&VolumesConfig> {
        Some(&self.config)
    }

    fn prepare(&self, _ctx: &Context) -> Result<(), SourceError> {
        let workers = Workers::connect(&self.config)?;
        let (claims, problems) = workers.block(workers.find_claims())?;
        workers.block(workers.check_rights(claims.iter().map(|claim| claim.namespace.as_str())))?;
        *self.found() = Found { components: claims.into_iter().map(|claim| component(&claim.path(), claim.about)).collect(), problems };
        Ok(())
    }

    fn existing(&self, _ctx: &Context) -> Result<Existing, SourceError> {
        let workers = Workers::connect(&self.config)?;
        let claims = workers.block(workers.all_claims())?;
        let is_captured = |name: &str| self.config.claims.iter().any(|pattern| fits_path(pattern, name));
        Ok(Existing::of(ThingKind::Claim, claims, is_captured, "claims do not name it"))
    }

    fn open(&self, _opening: &Opening, _ctx: &Context) -> Result<Vec<Component>, SourceError> {
        let found = self.found();
        match (found.components.is_empty(), found.problems.first()) {
            (true, Some(problem)) => Err(unfit(&problem.subject, problem.what.clone(), None)),
            _ => Ok(found.components.clone()),
        }
    }

    fn capture(&self, _component: &Component, _ctx: &Context) -> Result<Capture, SourceError> {
        Err(SourceError::WrongTarget { kind: KIND, target: "or captured but by workers" })
    }

    fn close(&self, _ctx: &Context) -> Result<CaptureEnd, SourceError> {
        Ok(CaptureEnd { problems: std::mem::take(&mut *self.found()).problems, ..CaptureEnd::default() })
    }

    fn sink(&self, _component: &Component, _target: &Target, _ctx: &Context) -> Result<Sink, SourceError> {
        Err(SourceError::WrongTarget { kind: KIND, target: "but by workers" })
    }
}
