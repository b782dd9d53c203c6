//! A member's source as it is now, read like for a point of which nothing is kept.

use std::{
    io::{BufRead, BufReader, Read},
    sync::Arc,
};

use crate::{
    cli::CliError,
    config::{Config, SourceConfig},
    model::{Context, MemberName},
    restore::RestoreError,
    sources::{self, Capture, Component, Opening, RowKey, Source, SourceError, kubernetes::Line},
};

/// A cluster.
#[derive(Debug)]
pub(super) struct Live {
    source: Arc<dyn Source>,
    /// What it has.
    pub(super) components: Vec<Component>,
}

/// Whether a member can be compared with its source as it is now.
pub(super) fn is_comparable(member: &MemberName, config: &Config) -> bool {
    config.sources.get(member).is_some_and(|source| matches!(source, SourceConfig::Kubernetes(_)))
}

impl Live {
    /// Connects to the source of a member.
    ///
    /// # Errors
    /// There is none of its name whose objects could be compared, or it cannot be read.
    pub(super) async fn open(member: &MemberName, config: &Config, ctx: &Context) -> Result<Live, CliError> {
        let of = config.sources.get(member).filter(|_| is_comparable(member, config));
        let of = of.ok_or_else(|| CliError::usage(format!("the configuration has no source {member} of kind kubernetes to compare with")))?;
        let (source, ctx) = (sources::open(of), ctx.clone());
        let opening = move || {
            source.prepare(&ctx)?;
            let components = source.open(&Opening { row_key: RowKey::from_bytes([0; 32]), of: None }, &ctx)?;
            Ok::<_, SourceError>(Live { source, components })
        };
        Ok(tokio::task::spawn_blocking(opening).await.map_err(|_| RestoreError::TornDown)?.map_err(RestoreError::from)?)
    }

    /// Hands every object of a component to `take`, with a state that is given back.
    ///
    /// # Errors
    /// When it cannot be read whole.
    pub(super) async fn each<S: Send + 'static>(
        &self,
        component: &Component,
        mut state: S,
        take: impl Fn(&mut S, Line, usize) + Send + 'static,
        ctx: &Context,
    ) -> Result<S, CliError> {
        let (source, component, ctx) = (Arc::clone(&self.source), component.clone(), ctx.clone());
        let reading = move || -> Result<S, SourceError> {
            let Capture::Stream(mut stream) = source.capture(&component, &ctx)? else { return Ok(state) };
            let unreadable = |source| SourceError::Io { doing: "read", path: component.name.clone(), source };
            let (mut lines, mut text, mut broken) = (BufReader::new(stream.by_ref()), Vec::new(), None);
            loop {
                text.clear();
                match lines.read_until(b'\n', &mut text) {
                    Ok(0) => break,
                    Ok(size) => take(&mut state, serde_json::from_slice(&text).map_err(|error| unreadable(error.into()))?, size),
                    Err(error) => {
                        broken = Some(error);
                        break;
                    }
                }
            }
            // Its end knows better why it broke.
            stream.finish()?;
            broken.map_or(Ok(state), |error| Err(unreadable(error)))
        };
        let read = tokio::task::spawn_blocking(reading).await.map_err(|_| RestoreError::TornDown)?;
        Ok(read.map_err(RestoreError::from)?)
    }
}
