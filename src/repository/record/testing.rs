//! A small repository in a directory, for the tests of this layer.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::{
    model::{ByteCount, EntryNumber, EpochId, FixedClock, Lineage, ObjectKey, RepositoryId, Sha256, SiteName},
    pipeline::VaultIdentity,
    repository::{
        RepositoryError,
        keys::{PublicKey, SigningKey},
        trust::{Role, Signer, TrustChain, TrustContent, TrustedVault},
    },
    storage::{DirectoryStore, ErrorKind, ListPage, ObjectInfo, ObjectStore, ObjectVersion, PageToken, Put, PutOptions, StoreError},
};

/// As a proof names it.
pub(crate) fn wrapping(number: u64) -> Wrapping {
    Wrapping { number, sha256: Sha256([7; 32]), size: ByteCount(200) }
}

pub(crate) struct Lab {
    pub folder: tempfile::TempDir,
    pub store: DirectoryStore,
    pub root: SigningKey,
    pub capture: SigningKey,
    pub operator: SigningKey,
    pub expire: SigningKey,
    pub verify: SigningKey,
    pub vault: TrustedVault,
    pub repository: RepositoryId,
    pub lineage: Lineage,
    pub trusts: Arc<TrustChain>,
    pub clock: FixedClock,
}

pub(crate) fn signer(name: &str, role: Role, key: &PublicKey) -> Signer {
    let site: Option<SiteName> = (role == Role::Capture).then(|| "we".parse().unwrap());
    Signer { name: name.to_owned(), role, site, key: key.clone() }
}

impl Lab {
    pub async fn new() -> Lab {
        Lab::with_repository(&"0f".repeat(16)).await
    }

    pub async fn with_repository(repository: &str) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let store = open_store(folder.path());
        let [root, capture, operator, expire, verify] = std::array::from_fn(|_| SigningKey::generate());
        let recipient = VaultIdentity::generate().recipient();
        let vault = TrustedVault { id: recipient.id(), recipient: recipient.to_string() };
        let clock = FixedClock::new("2026-11-21T12:00:00Z".parse().unwrap());
        let chain = TrustChain::begin(root.public().clone());
        let (repository, lineage) = (repository.parse().unwrap(), "production@we/1".parse().unwrap());
        let trusts = Arc::new(chain);
        let mut lab = Lab { folder, store, root, capture, operator, expire, verify, vault, repository, lineage, trusts, clock };
        lab.trust(|_| {}).await.unwrap();
        lab
    }

    /// What the next trust object says unless a test changes it.
    pub fn content(&self) -> TrustContent {
        let signers = vec![
            signer("capture-we", Role::Capture, self.capture.public()),
            signer("operator", Role::Operator, self.operator.public()),
            signer("expire", Role::Expire, self.expire.public()),
            signer("verify", Role::Verify, self.verify.public()),
        ];
        let written = "2026-11-21T12:00:00Z".parse().unwrap();
        TrustContent { repository: self.repository.clone(), written, signers, vaults: vec![self.vault.clone()], revoked: Vec::new() }
    }

    pub async fn trust(&mut self, change: impl FnOnce(&mut TrustContent)) -> Result<TrustRef, RepositoryError> {
        let mut content = self.content();
        change(&mut content);
        let mut chain = TrustChain::clone(&self.trusts);
        let name = chain.append(&self.store, &self.root, content).await?;
        self.trusts = Arc::new(chain);
        Ok(name)
    }

    pub async fn load(&self) -> Record {
        Record::load(&self.store, &self.trusts, &self.lineage).await.unwrap()
    }

    pub fn writer<'a>(&'a self, key: &'a SigningKey) -> Writer<'a> {
        self.writer_to(&self.store, key)
    }

    pub fn writer_to<'a>(&'a self, store: &'a dyn ObjectStore, key: &'a SigningKey) -> Writer<'a> {
        Writer { store, key, clock: &self.clock, retain_until: None }
    }

    /// Appends as the capture key or another, from what the store shows now.
    pub async fn append(&self, key: &SigningKey, body: Body) -> Result<Appended, RepositoryError> {
        append(&self.writer(key), &mut self.load().await, body).await
    }

    pub fn open(&self, epoch: &str, mode: EpochMode) -> Body {
        Body::EpochOpen(EpochOpen {
            epoch: id(epoch),
            mode,
            vault: self.vault.id.clone(),
            classes: vec![Class::Hourly],
            retain_until: None,
            sealed: Sha256::ZERO,
        })
    }

    pub fn point(&self, epoch: &str) -> Body {
        let time = "2026-11-21T11:00:00Z".parse().unwrap();
        let member = PointMember {
            name: "portal".parse().unwrap(),
            required: true,
            source: "files".to_owned(),
            outcome: MemberOutcome::Succeeded,
            consistent_from: time,
            consistent_to: time,
            bytes: ByteCount(123),
            items: 45,
            versions: BTreeMap::from([("postgresql".to_owned(), "15.18".to_owned())]),
        };
        Body::Point(Box::new(Point {
            run: "20261121T120000Z-0123abcd".parse().unwrap(),
            epoch: id(epoch),
            vault: self.vault.id.clone(),
            started: time,
            ended: time,
            complete: true,
            members: vec![member],
            skew_ms: 12,
            pack_lists: vec![PackListRef { sha256: Sha256::ZERO, needed: "0-17,19".to_owned() }],
            needed_bytes: ByteCount(123),
            live_bytes: ByteCount(100),
            stored_bytes: ByteCount(50),
            index: vec![Sha256::ZERO],
            hints: vec![Sha256::ZERO],
            sealed: Sha256::ZERO,
            retention: PointRetention { classes: vec![Class::Hourly] },
        }))
    }

    /// An entry for any place, signed by anybody, whether it is valid or not.
    pub fn entry(&self, record: &Record, key: &SigningKey, body: Body) -> Entry {
        Entry {
            format: 1,
            repository: self.repository.clone(),
            lineage: self.lineage.clone(),
            number: record.fold.next(),
            prev: record.fold.head().sha256,
            trust: self.trusts.head().unwrap(),
            void: record.fold.voids().to_vec(),
            written: "2026-11-21T12:00:00Z".parse().unwrap(),
            signer: key.public().clone(),
            body,
        }
    }
}

