//! The private part of points, for commands that look into them: members, components, and entries in order, one segment in memory at a time.

use std::collections::VecDeque;

use crate::{
    cli::{
        CliError,
        restore::{self, Choice, Wanted},
    },
    config::Config,
    model::{Context, RecoveryPointId},
    repository::{
        map::{SegmentRef, TreeLine},
        sealed::SealedComponent,
    },
    restore::{fetch::PackReader, maps::segment_lines, opened::OpenedPoint},
    sources::TreeEntry,
};

/// Opens a point from the first location that has it, with the operator's keys.
///
/// # Errors
/// There is no operator key, no such point, or its vault cannot be opened.
pub(super) async fn open(id: &RecoveryPointId, config: &Config, ctx: &Context) -> Result<OpenedPoint, CliError> {
    let choice = Choice::Point(id.clone());
    let (repo, point, manifest) = restore::find(config, &Wanted::new(&choice)).await?;
    restore::open(&repo, point, manifest, &repo.operator()?, ctx).await
}

/// The entries of a tree, in the order of their paths.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    packs: &'a PackReader,
    component: &'a SealedComponent,
    /// How many segments were read or skipped.
    passed: usize,
    entries: VecDeque<TreeEntry>,
}

impl<'a> Listing<'a> {
    /// Nothing read yet.
    pub(super) fn new(point: &'a OpenedPoint, component: &'a SealedComponent) -> Listing<'a> {
        Listing { packs: &point.packs, component, passed: 0, entries: VecDeque::new() }
    }

    /// The next entry, which stays the next.
    ///
    /// # Errors
    /// Its segment is at no location as it should be.
    pub(super) async fn peek(&mut self) -> Result<Option<&TreeEntry>, CliError> {
        while self.entries.is_empty() {
            let Some(segment) = self.component.segments.get(self.passed) else { return Ok(None) };
            let lines: Vec<TreeLine> = segment_lines(self.packs, segment, &self.component.name).await?;
            self.entries.extend(lines.into_iter().map(|line| line.entry));
            self.passed += 1;
        }
        Ok(self.entries.front())
    }

    /// The next entry.
    ///
    /// # Errors
    /// See [`Listing::peek`].
    pub(super) async fn next(&mut self) -> Result<Option<TreeEntry>, CliError> {
        self.peek().await?;
        Ok(self.entries.pop_front())
    }

    /// Between two segments, the one that comes.
    fn coming(&self) -> Option<&SegmentRef> {
        self.component.segments.get(self.passed).filter(|_| self.entries.is_empty())
    }

    /// Passes segments that are the same in both, unread. Returns how many entries they have.
    pub(super) fn pass_equal(&mut self, other: &mut Listing<'_>) -> u64 {
        let mut passed = 0;
        while let (Some(one), Some(two)) = (self.coming(), other.coming()) {
            if one.listing != two.listing {
                break;
            }
            passed += one.entries;
            self.passed += 1;
            other.passed += 1;
        }
        passed
    }
}
