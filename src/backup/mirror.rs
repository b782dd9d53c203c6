//! Brings the objects of a snapshot repository to another store, so that a cluster there can read them when the first is gone.
//!
//! The search engine names each object once and finds everything through `index-N`, the newest of which counts. So what `index-N` leads to goes first,
//! `index-N` after it, and the mirror holds at any time a repository that can be read: the one before, or the new one. Nothing is ever
//! deleted there: what the first region loses, or an intruder removes, stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::{BackupError, capture::blocking};
use crate::{
    config::{AnalyticsConfig, StoreConfig},
    model::{ByteCount, Context, ObjectKey, Problem, Progress, StepId, outcome::advise},
    pipeline::Budget,
    repository::copy::Tally,
    sources::LiveRepository,
    storage::{self, ErrorKind, LARGEST_OBJECT, Listed, ObjectStore, Put, PutOptions, list_all},
};

/// Objects that are on their way at a time.
const COPIES: usize = 8;
/// How often a copy is begun again because the repository was written meanwhile.
const ROUNDS: usize = 5;
/// Says which generation is the newest, to those who cannot list.
const LATEST: &str = "index.latest";
/// What to do about objects that are not those of the repository.
const OBJECTS: &str = "let the source's objects name the bucket or container, and the base_path, of its repository";

/// A repository and where its objects go.
#[derive(Debug)]
pub struct Mirror {
    repository: Arc<LiveRepository>,
    from: Place,
    to: Place,
    step: StepId,
}

/// A store, and how people name it.
#[derive(Debug)]
struct Place {
    store: Arc<dyn ObjectStore>,
    shown: String,
}

/// What a mirror holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Mirrored {
    /// The generation of the repository.
    pub generation: u64,
    /// Snapshots in it.
    pub snapshots: usize,
    /// What was put.
    pub copied: Tally,
    /// What was there already.
    pub skipped: Tally,
}

/// What became of an object.
enum Carried {
    Copied(ByteCount),
    Skipped(ByteCount),
    /// It is no longer what the listing said: the repository was written.
    Moved,
}

/// What is read of `index-N`.
#[derive(Deserialize)]
struct Index {
    snapshots: Vec<Snapshot>,
}

#[derive(Deserialize)]
struct Snapshot {
    uuid: String,
}

impl Mirror {
    /// From where the objects of a cluster's repository lie to a store. Nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// When a store, or a file with credentials, cannot be opened.
    pub async fn open(config: &AnalyticsConfig, from: &StoreConfig, to: &StoreConfig, step: StepId) -> Result<Mirror, BackupError> {
        let repository = Arc::new(LiveRepository::new(config)?);
        Ok(Mirror { repository, from: Place::open(from).await?, to: Place::open(to).await?, step })
    }

    /// Brings everything of the repository as it is now, once no snapshot is being made. What is there already is skipped. Safe to run again.
    ///
    /// # Errors
    /// The cluster or a store does not answer; the objects are not those of the repository; an object is too large for a store; the mirror holds
    /// another repository, or is written by somebody else; the repository does not come to rest; the run is stopped.
    pub async fn fill(&self, ctx: &Context) -> Result<Mirrored, BackupError> {
        let mut progress = Progress::new(ctx.observer.clone(), self.step.clone(), None);
        let mut copied = Tally::default();
        let mut failed = None;
        for _ in 0..ROUNDS {
            let (repository, waiting) = (Arc::clone(&self.repository), ctx.clone());
            let known = blocking(move || repository.wait(&waiting).and_then(|()| repository.snapshots())).await??;
            let Some(generation) = self.from.newest().await? else {
                return Err(self.from.wrong("holds no snapshot repository", OBJECTS));
            };
            let Some(index) = self.from.find(&index_key(generation)).await? else { continue };
            let snapshots = self.snapshots(&index, generation)?;
            if snapshots != known {
                let what = format!("does not hold the repository of this cluster: {} names other snapshots", index_key(generation));
                failed = Some(self.from.wrong(&what, OBJECTS));
                continue;
            }
            failed = None;
            self.check_mirror(generation, &index).await?;
            let Some(skipped) = self.carry_all(&mut copied, &mut progress, ctx).await? else { continue };
            let repository = Arc::clone(&self.repository);
            if blocking(move || repository.rests()).await?? && self.from.newest().await? == Some(generation) {
                self.publish(generation, index).await?;
                progress.flush();
                return Ok(Mirrored { generation, snapshots: snapshots.len(), copied, skipped });
            }
        }
        let restless =
            || self.from.wrong(&format!("was written during each of {ROUNDS} attempts to copy it"), "run the copy when no snapshots are made");
        Err(failed.unwrap_or_else(restless))
    }

