//! A directory as a store: one file per object, below a root.
//!
//! A file appears under its final name by a hard link from a synced temporary file (or, where there are no hard links, by a rename that does not replace),
//! so it is there whole or not at all, and of two writers one wins. A directory goes with its last object; a put from under which it goes makes it anew.
//! There is no retention and there are no versions: `rm` works.

mod walk;

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Once},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    ErrorKind, LARGEST_OBJECT, ListPage, ObjectInfo, ObjectStore, ObjectVersion, PageToken, Put, PutOptions, StoreError,
    object::sha256,
    range::{Refusal, check_asked, check_came},
};
use crate::model::{ByteCount, ObjectKey};
use walk::{Walk, is_absence, stat};

/// Folder of temporary files in the root. What a crash leaves in it harms nobody.
const TEMPORARY: &str = ".tmp";

/// The age at which a temporary file is certainly one that a crash has left.
const LEFT: Duration = Duration::from_secs(24 * 60 * 60);

/// How often the directory of an object may go while the object is put.
const MOST_MOVES: usize = 1000;

/// The version that a store without versions shows.
const ONLY_VERSION: &str = "null";

/// Objects as files below a root directory.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    root: Arc<Path>,
    /// Left temporary files are removed once, by whoever writes.
    swept: Arc<Once>,
}

impl DirectoryStore {
    /// The store in `root`, which must be there: a directory that is made on the fly hides a disk that is not mounted. Errors: `NotFound`, `Invalid` (not a directory), `AccessDenied`.
    pub fn open(root: &Path) -> Result<DirectoryStore, StoreError> {
        let store = DirectoryStore { root: root.into(), swept: Arc::new(Once::new()) };
        match fs::metadata(root) {
            Ok(found) if found.is_dir() => Ok(store),
            Ok(_) => Err(StoreError::new(ErrorKind::Invalid, "open", "", &store.describe()).note("it is not a directory")),
            Err(error) => Err(StoreError::io(error, "open", "", &store.describe()).advise("create the directory, or mount the disk that holds it")),
        }
    }

    fn path(&self, action: &'static str, key: &ObjectKey) -> Result<PathBuf, StoreError> {
        // The grammar of keys leaves no way out of the root; only our own folder is to be kept clear.
        match key.as_str().split('/').next() == Some(TEMPORARY) {
            true => Err(StoreError::new(ErrorKind::Invalid, action, key.as_str(), &self.describe()).note("the name is reserved")),
            false => Ok(self.root.join(key.as_str())),
        }
    }

    /// Runs `work` on the path of `key`, on a thread that may block, and dresses its error.
    async fn on_file<T, W>(&self, action: &'static str, key: &ObjectKey, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Path, &Path) -> Result<T, Failure> + Send + 'static,
    {
        let path = self.path(action, key)?;
        let root = self.root.clone();
        let done = blocking(move || work(&root, &path)).await;
        done.map_err(|failure| match failure {
            Failure::Io(error) => StoreError::io(error, action, key.as_str(), &self.describe()),
            Failure::Kind(kind, note) => StoreError::new(kind, action, key.as_str(), &self.describe()).note(note),
        })
    }

    fn only_version(&self, action: &'static str, key: &ObjectKey, version: &str) -> Result<(), StoreError> {
        let known = version == ONLY_VERSION;
        known.then_some(()).ok_or_else(|| StoreError::new(ErrorKind::NotFound, action, key.as_str(), &self.describe()).note("no such version"))
    }
}

enum Failure {
    Io(io::Error),
    Kind(ErrorKind, String),
}

impl From<Refusal> for Failure {
    fn from((kind, note): Refusal) -> Failure {
        Failure::Kind(kind, note)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
    }
}

#[async_trait]
impl ObjectStore for DirectoryStore {
    async fn put_new(&self, key: &ObjectKey, body: Bytes, options: &PutOptions) -> Result<Put, StoreError> {
        let (options, swept) = (*options, Arc::clone(&self.swept));
        self.on_file("put", key, move |root, path| {
            swept.call_once(|| remove_left(&root.join(TEMPORARY)));
            put(root, path, &body, &options)
        })
        .await
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        self.on_file("get", key, move |_, path| read(path, range)).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        let found = self.on_file("head", key, |_, path| Ok(stat(path)?)).await?;
        Ok(found.map(|(size, modified)| ObjectInfo { key: key.clone(), size, sha256: None, modified, version: None, retain_until: None }))
    }

