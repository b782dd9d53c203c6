//! Secret outputs in the journal, and what workers tell: AES-256-GCM under a key that is derived from the operator's signing key or the journal's key, bound to its
//! place.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{model::Secret, pipeline::MacKey, repository::keys::SigningKey};

const CONTEXT: &str = "hourglass journal secrets 1";
const PARTS: &str = "hourglass parts 1";

/// Keeps secrets. Shows nothing of itself.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretsKey([u8; 32]);

impl fmt::Debug for SecretsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretsKey(…)")
    }
}

impl SecretsKey {
    /// The key of an operator's runs.
    pub fn of(key: &SigningKey) -> SecretsKey {
        SecretsKey(blake3::derive_key(CONTEXT, key.secret().expose().as_bytes()))
    }

    /// The key of what workers tell, under the key of a run's journal.
    pub fn of_parts(key: &MacKey) -> SecretsKey {
        SecretsKey(key.mac(PARTS.as_bytes()).0)
    }

    fn cipher(&self) -> RandomizedNonceKey {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0).expect("the key has the length of the cipher's keys")
    }

    /// Hex of nonce, ciphertext and tag; `place` is where alone it can be opened.
    pub fn seal(&self, place: &str, secret: &str) -> String {
        let mut bytes = secret.as_bytes().to_vec();
        let sealed = self.cipher().seal_in_place_append_tag(Aad::from(place), &mut bytes);
        let nonce = sealed.expect("a short text can be encrypted");
        hex::encode([&nonce.as_ref()[..], &bytes[..]].concat())
    }

    /// The secret; `None` when it was sealed elsewhere or with another key.
    pub fn open(&self, place: &str, sealed: &str) -> Option<Secret> {
        let mut bytes = Zeroizing::new(hex::decode(sealed).ok()?);
        let (nonce, body) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let plain = self.cipher().open_in_place(Nonce::try_assume_unique_for_key(nonce).ok()?, Aad::from(place), body).ok()?;
        Some(Secret::new(std::str::from_utf8(plain).ok()?.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_in_its_place_alone_and_with_its_key_alone() {
        let (key, other) = (SecretsKey::of(&SigningKey::generate()), SecretsKey::of(&SigningKey::generate()));
        let sealed = key.seal("run/step/token", "correct horse");
        assert_eq!(key.open("run/step/token", &sealed).unwrap().expose(), "correct horse");
        assert!(!sealed.contains(&hex::encode("correct")));
        assert!(key.open("run/step/other", &sealed).is_none() && other.open("run/step/token", &sealed).is_none());
        assert!(key.open("run/step/token", &sealed[2..]).is_none() && key.open("run/step/token", "00").is_none());
    }
}