    fn snapshots(&self, index: &Bytes, generation: u64) -> Result<BTreeSet<String>, BackupError> {
        let index = serde_json::from_slice::<Index>(index);
        let index = index.map_err(|error| self.from.wrong(&format!("holds {} that cannot be read: {error}", index_key(generation)), OBJECTS))?;
        Ok(index.snapshots.into_iter().map(|snapshot| snapshot.uuid).collect())
    }

    /// That the mirror is of this repository, and not ahead of it: then somebody else writes it.
    async fn check_mirror(&self, generation: u64, index: &Bytes) -> Result<(), BackupError> {
        let Some(there) = self.to.newest().await? else { return Ok(()) };
        let is_same = there < generation || (there == generation && self.to.find(&index_key(there)).await?.is_none_or(|there| there == *index));
        if is_same {
            return Ok(());
        }
        let what = format!("holds another repository, or one that a cluster has written: {}", index_key(there));
        Err(self.to.wrong(&what, "give the mirror an empty place, and let no cluster take snapshots into it"))
    }

    /// Brings all that `index-N` leads to: index by index its data before what describes them, then what describes the snapshots. Gives what was there
    /// already, or `None` when the repository was written meanwhile.
    async fn carry_all(&self, copied: &mut Tally, progress: &mut Progress, ctx: &Context) -> Result<Option<Tally>, BackupError> {
        let (budget, mut skipped) = (Budget::new(ctx.limits.memory), Tally::default());
        let indices = self.from.store.folders("indices/").await?.into_iter().map(|folder| format!("indices/{folder}/"));
        for prefix in indices.chain(["snap-".to_owned(), "meta-".to_owned()]) {
            let there = list_all(self.to.store.as_ref(), &prefix).await?;
            let there: BTreeMap<ObjectKey, ByteCount> = there.into_iter().map(|object| (object.key, object.size)).collect();
            let listed = list_all(self.from.store.as_ref(), &prefix).await?;
            let (data, about): (Vec<Listed>, Vec<Listed>) = listed.into_iter().partition(|object| name(&object.key).starts_with("__"));
            for objects in [data, about] {
                let carried = objects.iter().map(|object| self.carry(object, there.get(&object.key).copied(), &budget));
                let mut carried = stream::iter(carried).take_until(Box::pin(ctx.cancel.draining())).buffer_unordered(COPIES);
                while let Some(end) = carried.try_next().await? {
                    let (tally, bytes) = match end {
                        Carried::Copied(bytes) => (&mut *copied, bytes),
                        Carried::Skipped(bytes) => (&mut skipped, bytes),
                        Carried::Moved => return Ok(None),
                    };
                    tally.add(bytes);
                    progress.add(bytes.0, 1);
                }
                if ctx.cancel.is_draining() {
                    return Err(BackupError::Cancelled);
                }
            }
        }
        Ok(Some(skipped))
    }