pub(crate) fn open_store(path: &std::path::Path) -> DirectoryStore {
    DirectoryStore::open(path).unwrap()
}

pub(crate) const EPOCH: &str = "20261101T000000Z-00ff00ff";

pub(crate) fn id(epoch: &str) -> EpochId {
    epoch.parse().unwrap()
}

pub(crate) fn run(reason: &str) -> Body {
    let run = "20261121T120000Z-0123abcd".parse().unwrap();
    Body::Run(RunWithoutPoint { run, outcome: RunEnd::Failed, reason: reason.to_owned() })
}

pub(crate) fn mark(record: &Record, number: EntryNumber) -> Mark {
    Mark { point: record.point(number).unwrap().0, by: "a person".to_owned(), reason: "a reason".to_owned() }
}

/// So many faults that no put of an entry is done any more.
pub(crate) const DEAD: usize = 1000;

/// A directory store that loses acknowledgements, hides objects behind delete markers and shows versions, as told.
#[derive(Debug)]
pub(crate) struct Strange {
    pub inner: DirectoryStore,
    /// Puts of entries that fail: done and not acknowledged when even, not done when odd, counting down.
    pub faults: AtomicUsize,
    /// Objects that a plain read does not show.
    pub hidden: Mutex<BTreeSet<ObjectKey>>,
    /// Older versions.
    pub older: Mutex<BTreeMap<ObjectKey, Vec<Bytes>>>,
}

impl Strange {
    pub fn new(inner: DirectoryStore) -> Strange {
        Strange { inner, faults: AtomicUsize::new(0), hidden: Mutex::default(), older: Mutex::default() }
    }

    fn is_hidden(&self, key: &ObjectKey) -> bool {
        self.hidden.lock().unwrap().contains(key)
    }
}

#[async_trait]
impl ObjectStore for Strange {
    async fn put_new(&self, key: &ObjectKey, body: Bytes, options: &PutOptions) -> Result<Put, StoreError> {
        let left = self.faults.load(Relaxed);
        if left == 0 || !key.as_str().contains("/record/") {
            return self.inner.put_new(key, body, options).await;
        }
        self.faults.store(if left < DEAD { left - 1 } else { DEAD }, Relaxed);
        if left < DEAD && left.is_multiple_of(2) {
            assert_eq!(self.inner.put_new(key, body, options).await?, Put::Created);
        }
        Err(StoreError::new(ErrorKind::Unavailable, "put", key.as_str(), "strange"))
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        match self.is_hidden(key) {
            true => Err(StoreError::new(ErrorKind::NotFound, "get", key.as_str(), "strange")),
            false => self.inner.get(key, range).await,
        }
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        if self.is_hidden(key) { Ok(None) } else { self.inner.head(key).await }
    }

    async fn list(&self, prefix: &str, page: Option<PageToken>) -> Result<ListPage, StoreError> {
        let mut page = self.inner.list(prefix, page).await?;
        page.objects.retain(|object| !self.is_hidden(&object.key));
        Ok(page)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.inner.delete(key).await
    }

    async fn versions(&self, key: &ObjectKey) -> Result<Vec<ObjectVersion>, StoreError> {
        let mut found = self.inner.versions(key).await?;
        let older = self.older.lock().unwrap().get(key).map_or(0, Vec::len);
        let old = |index: usize| ObjectVersion {
            version: format!("old-{index}"),
            is_delete_marker: false,
            is_latest: false,
            size: ByteCount(0),
            modified: "2026-11-21T12:00:00Z".parse().unwrap(),
        };
        found.extend((0..older).map(old));
        Ok(found)
    }

    async fn get_version(&self, key: &ObjectKey, version: &str) -> Result<Bytes, StoreError> {
        match version.strip_prefix("old-") {
            Some(index) => Ok(self.older.lock().unwrap()[key][index.parse::<usize>().unwrap()].clone()),
            None => self.inner.get_version(key, version).await,
        }
    }

    async fn delete_version(&self, key: &ObjectKey, version: &str) -> Result<(), StoreError> {
        self.inner.delete_version(key, version).await
    }

    fn describe(&self) -> String {
        format!("strange {}", self.inner.describe())
    }
}
