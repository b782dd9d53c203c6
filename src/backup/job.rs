//! One run of a policy: what it reads, where it stores, and what its steps have found so far.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{Mutex as AsyncMutex, OnceCell, mpsc};

use super::{
    BackupError, Checkpoint, CheckpointRequest,
    captured::MemberCapture,
    destination::Destination,
    open::{Opened, Writers},
};
use crate::{
    config::StoreConfig,
    model::{Class, Context, EpochId, EpochMode, Lineage, MemberName, Outcome, RepositoryId, RunId, Sha256, StepId, Timestamp},
    pipeline::{Budget, CpuPool, VaultIdentity, VaultRecipient, open, pack::PACK_TARGET, sha256},
    repository::{
        RepositoryError,
        hints::{HintFragment, HintTable},
        index::{ChunkIndex, Fragment},
        keys::CaptureFile,
        layout,
        record::{EpochOpen, Outline, Point, Record},
    },
    sources::{Owner, Source},
    storage::{ObjectStore, list_all},
};

/// Most bytes of compressed hints that are unpacked: well above what a fragment holds.
const HINTS_PLAIN_MAX: usize = 1 << 30;

/// A member to capture.
#[derive(Debug, Clone)]
pub struct JobMember {
    /// Its name.
    pub name: MemberName,
    /// Whether the point is incomplete without it.
    pub required: bool,
    /// What to read.
    pub source: Arc<dyn Source>,
    /// The private description of what is read.
    pub description: BTreeMap<String, String>,
    /// Where a search cluster keeps what its snapshots hold, if that is known.
    pub objects: Option<StoreConfig>,
}

/// How a member's capture ended.
#[derive(Debug)]
pub enum Captured {
    /// It was read, whole or in part.
    Read(Box<MemberCapture>),
    /// It was not.
    Not(Outcome),
}

/// One run of a policy.
#[derive(Debug)]
pub struct BackupJob {
    /// The run.
    pub run: RunId,
    /// When it began.
    pub started: Timestamp,
    /// The repository.
    pub repository: RepositoryId,
    /// Whose record.
    pub lineage: Lineage,
    /// Where objects go.
    pub store: Arc<dyn ObjectStore>,
    /// The record, as far as it is known.
    pub record: AsyncMutex<Record<Outline>>,
    /// The cluster's secrets.
    pub keys: CaptureFile,
    /// What to capture.
    pub members: Vec<JobMember>,
    /// The policy's bound on skew.
    pub max_skew: Option<Duration>,
    /// What unfinished runs have left.
    pub adopted: Vec<Checkpoint>,
    /// Those runs.
    pub heir_of: Vec<RunId>,
    /// Where to tell what a crash need not cost.
    pub checkpoints: mpsc::Sender<CheckpointRequest>,
    /// Writers that are paused meanwhile, where the policy says how.
    pub writers: Option<Arc<Writers>>,
    /// Members whose snapshots are open, or why they are not.
    pub opened: Mutex<BTreeMap<MemberName, Result<Opened, BackupError>>>,
    /// What was captured so far.
    pub captured: Mutex<BTreeMap<MemberName, Captured>>,
    /// Where things are stored, once the epoch is known.
    pub destination: OnceCell<Arc<Destination>>,
}

impl BackupJob {
    /// The member of that name.
    pub fn member(&self, name: &MemberName) -> Option<&JobMember> {
        self.members.iter().find(|member| member.name == *name)
    }

    /// Who captures the member of that name.
    pub fn owner(&self, member: &MemberName) -> Owner {
        Owner { repository: self.repository.clone(), lineage: self.lineage.clone(), member: member.clone() }
    }

    /// Where this run stores things in `epoch`.
    ///
    /// # Errors
    /// When what is stored already cannot be read.
    pub async fn destination(&self, epoch: &EpochId, ctx: &Context) -> Result<Arc<Destination>, BackupError> {
        self.destination.get_or_try_init(|| self.prepare(epoch, ctx)).await.cloned()
    }

    async fn prepare(&self, epoch: &EpochId, ctx: &Context) -> Result<Arc<Destination>, BackupError> {
        let (open, recipient, manifests) = self.opened_epoch(epoch).await?;
        let index_key: VaultIdentity = self.keys.index_identity.expose().parse()?;
        let rolling = open.mode == EpochMode::Rolling;
        let scan = ctx.clock.now();
        let (mut index, mut hints) = (ChunkIndex::default(), HintTable::default());
        if rolling {
            let known = Known { job: self, epoch, key: &index_key, present: self.present(epoch).await? };
            known.load(&manifests, &mut index, &mut hints).await?;
        }
        let pool = CpuPool::new(ctx.limits.workers);
        Ok(Arc::new(Destination {
            store: Arc::clone(&self.store),
            lineage: self.lineage.clone(),
            epoch: epoch.clone(),
            vault: recipient,
            index_key: index_key.recipient(),
            retain_until: open.retain_until,
            chunk_key: rolling.then(|| self.keys.lineage_chunk_key(&self.lineage)),
            index: Mutex::new(index),
            hints,
            scan,
            encoder: Destination::encoder(&pool),
            pool,
            pack_target: usize::try_from(ctx.limits.pack.0).unwrap_or(usize::MAX).clamp(1, PACK_TARGET),
            budget: Budget::new(crate::model::ByteCount(ctx.limits.memory.0 / 2)),
            checkpoints: self.checkpoints.clone(),
        }))
    }

