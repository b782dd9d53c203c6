//! A tree that was written, compared with what it should be.

use std::path::Path;

use super::{FilesOptions, Seen, Stability, Tree, Walk, Walked, problems::Problems};
use crate::{
    model::Problem,
    sources::{EntryKind, SourceError, TreeEntry, entry::display_path},
};

/// How a tree compares.
#[must_use]
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// What differs, by path; at most a thousand, then counted.
    pub problems: Vec<Problem>,
    /// Entries that differ in their owner, as they do when somebody other than root restored them. No problem of `problems` names it.
    pub owners: u64,
    /// Entries of which all else was found equal.
    pub equal: u64,
}

/// What an entry means that is in the target and not expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extras {
    /// A difference.
    Problem,
    /// What a restore in place leaves alone.
    Allowed,
}

/// Compares a directory with the entries that it should hold, in canonical order: attributes, targets, and contents by their SHA-256; a file that is
/// expected without one is not read.
/// Specials are not expected to be there. Directories on the way to an expected entry are allowed, and so is `lost+found`.
pub fn compare(expected: impl Iterator<Item = TreeEntry>, target: &Path, extras: Extras) -> Result<Comparison, SourceError> {
    let tree = Tree::open(&FilesOptions { root: target.to_owned(), cross_mounts: true, ..FilesOptions::default() })?;
    let mut comparer = Comparer { tree: &tree, problems: Problems::default(), result: Comparison::default(), extras, unnamed: Vec::new() };
    let mut walk = tree.walk();
    let mut found = comparer.next(&mut walk);
    for wanted in expected {
        while let Some(extra) = found.take_if(|found| found.entry.path < wanted.path) {
            comparer.extra(extra.entry);
            found = comparer.next(&mut walk);
        }
        comparer.unnamed.retain(|directory| !lies_in(&wanted.path, directory));
        match found.take_if(|found| found.entry.path == wanted.path) {
            Some(same) => {
                comparer.entry(&wanted, same)?;
                found = comparer.next(&mut walk);
            }
            None if matches!(wanted.kind, EntryKind::Special(_)) => comparer.result.equal += 1,
            None => comparer.problems.push(&wanted.path, "it is missing".to_owned()),
        }
    }
    while let Some(extra) = found {
        comparer.extra(extra.entry);
        found = comparer.next(&mut walk);
    }
    for directory in std::mem::take(&mut comparer.unnamed) {
        comparer.problems.push(&directory, UNEXPECTED.to_owned());
    }
    Ok(Comparison { problems: comparer.problems.into_vec(), ..comparer.result })
}

const UNEXPECTED: &str = "it is there and should not be";

fn lies_in(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

struct Comparer<'a> {
    tree: &'a Tree,
    problems: Problems,
    result: Comparison,
    extras: Extras,
    /// Directories that were found and not named, so far: something expected may lie in them.
    unnamed: Vec<Vec<u8>>,
}

impl Comparer<'_> {
    fn next(&mut self, walk: &mut Walk<'_>) -> Option<Box<Walked>> {
        loop {
            match walk.next()? {
                Seen::Entry(walked) => return Some(walked),
                Seen::Problem(problem) => self.problems.add(problem),
                Seen::Skipped { .. } => {}
            }
        }
    }

    fn extra(&mut self, entry: TreeEntry) {
        match entry.kind {
            _ if self.extras == Extras::Allowed => {}
            EntryKind::Directory if entry.path.is_empty() || entry.path == b"lost+found" => {}
            EntryKind::Directory => self.unnamed.push(entry.path),
            _ => self.problems.push(&entry.path, UNEXPECTED.to_owned()),
        }
    }

    fn entry(&mut self, wanted: &TreeEntry, mut found: Box<Walked>) -> Result<(), SourceError> {
        let mut differences = attributes(wanted, &found.entry);
        if let (EntryKind::File { size, .. }, EntryKind::File { size: found_size, .. }) = (&wanted.kind, &found.entry.kind) {
            match size == found_size {
                false => differences.push(format!("it has {found_size} bytes instead of {size}")),
                true => differences.extend(self.content(wanted, &mut found)),
            }
        }
        if (wanted.uid, wanted.gid) != (found.entry.uid, found.entry.gid) {
            self.result.owners += 1;
        }
        match differences.is_empty() {
            true => self.result.equal += 1,
            false => self.problems.push(&wanted.path, differences.join("; ")),
        }
        Ok(())
    }

    fn content(&self, wanted: &TreeEntry, found: &mut Walked) -> Option<String> {
        let digest = wanted.sha256?;
        match self.tree.open_content(found).and_then(|content| content.sha256()) {
            Ok((actual, Stability::Unchanged)) => (actual != digest).then(|| format!("its content has SHA-256 {actual} instead of {digest}")),
            Ok((_, Stability::Changed { what })) => Some(what),
            Err(error) => {
                let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
                Some(format!("{error}{cause}"))
            }
        }
    }
}

/// What differs besides owner and content.
fn attributes(wanted: &TreeEntry, found: &TreeEntry) -> Vec<String> {
    let mut differences = Vec::new();
    let kind = match (&wanted.kind, &found.kind) {
        (EntryKind::File { .. }, EntryKind::File { .. }) => None,
        (EntryKind::Symlink { target }, EntryKind::Symlink { target: found }) if target != found => {
            Some(format!("it leads to {} instead of {}", display_path(found), display_path(target)))
        }
        (EntryKind::HardLink { first }, found) if wanted.kind != *found => Some(format!("it is no hard link to {}", display_path(first))),
        (wanted, found) if wanted != found => Some("it is something else".to_owned()),
        _ => None,
    };
    differences.extend(kind);
    if wanted.mode != found.mode {
        differences.push(format!("its mode is {:04o} instead of {:04o}", found.mode, wanted.mode));
    }
    if wanted.mtime != found.mtime {
        let shown = |time: crate::sources::FileTime| format!("{}.{:09}", time.seconds, time.nanos);
        differences.push(format!("its time is {} instead of {}", shown(found.mtime), shown(wanted.mtime)));
    }
    for name in wanted.xattrs.keys().chain(found.xattrs.keys().filter(|name| !wanted.xattrs.contains_key(*name))) {
        if wanted.xattrs.get(name) != found.xattrs.get(name) {
            differences.push(format!("its extended attribute {} differs", display_path(name)));
        }
    }
    differences
}
