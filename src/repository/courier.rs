//! Brings single objects from one store to another, each hashed on the way.

use bytes::Bytes;

use super::{
    RepositoryError,
    fetch::read,
    needs::{Need, Wrong},
    presence::Inventory,
};
use crate::{
    model::{ByteCount, Context, Timestamp},
    pipeline::{Budget, sha256},
    storage::{ObjectInfo, ObjectStore, Put, PutOptions},
};

/// What an object whose size nobody has signed may take of the budget.
const UNKNOWN_SIZE: u64 = 4 << 20;

/// Where an object that cannot be brought is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Where it should come from.
    From,
    /// Where it should go: something else has its name there.
    To,
}

/// What became of an object.
#[derive(Debug, Clone)]
pub(super) enum Carried {
    /// It was read, hashed and put.
    Copied(ByteCount),
    /// It was there already.
    Skipped(ByteCount),
    /// It is not there.
    Failed(Side, Wrong),
}

/// Brings objects.
pub(super) struct Courier<'a> {
    pub from: &'a dyn ObjectStore,
    pub to: &'a dyn ObjectStore,
    pub there: Inventory<'a>,
    budget: Budget,
}

impl<'a> Courier<'a> {
    pub fn new(from: &'a dyn ObjectStore, to: &'a dyn ObjectStore, ctx: &Context) -> Courier<'a> {
        Courier { from, to, there: Inventory::new(to), budget: Budget::new(ctx.limits.memory) }
    }

    /// Brings one object unless it is there.
    pub async fn carry(&self, need: &Need, retain_until: Option<Timestamp>) -> Result<Carried, RepositoryError> {
        if self.there.size(&need.key).is_some()
            && let Some(verdict) = self.judge(need).await?
        {
            return Ok(verdict);
        }
        let _permit = self.budget.acquire(need.size.map_or(UNKNOWN_SIZE, |size| size.0)).await;
        let Some(bytes) = read(self.from, &need.key).await? else { return Ok(Carried::Failed(Side::From, Wrong::Missing)) };
        if sha256(&bytes) != need.sha256 {
            return Ok(Carried::Failed(Side::From, Wrong::Digest));
        }
        let size = ByteCount(bytes.len() as u64);
        match self.to.put_new(&need.key, bytes, &PutOptions { sha256: need.sha256, retain_until }).await? {
            Put::Created => Ok(Carried::Copied(size)),
            // The listing was late, or another copy runs.
            Put::AlreadyThere => Ok(self.judge(need).await?.unwrap_or(Carried::Failed(Side::To, Wrong::Missing))),
        }
    }

    /// Judges what the destination has: by size and the checksum that it keeps; where it keeps none, by size; where no size is signed, by
    /// reading it. `None` when it has nothing.
    async fn judge(&self, need: &Need) -> Result<Option<Carried>, RepositoryError> {
        let Some(ObjectInfo { size, sha256: kept, .. }) = self.to.head(&need.key).await? else { return Ok(None) };
        let wrong = match (need.size, kept) {
            (Some(expected), _) if expected != size => Some(Wrong::Size { expected, found: size }),
            (_, Some(kept)) => (kept != need.sha256).then_some(Wrong::Digest),
            (Some(_), None) => None,
            (None, None) => {
                let Some(bytes) = read(self.to, &need.key).await? else { return Ok(None) };
                (sha256(&bytes) != need.sha256).then_some(Wrong::Digest)
            }
        };
        Ok(Some(wrong.map_or(Carried::Skipped(size), |wrong| Carried::Failed(Side::To, wrong))))
    }

    /// Puts bytes under a number; what is there already must be the same.
    pub async fn put_numbered(&self, key: &crate::model::ObjectKey, bytes: Bytes, retain_until: Option<Timestamp>) -> Result<Put, RepositoryError> {
        let put = self.to.put_new(key, bytes.clone(), &PutOptions { retain_until, ..PutOptions::of(&bytes) }).await?;
        if put == Put::AlreadyThere && read(self.to, key).await? != Some(bytes) {
            let what = "the destination has another object under this number, and neither replaces the other".to_owned();
            return Err(RepositoryError::Forged { key: key.clone(), what });
        }
        Ok(put)
    }
}
