//! A part of a run that a worker does elsewhere: what it is to do, how far it has come, and how it ended, in the control store. Format: docs/format/journal.md.
//!
//! `capture` and `restore` are both sides of each: they plan the parts, send workers, wait and put together what came of them; `worker` does one part.

mod capture;
mod restore;
mod send;
mod share;
pub mod worker;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::share::ShareId;
pub(super) use self::{
    capture::capture_by_workers,
    restore::{compare_by_workers, restore_by_workers},
};
use super::{OrchestratorError, journal::signed_line, recovery::SecretsKey};
use crate::{
    backup::{Checkpoint, captured::CapturedPart},
    model::{ByteCount, EpochId, Lineage, MemberName, ObjectKey, Outcome, Overwrite, Problem, RecoveryPointId, RunId},
    pipeline::{MacKey, sha256},
    repository::layout,
    sources::Component,
    storage::{ErrorKind, ObjectStore, Put, PutOptions, list_all},
};

/// Which part of which run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartId {
    /// The run.
    pub run: RunId,
    /// The member that it belongs to.
    pub member: MemberName,
    /// Its number within the member, from 0.
    pub number: u32,
}

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Work {
    /// Capture one component, a tree that it has as a folder.
    Capture {
        /// Whose point.
        lineage: Lineage,
        /// Where packs go.
        epoch: EpochId,
        /// The component.
        component: Component,
        /// Patterns below its root that are left out.
        exclude: Vec<String>,
        /// What unfinished runs have left.
        adopted: Vec<Checkpoint>,
        /// The share of it, where several workers capture the component.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        share: Option<ShareId>,
    },
    /// Write one component, a tree, into a folder, and compare it.
    Restore {
        /// From which point.
        point: RecoveryPointId,
        /// Which component of the member.
        component: String,
        /// Whether the folder may hold something.
        overwrite: Overwrite,
    },
    /// Compare what a folder holds with one component, a tree.
    Compare {
        /// With which point.
        point: RecoveryPointId,
        /// Which component of the member.
        component: String,
    },
}

impl Work {
    fn share(&self) -> Option<ShareId> {
        if let Work::Capture { share, .. } = self { *share } else { None }
    }
}

/// How far a worker has come: what the next one of the same part need not do again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reached", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reached {
    /// This is stored.
    Stored(Checkpoint),
    /// The target was found free: what lies there from now on is ours.
    Admitted,
}

/// What came of a part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PartEnd {
    /// It was read.
    Captured(Box<CapturedPart>),
    /// It was compared, and before that perhaps written.
    Restored {
        /// How it went.
        #[serde(rename = "how")]
        outcome: Outcome,
        /// Bytes of content.
        bytes: ByteCount,
        /// Entries.
        items: u64,
        /// Bytes fetched from stores.
        fetched: ByteCount,
        /// What a person may want to know.
        notes: Vec<Problem>,
    },
}

/// The ends of a part: one that is not good is followed by another when the part is done again.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// How many there are.
    pub times: u32,
    /// The last one.
    pub last: Option<PartEnd>,
}

impl Ended {
    /// The last end, if nothing is left to do.
    pub fn good(&self) -> Option<&PartEnd> {
        self.last.as_ref().filter(|end| match end {
            PartEnd::Captured(_) => true,
            PartEnd::Restored { outcome, .. } => outcome.is_success(),
        })
    }
}

/// What lies in the control store about a part.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed<T> {
    format: u32,
    part: PartId,
    content: T,
}

/// Where parts of a run are told of, and the key that authenticates them: that of the run's journal.
#[derive(Debug, Clone)]
pub struct Place {
    /// The control store.
    pub store: Arc<dyn ObjectStore>,
    /// The key.
    pub key: MacKey,
}

