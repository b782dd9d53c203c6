//! Opens packs: the way back. A pack stays as it is stored and is decrypted a few blocks at a time, so that memory holds it once, and what was
//! decrypted is decoded while the processor still has it at hand.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    CpuPool, PipelineError, SealedHeader, VaultIdentity, frame,
    seal::{BLOCK, plain_len},
    sha256,
};
use crate::model::Sha256;

/// Blocks that are decrypted at once.
const STEP: usize = 4 * BLOCK;

/// A pack in memory. Its blocks are authenticated when they are read, which shows damage; only a pack that was *proved* is known to be the
/// writer's, because whoever knows the vault can seal.
#[derive(Debug, Clone)]
pub struct OpenPack {
    sealed: Bytes,
    header: Arc<SealedHeader>,
    plain_len: u64,
    proved: Option<Sha256>,
}

impl OpenPack {
    /// Checks ciphertext against the digest that a signed list gives, then reads its header. The order matters: age does not say who wrote a file.
    pub fn open(sealed: Bytes, expected: Sha256, identity: &VaultIdentity) -> Result<OpenPack, PipelineError> {
        let found = sha256(&sealed);
        if found != expected {
            return Err(PipelineError::Digest { expected, found });
        }
        let pack = OpenPack::open_unproved(sealed, identity)?;
        Ok(OpenPack { proved: Some(found), ..pack })
    }

    /// Reads the header alone. What comes out of the pack must be held against a digest of content that a signed entry leads to.
    pub fn open_unproved(sealed: Bytes, identity: &VaultIdentity) -> Result<OpenPack, PipelineError> {
        let header = SealedHeader::parse(&sealed, identity)?;
        let plain_len = plain_len((sealed.len() - header.len) as u64, true)?;
        Ok(OpenPack { sealed, header: Arc::new(header), plain_len, proved: None })
    }

    /// As [`OpenPack::open`], on a thread of the pool.
    pub async fn open_on(pool: &CpuPool, sealed: Bytes, expected: Sha256, identity: Arc<VaultIdentity>) -> Result<OpenPack, PipelineError> {
        pool.run(move || OpenPack::open(sealed, expected, &identity)).await?
    }

    /// Whether its ciphertext is known to be what a signed list says.
    pub fn is_proved(&self) -> bool {
        self.proved.is_some()
    }

    /// Decrypts blocks from the one with the number `first` into `out`, as many as it has room for or the pack has, and says how many bytes they hold.
    fn read_blocks(&self, first: u64, out: &mut [u8]) -> Result<usize, PipelineError> {
        let start = first.saturating_mul(BLOCK as u64);
        let count = self.plain_len.saturating_sub(start).min((out.len() / BLOCK * BLOCK) as u64);
        if count == 0 {
            return Ok(0);
        }
        let range = self.header.cipher_range(start..start + count, self.sealed.len() as u64)?;
        let blocks = &self.sealed[range.bytes.start as usize..range.bytes.end as usize];
        self.header.key.open_blocks(blocks, range.first_block, range.is_last, &mut out[..count as usize])?;
        Ok(count as usize)
    }
}

/// A place in a pack from which frames are read, mostly forwards. It keeps what it has decrypted, and belongs to one pack until it is cleared.
#[derive(Debug, Default)]
pub struct Cursor {
    /// Where the decrypted bytes begin: at a block.
    start: u64,
    plain: Vec<u8>,
    filled: usize,
}

impl Cursor {
    /// Forgets what was decrypted and keeps the memory.
    pub fn clear(&mut self) {
        (self.start, self.filled) = (0, 0);
    }

    /// The frame at `at`, which ends before `end`, and the length of its plaintext.
    ///
    /// # Errors
    /// When a block is damaged or there is no frame of our form.
    pub fn frame(&mut self, pack: &OpenPack, at: u64, end: u64) -> Result<(&[u8], usize), PipelineError> {
        if at >= end || end > pack.plain_len {
            return Err(PipelineError::Length("a map points behind the end of a pack"));
        }
        if at < self.start || at > self.start + self.filled as u64 {
            (self.start, self.filled) = (at - at % BLOCK as u64, 0);
        }
        loop {
            let from = (at - self.start) as usize;
            let to = self.filled.min(usize::try_from(end - self.start).unwrap_or(usize::MAX));
            let here = self.plain.get(from..to).unwrap_or_default();
            match frame::first_lengths(here) {
                Ok((length, size)) => return Ok((&self.plain[from..from + length], size)),
                // It may only be that the rest of it is not decrypted yet.
                Err(error) if self.start + to as u64 >= end || here.len() > frame::frame_max() => return Err(error),
                Err(_) => self.more(pack, from)?,
            }
        }
    }

    /// Decrypts the next blocks, and drops those before the byte `from`.
    fn more(&mut self, pack: &OpenPack, from: usize) -> Result<(), PipelineError> {
        let gone = from / BLOCK * BLOCK;
        self.plain.copy_within(gone..self.filled, 0);
        (self.start, self.filled) = (self.start + gone as u64, self.filled - gone);
        if self.plain.len() < self.filled + STEP {
            self.plain.resize(self.filled + STEP, 0);
        }
        let first = (self.start + self.filled as u64) / BLOCK as u64;
        self.filled += pack.read_blocks(first, &mut self.plain[self.filled..self.filled + STEP])?;
        Ok(())
    }
}
