//! The entries of a tree, in canonical order, with little memory.

use std::{
    collections::{HashMap, VecDeque},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, FileType, fstat, readlinkat, statat},
    io::Errno,
};

use super::{
    attributes::{self, Xattrs},
    beneath::{Anchor, Missing, directory_at},
    excludes::Excludes,
    listing::Listing,
    share::Share,
};
use crate::{
    model::Problem,
    sources::{EntryKind, Identity, SourceError, TreeEntry, entry::display_path},
};

/// How many directories on the way down are kept open; deeper trees reopen them on the way up.
const OPEN_DIRECTORIES: usize = 128;

/// What of a directory is read.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct FilesOptions {
    /// The directory.
    pub root: PathBuf,
    /// Patterns as in .gitignore, without '!': a '/' at the start or within binds to the root, one at the end means directories only.
    pub excludes: Vec<String>,
    /// Whether file systems that are mounted below the root are read too. Otherwise each is a problem, unless it is excluded.
    pub cross_mounts: bool,
}

/// A directory tree that can be read.
#[derive(Debug)]
pub struct Tree {
    anchor: Anchor,
    device: u64,
    excludes: Excludes,
    cross_mounts: bool,
    share: Option<Arc<Share>>,
}

/// An entry that the walk has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// What is stored. The digest and the stretches of data are not known yet.
    pub entry: TreeEntry,
    /// What tells later whether it has changed.
    pub identity: Identity,
}

/// Why something is left out without a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// A pattern excludes it, with all that lies in it.
    Excluded,
    /// It was deleted while the walk came to it.
    Vanished,
    /// It is of an earlier share.
    Elsewhere,
}

/// One finding of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// An entry.
    Entry(Box<Walked>),
    /// Left out, rightly.
    Skipped {
        /// Its raw path.
        path: Vec<u8>,
        /// Why.
        why: Skipped,
    },
    /// Something that could not be read and is missing from the tree.
    Problem(Problem),
}

impl Tree {
    /// Opens a tree.
    pub fn open(options: &FilesOptions) -> Result<Tree, SourceError> {
        let excludes = Excludes::new(&options.excludes)?;
        let shown = || options.root.display().to_string();
        let opened = Anchor::open(&options.root).and_then(|anchor| Ok((anchor.device()?, anchor)));
        let (device, anchor) = opened.map_err(|source| match source.kind() {
            std::io::ErrorKind::NotADirectory => SourceError::NotADirectory { path: shown() },
            _ => SourceError::Io { doing: "open the directory", path: shown(), source },
        })?;
        Ok(Tree { anchor, device, excludes, cross_mounts: options.cross_mounts, share: None })
    }

    /// The same, of which a walk shows a share alone.
    pub fn within(self, share: Option<Arc<Share>>) -> Tree {
        Tree { share, ..self }
    }

    /// Goes through the tree: the root first, then everything below it in order of the raw bytes of whole paths (`a`, `a-b`, `a/x`).
    pub fn walk(&self) -> Walk<'_> {
        Walk {
            tree: self,
            stack: Vec::new(),
            path: Vec::new(),
            links: HashMap::new(),
            xattrs: Xattrs::default(),
            pending: VecDeque::new(),
            started: false,
        }
    }

    pub(super) fn anchor(&self) -> &Anchor {
        &self.anchor
    }
}

#[derive(Debug)]
struct Frame {
    directory: Option<OwnedFd>,
    /// Device and inode, to know the directory again.
    id: (u64, u64),
    /// Length of its path.
    path: usize,
    listing: Listing,
    next: usize,
}

/// A walk through a tree.
#[derive(Debug)]
pub struct Walk<'a> {
    tree: &'a Tree,
    stack: Vec<Frame>,
    path: Vec<u8>,
    /// Files of several names of which not all were seen: the first name, and how many are to come.
    links: HashMap<(u64, u64), (Vec<u8>, u128)>,
    xattrs: Xattrs,
    pending: VecDeque<Seen>,
    started: bool,
}

impl Iterator for Walk<'_> {
    type Item = Seen;

    fn next(&mut self) -> Option<Seen> {
        loop {
            if let Some(seen) = self.pending.pop_front() {
                return Some(seen);
            }
            if !std::mem::replace(&mut self.started, true) {
                self.root();
                continue;
            }
            let frame = self.stack.last_mut()?;
            self.path.truncate(frame.path);
            let Some((name, descend)) = frame.listing.get(frame.next) else {
                self.leave();
                continue;
            };
            frame.next += 1;
            if frame.path > 0 {
                self.path.push(b'/');
            }
            let start = self.path.len();
            self.path.extend_from_slice(name);
            if self.share().is_some_and(|share| share.is_past(&self.path, descend)) {
                self.stack.clear();
                self.end();
                continue;
            }
            if descend { self.enter(start) } else { self.look(start) }
        }
    }
}

