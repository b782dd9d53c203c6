//! A tree written into a directory.
//!
//! Contents and attributes are set through open files, never through paths that could be swapped. Hard links and the attributes of
//! directories come last, in `finish`, so that callers may write in any order and from several threads.

use std::{
    fs::{DirBuilder, File},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{DirBuilderExt, FileExt},
    },
    path::Path,
    sync::{Arc, Mutex},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, linkat, mkdirat, openat, symlinkat, syncfs, unlinkat},
    io::Errno,
};

use super::{
    Overwrite,
    apply::{Applier, Object},
    beneath::{Anchor, Missing, directory_at, failed, split},
    listing::Listing,
};
use crate::{
    model::Problem,
    sources::{EntryKind, SourceError, TreeEntry, entry::display_path},
};

/// Writes a tree. It may be shared between threads.
#[derive(Debug)]
pub struct TreeWriter {
    anchor: Anchor,
    overwrite: Overwrite,
    applier: Applier,
    later: Mutex<Later>,
}

/// What waits for the end.
#[derive(Debug, Default)]
struct Later {
    directories: Vec<TreeEntry>,
    links: Vec<(Vec<u8>, Vec<u8>)>,
    specials: u64,
}

/// A file that is being written. Its stretches may be written in any order, from several threads.
#[derive(Debug)]
pub struct FileSlot {
    file: File,
    entry: TreeEntry,
}

/// How a tree was written.
#[must_use]
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Written {
    /// What differs from the entries; at most a thousand, then counted.
    pub problems: Vec<Problem>,
    /// What was to be expected and a person may want to know: owners without root's rights, specials that are never made.
    pub notes: Vec<Problem>,
}

impl FileSlot {
    /// Writes bytes at an offset. Places that are never written are holes.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        let io_error = |source| SourceError::Io { doing: "write to", path: self.entry.display_path(), source };
        self.file.write_all_at(bytes, offset).map_err(io_error)
    }

    /// Reads back exactly what fills the buffer.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let io_error = |source| SourceError::Io { doing: "read back", path: self.entry.display_path(), source };
        self.file.read_exact_at(buffer, offset).map_err(io_error)
    }

    /// What is being written.
    pub fn entry(&self) -> &TreeEntry {
        &self.entry
    }
}