    /// What opened an epoch, to whom it is encrypted, and its manifests if it takes more.
    async fn opened_epoch(&self, epoch: &EpochId) -> Result<(EpochOpen, VaultRecipient, Vec<Arc<Point>>), BackupError> {
        let record = self.record.lock().await;
        let opened = record.state().epochs.get(epoch).ok_or(RepositoryError::EpochClosed { lineage: self.lineage.clone() })?;
        let unknown = || RepositoryError::UnknownVault { vault: opened.open.vault.clone() };
        let vault = record.trusts().vault(&opened.open.vault).ok_or_else(unknown)?;
        Ok((opened.open.clone(), vault.recipient.parse()?, record.open_manifests(epoch).to_vec()))
    }

    /// Packs of the epoch that the store has: what is not there is stored again, whatever the index says.
    async fn present(&self, epoch: &EpochId) -> Result<HashMap<Sha256, u64>, BackupError> {
        let [_, _, packs, _] = layout::epoch_prefixes(&self.lineage, epoch);
        let listed = list_all(self.store.as_ref(), &packs).await.map_err(RepositoryError::from)?;
        let named = |key: &str| key.rsplit('/').next()?.strip_suffix(".age")?.parse().ok();
        Ok(listed.iter().filter_map(|object| Some((named(object.key.as_str())?, object.size.0))).collect())
    }

    /// The retention classes of the epoch.
    pub async fn classes(&self, epoch: &EpochId) -> Vec<Class> {
        self.record.lock().await.state().epochs.get(epoch).map(|epoch| epoch.open.classes.clone()).unwrap_or_default()
    }

    /// Notes what came of opening a member.
    pub fn opened(&self, member: &MemberName, opened: Result<Opened, BackupError>) {
        self.opened.lock().expect("no holder of this lock panics").insert(member.clone(), opened);
    }

    /// Takes what came of opening a member.
    ///
    /// # Errors
    /// When it could not be opened.
    pub fn take_opened(&self, member: &MemberName) -> Result<Opened, BackupError> {
        let taken = self.opened.lock().expect("no holder of this lock panics").remove(member);
        taken.unwrap_or_else(|| Err(BackupError::NotOpened("its turn did not come".to_owned())))
    }

    /// Notes how a capture ended.
    pub fn ended(&self, member: &MemberName, captured: Captured) {
        self.captured.lock().expect("no holder of this lock panics").insert(member.clone(), captured);
    }

    /// The step that captures a member.
    pub fn step(member: &MemberName) -> StepId {
        crate::model::step_id(&["capture", member.as_str()])
    }
}

/// Reads what earlier runs left in an epoch.
struct Known<'a> {
    job: &'a BackupJob,
    epoch: &'a EpochId,
    key: &'a VaultIdentity,
    present: HashMap<Sha256, u64>,
}

impl Known<'_> {
    async fn load(&self, points: &[Arc<Point>], index: &mut ChunkIndex, hints: &mut HintTable) -> Result<(), BackupError> {
        let adopted = || self.job.adopted.iter().filter(|checkpoint| checkpoint.epoch == *self.epoch);
        let fragments = points.iter().flat_map(|point| &point.index).chain(adopted().flat_map(|checkpoint| &checkpoint.index));
        for digest in fragments {
            let Some(plain) = self.read(layout::index(&self.job.lineage, self.epoch, *digest), *digest).await? else { continue };
            let Ok(fragment) = Fragment::decode(&plain) else { continue };
            index.add_fragment(self.without_lost(fragment)).map_err(BackupError::Spool)?;
        }
        // A point's hints cover all that it has; older ones say nothing more.
        let newest = points.last().map(|point| point.hints.iter()).into_iter().flatten();
        for digest in newest.chain(adopted().flat_map(|checkpoint| &checkpoint.hints)) {
            let Some(packed) = self.read(layout::hints(&self.job.lineage, self.epoch, *digest), *digest).await? else { continue };
            let Ok(plain) = zstd::bulk::decompress(&packed, HINTS_PLAIN_MAX.min(packed.len().saturating_mul(200))) else { continue };
            let Ok(mut fragment) = HintFragment::decode(&plain) else { continue };
            let there: Vec<bool> = fragment.packs.iter().map(|pack| self.present.get(&pack.sha256) == Some(&pack.size)).collect();
            fragment.hints.retain(|hint| hint.live.iter().all(|(pack, _)| there[*pack as usize]));
            hints.add(fragment);
        }
        Ok(())
    }

    /// A fragment that is missing or damaged costs time only: what it would have told is stored again.
    async fn read(&self, key: crate::model::ObjectKey, digest: Sha256) -> Result<Option<Vec<u8>>, BackupError> {
        let sealed: Bytes = match self.job.store.get(&key, None).await {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == crate::storage::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(BackupError::Get { key, source }),
        };
        Ok((sha256(&sealed) == digest).then(|| open(self.key, &sealed).ok()).flatten())
    }

    fn without_lost(&self, mut fragment: Fragment) -> Fragment {
        let there: Vec<bool> = fragment.packs.iter().map(|pack| self.present.get(&pack.sha256) == Some(&pack.size)).collect();
        fragment.chunks.retain(|(_, place)| there[place.pack as usize]);
        fragment
    }
}
