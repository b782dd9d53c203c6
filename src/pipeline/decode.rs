//! Opens whole packs and decodes runs of frames in parallel: the way back.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::{CpuPool, FrameDecoder, PipelineError, Placement, VaultIdentity, decode_frames, open, sha256};
use crate::model::Sha256;

/// Consecutive frames of one pack, as a map names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRun {
    /// Where they lie in the pack's plaintext.
    pub place: Placement,
    /// Bytes that they hold. Decoding a run needs as much memory: take a permit for it first.
    pub plain_len: usize,
}

/// The frames of a pack that is what its signed list says.
#[derive(Debug, Clone)]
pub struct OpenPack {
    frames: Bytes,
}

impl OpenPack {
    /// Checks ciphertext against the digest that a signed list gives, then decrypts it. The order matters: age does not say who wrote a file.
    pub fn open(sealed: &[u8], expected: Sha256, identity: &VaultIdentity) -> Result<OpenPack, PipelineError> {
        let found = sha256(sealed);
        if found != expected {
            return Err(PipelineError::Digest { expected, found });
        }
        Ok(OpenPack { frames: open(identity, sealed)?.into() })
    }

    /// As [`OpenPack::open`], on a thread of the pool.
    pub async fn open_on(pool: &CpuPool, sealed: Bytes, expected: Sha256, identity: Arc<VaultIdentity>) -> Result<OpenPack, PipelineError> {
        pool.run(move || OpenPack::open(&sealed, expected, &identity)).await?
    }

    /// All frames of the pack.
    pub fn frames(&self) -> &Bytes {
        &self.frames
    }

    /// The frames at a place.
    pub fn at(&self, place: Placement) -> Result<Bytes, PipelineError> {
        let range = || {
            let (start, length) = (usize::try_from(place.offset).ok()?, usize::try_from(place.length).ok()?);
            Some(start..start.checked_add(length).filter(|end| *end <= self.frames.len())?)
        };
        range().map(|range| self.frames.slice(range)).ok_or(PipelineError::Length("a map points behind the end of a pack"))
    }

    /// Decodes one run.
    pub fn decode(&self, run: FrameRun) -> Result<Bytes, PipelineError> {
        let mut plain = Vec::new();
        decode_frames(&self.at(run.place)?, run.plain_len, &mut plain)?;
        Ok(plain.into())
    }

    /// Decodes one run frame by frame, with memory for one frame only, however much the run holds.
    pub fn decode_each<E: From<PipelineError>>(&self, place: Placement, plain_len: u64, sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        FrameDecoder::new()?.decode_each(&self.at(place)?, plain_len, sink)
    }

    /// Decodes runs in parallel on the threads of the pool and gives them in the order of `runs`.
    pub async fn decode_all(&self, pool: &CpuPool, runs: Vec<FrameRun>) -> Result<Vec<Bytes>, PipelineError> {
        let one = |run| {
            let pack = self.clone();
            async move { pool.run(move || pack.decode(run)).await? }
        };
        stream::iter(runs).map(one).buffered(pool.workers()).try_collect().await
    }
}
