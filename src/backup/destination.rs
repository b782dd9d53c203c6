//! Where a run stores things: the epoch, its keys, what is stored there already, and how objects are put.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{BackupError, Checkpoint, CheckpointRequest};
use crate::{
    model::{ChunkId, EpochId, Lineage, ObjectKey, Sha256, Timestamp},
    pipeline::{Budget, ChunkKey, CpuPool, Encoder, PackBuilder, VaultRecipient, frame::DEFAULT_LEVEL, seal, sha256},
    repository::{
        hints::{HintFragment, HintTable},
        index::{ChunkIndex, Fragment, Place},
        layout,
        packlist::PackInfo,
    },
    storage::{ObjectStore, PutOptions},
};

/// Everything that storing a component needs, shared by the members of a run.
#[derive(Debug)]
pub struct Destination {
    /// Where objects go.
    pub store: Arc<dyn ObjectStore>,
    /// Whose they are.
    pub lineage: Lineage,
    /// In which epoch.
    pub epoch: EpochId,
    /// To what packs are encrypted.
    pub vault: VaultRecipient,
    /// To what index and hints are encrypted.
    pub index_key: VaultRecipient,
    /// Until when objects are locked.
    pub retain_until: Option<Timestamp>,
    /// Names chunks; absent in an epoch that does not share them.
    pub chunk_key: Option<ChunkKey>,
    /// What is stored already.
    pub index: Mutex<ChunkIndex>,
    /// What segments looked like.
    pub hints: HintTable,
    /// When this run's scan began.
    pub scan: Timestamp,
    /// Bytes of frames at which a pack is full.
    pub pack_target: usize,
    /// Threads that compute.
    pub pool: CpuPool,
    /// Compresses on these threads.
    pub encoder: Encoder,
    /// Bytes of packs that are being sealed or put.
    pub budget: Budget,
    /// Where to tell what a crash need not cost.
    pub checkpoints: mpsc::Sender<CheckpointRequest>,
}

impl Destination {
    /// The encoder that a destination uses, on `pool`.
    pub fn encoder(pool: &CpuPool) -> Encoder {
        Encoder::new(pool.clone(), DEFAULT_LEVEL)
    }

    /// Whether points of this epoch share chunks.
    pub fn shares_chunks(&self) -> bool {
        self.chunk_key.is_some()
    }

    /// Where a chunk lies, if it is stored.
    ///
    /// # Errors
    /// When the spool of the index cannot be read.
    pub fn known(&self, id: &ChunkId) -> Result<Option<(PackInfo, Place)>, BackupError> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).get(id).map_err(BackupError::Spool)
    }

    /// Remembers the chunks of a pack that the store has acknowledged.
    ///
    /// # Errors
    /// When the spool of the index cannot be written.
    pub fn remember(&self, pack: PackInfo, chunks: &[(ChunkId, Place)]) -> Result<(), BackupError> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).add_pack(pack, chunks).map_err(BackupError::Spool)
    }

    async fn put(&self, key: ObjectKey, sha256: Sha256, body: Bytes) -> Result<(), BackupError> {
        let options = PutOptions { sha256, retain_until: self.retain_until };
        // The name is the digest: an object that is there already is this one.
        self.store.put_new(&key, body, &options).await.map(drop).map_err(|source| BackupError::Put { key, source })
    }

    /// Encrypts and puts a pack; when this returns the store has acknowledged it.
    ///
    /// # Errors
    /// When the codec or the store fails.
    pub async fn put_pack(&self, builder: PackBuilder) -> Result<PackInfo, BackupError> {
        let _permit = self.budget.acquire(builder.len() as u64).await;
        let vault = self.vault.clone();
        let sealed = self.pool.run(move || builder.seal(&vault)).await??;
        let info = PackInfo { sha256: sealed.sha256, size: sealed.bytes.len() as u64 };
        self.put(layout::pack(&self.lineage, &self.epoch, info.sha256), info.sha256, sealed.bytes).await?;
        Ok(info)
    }

    /// Journals what was reached.
    ///
    /// # Errors
    /// When the journal is lost.
    pub async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), BackupError> {
        let (done, journalled) = oneshot::channel();
        self.checkpoints.send(CheckpointRequest { checkpoint, done }).await.map_err(|_| BackupError::JournalLost)?;
        journalled.await.map_err(|_| BackupError::JournalLost)
    }

    /// Puts a fragment of the index.
    ///
    /// # Errors
    /// When the codec or the store fails.
    pub async fn put_index(&self, fragment: &Fragment) -> Result<Sha256, BackupError> {
        let sealed = seal(&[&self.index_key], &fragment.encode())?;
        let digest = sha256(&sealed);
        self.put(layout::index(&self.lineage, &self.epoch, digest), digest, sealed).await?;
        Ok(digest)
    }

    /// Puts a fragment of the hints.
    ///
    /// # Errors
    /// When the codec or the store fails.
    pub async fn put_hints(&self, fragment: &HintFragment) -> Result<Sha256, BackupError> {
        let packed = zstd::bulk::compress(&fragment.encode(), DEFAULT_LEVEL).map_err(BackupError::Read)?;
        let sealed = seal(&[&self.index_key], &packed)?;
        let digest = sha256(&sealed);
        self.put(layout::hints(&self.lineage, &self.epoch, digest), digest, sealed).await?;
        Ok(digest)
    }

    /// Encrypts something to the vault and puts it among the sealed parts.
    ///
    /// # Errors
    /// When the codec or the store fails.
    pub async fn put_sealed(&self, plain: &[u8]) -> Result<Sha256, BackupError> {
        let sealed = seal(&[&self.vault], plain)?;
        let digest = sha256(&sealed);
        self.put(layout::sealed(&self.lineage, digest), digest, sealed).await?;
        Ok(digest)
    }

    /// Puts a pack list.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_pack_list(&self, list: Bytes) -> Result<Sha256, BackupError> {
        let digest = sha256(&list);
        self.put(layout::packlist(&self.lineage, &self.epoch, digest), digest, list).await?;
        Ok(digest)
    }
}