    /// Brings one object, unless one of its name and size is there: names are given once. Only clusters before 7.6 counted names; theirs are compared.
    async fn carry(&self, object: &Listed, there: Option<ByteCount>, budget: &Budget) -> Result<Carried, BackupError> {
        let Listed { key, size, .. } = object;
        if there == Some(*size) && counted(name(key)).is_none() {
            return Ok(Carried::Skipped(*size));
        }
        if size.0 > LARGEST_OBJECT as u64 {
            let what = format!("holds {key} of {size}, and a mirror takes objects of at most {}", ByteCount(LARGEST_OBJECT as u64));
            let hint = "register a repository with chunk_size: 64mb and another base_path: what was written before stays as large as it is";
            return Err(self.from.wrong(&what, hint));
        }
        let _permit = budget.acquire(size.0).await;
        let Some(bytes) = self.from.find(key).await?.filter(|bytes| bytes.len() as u64 == size.0) else { return Ok(Carried::Moved) };
        match self.to.put(key, &bytes).await? {
            Put::Created => Ok(Carried::Copied(*size)),
            Put::AlreadyThere if self.to.find(key).await?.as_ref() == Some(&bytes) => Ok(Carried::Skipped(*size)),
            Put::AlreadyThere => Err(self.to.wrong(&format!("holds another object {key}"), "give the mirror an empty place")),
        }
    }

    /// Makes the new generation the one that counts.
    async fn publish(&self, generation: u64, index: Bytes) -> Result<(), BackupError> {
        if self.to.put(&index_key(generation), &index).await? == Put::AlreadyThere {
            self.check_mirror(generation, &index).await?;
        }
        let (key, latest) = (LATEST.parse().expect("the name is a key"), Bytes::copy_from_slice(&generation.to_be_bytes()));
        if self.to.find(&key).await?.as_ref() != Some(&latest) {
            // There is none for a moment: only who cannot list reads it.
            self.to.store.delete(&key).await?;
            let _or_another_copy_was_faster = self.to.put(&key, &latest).await?;
        }
        Ok(())
    }
}

impl Place {
    async fn open(config: &StoreConfig) -> Result<Place, BackupError> {
        Ok(Place { store: storage::open(config).await?, shown: config.url.to_string() })
    }

    /// The number of the newest `index-N`.
    async fn newest(&self) -> Result<Option<u64>, BackupError> {
        Ok(list_all(self.store.as_ref(), "index-").await?.iter().filter_map(|object| counted(object.key.as_str())).max())
    }

    async fn find(&self, key: &ObjectKey) -> Result<Option<Bytes>, BackupError> {
        match self.store.get(key, None).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn put(&self, key: &ObjectKey, bytes: &Bytes) -> Result<Put, BackupError> {
        Ok(self.store.put_new(key, bytes.clone(), &PutOptions::of(bytes)).await?)
    }

    fn wrong(&self, what: &str, hint: &'static str) -> BackupError {
        BackupError::Mirror { place: self.shown.clone(), what: what.to_owned(), hint }
    }
}

fn index_key(generation: u64) -> ObjectKey {
    format!("index-{generation}").parse().expect("a word and a number are a key")
}

/// The number in the name `index-N`.
fn counted(name: &str) -> Option<u64> {
    name.strip_prefix("index-")?.parse().ok()
}

/// The last word of a key.
fn name(key: &ObjectKey) -> &str {
    key.as_str().rsplit('/').next().unwrap_or_default()
}

/// What a store does of its own accord to the objects of a snapshot repository, which the search engine alone may delete, or that nobody could look.
pub async fn standing_rules(place: &StoreConfig) -> Vec<Problem> {
    let told = |rule: Result<String, _>| match rule {
        Ok(rule) => format!("{rule}; leave the objects of a snapshot repository to the search engine"),
        Err(error) => format!("nobody could look for rules that delete or lock its objects: {}", advise(&error, storage::StoreError::hint(&error))),
    };
    let rules = storage::rules(place, None).await;
    rules.into_iter().map(|rule| Problem { subject: place.url.to_string(), what: told(rule) }).collect()
}
