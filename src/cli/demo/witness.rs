//! A second opinion on equality: what the platform was, taken with the means of the operating system alone, and compared afterwards. It shares
//! no code with backup or restore.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;

use crate::model::{ByteCount, Problem};

/// Differences that are named; more are counted.
const NAMED_MAX: usize = 20;
const BUFFER: usize = 256 << 10;

/// What is compared besides names and contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attributes {
    /// Type, rights, time of the last change, target of a link.
    All,
    /// Nothing: a stream carries none.
    None,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    File { sha256: String, bytes: u64 },
    Directory,
    Link(PathBuf),
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    content: Content,
    attributes: Option<(u32, i64, i64)>,
}

/// What was seen, by path below the root.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Witness(BTreeMap<PathBuf, Seen>);

impl Witness {
    /// Reads everything below the given folders of `root`, each on a thread of its own.
    pub(super) fn take(root: &Path, folders: &[(&str, Attributes)]) -> io::Result<Witness> {
        std::thread::scope(|scope| {
            let readers: Vec<_> = folders.iter().map(|(folder, attributes)| scope.spawn(|| see(root, Path::new(folder), *attributes))).collect();
            let mut all = BTreeMap::new();
            for reader in readers {
                all.extend(reader.join().expect("reading does not panic")?);
            }
            Ok(Witness(all))
        })
    }

    /// How many entries.
    pub(super) fn entries(&self) -> usize {
        self.0.len()
    }

    /// How many files, and their bytes.
    pub(super) fn files(&self) -> (u64, ByteCount) {
        let sizes = self.0.values().filter_map(|seen| if let Content::File { bytes, .. } = seen.content { Some(bytes) } else { None });
        sizes.fold((0, ByteCount(0)), |(files, all), bytes| (files + 1, ByteCount(all.0 + bytes)))
    }

    /// Lines that `sha256sum --check` understands.
    pub(super) fn sums(&self) -> String {
        let line = |(path, seen): (&PathBuf, &Seen)| match &seen.content {
            Content::File { sha256, .. } => Some(format!("{sha256}  {}\n", path.display())),
            _ => None,
        };
        self.0.iter().filter_map(line).collect()
    }

    /// What is missing, different or too much in `now`.
    pub(super) fn compare(&self, now: &Witness) -> Vec<Problem> {
        let problem = |path: &PathBuf, what: &str| Problem { subject: path.display().to_string(), what: what.to_owned() };
        let mut found = Vec::new();
        for (path, was) in &self.0 {
            match now.0.get(path) {
                None => found.push(problem(path, "is missing")),
                Some(is) if is.content != was.content => found.push(problem(path, "has another content")),
                Some(is) if is.attributes != was.attributes => found.push(problem(path, "has other rights or another time")),
                Some(_) => {}
            }
        }
        found.extend(now.0.keys().filter(|path| !self.0.contains_key(*path)).map(|path| problem(path, "was not there before")));
        let unnamed = found.len().saturating_sub(NAMED_MAX);
        found.truncate(NAMED_MAX);
        if unnamed > 0 {
            found.push(Problem { subject: "the platform".to_owned(), what: format!("{unnamed} further differences") });
        }
        found
    }
}

fn see(root: &Path, folder: &Path, attributes: Attributes) -> io::Result<BTreeMap<PathBuf, Seen>> {
    let (mut seen, mut buffer) = (BTreeMap::new(), vec![0; BUFFER]);
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        let full = root.join(&path);
        let found = fs::symlink_metadata(&full)?;
        let content = match found.file_type() {
            kind if kind.is_dir() => {
                for entry in fs::read_dir(&full)? {
                    waiting.push(path.join(entry?.file_name()));
                }
                Content::Directory
            }
            kind if kind.is_symlink() => Content::Link(fs::read_link(&full)?),
            _ => {
                let (sha256, bytes) = hash(&full, &mut buffer)?;
                Content::File { sha256, bytes }
            }
        };
        let kept = (found.permissions().mode(), found.mtime(), found.mtime_nsec());
        seen.insert(path, Seen { content, attributes: (attributes == Attributes::All).then_some(kept) });
    }
    Ok(seen)
}

fn hash(path: &Path, buffer: &mut [u8]) -> io::Result<(String, u64)> {
    let (mut file, mut context, mut bytes) = (File::open(path)?, digest::Context::new(&digest::SHA256), 0);
    loop {
        match file.read(buffer)? {
            0 => return Ok((hex::encode(context.finish()), bytes)),
            count => {
                context.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::symlink};

    use super::*;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("d")).unwrap();
        fs::write(root.path().join("d/a"), "one").unwrap();
        fs::write(root.path().join("d/b"), "two").unwrap();
        symlink("a", root.path().join("d/l")).unwrap();
        root
    }

    fn take(root: &tempfile::TempDir) -> Witness {
        Witness::take(root.path(), &[("d", Attributes::All)]).unwrap()
    }

    #[test]
    fn every_kind_of_difference_is_seen() {
        let root = tree();
        let before = take(&root);
        assert_eq!((before.entries(), before.files()), (4, (2, ByteCount(6))));
        assert!(before.compare(&take(&root)).is_empty());
        type Change<'a> = (&'a dyn Fn(&Path), &'a str);
        let changes: [Change<'_>; 5] = [
            (&|d| fs::write(d.join("a"), "eno").unwrap(), "another content"),
            (&|d| fs::remove_file(d.join("b")).unwrap(), "missing"),
            (&|d| fs::write(d.join("c"), "").unwrap(), "not there before"),
            (&|d| fs::set_permissions(d.join("a"), Permissions::from_mode(0o600)).unwrap(), "other rights"),
            (&|d| fs::remove_file(d.join("l")).and_then(|()| symlink("b", d.join("l"))).unwrap(), "another content"),
        ];
        for (change, said) in changes {
            let root = tree();
            let before = take(&root);
            change(&root.path().join("d"));
            let found = before.compare(&take(&root));
            assert!(found.iter().any(|problem| problem.what.contains(said)), "{said}: {found:?}");
        }
    }

    #[test]
    fn sums_are_what_sha256sum_writes() {
        let sums = take(&tree()).sums();
        assert!(sums.contains("7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed  d/a\n"), "{sums}");
    }
}