impl TreeWriter {
    /// Opens a target, and makes it when it does not exist. With [`Overwrite::Refuse`] it must hold nothing, `lost+found` aside.
    pub fn create(target: &Path, overwrite: Overwrite) -> Result<TreeWriter, SourceError> {
        let shown = || target.display().to_string();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(target);
        let anchor = made.and_then(|()| Anchor::open(target)).map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotADirectory => SourceError::NotADirectory { path: shown() },
            _ => SourceError::Io { doing: "make the directory", path: shown(), source },
        })?;
        if overwrite == Overwrite::Refuse {
            let (listing, outcome) = Listing::read(anchor.root());
            outcome.map_err(|error| failed("list", b"", error))?;
            let mut names = (0..).map_while(|index| listing.get(index));
            if names.any(|(name, _)| name != b"lost+found") {
                return Err(SourceError::NotEmpty { path: shown() });
            }
        }
        Ok(TreeWriter { anchor, overwrite, applier: Applier::default(), later: Mutex::default() })
    }

    /// The directory that a path lies in, made if need be, and the path's name in it.
    fn parent<'a>(&self, path: &'a [u8]) -> Result<(Arc<OwnedFd>, &'a [u8]), SourceError> {
        let (parent, name) = split(path);
        if !crate::sources::entry::is_inside(path) || name.is_empty() {
            return Err(SourceError::UnsafePath { path: display_path(path) });
        }
        Ok((self.anchor.directory(parent, Missing::Make)?, name))
    }

    /// Makes something under a name; what is there is removed first when the restore is in place, unless it is a directory.
    fn make<T>(&self, path: &[u8], doing: &'static str, make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>) -> Result<T, SourceError> {
        self.make_over(path, doing, self.overwrite, make)
    }

    fn make_over<T>(
        &self,
        path: &[u8],
        doing: &'static str,
        overwrite: Overwrite,
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, SourceError> {
        let (parent, name) = self.parent(path)?;
        let made = match make(parent.as_fd(), name) {
            Err(Errno::EXIST) if overwrite == Overwrite::InPlace => {
                self.anchor.forget();
                unlinkat(&parent, name, AtFlags::empty()).map_err(|error| failed("replace", path, error))?;
                make(parent.as_fd(), name)
            }
            other => other,
        };
        made.map_err(|error| failed(doing, path, error))
    }

    /// Makes a file of the entry's size, to be filled and then finished.
    pub fn begin_file(&self, entry: &TreeEntry) -> Result<FileSlot, SourceError> {
        self.begin(entry, self.overwrite)
    }

    /// As [`TreeWriter::begin_file`], of a file that this writer has begun before and that did not come out well.
    pub fn begin_again(&self, entry: &TreeEntry) -> Result<FileSlot, SourceError> {
        self.begin(entry, Overwrite::InPlace)
    }

    fn begin(&self, entry: &TreeEntry, overwrite: Overwrite) -> Result<FileSlot, SourceError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = |parent: BorrowedFd<'_>, name: &[u8]| openat(parent, name, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(self.make_over(&entry.path, "create", overwrite, create)?);
        file.set_len(entry.size()).map_err(|source| SourceError::Io { doing: "size", path: entry.display_path(), source })?;
        Ok(FileSlot { file, entry: entry.clone() })
    }

    /// Gives a file that has its content its attributes. What cannot be set is a problem or note of [`Written`].
    pub fn finish_file(&self, slot: &FileSlot) {
        self.applier.apply(&slot.entry, Object::Open(slot.file.as_fd()));
    }

    /// Writes an entry that has no content. A file goes through [`TreeWriter::begin_file`] instead; here it becomes one of zeros.
    pub fn write(&self, entry: &TreeEntry) -> Result<(), SourceError> {
        match &entry.kind {
            EntryKind::File { .. } => {
                let slot = self.begin_file(entry)?;
                self.finish_file(&slot);
            }
            EntryKind::Directory => {
                self.directory(&entry.path)?;
                self.later().directories.push(entry.clone());
            }
            EntryKind::Symlink { target } => {
                self.make(&entry.path, "make the symlink", |parent, name| symlinkat(target.as_slice(), parent, name))?;
                let (parent, name) = self.parent(&entry.path)?;
                self.applier.apply(entry, Object::Named(parent.as_fd(), name));
            }
            EntryKind::HardLink { first } => self.later().links.push((entry.path.clone(), first.clone())),
            EntryKind::Special(_) => self.later().specials += 1,
        }
        Ok(())
    }

    fn later(&self) -> std::sync::MutexGuard<'_, Later> {
        self.later.lock().expect("no holder of this lock panics")
    }

    fn directory(&self, path: &[u8]) -> Result<(), SourceError> {
        if path.is_empty() {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        if directory_at(parent.as_fd(), name).is_ok() {
            return Ok(());
        }
        self.make(path, "make the directory", |parent, name| mkdirat(parent, name, Mode::RWXU))
    }

    fn link(&self, path: &[u8], first: &[u8]) -> Result<(), SourceError> {
        let (from, from_name) = split(first);
        let from = self.anchor.directory(from, Missing::Fail)?;
        self.make(path, "link", |parent, name| linkat(&from, from_name, parent, name, AtFlags::empty()))
    }

    /// Makes the hard links, gives directories their attributes, deepest first, and has everything written to disk.
    pub fn finish(self) -> Result<Written, SourceError> {
        let mut later = std::mem::take(&mut *self.later());
        for (path, first) in &later.links {
            if let Err(error) = self.link(path, first) {
                let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
                self.applier.problem(path, format!("it could not be linked to {}: {error}{cause}", display_path(first)));
            }
        }
        later.directories.sort_unstable_by(|a, b| b.path.cmp(&a.path));
        for entry in &later.directories {
            let directory = self.anchor.directory(&entry.path, Missing::Fail)?;
            self.applier.apply(entry, Object::Open(directory.as_fd()));
        }
        syncfs(self.anchor.root()).map_err(|error| failed("sync", b"", error))?;
        Ok(self.applier.written(later.specials))
    }
}
