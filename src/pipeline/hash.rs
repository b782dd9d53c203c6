//! Digests and keyed digests: SHA-256 for what outsiders check, keyed BLAKE3 for what only the writer may recognise.

use std::fmt;

use aws_lc_rs::digest;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::model::{ChunkId, Sha256};

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Sha256 {
    from_digest(digest::digest(&digest::SHA256, bytes))
}

fn from_digest(digest: digest::Digest) -> Sha256 {
    Sha256(digest.as_ref().try_into().expect("a SHA-256 digest has 32 bytes"))
}

/// SHA-256 over a stream.
#[derive(Clone)]
pub struct Sha256Hasher(digest::Context);

impl Sha256Hasher {
    /// Begins with nothing hashed.
    pub fn new() -> Sha256Hasher {
        Sha256Hasher(digest::Context::new(&digest::SHA256))
    }

    /// Takes in the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes in `count` zero bytes, as a hole of a sparse file reads.
    pub fn update_zeros(&mut self, mut count: u64) {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        while count > 0 {
            let part = count.min(ZEROS.len() as u64);
            self.0.update(&ZEROS[..part as usize]);
            count -= part;
        }
    }

    /// The digest of everything taken in.
    pub fn finish(self) -> Sha256 {
        from_digest(self.0.finish())
    }
}

impl Default for Sha256Hasher {
    fn default() -> Sha256Hasher {
        Sha256Hasher::new()
    }
}

impl fmt::Debug for Sha256Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256Hasher")
    }
}

/// The secret of a lineage under which chunks are named. Wiped when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ChunkKey([u8; 32]);

impl ChunkKey {
    /// Takes charge of a key.
    pub fn new(key: [u8; 32]) -> ChunkKey {
        ChunkKey(key)
    }

    /// Makes a new random key.
    pub fn generate() -> ChunkKey {
        let mut key = ChunkKey([0; 32]);
        getrandom::fill(&mut key.0).expect("the operating system has random numbers");
        key
    }

    /// The key itself: for the one place that stores it.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Names a chunk: keyed BLAKE3 of its plaintext.
    pub fn id(&self, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.0, plain).as_bytes())
    }

    /// A key for another purpose. `context` names the purpose and is a constant of the program; different contexts give unrelated keys.
    pub fn derive(&self, context: &str) -> MacKey {
        MacKey(blake3::derive_key(context, &self.0))
    }
}

impl fmt::Debug for ChunkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkKey(…)")
    }
}

/// A keyed BLAKE3 of 32 bytes. Compare with [`MacKey::verify`], which takes the same time whatever it finds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 32]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mac({self})")
    }
}

/// A key for message authentication or keyed path hashes. Wiped when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MacKey([u8; 32]);

impl MacKey {
    /// The code of `bytes` under this key.
    pub fn mac(&self, bytes: &[u8]) -> Mac {
        Mac(*blake3::keyed_hash(&self.0, bytes).as_bytes())
    }

    /// Whether `mac` is the code of `bytes` under this key, in constant time.
    pub fn verify(&self, bytes: &[u8], mac: &Mac) -> bool {
        blake3::keyed_hash(&self.0, bytes) == blake3::Hash::from_bytes(mac.0)
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_agrees_with_its_standard_and_with_itself_in_parts() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc").to_string(), abc);
        let mut parts = Sha256Hasher::new();
        parts.update(b"a");
        parts.update_zeros(0);
        parts.update(b"bc");
        assert_eq!(parts.finish(), sha256(b"abc"));
    }

    #[test]
    fn a_hole_hashes_as_the_zeros_that_it_reads_as() {
        for count in [1, 65_535, 65_536, 200_000] {
            let mut hole = Sha256Hasher::new();
            hole.update_zeros(count);
            assert_eq!(hole.finish(), sha256(&vec![0; count as usize]), "{count}");
        }
    }

    #[test]
    fn ids_and_codes_depend_on_key_purpose_and_bytes() {
        let key = ChunkKey::new([7; 32]);
        assert_eq!(key.id(b"x").0, *blake3::keyed_hash(&[7; 32], b"x").as_bytes());
        assert_ne!(key.id(b"x"), ChunkKey::new([8; 32]).id(b"x"));
        assert_ne!(ChunkKey::generate().expose(), ChunkKey::generate().expose());
        let (one, two) = (key.derive("hourglass test one"), key.derive("hourglass test two"));
        assert_ne!(one.mac(b"x"), two.mac(b"x"));
        assert!(one.verify(b"x", &one.mac(b"x")));
        assert!(!one.verify(b"y", &one.mac(b"x")));
        assert!(!two.verify(b"x", &one.mac(b"x")));
    }

    #[test]
    fn keys_do_not_print_themselves() {
        let key = ChunkKey::new([7; 32]);
        assert_eq!(format!("{key:?} {:?}", key.derive("hourglass test")), "ChunkKey(…) MacKey(…)");
    }
}
