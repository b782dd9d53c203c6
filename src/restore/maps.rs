//! Reads the map of a component: every line, checked against the sealed part.

use serde::de::DeserializeOwned;

use super::{RestoreError, fetch::PackReader, walk::FrameWalk};
use crate::{
    pipeline::sha256,
    repository::map::{Run, SegmentRef},
};

/// The bytes of some runs, one after the other. For maps, which are small.
///
/// # Errors
/// When they cannot be fetched or decoded.
pub async fn read_runs(packs: &PackReader, runs: &[Run]) -> Result<Vec<u8>, RestoreError> {
    let mut text = Vec::new();
    for run in runs {
        let frames = packs.frames(run.pack, vec![(run.offset, run.length)]).await?;
        FrameWalk::new(&frames)?.run(run, |part| {
            text.extend_from_slice(part);
            Ok(())
        })?;
    }
    Ok(text)
}

/// The lines of a segment.
///
/// # Errors
/// When it cannot be fetched, or is not what the sealed part says.
pub async fn segment_lines<T: DeserializeOwned>(packs: &PackReader, segment: &SegmentRef, component: &str) -> Result<Vec<T>, RestoreError> {
    let text = read_runs(packs, &segment.runs).await?;
    if sha256(&text) != segment.sha256 {
        return Err(RestoreError::Different { what: format!("a map segment of {component}") });
    }
    let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let parse = |line| serde_json::from_slice(line).map_err(|source| RestoreError::Line { what: component.to_owned(), source });
    lines.map(parse).collect()
}
