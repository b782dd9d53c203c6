//! Bytes in, bytes out: chunk, hash, compress, encrypt, pack; and all of it back again.
//!
//! Forwards: `chunk` cuts a stream, `hash` names the pieces, `frame` compresses each as hard as `pace` says, `pack` gathers frames, `seal` encrypts the pack.
//! Back: `seal` opens a pack or a range of one, `frame` decodes its frames. `encode` and `decode` run this on blocking threads, with the
//! bounds of `cpu` and `budget`. Nothing here knows where bytes come from, where they are stored, or what they mean.

pub mod budget;
pub mod chunk;
pub mod cpu;
pub mod decode;
pub mod encode;
mod error;
pub mod frame;
pub mod hash;
pub mod pace;
pub mod pack;
pub mod seal;

pub use budget::{Budget, Permit};
pub use chunk::{ChunkSizes, Chunker, FixedChunker};
pub use cpu::CpuPool;
pub use decode::{Cursor, OpenPack};
pub use encode::{Encoded, Encoder, Job};
pub use error::{ErrorKind, PipelineError};
pub use frame::{FrameDecoder, FrameEncoder, decode_frames};
pub use hash::{ChunkKey, Mac, MacKey, Sha256Hasher, sha256};
pub use pace::{Effort, Pace};
pub use pack::{PackBuilder, Placement, SealedPack};
pub use seal::{PayloadKey, SealedHeader, VaultIdentity, VaultRecipient, open, seal};