    async fn list(&self, prefix: &str, page: Option<PageToken>) -> Result<ListPage, StoreError> {
        let (root, mut walk) = (self.root.clone(), Walk::new(prefix, page));
        let done = blocking(move || walk.directory(&root, "").map(|()| walk.page)).await;
        done.map_err(|error| StoreError::io(error, "list", prefix, &self.describe()))
    }

    async fn folders(&self, prefix: &str) -> Result<BTreeSet<String>, StoreError> {
        let folder = self.root.join(prefix);
        let read = move || {
            let entries = match fs::read_dir(folder) {
                Err(error) if is_absence(&error) => return Ok(BTreeSet::new()),
                entries => entries?,
            };
            let name = |entry: io::Result<fs::DirEntry>| {
                let entry = entry?;
                let name = entry.file_name().into_string().ok().filter(|name| name != TEMPORARY);
                Ok(name.filter(|_| entry.path().is_dir()))
            };
            entries.map(name).filter_map(Result::transpose).collect::<io::Result<_>>()
        };
        blocking(read).await.map_err(|error| StoreError::io(error, "list", prefix, &self.describe()))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let remove = |root: &Path, path: &Path| match fs::remove_file(path) {
            Err(error) if !is_absence(&error) => Err(error.into()),
            Err(_) => Ok(()),
            Ok(()) => {
                sync_if_there(parent(path))?;
                remove_empty(root, parent(path));
                Ok(())
            }
        };
        self.on_file("delete", key, remove).await
    }

    async fn versions(&self, key: &ObjectKey) -> Result<Vec<ObjectVersion>, StoreError> {
        let version = |info: ObjectInfo| {
            let ObjectInfo { size, modified, .. } = info;
            ObjectVersion { version: ONLY_VERSION.to_owned(), is_delete_marker: false, is_latest: true, size, modified }
        };
        Ok(self.head(key).await?.map(version).into_iter().collect())
    }

    async fn get_version(&self, key: &ObjectKey, version: &str) -> Result<Bytes, StoreError> {
        self.only_version("get a version of", key, version)?;
        self.get(key, None).await
    }

    async fn delete_version(&self, key: &ObjectKey, version: &str) -> Result<(), StoreError> {
        self.only_version("delete a version of", key, version)?;
        self.delete(key).await
    }

