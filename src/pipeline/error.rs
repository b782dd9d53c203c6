//! What can go wrong between plaintext and ciphertext.

use crate::model::Sha256;

/// Why bytes could not be turned into other bytes. Every message is about the bytes; the caller knows whose they are.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// A text is not an age key of the wanted kind. Never quotes the text, which may be secret.
    #[error("this is not {wanted}: {reason}")]
    InvalidKey {
        /// The kind of key that was wanted.
        wanted: &'static str,
        /// What the parser says.
        reason: &'static str,
    },
    /// The file is sealed, but not to this key.
    #[error("the file is not encrypted to this key")]
    WrongKey,
    /// The header of an age file is damaged, or is none.
    #[error("the header of the age file is damaged")]
    Header(#[source] age::DecryptError),
    /// An age file could not be begun.
    #[error("the header of an age file could not be made")]
    Recipient(#[source] age::EncryptError),
    /// Sealed bytes are not what was sealed: changed, cut or reordered.
    #[error("block {block} of the age file is damaged, misplaced or cut")]
    Block {
        /// Number of the 64 KiB block, from 0.
        block: u64,
    },
    /// A length that no intact file of this kind has.
    #[error("the bytes are cut or too long: {0}")]
    Length(&'static str),
    /// Ciphertext differs from the digest that a signed list gives.
    #[error("the SHA-256 of the bytes is {found}, and {expected} was expected")]
    Digest {
        /// The digest that was promised.
        expected: Sha256,
        /// The digest of what was read.
        found: Sha256,
    },
    /// Bytes that should be zstd frames are not, or not of the form that we write.
    #[error("the compressed data is damaged: {0}")]
    Frame(&'static str),
    /// zstd refuses a frame.
    #[error("a frame could not be decoded")]
    Decode(#[source] std::io::Error),
    /// zstd could not compress.
    #[error("a chunk could not be compressed")]
    Compress(#[source] std::io::Error),
    /// A frame that was just written does not decode to what went in: bad memory, or a bug.
    #[error("a new frame did not decode to the bytes that it was made of")]
    Verify,
    /// Something would exceed a limit of the format.
    #[error("{what} of {size} bytes is above the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The process is ending and its threads take no more work.
    #[error("the work was stopped")]
    Stopped,
}

/// What a caller can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was read is not what was written.
    Damaged,
    /// The wrong key was used.
    WrongKey,
    /// A key or a size that was given cannot be used.
    Invalid,
    /// This machine computed something wrong, or has run out of something.
    Machine,
    /// The work was stopped from outside.
    Stopped,
}

impl PipelineError {
    /// The kind of the error, to branch on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Header(_) | Self::Block { .. } | Self::Length(_) | Self::Digest { .. } | Self::Frame(_) | Self::Decode(_) => ErrorKind::Damaged,
            Self::WrongKey => ErrorKind::WrongKey,
            Self::InvalidKey { .. } | Self::Recipient(_) | Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::Compress(_) | Self::Verify => ErrorKind::Machine,
            Self::Stopped => ErrorKind::Stopped,
        }
    }

    /// One thing to do or to check, where there is one.
    pub fn hint(&self) -> Option<&'static str> {
        match self.kind() {
            ErrorKind::WrongKey => Some("give the identity of the vault that the manifest names"),
            ErrorKind::Damaged => Some("read the object again, or from another location; `hourglass verify` names what else is damaged"),
            ErrorKind::Machine => Some("check this machine's memory before trusting a backup made on it"),
            ErrorKind::Invalid | ErrorKind::Stopped => None,
        }
    }
}
