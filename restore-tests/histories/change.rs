//! What people do to files.

use std::{fs, os::unix::fs::symlink, path::Path};

use proptest::prelude::*;

use crate::crash::snapshot::noise;

/// One change of a tree; names are few, so that changes meet.
#[derive(Debug, Clone)]
pub enum Change {
    Write(u8, usize, u64),
    Grow(u8, usize),
    Truncate(u8),
    Rename(u8, u8),
    HardLink(u8, u8),
    Symlink(u8, u8),
    Sparse(u8),
    Folder(u8),
    Remove(u8),
    Mode(u8, u32),
    Dump(usize, u64),
}

/// Any change.
pub fn any() -> impl Strategy<Value = Change> {
    let name = || 0..7_u8;
    prop_oneof![
        3 => (name(), 0..60_000_usize, 0..4_u64).prop_map(|(name, size, seed)| Change::Write(name, size, seed)),
        1 => (name(), 1..9_000_usize).prop_map(|(name, size)| Change::Grow(name, size)),
        1 => name().prop_map(Change::Truncate),
        1 => (name(), name()).prop_map(|(from, to)| Change::Rename(from, to)),
        1 => (name(), name()).prop_map(|(from, to)| Change::HardLink(from, to)),
        1 => (name(), name()).prop_map(|(from, to)| Change::Symlink(from, to)),
        1 => name().prop_map(Change::Sparse),
        1 => name().prop_map(Change::Folder),
        1 => name().prop_map(Change::Remove),
        1 => (name(), 0o400..0o777_u32).prop_map(|(name, mode)| Change::Mode(name, mode)),
        1 => (0..200_000_usize, 0..3_u64).prop_map(|(size, seed)| Change::Dump(size + 1, seed)),
    ]
}

impl Change {
    /// Does it, where it is possible: a name may mean something else, or nothing, by now.
    pub fn apply(&self, tree: &Path, dump: &Path) {
        let path = |name: &u8| tree.join(if name.is_multiple_of(2) { format!("n{name}") } else { format!("sub/n{name}") });
        let is_file = |name: &u8| path(name).symlink_metadata().is_ok_and(|data| data.is_file());
        // An impossible change is no change.
        let _done = match self {
            Change::Write(name, size, seed) if !path(name).is_dir() => {
                remove(&path(name));
                fs::write(path(name), noise(*seed, *size))
            }
            Change::Grow(name, size) if is_file(name) => {
                let mut bytes = fs::read(path(name)).unwrap();
                bytes.extend(noise(99, *size));
                fs::write(path(name), bytes)
            }
            Change::Truncate(name) if is_file(name) => {
                fs::File::options().write(true).open(path(name)).and_then(|file| file.set_len(file.metadata()?.len() / 2))
            }
            Change::Rename(from, to) => fs::rename(path(from), path(to)),
            Change::HardLink(from, to) if is_file(from) => fs::hard_link(path(from), path(to)),
            Change::Symlink(from, to) => symlink(path(from), path(to)),
            Change::Sparse(name) if is_file(name) => fs::File::options().write(true).open(path(name)).and_then(|file| file.set_len(3 << 20)),
            Change::Folder(name) => fs::create_dir(path(name)),
            Change::Remove(name) => {
                remove(&path(name));
                Ok(())
            }
            Change::Mode(name, mode) if is_file(name) => fs::set_permissions(path(name), std::os::unix::fs::PermissionsExt::from_mode(*mode)),
            Change::Dump(size, seed) => fs::write(dump, noise(*seed, *size)),
            _ => Ok(()),
        };
    }
}

fn remove(path: &Path) {
    let _file = fs::remove_file(path);
    let _folder = fs::remove_dir_all(path);
}
