//! How the file of an object appears, whole or not at all, and how it goes; and with it the directories around it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use super::{Failure, TEMPORARY, walk::is_absence};
use crate::{
    model::ByteCount,
    storage::{ErrorKind, LARGEST_OBJECT, Put, PutOptions, object::sha256},
};

/// The age at which a temporary file is certainly one that a crash has left.
pub(super) const LEFT: Duration = Duration::from_secs(24 * 60 * 60);

/// How often the directory of an object may go while the object is put.
const MOST_MOVES: usize = 1000;

pub(super) fn put(root: &Path, path: &Path, body: &[u8], options: &PutOptions) -> Result<Put, Failure> {
    if options.retain_until.is_some() {
        return Err(Failure::Kind(ErrorKind::Unsupported, "a directory cannot keep anybody from removing a file".to_owned()));
    }
    if body.len() > LARGEST_OBJECT {
        return Err(Failure::Kind(ErrorKind::Invalid, format!("{} is more than an object may have", ByteCount(body.len() as u64))));
    }
    let found = sha256(body);
    if found != options.sha256 {
        return Err(Failure::Kind(ErrorKind::ChecksumMismatch, format!("the body has {found}, not {}", options.sha256)));
    }
    let put = match path.symlink_metadata() {
        Ok(_) => Put::AlreadyThere,
        Err(_) => write_then_link(root, path, body)?,
    };
    // Also for an object of another writer, who may not have come this far yet.
    sync_if_there(parent(path))?;
    Ok(put)
}

/// Removes temporary files that are older than any put can be. What cannot be removed stays, and harms nobody.
pub(super) fn remove_left(folder: &Path) {
    let Ok(files) = fs::read_dir(folder) else { return };
    let is_left = |file: &fs::DirEntry| file.metadata().and_then(|found| found.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT));
    files.flatten().filter(is_left).for_each(|file| drop(fs::remove_file(file.path())));
}

fn write_then_link(root: &Path, path: &Path, body: &[u8]) -> io::Result<Put> {
    let temporary = root.join(TEMPORARY).join(hex::encode(random_bytes()?));
    let mut file = match create(&temporary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(parent(&temporary))?;
            create(&temporary)?
        }
        other => other?,
    };
    let put = file.write_all(body).and_then(|()| file.sync_all()).and_then(|()| publish_below(root, &temporary, path));
    match (put, fs::remove_file(&temporary)) {
        // A rename has taken it away already.
        (Ok(put), Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(put),
        (Ok(put), removed) => removed.map(|()| put),
        (Err(error), _) => Err(error),
    }
}

/// As [`publish`], in a directory that may not be there yet, or go meanwhile.
fn publish_below(root: &Path, temporary: &Path, path: &Path) -> io::Result<Put> {
    let mut put = publish(temporary, path);
    for _ in 0..MOST_MOVES {
        match put {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
        put = make_directories(root, parent(path)).and_then(|()| publish(temporary, path));
    }
    put
}

/// Gives the temporary file its final name, unless that name is taken.
fn publish(temporary: &Path, path: &Path) -> io::Result<Put> {
    match fs::hard_link(temporary, path) {
        Ok(()) => Ok(Put::Created),
        // A network file system may have lost the answer and asked again: two names mean that this very link was made.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && fs::metadata(temporary)?.nlink() == 2 => Ok(Put::Created),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Put::AlreadyThere),
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported | io::ErrorKind::TooManyLinks) => {
            rename_new(temporary, path).map_err(|_| error)
        }
        Err(error) => Err(error),
    }
}

fn rename_new(temporary: &Path, path: &Path) -> io::Result<Put> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(Put::Created),
        Err(rustix::io::Errno::EXIST) => Ok(Put::AlreadyThere),
        Err(error) => Err(error.into()),
    }
}

fn random_bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("an object lies below the root")
}

/// Makes the directories from below `root` down to `path`, each durable before the next.
fn make_directories(root: &Path, path: &Path) -> io::Result<()> {
    if path == root {
        return Ok(());
    }
    make_directories(root, parent(path))?;
    make_directory(path)
}

fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(parent(path)),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// One that is not there any more holds nothing that could be lost.
fn sync_if_there(path: &Path) -> io::Result<()> {
    sync_directory(path).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Removes the file of an object, if it is there, and the directories that then hold nothing any more.
pub(super) fn remove(root: &Path, path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if !is_absence(&error) => Err(error),
        Err(_) => Ok(()),
        Ok(()) => {
            sync_if_there(parent(path))?;
            remove_empty(root, parent(path));
            Ok(())
        }
    }
}

/// Removes `path` and the directories above it that hold nothing any more, below `root`. Who puts something there at this moment makes them anew.
fn remove_empty(root: &Path, path: &Path) {
    let above = path.ancestors().take_while(|above| *above != root);
    for directory in above {
        if fs::remove_dir(directory).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_without_hard_links_does_not_replace_either() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::write(at("one"), "1").unwrap();
        fs::write(at("two"), "2").unwrap();
        assert_eq!(rename_new(&at("one"), &at("final")).unwrap(), Put::Created);
        assert_eq!(rename_new(&at("two"), &at("final")).unwrap(), Put::AlreadyThere);
        assert_eq!(fs::read_to_string(at("final")).unwrap(), "1");
    }
}
