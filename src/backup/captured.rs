//! A member as it was captured: what its components and its source say, put together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Checkpoint, capture::ComponentEnd, finish::Finished, open::Opened};
use crate::{
    model::{MemberName, Outcome, Problem, Sha256, Timestamp},
    pipeline::hash::Sha256Hasher,
    repository::{
        map::SegmentRef,
        packlist::PackInfo,
        sealed::{SealedComponent, SealedMember},
    },
    sources::{CaptureEnd, Component, ShareLinks},
};

/// Problems that are named; more are counted.
const PROBLEMS_MAX: usize = 1000;

/// A member as it was captured.
#[derive(Debug)]
pub struct MemberCapture {
    /// The private part of it.
    pub sealed: SealedMember,
    /// The kind of its source.
    pub kind: &'static str,
    /// How it ended: succeeded or incomplete.
    pub outcome: Outcome,
    /// Begin of the time that the data represents.
    pub consistent_from: Timestamp,
    /// End of the time that the data represents.
    pub consistent_to: Timestamp,
    /// Bytes of content.
    pub bytes: u64,
    /// Entries, and one per stream.
    pub items: u64,
    /// Versions of what was read.
    pub versions: BTreeMap<String, String>,
    /// Bytes used of each pack.
    pub live: BTreeMap<PackInfo, u64>,
    /// Packs that were put.
    pub new_packs: Vec<PackInfo>,
    /// Index fragments that were written.
    pub index: Vec<Sha256>,
    /// Hint fragments that were written.
    pub hints: Vec<Sha256>,
    /// What workers of this run that are gone had stored.
    pub adopted: Vec<Checkpoint>,
}

/// What a worker captured of a member: one component, and what it stored for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapturedPart {
    /// The component.
    pub component: SealedComponent,
    /// What of it is missing.
    pub problems: Vec<Problem>,
    /// Begin of the time that it represents.
    pub consistent_from: Timestamp,
    /// End of the time that it represents.
    pub consistent_to: Timestamp,
    /// Bytes used of each pack.
    pub live: Vec<(PackInfo, u64)>,
    /// Packs that were put.
    pub new_packs: Vec<PackInfo>,
    /// Index fragments that were written.
    pub index: Vec<Sha256>,
    /// Hint fragments that were written.
    pub hints: Vec<Sha256>,
    /// What workers before it, of the same part, had stored.
    pub adopted: Vec<Checkpoint>,
    /// Of a share: hard links between it and others.
    #[serde(default, skip_serializing_if = "ShareLinks::is_empty")]
    pub links: ShareLinks,
}

impl MemberCapture {
    /// A member of which nothing was read yet.
    pub fn begin(name: &MemberName, kind: &'static str, source: BTreeMap<String, String>, opened: &Opened) -> MemberCapture {
        let sealed = SealedMember {
            name: name.clone(),
            source,
            problems: Vec::new(),
            components: Vec::new(),
            position: BTreeMap::new(),
            notes: Vec::new(),
            row_key: None,
        };
        MemberCapture {
            sealed: SealedMember { row_key: Some(opened.row_key), ..sealed },
            kind,
            outcome: Outcome::Succeeded,
            consistent_from: opened.at,
            consistent_to: opened.at,
            bytes: 0,
            items: 0,
            versions: BTreeMap::new(),
            live: BTreeMap::new(),
            new_packs: Vec::new(),
            index: Vec::new(),
            hints: Vec::new(),
            adopted: Vec::new(),
        }
    }

    /// Takes in what a lane has stored.
    pub(super) fn stored(&mut self, lane: &Finished) {
        for (pack, bytes) in lane.live() {
            let used = self.live.entry(pack).or_default();
            *used = (*used + bytes).min(pack.size);
        }
        self.new_packs.extend(&lane.new_packs);
        self.index.extend(&lane.index);
        self.hints.extend(&lane.hints);
    }

