//! Standard age files, whole and in ranges.
//!
//! The age crate makes and checks the header; the payload, which is all of the work, goes through aws-lc-rs, in place. A wrapper around
//! recipient or identity sees the file key on its way. Tests hold both directions against the age crate's own streams.

use std::{cell::RefCell, collections::HashSet, fmt, ops::Range, str::FromStr};

use age::secrecy::ExposeSecret;
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use aws_lc_rs::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};
use bytes::Bytes;
use zeroize::Zeroizing;

use super::{PipelineError, sha256};
use crate::model::{Secret, VaultId};

/// Plaintext bytes in every block of the payload but the last.
pub const BLOCK: usize = 64 << 10;
/// Ciphertext bytes of a whole block.
pub const SEALED_BLOCK: usize = BLOCK + TAG;
/// More than the header of a file to one vault has: what to fetch before a range can be read.
pub const HEADER_PROBE: usize = 1024;
/// The longest header that is read.
pub const HEADER_MAX: usize = 64 << 10;
/// The most lines that a header may have: the age crate's parser begins again at each, which a forged header could use to keep it busy.
const HEADER_LINES_MAX: usize = 1000;

const TAG: usize = 16;
const NONCE: usize = 16;

/// The public key of a vault: `age1…`. Whoever has it can seal and not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultRecipient(age::x25519::Recipient);

impl VaultRecipient {
    /// The vault's name: the first 8 bytes of the SHA-256 of the key's text.
    pub fn id(&self) -> VaultId {
        hex::encode(&sha256(self.to_string().as_bytes()).0[..8]).parse().expect("8 bytes in hex are a vault id")
    }
}

impl FromStr for VaultRecipient {
    type Err = PipelineError;
    fn from_str(text: &str) -> Result<VaultRecipient, PipelineError> {
        let wanted = "an age recipient (age1…)";
        text.parse().map(VaultRecipient).map_err(|reason| PipelineError::InvalidKey { wanted, reason })
    }
}

impl fmt::Display for VaultRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl age::Recipient for VaultRecipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        self.0.wrap_file_key(file_key)
    }
}

/// The private key of a vault: `AGE-SECRET-KEY-1…`. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct VaultIdentity(age::x25519::Identity);

impl VaultIdentity {
    /// Makes a new random key.
    pub fn generate() -> VaultIdentity {
        VaultIdentity(age::x25519::Identity::generate())
    }

    /// The public half.
    pub fn recipient(&self) -> VaultRecipient {
        VaultRecipient(self.0.to_public())
    }

    /// The text form: for the one place that stores it.
    pub fn to_secret(&self) -> Secret {
        Secret::new(self.0.to_string().expose_secret().to_owned())
    }
}

impl FromStr for VaultIdentity {
    type Err = PipelineError;
    fn from_str(text: &str) -> Result<VaultIdentity, PipelineError> {
        let wanted = "an age identity (AGE-SECRET-KEY-1…)";
        text.parse().map(VaultIdentity).map_err(|reason| PipelineError::InvalidKey { wanted, reason })
    }
}

impl fmt::Debug for VaultIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VaultIdentity({})", self.recipient().id())
    }
}

impl age::Identity for VaultIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        self.0.unwrap_stanza(stanza)
    }
}

/// The file key, on its way between the age crate and a recipient or identity.
struct Capture<'a, T: ?Sized> {
    inner: &'a T,
    seen: RefCell<Option<Zeroizing<[u8; FILE_KEY_BYTES]>>>,
}

impl<'a, T: ?Sized> Capture<'a, T> {
    fn new(inner: &'a T) -> Self {
        Capture { inner, seen: RefCell::new(None) }
    }

    fn see(&self, file_key: &FileKey) {
        *self.seen.borrow_mut() = Some(Zeroizing::new(*file_key.expose_secret()));
    }

    fn key(self, nonce: &[u8]) -> PayloadKey {
        PayloadKey::derive(&self.seen.into_inner().expect("a header is made or accepted with its file key only"), nonce)
    }
}

impl age::Recipient for Capture<'_, [&dyn age::Recipient]> {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        self.see(file_key);
        let mut stanzas = Vec::new();
        let mut labels: Option<HashSet<String>> = None;
        for recipient in self.inner {
            let (more, r_labels) = recipient.wrap_file_key(file_key)?;
            stanzas.extend(more);
            match &labels {
                Some(l_labels) if *l_labels != r_labels => {
                    return Err(age::EncryptError::IncompatibleRecipients { l_labels: l_labels.clone(), r_labels });
                }
                _ => labels = Some(r_labels),
            }
        }
        labels.map(|labels| (stanzas, labels)).ok_or(age::EncryptError::MissingRecipients)
    }
}

impl age::Identity for Capture<'_, dyn age::Identity + '_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, age::DecryptError>> {
        let unwrapped = self.inner.unwrap_stanzas(stanzas);
        if let Some(Ok(file_key)) = &unwrapped {
            self.see(file_key);
        }
        unwrapped
    }
}

