//! A share of a tree: the stretch that one of several workers reads. Format: docs/format/source-volumes.md.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{Seen, Tree};
use crate::{
    model::{Context, Problem},
    sources::{SourceError, entry::display_path},
};

/// Names that a share tells of others at most, on either side.
const LINKS_MAX: usize = 50_000;
/// What an entry weighs besides its content.
const ENTRY_WEIGHT: u64 = 16 << 10;
/// Paths that are remembered at most, at which a share may begin.
const MARKS_MAX: usize = 8192;

/// A stretch of a tree in the order of whole paths, and what its walk found of hard links between it and others.
#[derive(Debug)]
pub struct Share {
    from: Vec<u8>,
    /// Where the next one begins; the last has no end.
    to: Option<Vec<u8>>,
    links: Mutex<ShareLinks>,
}

/// Hard links between a share and others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareLinks {
    /// First names in this share, of files that have further names.
    pub lends: Vec<FirstName>,
    /// First names in earlier shares that hard links of this one refer to.
    pub borrows: Vec<FirstName>,
}

/// The first name of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstName {
    /// As people see it.
    pub name: String,
    /// Tells it from another file that has taken its name.
    pub inode: u64,
}

impl FirstName {
    pub(super) fn new(path: &[u8], inode: u64) -> FirstName {
        FirstName { name: display_path(path), inode }
    }
}

impl ShareLinks {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lends.is_empty() && self.borrows.is_empty()
    }
}

impl Share {
    /// Share `number`, from 0, of a tree in which the others begin at the paths of `cut`. Where it has no path, nothing is left for the share.
    pub fn new(cut: &[Vec<u8>], number: usize) -> Share {
        let (from, to) = match number.checked_sub(1).map(|before| cut.get(before)) {
            None => (Vec::new(), cut.first().cloned()),
            Some(Some(from)) => (from.clone(), cut.get(number).cloned()),
            Some(None) => (Vec::new(), Some(Vec::new())),
        };
        Share { from, to, links: Mutex::default() }
    }

    /// What its walk found of links between it and others.
    pub fn links(&self) -> ShareLinks {
        self.found().clone()
    }

    fn found(&self) -> MutexGuard<'_, ShareLinks> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what comes next in a walk is of a later share: a path itself, or what lies in it.
    pub(super) fn is_past(&self, path: &[u8], within: bool) -> bool {
        let slash: &[u8] = if within { b"/" } else { b"" };
        self.to.as_ref().is_some_and(|to| path.iter().chain(slash).cmp(to.iter()).is_ge())
    }

    /// Whether a path comes before it.
    pub(super) fn is_before(&self, path: &[u8]) -> bool {
        path < self.from.as_slice()
    }

    /// Takes note of a hard link of this share to the first name of its file.
    pub(super) fn link(&self, first: &[u8], inode: u64) {
        let mut links = self.found();
        if self.is_before(first) && links.borrows.len() <= LINKS_MAX {
            links.borrows.push(FirstName::new(first, inode));
        }
    }

    /// Takes note, at its end, of the files of which not all names were seen; what is wrong with so many.
    pub(super) fn end<'l>(&self, left: impl Iterator<Item = (&'l [u8], u64)>) -> Option<Problem> {
        let mut links = self.found();
        links.lends =
            left.filter(|(first, _)| !self.is_before(first)).take(LINKS_MAX + 1).map(|(first, inode)| FirstName::new(first, inode)).collect();
        links.lends.sort_unstable();
        (links.lends.len().max(links.borrows.len()) > LINKS_MAX).then(|| Problem {
            subject: display_path(&self.from),
            what: format!("more than {LINKS_MAX} hard links lead out of this share of the tree; let one worker read it"),
        })
    }
}

/// Where shares of a tree begin that weigh the same, but for the first; fewer where the tree has too few entries.
///
/// # Errors
/// When the run is stopped.
pub fn cut(tree: &Tree, shares: u32, ctx: &Context) -> Result<Vec<Vec<u8>>, SourceError> {
    let mut marks = Marks { found: Vec::new(), every: ENTRY_WEIGHT, next: ENTRY_WEIGHT, total: 0, most: MARKS_MAX };
    for seen in tree.walk() {
        if ctx.cancel.is_draining() {
            return Err(SourceError::Cancelled { program: "the cut of a tree".to_owned() });
        }
        if let Seen::Entry(walked) = seen {
            let weight = ENTRY_WEIGHT + walked.entry.size();
            marks.add(walked.entry.path, weight);
        }
    }
    Ok(marks.cut(shares))
}

/// Paths of a walk and what all before them weighs; thinned out as they become too many.
#[derive(Debug)]
struct Marks {
    found: Vec<(u64, Vec<u8>)>,
    every: u64,
    /// What is to come before the next one.
    next: u64,
    total: u64,
    most: usize,
}

impl Marks {
    fn add(&mut self, path: Vec<u8>, weight: u64) {
        if self.total >= self.next {
            self.found.push((self.total, path));
            self.next = self.total + self.every;
        }
        if self.found.len() > self.most {
            self.every *= 2;
            self.found = mem::take(&mut self.found).into_iter().step_by(2).collect();
        }
        self.total += weight;
    }

    fn cut(&self, shares: u32) -> Vec<Vec<u8>> {
        let goal = |share: u32| u64::try_from(u128::from(self.total) * u128::from(share) / u128::from(shares)).unwrap_or(self.total);
        let nearest = |goal: u64| self.found.iter().min_by_key(|(before, _)| before.abs_diff(goal)).map(|(_, path)| path.clone());
        let mut cut: Vec<_> = (1..shares).filter_map(|share| nearest(goal(share))).collect();
        cut.dedup();
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_weigh_about_the_same_however_many_entries_there_are() {
        let mut marks = Marks { found: Vec::new(), every: 1, next: 1, total: 0, most: 64 };
        for n in 0..100_000_u32 {
            marks.add(n.to_be_bytes().to_vec(), if n == 50_000 { 40_000 } else { 1 });
        }
        assert!(marks.found.len() <= 64);
        let cut: Vec<u32> = marks.cut(4).into_iter().map(|path| u32::from_be_bytes(path.try_into().unwrap())).collect();
        // The large one is a third of all, and lies in the middle of the second and the third.
        assert!(cut.len() == 3 && cut[0].abs_diff(35_000) < 3000 && cut[1].abs_diff(50_000) < 3000 && cut[2].abs_diff(65_000) < 3000, "{cut:?}");
        assert!(marks.cut(1).is_empty());
        let few = Marks { found: vec![(1, b"a".to_vec())], every: 1, next: 2, total: 2, most: 64 };
        assert_eq!(few.cut(8), [b"a"], "there is nothing else to begin with");
    }
}
