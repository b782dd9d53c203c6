//! Reads the map of a component: every line, checked against the sealed part.

use std::collections::{BTreeMap, VecDeque};

use serde::de::DeserializeOwned;

use super::{RestoreError, fetch::PackReader, walk::FrameWalk};
use crate::{
    model::Sha256,
    pipeline::sha256,
    repository::{
        map::{Run, SegmentRef},
        sealed::SealedComponent,
    },
};

/// Plain bytes of map segments that are read at a time.
const AHEAD_MAX: u64 = 16 << 20;

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
    parse(&text, segment, component)
}

fn parse<T: DeserializeOwned>(text: &[u8], segment: &SegmentRef, component: &str) -> Result<Vec<T>, RestoreError> {
    if sha256(text) != segment.sha256 {
        return Err(RestoreError::Different { what: format!("a map segment of {component}") });
    }
    let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let parse = |line| serde_json::from_slice(line).map_err(|source| RestoreError::Line { what: component.to_owned(), source });
    lines.map(parse).collect()
}

/// Which segment, of those that are read together, and which of its runs.
type Part = (usize, usize);

/// Reads all segments of a component in order, many at a time: neighbours lie in the same packs, which are asked once for all of them.
#[derive(Debug)]
pub struct MapReader<'a> {
    packs: &'a PackReader,
    component: &'a str,
    left: &'a [SegmentRef],
    texts: VecDeque<Vec<u8>>,
}

impl<'a> MapReader<'a> {
    /// At the first segment.
    pub fn new(packs: &'a PackReader, component: &'a SealedComponent) -> MapReader<'a> {
        MapReader { packs, component: &component.name, left: &component.segments, texts: VecDeque::new() }
    }

    /// The lines of the next segment; none after the last.
    ///
    /// # Errors
    /// When it, or one that is read with it, cannot be fetched, or is not what the sealed part says.
    pub async fn lines<T: DeserializeOwned>(&mut self) -> Result<Vec<T>, RestoreError> {
        let Some((segment, left)) = self.left.split_first() else { return Ok(Vec::new()) };
        if self.texts.is_empty() {
            self.texts = self.ahead().await?;
        }
        self.left = left;
        let text = self.texts.pop_front().expect("at least one was read");
        parse(&text, segment, self.component)
    }

    /// The texts of the next segments.
    async fn ahead(&self) -> Result<VecDeque<Vec<u8>>, RestoreError> {
        let mut bytes = 0_u64;
        let fits = |segment: &&SegmentRef| {
            let is_first = bytes == 0;
            bytes = segment.runs.iter().fold(bytes, |sum, run| sum.saturating_add(run.size)).max(1);
            is_first || bytes <= AHEAD_MAX
        };
        let segments: Vec<&SegmentRef> = self.left.iter().take_while(fits).collect();
        let mut by_pack: BTreeMap<Sha256, Vec<(&Run, Part)>> = BTreeMap::new();
        for (at, segment) in segments.iter().enumerate() {
            segment.runs.iter().enumerate().for_each(|(i, run)| by_pack.entry(run.pack).or_default().push((run, (at, i))));
        }
        let mut parts: BTreeMap<Part, Vec<u8>> = BTreeMap::new();
        for (pack, mut runs) in by_pack {
            let frames = self.packs.frames(pack, runs.iter().map(|(run, _)| (run.offset, run.length)).collect()).await?;
            runs.sort_by_key(|(run, _)| (run.offset, run.skip));
            let mut walk = FrameWalk::new(&frames)?;
            for (run, part) in runs {
                let text = parts.entry(part).or_default();
                walk.run(run, |plain| {
                    text.extend_from_slice(plain);
                    Ok(())
                })?;
            }
        }
        let mut texts = VecDeque::from(vec![Vec::new(); segments.len()]);
        parts.into_iter().for_each(|((segment, _), part)| texts[segment].extend(part));
        Ok(texts)
    }
}