    /// Takes in a component that was read whole.
    pub(super) fn add(&mut self, component: Component, end: ComponentEnd, segments: Vec<SegmentRef>) {
        let rows = end.stream.as_ref().and_then(|(_, stream)| stream.rows);
        let (digest, from, to) = match end.stream {
            Some((digest, stream)) => {
                self.versions.extend(stream.versions);
                (digest, stream.consistent_from, stream.consistent_to)
            }
            None => (tree_digest(&segments), end.from, end.to),
        };
        let first = self.sealed.components.is_empty();
        self.consistent_from = if first { from } else { self.consistent_from.min(from) };
        self.consistent_to = if first { to } else { self.consistent_to.max(to) };
        self.bytes += end.bytes;
        self.items += end.items;
        self.problems(&component.name, end.problems);
        let Component { name, shape, stage, about } = component;
        self.sealed.components.push(SealedComponent { name, shape, bytes: end.bytes, items: end.items, digest, segments, stage, about, rows });
    }

    /// Its only component, for whoever puts the member together; `None` when it has none.
    pub fn into_part(mut self, adopted: Vec<Checkpoint>, links: ShareLinks) -> Option<CapturedPart> {
        Some(CapturedPart {
            component: self.sealed.components.pop()?,
            problems: self.sealed.problems,
            consistent_from: self.consistent_from,
            consistent_to: self.consistent_to,
            live: self.live.into_iter().collect(),
            new_packs: self.new_packs,
            index: self.index,
            hints: self.hints,
            adopted,
            links,
        })
    }

    /// Takes in what a worker captured.
    pub fn take(&mut self, part: CapturedPart) {
        let first = self.sealed.components.is_empty();
        self.consistent_from = if first { part.consistent_from } else { self.consistent_from.min(part.consistent_from) };
        self.consistent_to = if first { part.consistent_to } else { self.consistent_to.max(part.consistent_to) };
        self.bytes += part.component.bytes;
        self.items += part.component.items;
        let name = part.component.name.clone();
        self.problems(
            &name,
            part.problems.into_iter().map(|problem| Problem { subject: format!("{name}: {}", problem.subject), ..problem }).collect(),
        );
        self.sealed.components.push(part.component);
        for (pack, bytes) in part.live {
            let used = self.live.entry(pack).or_default();
            *used = (*used + bytes).min(pack.size);
        }
        self.new_packs.extend(part.new_packs.into_iter().chain(part.adopted.iter().flat_map(|stored| stored.packs.iter().copied())));
        self.index.extend(part.index);
        self.hints.extend(part.hints);
        self.adopted.extend(part.adopted);
    }

    /// Takes note of something that could not be read.
    pub fn missing(&mut self, problem: Problem) {
        let subject = problem.subject.clone();
        self.problems(&subject, vec![problem]);
    }

    fn problems(&mut self, subject: &str, problems: Vec<Problem>) {
        let room = PROBLEMS_MAX.saturating_sub(self.sealed.problems.len());
        let unnamed = problems.len().saturating_sub(room);
        self.sealed.problems.extend(problems.into_iter().take(room));
        if unnamed > 0 && room > 0 {
            self.sealed.problems.push(Problem { subject: subject.to_owned(), what: format!("{unnamed} further problems") });
        }
    }

    /// The member, once its source has said what holds for all of it.
    pub fn conclude(mut self, end: CaptureEnd) -> MemberCapture {
        if let Some((from, to)) = end.consistent {
            (self.consistent_from, self.consistent_to) = (from, to);
        }
        self.versions.extend(end.versions);
        self.problems("source", end.problems);
        self.sealed.position = end.position;
        self.sealed.notes = end.notes;
        if self.sealed.components.iter().all(|component| component.rows.is_none()) {
            self.sealed.row_key = None;
        }
        if !self.sealed.problems.is_empty() {
            self.outcome = Outcome::Incomplete { missing: self.sealed.problems.clone() };
        }
        self
    }
}

/// The digest of a tree: that of its segments' listing digests, each with a line feed.
pub fn tree_digest(segments: &[SegmentRef]) -> Sha256 {
    let mut hasher = Sha256Hasher::new();
    segments.iter().for_each(|segment| hasher.update(format!("{}\n", segment.listing).as_bytes()));
    hasher.finish()
}
