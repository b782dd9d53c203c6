//! Digests as values. They are computed in `pipeline::hash`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::InvalidId;

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; 32]);

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let mut bytes = [0; 32];
                let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
                match lower && hex::decode_to_slice(text, &mut bytes).is_ok() {
                    true => Ok(Self(bytes)),
                    false => Err(InvalidId { kind: $kind, text: text.to_owned(), rule: "it is 64 lower-case hex digits" }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(digest: $name) -> String {
                digest.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

digest!(/// A SHA-256 digest: 64 lower-case hex digits as text.
    Sha256, "SHA-256 digest");
digest!(/// The keyed BLAKE3 of a chunk's plaintext: tells a writer that it has stored the chunk, and a stranger nothing.
    ChunkId, "chunk id");

impl Sha256 {
    /// The `prev` of the first entry of a chain.
    pub const ZERO: Sha256 = Sha256([0; 32]);
}