    fn describe(&self) -> String {
        format!("file://{}", self.root.display())
    }
}

fn put(root: &Path, path: &Path, body: &[u8], options: &PutOptions) -> Result<Put, Failure> {
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
fn remove_left(folder: &Path) {
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

/// Removes `path` and the directories above it that hold nothing any more, below `root`. Who puts something there at this moment makes them anew.
fn remove_empty(root: &Path, path: &Path) {
    let above = path.ancestors().take_while(|above| *above != root);
    for directory in above {
        if fs::remove_dir(directory).is_err() {
            return;
        }
    }
}

fn read(path: &Path, range: Option<Range<u64>>) -> Result<Bytes, Failure> {
    let mut file = File::open(path).map_err(|error| if is_absence(&error) { io::ErrorKind::NotFound.into() } else { error })?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotFound).into());
    }
    let size = found.len();
    check_asked(range.as_ref())?;
    let asked = range.clone().unwrap_or(0..size);
    let length = asked.end.min(size).saturating_sub(asked.start);
    let mut body = Vec::with_capacity(length as usize);
    file.seek(SeekFrom::Start(asked.start))?;
    file.take(length).read_to_end(&mut body)?;
    check_came(range.as_ref(), size, body.len() as u64)?;
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn key(text: &str) -> ObjectKey {
        text.parse().unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_directory_goes_with_its_last_object_and_never_from_under_a_put() {
        const EACH: usize = 300;
        let root = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(root.path()).unwrap();
        let writers = (0..4).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for turn in 0..EACH {
                    let name = key(&format!("a/b/{}/{writer}-{turn}", turn % 2));
                    assert_eq!(store.put_new(&name, Bytes::from_static(b"x"), &PutOptions::of(b"x")).await.unwrap(), Put::Created);
                    assert_eq!(store.get(&name, None).await.unwrap(), "x");
                    // Whatever others remove at this moment, a listing succeeds and shows what is there.
                    let shown = store.list(&format!("a/b/{}/", turn % 2), None).await.unwrap();
                    assert!(shown.objects.iter().any(|object| object.key == name));
                    store.delete(&name).await.unwrap();
                }
            })
        });
        for writer in futures::future::join_all(writers).await {
            writer.unwrap();
        }
        let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [TEMPORARY]);
    }

    #[tokio::test]
    async fn names_come_in_the_byte_order_of_whole_keys() {
        let root = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(root.path()).unwrap();
        let keys = ["a-b", "a.b", "a/-", "a/b/c", "a0", "aa"];
        for text in keys {
            assert_eq!(store.put_new(&key(text), Bytes::from_static(b"x"), &PutOptions::of(b"x")).await.unwrap(), Put::Created);
        }
        let listed = super::super::list_all(&store, "a").await.unwrap();
        assert_eq!(listed.iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), keys);
        let page = store.list("a", Some(PageToken::Next("a/-".to_owned()))).await.unwrap();
        assert_eq!(page.objects.iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), keys[3..]);
    }

    #[tokio::test]
    async fn left_temporary_files_and_strangers_are_not_objects() {
        let root = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(root.path()).unwrap();
        assert_eq!(store.put_new(&key("a/b"), Bytes::from_static(b"x"), &PutOptions::of(b"x")).await.unwrap(), Put::Created);
        assert_eq!(fs::read_dir(root.path().join(TEMPORARY)).unwrap().count(), 0, "a put leaves nothing behind");
        let left = root.path().join(".tmp/0123");
        fs::write(&left, "left by a crash").unwrap();
        fs::write(root.path().join("not ours"), "x").unwrap();
        assert_eq!(super::super::list_all(&store, "").await.unwrap().len(), 1);
        assert_eq!(store.get(&key(".tmp/0123"), None).await.unwrap_err().kind(), ErrorKind::Invalid);
        fs::write(root.path().join(".tmp/4567"), "being written").unwrap();
        fs::File::options().write(true).open(&left).unwrap().set_modified(SystemTime::now() - LEFT * 2).unwrap();
        let next = DirectoryStore::open(root.path()).unwrap();
        assert_eq!(next.put_new(&key("a/c"), Bytes::from_static(b"x"), &PutOptions::of(b"x")).await.unwrap(), Put::Created);
        assert_eq!((left.exists(), root.path().join(".tmp/4567").exists()), (false, true));
    }

    #[tokio::test]
    async fn files_are_for_their_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(root.path()).unwrap();
        assert_eq!(store.put_new(&key("a/b"), Bytes::from_static(b"x"), &PutOptions::of(b"x")).await.unwrap(), Put::Created);
        let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().mode() & 0o777;
        assert_eq!((mode("a"), mode("a/b"), mode(".tmp")), (0o700, 0o600, 0o700));
    }

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

    #[test]
    fn a_root_that_is_not_there_is_not_made() {
        let error = DirectoryStore::open(Path::new("/nonexistent/hourglass")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.hint().unwrap().contains("mount"));
    }
}