/// Plaintext on its way into an age file. It lies where its ciphertext will lie, so that sealing needs no second buffer.
#[derive(Debug)]
pub struct SealBuffer {
    bytes: Vec<u8>,
    plain_len: usize,
}

impl SealBuffer {
    /// An empty buffer with room for about `capacity` bytes; it grows beyond them.
    pub fn with_capacity(capacity: usize) -> SealBuffer {
        let mut bytes = Vec::with_capacity(HEADER_PROBE + capacity + (capacity / BLOCK + 1) * TAG);
        bytes.resize(HEADER_PROBE, 0);
        SealBuffer { bytes, plain_len: 0 }
    }

    /// Bytes of plaintext so far.
    pub fn len(&self) -> usize {
        self.plain_len
    }

    /// Whether there is no plaintext yet.
    pub fn is_empty(&self) -> bool {
        self.plain_len == 0
    }

    /// Appends plaintext.
    pub fn extend(&mut self, mut plain: &[u8]) {
        while !plain.is_empty() {
            let filled = self.plain_len % BLOCK;
            if filled == 0 && self.plain_len > 0 {
                self.bytes.extend([0; TAG]);
            }
            let (part, rest) = plain.split_at(plain.len().min(BLOCK - filled));
            self.bytes.extend_from_slice(part);
            self.plain_len += part.len();
            plain = rest;
        }
    }

    /// Encrypts everything to the recipients, who may be of any kind that age can combine.
    pub fn seal(mut self, recipients: &[&dyn age::Recipient]) -> Result<Bytes, PipelineError> {
        let capture = Capture::new(recipients);
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&capture as _)).map_err(PipelineError::Recipient)?;
        let mut header = Vec::with_capacity(HEADER_PROBE);
        encryptor.wrap_output(&mut header).expect("writing into memory does not fail");
        let key = capture.key(&header[header.len() - NONCE..]);

        self.bytes.extend([0; TAG]);
        let mut blocks = self.bytes[HEADER_PROBE..].chunks_mut(SEALED_BLOCK).enumerate().peekable();
        while let Some((number, block)) = blocks.next() {
            let (plain, tag) = block.split_at_mut(block.len() - TAG);
            let nonce = block_nonce(number as u64, blocks.peek().is_none());
            let made = key.0.seal_in_place_separate_tag(nonce, Aad::empty(), plain).expect("a block is within the limits of the cipher");
            tag.copy_from_slice(made.as_ref());
        }
        let start = HEADER_PROBE.saturating_sub(header.len());
        self.bytes.splice(start..HEADER_PROBE, header);
        Ok(Bytes::from(self.bytes).slice(start..))
    }
}

/// Encrypts `plain` into one age file.
pub fn seal(recipients: &[&dyn age::Recipient], plain: &[u8]) -> Result<Bytes, PipelineError> {
    let mut buffer = SealBuffer::with_capacity(plain.len());
    buffer.extend(plain);
    buffer.seal(recipients)
}

/// Decrypts a whole age file. Needs memory for the plaintext beside the ciphertext; wipe the result if it is secret.
pub fn open(identity: &dyn age::Identity, sealed: &[u8]) -> Result<Vec<u8>, PipelineError> {
    let header = SealedHeader::parse(sealed, identity)?;
    header.key.open_range(&sealed[header.len..], 0, true)
}

/// The header of an age file, read with the right key.
#[derive(Debug)]
pub struct SealedHeader {
    /// Opens the blocks of the payload.
    pub key: PayloadKey,
    /// Where the payload begins: bytes of header and nonce.
    pub len: usize,
}

impl SealedHeader {
    /// Reads and authenticates the header at the beginning of `prefix`, which may end anywhere behind it.
    pub fn parse(prefix: &[u8], identity: &dyn age::Identity) -> Result<SealedHeader, PipelineError> {
        let prefix = &prefix[..prefix.len().min(HEADER_MAX)];
        let mut lines = prefix.split(|byte| *byte == b'\n').take(HEADER_LINES_MAX);
        if !lines.any(|line| line.starts_with(b"---")) {
            return Err(PipelineError::Length("the header of the age file is cut or too long"));
        }
        let mut rest = prefix;
        let capture = Capture::new(identity);
        let decryptor = age::Decryptor::new_buffered(&mut rest).map_err(header_error)?;
        decryptor.decrypt(std::iter::once(&capture as _)).map_err(header_error)?;
        let len = prefix.len() - rest.len();
        Ok(SealedHeader { key: capture.key(&prefix[len - NONCE..len]), len })
    }