impl Place {
    /// Reads what lies under a key about a part; `None` when there is nothing.
    async fn get<T: DeserializeOwned>(&self, key: &ObjectKey, part: &PartId) -> Result<Option<T>, OrchestratorError> {
        let bytes = match self.store.get(key, None).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OrchestratorError::journal(&part.run)(error)),
        };
        let foreign = |why: &str| OrchestratorError::Foreign { key: key.clone(), why: why.to_owned() };
        let signed: Signed<T> = signed_line::decode(&bytes, &self.key).map_err(foreign)?;
        match signed.format == 1 && signed.part == *part {
            true => Ok(Some(signed.content)),
            false => Err(foreign("it is of another part")),
        }
    }

    /// Puts something about a part.
    ///
    /// # Errors
    /// [`OrchestratorError::LostRun`] when something else lies there; else the store's.
    async fn put(&self, key: &ObjectKey, part: &PartId, content: &impl Serialize) -> Result<(), OrchestratorError> {
        let body = Bytes::from(signed_line::encode(&Signed { format: 1, part: part.clone(), content }, &self.key));
        let options = PutOptions { sha256: sha256(&body), retain_until: None };
        let put = self.store.put_new(key, body.clone(), &options).await.map_err(OrchestratorError::journal(&part.run))?;
        // A retry whose first try was stored finds its own bytes.
        match put == Put::Created || self.store.get(key, None).await.map_err(OrchestratorError::journal(&part.run))? == body {
            true => Ok(()),
            false => Err(OrchestratorError::LostRun { run: part.run.clone() }),
        }
    }

    /// What a part is, if it is planned.
    ///
    /// # Errors
    /// When the control store does not answer, or holds what is not ours.
    pub async fn plan(&self, part: &PartId) -> Result<Option<Work>, OrchestratorError> {
        self.get(&layout::part_plan(&part.run, &part.member, part.number), part).await
    }

    /// Plans a part; one that an earlier process of the run has planned stays as it is. Gives the plan that holds.
    ///
    /// # Errors
    /// When the control store fails.
    pub async fn set_plan(&self, part: &PartId, work: Work) -> Result<Work, OrchestratorError> {
        if let Some(planned) = self.plan(part).await? {
            return Ok(planned);
        }
        self.put(&layout::part_plan(&part.run, &part.member, part.number), part, &work).await?;
        Ok(work)
    }

    /// How far workers of a part have come, in order.
    ///
    /// # Errors
    /// When the control store does not answer, or holds what is not ours.
    pub async fn reached(&self, part: &PartId) -> Result<Vec<Reached>, OrchestratorError> {
        let mut found = Vec::new();
        while let Some(reached) = self.get(&layout::part_checkpoint(&part.run, &part.member, part.number, found.len() as u64 + 1), part).await? {
            found.push(reached);
        }
        Ok(found)
    }

    /// Tells how far a worker has come, as number `number` of what its part was told of, from 1. Of two workers one loses here, and has to stop.
    ///
    /// # Errors
    /// [`OrchestratorError::LostRun`] when another worker was there; else the store's.
    pub async fn reach(&self, part: &PartId, number: u64, reached: &Reached) -> Result<(), OrchestratorError> {
        self.put(&layout::part_checkpoint(&part.run, &part.member, part.number, number), part, reached).await
    }

    /// How a part ended, so far: how often, and how the last time.
    ///
    /// # Errors
    /// When the control store does not answer, or holds what is not ours.
    pub async fn ended(&self, part: &PartId) -> Result<Ended, OrchestratorError> {
        let mut ended = Ended { times: 0, last: None };
        loop {
            let key = layout::part_end(&part.run, &part.member, part.number, ended.times + 1);
            let Some(end) = self.get_sealed(&key, part).await? else { return Ok(ended) };
            ended.last = Some(end);
            ended.times += 1;
        }
    }

    /// Ends a part, as often before as `ended` says.
    ///
    /// # Errors
    /// [`OrchestratorError::LostRun`] when another worker has ended it; else the store's.
    pub async fn end(&self, part: &PartId, ended: &Ended, end: &PartEnd) -> Result<(), OrchestratorError> {
        let key = layout::part_end(&part.run, &part.member, part.number, ended.times + 1);
        self.put_sealed(&key, part, end).await
    }

    /// Reads what lies under a key about a part, encrypted because it names files; `None` when there is nothing.
    async fn get_sealed<T: DeserializeOwned>(&self, key: &ObjectKey, part: &PartId) -> Result<Option<T>, OrchestratorError> {
        let Some(sealed) = self.get::<String>(key, part).await? else { return Ok(None) };
        let foreign = |why: &str| OrchestratorError::Foreign { key: key.clone(), why: why.to_owned() };
        let text = self.secrets().open(key.as_str(), &sealed).ok_or_else(|| foreign("it cannot be decrypted"))?;
        serde_json::from_str(text.expose()).map(Some).map_err(|_| foreign("it is of an unknown form"))
    }

    /// Puts something about a part that names files.
    async fn put_sealed(&self, key: &ObjectKey, part: &PartId, content: &impl Serialize) -> Result<(), OrchestratorError> {
        let text = serde_json::to_string(content).expect("what is told of a part is plain data");
        self.put(key, part, &self.secrets().seal(key.as_str(), &text)).await
    }

    fn secrets(&self) -> SecretsKey {
        SecretsKey::of_parts(&self.key)
    }

    /// What workers of a run have stored, as far as they told of it: for the run that comes after one that is gone.
    ///
    /// # Errors
    /// When the control store does not answer.
    pub async fn stored(&self, run: &RunId) -> Result<Vec<Checkpoint>, OrchestratorError> {
        let listed = list_all(self.store.as_ref(), &layout::parts_prefix(run)).await.map_err(OrchestratorError::journal(run))?;
        let mut stored = Vec::new();
        for part in listed.iter().filter_map(|object| layout::planned_part(run, &object.key)) {
            let part = PartId { run: run.clone(), member: part.0, number: part.1 };
            stored.extend(self.reached(&part).await?.into_iter().filter_map(|reached| match reached {
                Reached::Stored(checkpoint) => Some(checkpoint),
                Reached::Admitted => None,
            }));
        }
        Ok(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Sha256, pipeline::ChunkKey, storage::DirectoryStore};

    #[tokio::test]
    async fn a_part_is_planned_once_told_of_in_order_and_ended_for_holders_of_the_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(DirectoryStore::open(folder.path()).unwrap());
        let [place, stranger] = [1, 2].map(|n| Place { store: Arc::clone(&store), key: ChunkKey::new([n; 32]).derive("test") });
        let part = PartId { run: "20261121T120000Z-0123abcd".parse().unwrap(), member: "m".parse().unwrap(), number: 3 };
        let work =
            |component: &str| Work::Restore { point: "p@we/1:4".parse().unwrap(), component: component.to_owned(), overwrite: Overwrite::Refuse };
        assert_eq!(place.set_plan(&part, work("a")).await.unwrap(), work("a"));
        assert_eq!(place.set_plan(&part, work("b")).await.unwrap(), work("a"));
        assert_eq!(place.plan(&part).await.unwrap(), Some(work("a")), "the first plan holds");
        assert!(matches!(stranger.plan(&part).await, Err(OrchestratorError::Foreign { .. })));
        let stored = Checkpoint { epoch: part.run.clone().into(), packs: Vec::new(), index: vec![Sha256::ZERO], hints: Vec::new() };
        place.reach(&part, 1, &Reached::Admitted).await.unwrap();
        place.reach(&part, 2, &Reached::Stored(stored.clone())).await.unwrap();
        assert!(matches!(place.reach(&part, 2, &Reached::Admitted).await, Err(OrchestratorError::LostRun { .. })), "one of two workers stops");
        assert_eq!(place.reached(&part).await.unwrap(), [Reached::Admitted, Reached::Stored(stored.clone())]);
        assert_eq!(place.stored(&part.run).await.unwrap(), [stored]);
        let missing = vec![Problem { subject: "secret-name.txt".to_owned(), what: "it differs".to_owned() }];
        let (bytes, notes) = (ByteCount(1), Vec::new());
        let end = PartEnd::Restored { outcome: Outcome::Incomplete { missing }, bytes, items: 1, fetched: bytes, notes };
        let before = place.ended(&part).await.unwrap();
        assert_eq!(before, Ended { times: 0, last: None });
        place.end(&part, &before, &end).await.unwrap();
        let first = place.ended(&part).await.unwrap();
        assert!(first.last == Some(end) && first.times == 1 && first.good().is_none(), "it is to be done again");
        let better = PartEnd::Restored { outcome: Outcome::Succeeded, bytes, items: 1, fetched: bytes, notes: Vec::new() };
        place.end(&part, &first, &better).await.unwrap();
        assert_eq!(place.ended(&part).await.unwrap().good(), Some(&better));
        let bytes = store.get(&layout::part_end(&part.run, &part.member, 3, 1), None).await.unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("secret-name") && !String::from_utf8_lossy(&bytes).contains(&hex::encode("secret-name")));
    }
}
