//! Reads packs of one point, whole or in part, from the first location that has them as they should be.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::{RestoreError, opened::older_version};
use crate::{
    model::{EpochId, Lineage, Sha256, outcome::explain},
    pipeline::{Budget, CpuPool, OpenPack, PipelineError, SealedHeader, VaultIdentity, seal::HEADER_PROBE},
    repository::layout,
    storage::ObjectStore,
};

/// Packs that are kept for the next window.
const KEPT_MAX: usize = 3;
/// Reading a gap is cheaper than another request, up to this.
const GAP_MAX: u64 = 512 << 10;

/// One place that holds copies of objects.
#[derive(Debug, Clone)]
pub struct Location {
    /// As the configuration calls it.
    pub name: String,
    /// The store.
    pub store: Arc<dyn ObjectStore>,
}

/// Reads the packs of one point.
#[derive(Debug)]
pub struct PackReader {
    /// Where to look, in this order.
    pub locations: Vec<Location>,
    /// Whose packs.
    pub lineage: Lineage,
    /// Of which epoch.
    pub epoch: EpochId,
    /// Opens them.
    pub vault: Arc<VaultIdentity>,
    /// Sizes of all packs that the manifest's lists name.
    pub sizes: HashMap<Sha256, u64>,
    /// Threads that compute.
    pub pool: CpuPool,
    /// Bytes in memory.
    pub budget: Budget,
    kept: Mutex<VecDeque<(Sha256, OpenPack)>>,
    fetched: AtomicU64,
}

/// Frames of a pack.
#[derive(Debug)]
pub enum Frames {
    /// All of it, decrypted when it is walked.
    Whole(OpenPack),
    /// Parts, decrypted.
    Parts(Parts),
}

/// Stretches of a pack's frames, by where they begin in the decrypted pack: in ascending order, without overlap.
#[derive(Debug)]
pub struct Parts(Vec<(u64, Bytes)>);

impl Parts {
    /// The frames at a place.
    ///
    /// # Errors
    /// When the place lies outside what was read: a map points where it may not.
    pub fn at(&self, offset: u64, length: u64) -> Result<Bytes, PipelineError> {
        let outside = PipelineError::Length("a map points behind the end of a pack");
        let Some((start, bytes)) = self.0.iter().rev().find(|(start, _)| *start <= offset) else { return Err(outside) };
        let from = usize::try_from(offset - start).ok();
        let range = from.and_then(|from| Some(from..from.checked_add(usize::try_from(length).ok()?)?));
        range.filter(|range| range.end <= bytes.len()).map(|range| bytes.slice(range)).ok_or(outside)
    }
}

/// How well a pack must be known before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Its ciphertext has the digest that a signed list gives.
    Digest,
    /// It decrypts; what comes out is held against a digest of content, and the other proof asked for when that differs.
    Content,
}

impl PackReader {
    /// A reader with nothing read.
    pub fn new(
        locations: Vec<Location>,
        lineage: Lineage,
        epoch: EpochId,
        vault: Arc<VaultIdentity>,
        sizes: HashMap<Sha256, u64>,
        pool: CpuPool,
        budget: Budget,
    ) -> PackReader {
        PackReader { locations, lineage, epoch, vault, sizes, pool, budget, kept: Mutex::default(), fetched: AtomicU64::new(0) }
    }

