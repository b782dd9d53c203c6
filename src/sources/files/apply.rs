//! An entry's attributes set on what was made for it.

use std::{
    os::fd::BorrowedFd,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    fs::{
        AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fremovexattr, fsetxattr, futimens, lsetxattr, utimensat,
    },
    io::Errno,
};

use super::{
    attributes::{Xattrs, path_at},
    problems::{Problems, counted},
    write::Written,
};
use crate::sources::{FileTime, TreeEntry, entry::display_path};

/// Sets attributes and remembers what could not be set.
#[derive(Debug, Default)]
pub(super) struct Applier {
    problems: Mutex<Problems>,
    owners: AtomicU64,
}

/// How the thing to be changed is reached.
#[derive(Debug, Clone, Copy)]
pub(super) enum Object<'a> {
    /// A file or directory.
    Open(BorrowedFd<'a>),
    /// A symlink, by its directory and name.
    Named(BorrowedFd<'a>, &'a [u8]),
}

fn times(mtime: FileTime) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

impl Applier {
    /// Owner, then xattrs, then mode (a change of owner clears setuid), then times. What fails is remembered, and the rest is done.
    pub(super) fn apply(&self, entry: &TreeEntry, object: Object<'_>) {
        let has_owner = self.owner(entry, object);
        self.xattrs(entry, object);
        if let Object::Open(file) = object {
            // Without its owner a setuid file would lend the wrong person's rights.
            let mode = if has_owner { entry.mode } else { entry.mode & 0o1777 };
            self.check(entry, "its mode could not be set", fchmod(file, Mode::from_raw_mode(mode)));
        }
        let done = match object {
            Object::Open(file) => futimens(file, &times(entry.mtime)),
            Object::Named(directory, name) => utimensat(directory, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW),
        };
        self.check(entry, "its time could not be set", done);
    }

    fn owner(&self, entry: &TreeEntry, object: Object<'_>) -> bool {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        let done = match object {
            Object::Open(file) => fchown(file, Some(uid), Some(gid)),
            Object::Named(directory, name) => chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW),
        };
        match done {
            Err(Errno::PERM) if !rustix::process::geteuid().is_root() => drop(self.owners.fetch_add(1, Ordering::Relaxed)),
            other => self.check(entry, "its owner could not be set", other),
        }
        done.is_ok()
    }

    fn xattrs(&self, entry: &TreeEntry, object: Object<'_>) {
        for (name, value) in &entry.xattrs {
            let done = match object {
                Object::Open(file) => fsetxattr(file, name, value, XattrFlags::empty()),
                Object::Named(directory, link) => lsetxattr(path_at(directory, link), name, value, XattrFlags::empty()),
            };
            let what = format!("its extended attribute {} could not be set", display_path(name));
            self.check(entry, &what, done);
        }
        // A default ACL of the target is inherited by what is made in it.
        let Object::Open(file) = object else { return };
        for name in Xattrs::names_of(file) {
            if !entry.xattrs.contains_key(&name) && (name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_")) {
                let what = format!("the extended attribute {} could not be removed from it", display_path(&name));
                self.check(entry, &what, fremovexattr(file, &name));
            }
        }
    }

    fn check(&self, entry: &TreeEntry, what: &str, done: Result<(), Errno>) {
        if let Err(error) = done {
            self.problem(&entry.path, format!("{what}: {}", std::io::Error::from(error)));
        }
    }

    pub(super) fn problem(&self, path: &[u8], what: String) {
        self.problems.lock().expect("no holder of this lock panics").push(path, what);
    }

    pub(super) fn written(self, specials: u64) -> Written {
        let problems = self.problems.into_inner().expect("no holder of this lock panics").into_vec();
        let owners = counted(self.owners.into_inner(), "belong to the user who restores, without setuid: only root can give files away");
        let specials = counted(specials, "are FIFOs, sockets or devices, which are listed and not made");
        Written { problems, notes: owners.into_iter().chain(specials).collect() }
    }
}
