//! The repository of a cluster that writes it, seen from outside: whether it rests, and what it holds.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use super::{api::Api, snapshot::listed};
use crate::{
    config::AnalyticsConfig,
    model::Context,
    sources::{SourceError, SourceErrorKind},
};

/// Wait between two looks at a snapshot that goes on.
const LOOK: Duration = Duration::from_secs(2);

/// A repository that its cluster may be writing.
#[derive(Debug)]
pub struct LiveRepository {
    api: Api,
    name: String,
    timeout: Duration,
}

impl LiveRepository {
    /// That of a configuration. Nothing is asked yet.
    ///
    /// # Errors
    /// When a file with credentials or authorities cannot be read or used.
    pub fn new(config: &AnalyticsConfig) -> Result<LiveRepository, SourceError> {
        Ok(LiveRepository { api: Api::new(config)?, name: config.repository.clone(), timeout: config.timeout })
    }

    /// Whether no snapshot is being made in it now.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub fn rests(&self) -> Result<bool, SourceError> {
        let found = self.api.get(&["_snapshot", &self.name, "_status"], "")?;
        Ok(found["snapshots"].as_array().is_some_and(Vec::is_empty))
    }

    /// Waits until it rests, at most as long as one snapshot may take.
    ///
    /// # Errors
    /// When the cluster does not say, it takes too long, or the run is stopped.
    pub fn wait(&self, ctx: &Context) -> Result<(), SourceError> {
        let began = Instant::now();
        while !self.rests()? {
            if ctx.cancel.is_draining() {
                return Err(SourceError::Cancelled { program: format!("the wait for the repository {}", self.name) });
            }
            if began.elapsed() >= self.timeout {
                return Err(SourceError::Unfit {
                    subject: format!("the repository {}", self.name),
                    why: format!("is being written for more than {} s", self.timeout.as_secs()),
                    kind: SourceErrorKind::TimedOut,
                    hint: Some("raise the source's timeout, or ask the cluster what its snapshot waits for"),
                });
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Identities of the snapshots that it holds.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub fn snapshots(&self) -> Result<BTreeSet<String>, SourceError> {
        Ok(listed(&self.api, &self.name)?.into_iter().map(|(_, uuid)| uuid).collect())
    }
}
