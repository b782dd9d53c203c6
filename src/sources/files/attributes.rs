//! Attributes between the kernel's form and the entry's.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    fs::{FileType, Stat, fgetxattr, flistxattr, flistxattr_query, lgetxattr, llistxattr, major, minor},
    io::Errno,
};

use crate::sources::{EntryKind, FileTime, Identity, SpecialKind, TreeEntry};

/// The kernel's limit for the names of one file's xattrs together, and for each value.
const XATTR_MAX: usize = 64 << 10;

/// Reads xattrs into buffers that it keeps.
#[derive(Debug)]
pub(super) struct Xattrs {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Xattrs {
    fn default() -> Xattrs {
        Xattrs { names: vec![0; XATTR_MAX], value: vec![0; XATTR_MAX] }
    }
}

/// A path by which the xattr calls, which have no form relative to a directory, reach a name in an open directory.
pub(super) fn path_at(directory: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    use std::os::fd::AsRawFd;
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(if name.is_empty() { b"." } else { name });
    path
}

impl Xattrs {
    /// All of a name's xattrs; the empty name is the directory itself. A symlink's are its own. None where the file system has none.
    pub(super) fn read(&mut self, directory: BorrowedFd<'_>, name: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Errno> {
        let path = path_at(directory, name);
        self.read_path(&path)
    }

    /// All xattrs of an open file.
    pub(super) fn read_open(&mut self, file: impl AsFd) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Errno> {
        let length = match flistxattr(&file, &mut self.names[..]) {
            Err(Errno::NOTSUP) => 0,
            other => other?,
        };
        let Xattrs { names, value } = self;
        collect(&names[..length], |name| fgetxattr(&file, name, &mut value[..]).map(|length| value[..length].to_vec()))
    }

    /// The names of an open file's xattrs; none where they cannot be listed.
    pub(super) fn names_of(file: BorrowedFd<'_>) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        match flistxattr_query(file) {
            Ok(length) if length > 0 => names.resize(length, 0),
            _ => return Vec::new(),
        }
        let length = flistxattr(file, &mut names[..]).unwrap_or(0);
        names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
    }

    fn read_path(&mut self, path: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Errno> {
        let length = match llistxattr(path, &mut self.names[..]) {
            Ok(length) => length,
            Err(Errno::NOTSUP) => 0,
            Err(error) => return Err(error),
        };
        let Xattrs { names, value } = self;
        collect(&names[..length], |name| lgetxattr(path, name, &mut value[..]).map(|length| value[..length].to_vec()))
    }
}

fn collect(names: &[u8], mut get: impl FnMut(&[u8]) -> Result<Vec<u8>, Errno>) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Errno> {
    let mut found = BTreeMap::new();
    for name in names.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        match get(name) {
            Ok(value) => drop(found.insert(name.to_vec(), value)),
            // Removed since it was listed.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// What identifies a file's state.
pub(super) fn identity(stat: &Stat) -> Identity {
    Identity {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
    }
}

/// A kernel's time. Some file systems report nanoseconds out of range for times that they cannot hold.
fn time(seconds: i64, nanos: impl TryInto<u32>) -> FileTime {
    FileTime { seconds, nanos: nanos.try_into().unwrap_or(0).min(999_999_999) }
}

/// An entry without xattrs. A symlink's target is for the caller to fill in.
pub(super) fn entry(path: Vec<u8>, stat: &Stat) -> TreeEntry {
    let (major, minor) = (major(stat.st_rdev), minor(stat.st_rdev));
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File { size: u64::try_from(stat.st_size).unwrap_or(0), data: None },
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink { target: Vec::new() },
        FileType::Fifo => EntryKind::Special(SpecialKind::Fifo),
        FileType::CharacterDevice => EntryKind::Special(SpecialKind::CharDevice { major, minor }),
        FileType::BlockDevice => EntryKind::Special(SpecialKind::BlockDevice { major, minor }),
        FileType::Socket | FileType::Unknown => EntryKind::Special(SpecialKind::Socket),
    };
    let identity = identity(stat);
    TreeEntry {
        path,
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: identity.mtime,
        xattrs: BTreeMap::new(),
        sha256: None,
    }
}
