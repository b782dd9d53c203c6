//! Opening below a root without ever following a symlink.
//!
//! Every part of a path is opened on its own, relative to the one before, and refused when it is a symlink: so nothing that is swapped
//! while we work can lead out of the root. This needs no system call newer than Linux 4.14.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex},
};

use rustix::{
    fs::{Mode, OFlags, fstat, mkdirat, openat},
    io::Errno,
};

use crate::sources::{
    SourceError,
    entry::{display_path, is_inside},
};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The open root of a tree.
#[derive(Debug)]
pub(super) struct Anchor {
    root: Arc<OwnedFd>,
    /// The directory that was used last: in canonical order it is nearly always the next one too.
    last: Mutex<(Vec<u8>, Arc<OwnedFd>)>,
}

/// The error of an operation on a path of the tree.
pub(super) fn failed(doing: &'static str, path: &[u8], error: Errno) -> SourceError {
    let path = display_path(path);
    match error {
        Errno::NOENT => SourceError::Vanished { path },
        Errno::LOOP | Errno::NOTDIR => SourceError::Replaced { path, expected: "reached through directories alone" },
        _ => SourceError::Io { doing, path, source: error.into() },
    }
}

/// A path's parent and name; the name of a path in the root is the path.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// Opens a directory by one name, not through a symlink.
pub(super) fn directory_at(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    match openat(parent, name, DIRECTORY | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(parent, name, DIRECTORY, Mode::empty()),
        other => other,
    }
}

/// Whether a directory is made where a path needs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Fail,
    Make,
}

impl Anchor {
    /// Opens a root. It may be a symlink itself: it is named by the configuration, not found in a tree.
    pub(super) fn open(root: &std::path::Path) -> io::Result<Anchor> {
        let root = Arc::new(rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?);
        Ok(Anchor { last: Mutex::new((Vec::new(), root.clone())), root })
    }

    /// The root itself.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The device that the root is on.
    pub(super) fn device(&self) -> io::Result<u64> {
        Ok(fstat(&self.root)?.st_dev)
    }

    /// The directory at `path`.
    pub(super) fn directory(&self, path: &[u8], missing: Missing) -> Result<Arc<OwnedFd>, SourceError> {
        if path.is_empty() {
            return Ok(self.root.clone());
        }
        if !is_inside(path) {
            return Err(SourceError::UnsafePath { path: display_path(path) });
        }
        let (mut done, mut at) = self.last.lock().expect("no holder of this lock panics").clone();
        if done == path {
            return Ok(at);
        }
        if done.is_empty() || !(path.starts_with(&done) && path.get(done.len()) == Some(&b'/')) {
            (done, at) = (Vec::new(), self.root.clone());
        }
        let rest = path[done.len()..].strip_prefix(b"/").unwrap_or(&path[done.len()..]);
        for part in rest.split(|b| *b == b'/') {
            if !done.is_empty() {
                done.push(b'/');
            }
            done.extend_from_slice(part);
            at = Arc::new(step(at.as_fd(), part, missing).map_err(|error| failed("open the directory", &done, error))?);
        }
        *self.last.lock().expect("no holder of this lock panics") = (done, at.clone());
        Ok(at)
    }

    /// Forgets the directory that was used last: something on its path is about to be replaced.
    pub(super) fn forget(&self) {
        *self.last.lock().expect("no holder of this lock panics") = (Vec::new(), self.root.clone());
    }
}

fn step(at: BorrowedFd<'_>, part: &[u8], missing: Missing) -> rustix::io::Result<OwnedFd> {
    match directory_at(at, part) {
        Err(Errno::NOENT) if missing == Missing::Make => {
            match mkdirat(at, part, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            directory_at(at, part)
        }
        other => other,
    }
}
