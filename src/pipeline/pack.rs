//! Gathers frames into a pack: one age file of concatenated frames, stored as one object.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ChunkSizes, PipelineError, VaultRecipient, seal::SealBuffer, sha256};
use crate::model::Sha256;

/// Plaintext bytes at which a pack is full.
pub const PACK_TARGET: usize = 16 << 20;
/// No object is longer, in bytes.
pub const OBJECT_MAX: u64 = 64 << 20;
/// Room for everything in a pack that is not frames.
const OVERHEAD: u64 = 64 << 10;

/// Where a frame, or a run of frames, lies in the plaintext of its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placement {
    /// Bytes before it.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

/// A pack that is being filled. Its address space is taken at the beginning, with room for one largest chunk above the target; memory
/// follows as it fills.
#[derive(Debug)]
pub struct PackBuilder {
    buffer: SealBuffer,
    target: usize,
}

impl PackBuilder {
    /// An empty pack, full at `target` bytes of frames: what [`crate::model::Limits`] says.
    pub fn new(target: usize) -> PackBuilder {
        PackBuilder { buffer: SealBuffer::with_capacity(target + ChunkSizes::FILE.max()), target }
    }

    /// Appends a frame, and says where it lies. Refuses one that would make the object too large.
    pub fn append(&mut self, frame: &[u8]) -> Result<Placement, PipelineError> {
        let placement = Placement { offset: self.buffer.len() as u64, length: frame.len() as u64 };
        let size = placement.offset + placement.length;
        let limit = OBJECT_MAX - OVERHEAD;
        if size > limit {
            return Err(PipelineError::TooLarge { what: "a pack", size, limit });
        }
        self.buffer.extend(frame);
        Ok(placement)
    }

    /// Bytes of frames so far.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Whether it is time to seal.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= self.target
    }

    /// Encrypts the pack to the vault and names it. Takes some 15 ms of a processor for 16 MiB: run it on a blocking thread.
    pub fn seal(self, vault: &VaultRecipient) -> Result<SealedPack, PipelineError> {
        let plain_length = self.buffer.len() as u64;
        let bytes = self.buffer.seal(&[vault])?;
        Ok(SealedPack { sha256: sha256(&bytes), bytes, plain_length })
    }
}

/// A pack as it is stored.
#[derive(Debug, Clone)]
pub struct SealedPack {
    /// SHA-256 of `bytes`: the pack's name.
    pub sha256: Sha256,
    /// The age file.
    pub bytes: Bytes,
    /// Bytes of frames inside.
    pub plain_length: u64,
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