    /// What to read of a file of `total` bytes to get the `plain` bytes of its plaintext.
    pub fn cipher_range(&self, plain: Range<u64>, total: u64) -> Result<CipherRange, PipelineError> {
        let (block, sealed) = (BLOCK as u64, SEALED_BLOCK as u64);
        let header = self.len as u64;
        let payload = total.checked_sub(header).ok_or(PipelineError::Length("the header of the age file is cut"))?;
        let (blocks, plain_total) = (payload.div_ceil(sealed), plain_len(payload, true)?);
        if plain.start > plain.end || plain.end > plain_total {
            return Err(PipelineError::Length("the range ends behind the plaintext"));
        }
        let first = (plain.start / block).min(blocks - 1);
        let end = plain.end.div_ceil(block).clamp(first + 1, blocks);
        Ok(CipherRange {
            bytes: header + first * sealed..total.min(header + end * sealed),
            first_block: first,
            is_last: end == blocks,
            skip: (plain.start - first * block) as usize,
        })
    }
}

fn header_error(error: age::DecryptError) -> PipelineError {
    match error {
        age::DecryptError::NoMatchingKeys => PipelineError::WrongKey,
        age::DecryptError::Io(_) => PipelineError::Length("the header of the age file is cut"),
        other => PipelineError::Header(other),
    }
}

/// The part of an age file that holds a range of its plaintext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CipherRange {
    /// Bytes of the file: whole blocks.
    pub bytes: Range<u64>,
    /// Number of the first of these blocks.
    pub first_block: u64,
    /// Whether they include the file's last block.
    pub is_last: bool,
    /// Bytes of plaintext in these blocks before the wanted range.
    pub skip: usize,
}

/// The key of one age file's payload. Wiped when dropped, never printed.
pub struct PayloadKey(LessSafeKey);

impl PayloadKey {
    fn derive(file_key: &[u8; FILE_KEY_BYTES], nonce: &[u8]) -> PayloadKey {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, nonce).extract(file_key);
        let material = secret.expand(&[b"payload"], &CHACHA20_POLY1305).expect("32 bytes can be expanded");
        PayloadKey(LessSafeKey::new(UnboundKey::from(material)))
    }

    /// Decrypts whole consecutive blocks, the first of which has the number `first_block`; `is_last` says that they end the file.
    /// Every block is authenticated, with its place and with whether it is the last.
    pub fn open_range(&self, blocks: &[u8], first_block: u64, is_last: bool) -> Result<Vec<u8>, PipelineError> {
        if !is_last && !blocks.len().is_multiple_of(SEALED_BLOCK) {
            return Err(PipelineError::Length("a range inside an age file has whole blocks"));
        }
        let mut plain = vec![0; plain_len(blocks.len() as u64, first_block == 0)? as usize];
        self.open_blocks(blocks, first_block, is_last, &mut plain)?;
        Ok(plain)
    }

    /// As [`PayloadKey::open_range`], into `plain`, which has the length of the plaintext.
    pub(super) fn open_blocks(&self, blocks: &[u8], first_block: u64, is_last: bool, plain: &mut [u8]) -> Result<(), PipelineError> {
        let count = blocks.len().div_ceil(SEALED_BLOCK);
        for (index, (block, out)) in blocks.chunks(SEALED_BLOCK).zip(OutBlocks(plain)).enumerate() {
            let number = first_block + index as u64;
            let (text, tag) = block.split_at(block.len() - TAG);
            let nonce = block_nonce(number, is_last && index + 1 == count);
            self.0.open_separate_gather(nonce, Aad::empty(), text, tag, out).map_err(|_| PipelineError::Block { block: number })?;
        }
        Ok(())
    }
}

impl fmt::Debug for PayloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayloadKey(…)")
    }
}

/// Bytes of plaintext in `sealed` bytes of blocks. Only a file without any plaintext has an empty block, and it has no other: elsewhere an
/// empty block would hide a cut at the end of the one before.
pub(super) fn plain_len(sealed: u64, from_start: bool) -> Result<u64, PipelineError> {
    let blocks = sealed.div_ceil(SEALED_BLOCK as u64);
    let least = TAG as u64 + u64::from(blocks > 1 || !from_start);
    match sealed - blocks.saturating_sub(1) * SEALED_BLOCK as u64 >= least {
        true => Ok(sealed - blocks * TAG as u64),
        false => Err(PipelineError::Length("the last block of the age file is cut")),
    }
}

/// Output blocks without end: `chunks_mut`, and then empty ones, because an empty payload has one block too.
struct OutBlocks<'a>(&'a mut [u8]);

impl<'a> Iterator for OutBlocks<'a> {
    type Item = &'a mut [u8];

    fn next(&mut self) -> Option<&'a mut [u8]> {
        let rest = std::mem::take(&mut self.0);
        let (block, rest) = rest.split_at_mut(rest.len().min(BLOCK));
        self.0 = rest;
        Some(block)
    }
}

/// The nonce of a block: its number in 11 bytes, big endian, and whether it is the last.
fn block_nonce(number: u64, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = u8::from(is_last);
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