    /// Bytes that were fetched from stores so far.
    pub fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    fn kept(&self, pack: Sha256, proof: Proof) -> Option<OpenPack> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(sha256, open)| *sha256 == pack && (proof == Proof::Content || open.is_proved())).map(|(_, open)| open.clone())
    }

    fn keep(&self, pack: Sha256, open: OpenPack) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(sha256, _)| *sha256 != pack);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((pack, open));
    }

    /// Reads the given places of a pack: `(offset, length)` in the decrypted pack. Reads the whole pack when that is cheaper, and then proves it by its
    /// digest.
    ///
    /// # Errors
    /// When no location has the pack as it should be.
    pub async fn frames(&self, pack: Sha256, places: Vec<(u64, u64)>) -> Result<Frames, RestoreError> {
        self.some(pack, places, Proof::Digest).await
    }

    /// As [`PackReader::frames`], from the first location that has something under the pack's name which the vault's key opens. Damage may show only
    /// when it is walked, and forgery only in the content: the caller compares that with its digest, and turns to [`PackReader::proved`].
    ///
    /// # Errors
    /// When no location has the pack.
    pub async fn unproved(&self, pack: Sha256, places: Vec<(u64, u64)>) -> Result<Frames, RestoreError> {
        self.some(pack, places, Proof::Content).await
    }

    /// Reads a whole pack, from the first location where it is what the signed list says.
    ///
    /// # Errors
    /// When no location has it.
    pub async fn proved(&self, pack: Sha256) -> Result<Frames, RestoreError> {
        match self.kept(pack, Proof::Digest) {
            Some(open) => Ok(Frames::Whole(open)),
            None => self.whole(pack, self.size(pack)?, Proof::Digest).await.map(Frames::Whole),
        }
    }

    fn size(&self, pack: Sha256) -> Result<u64, RestoreError> {
        self.sizes.get(&pack).copied().ok_or(RestoreError::UnknownPack(pack))
    }

    async fn some(&self, pack: Sha256, mut places: Vec<(u64, u64)>, proof: Proof) -> Result<Frames, RestoreError> {
        if let Some(open) = self.kept(pack, proof) {
            return Ok(Frames::Whole(open));
        }
        let size = self.size(pack)?;
        places.sort_unstable();
        let mut spans: Vec<(u64, u64)> = Vec::new();
        for (offset, length) in places {
            match spans.last_mut() {
                Some((start, long)) if offset <= *start + *long + GAP_MAX => *long = (*long).max((offset - *start).saturating_add(length)),
                _ => spans.push((offset, length)),
            }
        }
        let wanted: u64 = spans.iter().map(|(_, length)| *length).fold(0, u64::saturating_add);
        if wanted.saturating_mul(2) > size {
            return self.whole(pack, size, proof).await.map(Frames::Whole);
        }
        match self.first_good(pack, async |location| self.parts(location, pack, size, &spans).await).await {
            Err(RestoreError::Nowhere { .. }) => self.whole(pack, size, proof).await.map(Frames::Whole),
            parts => parts.map(Frames::Parts),
        }
    }

    /// Reads a whole pack and keeps it for a while.
    async fn whole(&self, pack: Sha256, size: u64, proof: Proof) -> Result<OpenPack, RestoreError> {
        let open = match self.first_good(pack, async |location| self.open(location, pack, size, proof).await).await {
            Err(RestoreError::Nowhere { key, tried }) => {
                let sealed = older_version(&self.locations, &key, pack).await.ok_or(RestoreError::Nowhere { key, tried })?;
                self.fetched.fetch_add(size, Ordering::Relaxed);
                OpenPack::open_on(&self.pool, sealed, pack, Arc::clone(&self.vault)).await?
            }
            open => open?,
        };
        self.keep(pack, open.clone());
        Ok(open)
    }

    async fn open(&self, location: &Location, pack: Sha256, size: u64, proof: Proof) -> Result<OpenPack, RestoreError> {
        let sealed = location.store.get(&layout::pack(&self.lineage, &self.epoch, pack), None).await?;
        self.fetched.fetch_add(size, Ordering::Relaxed);
        Ok(match proof {
            Proof::Digest => OpenPack::open_on(&self.pool, sealed, pack, Arc::clone(&self.vault)).await?,
            Proof::Content => OpenPack::open_unproved(sealed, &self.vault)?,
        })
    }

    async fn parts(&self, location: &Location, pack: Sha256, size: u64, spans: &[(u64, u64)]) -> Result<Parts, RestoreError> {
        let key = layout::pack(&self.lineage, &self.epoch, pack);
        let prefix = location.store.get(&key, Some(0..(HEADER_PROBE as u64).min(size))).await?;
        self.fetched.fetch_add(prefix.len() as u64, Ordering::Relaxed);
        let header = SealedHeader::parse(&prefix, self.vault.as_ref())?;
        let mut parts = Vec::new();
        for (offset, length) in spans {
            let range = header.cipher_range(*offset..offset.saturating_add(*length), size)?;
            let blocks = location.store.get(&key, Some(range.bytes.clone())).await?;
            self.fetched.fetch_add(blocks.len() as u64, Ordering::Relaxed);
            let plain = header.key.open_range(&blocks, range.first_block, range.is_last)?;
            let whole = Bytes::from(plain);
            let skip = range.skip.min(whole.len());
            let end = skip.saturating_add(usize::try_from(*length).unwrap_or(usize::MAX)).min(whole.len());
            parts.push((*offset, whole.slice(skip..end)));
        }
        Ok(Parts(parts))
    }

    /// Tries every location in order; a copy that is missing or damaged is passed over.
    async fn first_good<T>(&self, pack: Sha256, read: impl AsyncFn(&Location) -> Result<T, RestoreError>) -> Result<T, RestoreError> {
        let mut tried = Vec::new();
        for location in &self.locations {
            match read(location).await {
                Ok(done) => return Ok(done),
                Err(error) => tried.push(format!("{}: {}", location.name, explain(&error))),
            }
        }
        Err(RestoreError::Nowhere { key: layout::pack(&self.lineage, &self.epoch, pack), tried: tried.join("; ") })
    }
}