impl<'a> Walk<'a> {
    fn share(&self) -> Option<&'a Share> {
        self.tree.share.as_deref()
    }

    /// Takes note, once all that is to be shown was, of links between this share and others.
    fn end(&mut self) {
        let left = self.links.iter().map(|((_, inode), (first, _))| (&**first, *inode));
        self.pending.extend(self.tree.share.as_ref().and_then(|share| share.end(left)).map(Seen::Problem));
    }

    fn root(&mut self) {
        let root = self.tree.anchor.root();
        let opened = fstat(root).and_then(|stat| Ok((stat, self.xattrs.read(root, b"")?, directory_at(root, b".")?)));
        match opened {
            Ok((stat, xattrs, directory)) => {
                let mut entry = attributes::entry(Vec::new(), &stat);
                entry.xattrs = xattrs;
                if self.share().is_none_or(|share| !share.is_before(b"") && !share.is_past(b"", false)) {
                    self.pending.push_back(Seen::Entry(Box::new(Walked { entry, identity: attributes::identity(&stat) })));
                }
                self.push(directory, (stat.st_dev, stat.st_ino));
            }
            Err(error) => self.problem("it cannot be read", error),
        }
    }

    fn push(&mut self, directory: OwnedFd, id: (u64, u64)) {
        let (listing, outcome) = Listing::read(directory.as_fd());
        if let Err(error) = outcome {
            self.problem("its names cannot all be read", error);
        }
        self.stack.push(Frame { directory: Some(directory), id, path: self.path.len(), listing, next: 0 });
        if let Some(far) = self.stack.len().checked_sub(OPEN_DIRECTORIES + 1) {
            self.stack[far].directory = None;
        }
    }

    fn problem(&mut self, what: &str, error: Errno) {
        let error = std::io::Error::from(error);
        self.pending.push_back(Seen::Problem(Problem { subject: display_path(&self.path), what: format!("{what}: {error}") }));
    }

    fn skipped(&mut self, why: Skipped) {
        self.pending.push_back(Seen::Skipped { path: self.path.clone(), why });
    }

    /// Shows the entry at `path`, whose name begins at `start`.
    fn look(&mut self, start: usize) {
        match self.examine(start) {
            Ok(Ok(walked)) => self.pending.push_back(Seen::Entry(Box::new(walked))),
            Ok(Err(why)) => self.skipped(why),
            Err(Errno::NOENT) => self.skipped(Skipped::Vanished),
            Err(error) => self.problem("it cannot be read", error),
        }
    }

    fn examine(&mut self, start: usize) -> Result<Result<Walked, Skipped>, Errno> {
        let name = &self.path[start..];
        let directory = self.stack.last().and_then(|frame| frame.directory.as_ref()).expect("the directory that is walked is open").as_fd();
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if self.tree.excludes.matches(&self.path, is_directory) {
            return Ok(Err(Skipped::Excluded));
        }
        let mut entry = attributes::entry(self.path.clone(), &stat);
        let elsewhere = self.tree.share.as_ref().is_some_and(|share| share.is_before(&self.path));
        if !elsewhere {
            if let EntryKind::Symlink { target } = &mut entry.kind {
                *target = readlinkat(directory, name, Vec::new())?.into_bytes();
            }
            entry.xattrs = self.xattrs.read(directory, name)?;
        }
        let links = stat.st_nlink;
        if links > 1 && matches!(entry.kind, EntryKind::File { .. } | EntryKind::Symlink { .. }) {
            let key = (stat.st_dev, stat.st_ino);
            if let Some((first, left)) = self.links.get_mut(&key) {
                entry.kind = EntryKind::HardLink { first: first.clone() };
                if let Some(share) = self.tree.share.as_ref().filter(|_| !elsewhere) {
                    share.link(first, key.1);
                }
                *left -= 1;
                if *left == 0 {
                    self.links.remove(&key);
                }
            } else {
                self.links.insert(key, (self.path.clone(), u128::from(links) - 1));
            }
        }
        match elsewhere {
            true => Ok(Err(Skipped::Elsewhere)),
            false => Ok(Ok(Walked { entry, identity: attributes::identity(&stat) })),
        }
    }

    /// Goes down into the directory at `path`, whose name begins at `start`.
    fn enter(&mut self, start: usize) {
        if self.tree.excludes.matches(&self.path, true) {
            return;
        }
        let parent = self.stack.last().and_then(|frame| frame.directory.as_ref()).expect("the directory that is walked is open");
        match directory_at(parent.as_fd(), &self.path[start..]).and_then(|directory| Ok((fstat(&directory)?, directory))) {
            Ok((stat, _)) if stat.st_dev != self.tree.device && !self.tree.cross_mounts => {
                let what = "another file system is mounted here and was not read: exclude it, or set cross_mounts".to_owned();
                self.pending.push_back(Seen::Problem(Problem { subject: display_path(&self.path), what }));
            }
            Ok((stat, directory)) => self.push(directory, (stat.st_dev, stat.st_ino)),
            Err(Errno::NOENT) => self.skipped(Skipped::Vanished),
            Err(error) => self.problem("the directory cannot be entered", error),
        }
    }

    /// Goes up, and opens the directory there again if it was closed to stay within the limit.
    fn leave(&mut self) {
        let Some(left) = self.stack.pop() else { return };
        let Some(frame) = self.stack.last_mut() else { return self.end() };
        if frame.directory.is_some() {
            return;
        }
        self.path.truncate(frame.path);
        let is_same = |directory: OwnedFd| {
            let stat = fstat(&directory).ok()?;
            ((stat.st_dev, stat.st_ino) == frame.id).then_some(directory)
        };
        let above = left.directory.and_then(|directory| directory_at(directory.as_fd(), b"..").ok()).and_then(is_same);
        let by_path = || self.tree.anchor.directory(&self.path, Missing::Fail).ok()?.try_clone().ok().and_then(is_same);
        frame.directory = above.or_else(by_path);
        if frame.directory.is_none() {
            frame.next = usize::MAX;
            self.problem("it was moved while it was walked; the rest of it is missing", Errno::STALE);
        }
    }
}
