//! A directory as a store: one file per object, below a root.
//!
//! A file appears under its final name by a hard link from a synced temporary file (or, where there are no hard links, by a rename that does not replace),
//! so it is there whole or not at all, and of two writers one wins. A directory goes with its last object; a put from under which it goes makes it anew.
//! There is no retention and there are no versions: `rm` works.

mod files;
mod walk;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Once},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    ErrorKind, ListPage, ObjectInfo, ObjectStore, ObjectVersion, PageToken, Put, PutOptions, StoreError,
    range::{Refusal, check_asked, check_came},
};
use crate::model::ObjectKey;
use files::{put, remove, remove_left};
use walk::{Walk, is_absence, stat};

/// Folder of temporary files in the root. What a crash leaves in it harms nobody.
const TEMPORARY: &str = ".tmp";

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
        self.on_file("delete", key, |root, path| Ok(remove(root, path)?)).await
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
    use std::{os::unix::fs::MetadataExt, time::SystemTime};

    use super::{files::LEFT, *};

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
    fn a_root_that_is_not_there_is_not_made() {
        let error = DirectoryStore::open(Path::new("/nonexistent/hourglass")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.hint().unwrap().contains("mount"));
    }
}
