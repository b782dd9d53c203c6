//! minisign signatures, prehashed, bound to the key of the object that they sign.

use std::{fmt, io::Cursor, str::FromStr};

use base64::{Engine, prelude::BASE64_STANDARD};
use minisign::{KeyPair, SecretKey, SecretKeyBox, SignatureBox};
use serde::{Deserialize, Serialize};

use crate::model::{InvalidId, ObjectKey, Secret};

const UNTRUSTED: &str = "signature of a Hourglass object";

/// A minisign public key. Text form: the base64 line of a `.pub` file, beginning with `RW`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(String);

impl PublicKey {
    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's id, as `minisign` shows it: 16 upper-case hex digits.
    pub fn id(&self) -> String {
        let mut id = self.parsed().keynum().to_vec();
        id.reverse();
        hex::encode_upper(id)
    }

    fn parsed(&self) -> minisign::PublicKey {
        minisign::PublicKey::from_base64(&self.0).expect("the text was checked when the value was made")
    }

    /// Checks that `signature` is this key's prehashed signature of `bytes`, made for the object `key`.
    pub fn verify(&self, key: &ObjectKey, bytes: &[u8], signature: &str) -> Result<(), InvalidSignature> {
        // The library indexes into the last line without looking at its length.
        let global = signature.lines().nth(3).and_then(|line| BASE64_STANDARD.decode(line).ok());
        if signature.lines().count() != 4 || global.is_none_or(|bytes| bytes.len() != 64) {
            return Err(InvalidSignature::Shape);
        }
        let parsed = SignatureBox::from_string(signature).map_err(|_| InvalidSignature::Shape)?;
        if !parsed.trusted_comment().is_ok_and(|comment| comment == trusted_comment(key)) {
            return Err(InvalidSignature::OtherObject);
        }
        minisign::verify(&self.parsed(), &parsed, Cursor::new(bytes), true, false, false).map_err(|_| InvalidSignature::Wrong)
    }
}

impl FromStr for PublicKey {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let decoded = BASE64_STANDARD.decode(text).unwrap_or_default();
        match decoded.len() == 42 && decoded.starts_with(b"Ed") && BASE64_STANDARD.encode(&decoded) == text {
            true => Ok(PublicKey(text.to_owned())),
            false => Err(InvalidId { kind: "public key", text: text.to_owned(), rule: "it is the second line of a minisign .pub file: RW…" }),
        }
    }
}

impl TryFrom<String> for PublicKey {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.0)
    }
}

/// Why a signature is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignature {
    /// It is not a minisign signature.
    #[error("not a minisign signature")]
    Shape,
    /// It was made for another object.
    #[error("made for another object")]
    OtherObject,
    /// Another key made it, or the bytes are others, or it is not prehashed.
    #[error("does not fit the key and the bytes")]
    Wrong,
}

fn trusted_comment(key: &ObjectKey) -> String {
    format!("hourglass {key}")
}

/// A minisign secret key without a password. Shows nothing of itself.
#[derive(Clone)]
pub struct SigningKey {
    text: Secret,
    public: PublicKey,
}

impl SigningKey {
    /// A new random key.
    pub fn generate() -> SigningKey {
        let pair = KeyPair::generate_unencrypted_keypair().expect("the system gives random bytes");
        let whole = pair.sk.to_box(None).expect("writing to a string does not fail").into_string();
        let line = whole.lines().nth(1).expect("a box has a comment and a key").to_owned();
        let _wiped = Secret::new(whole);
        SigningKey::parse(Secret::new(line)).expect("what the library makes it can read")
    }

    /// Reads the base64 line of an unencrypted minisign secret key file. `None` when it is not one.
    pub fn parse(text: Secret) -> Option<SigningKey> {
        let secret = parse_secret(&text)?;
        let public = minisign::PublicKey::from_secret_key(&secret).ok()?.to_base64().parse().ok()?;
        Some(SigningKey { text, public })
    }

    /// The text that [`SigningKey::parse`] reads, for the file that keeps it.
    pub fn secret(&self) -> &Secret {
        &self.text
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `bytes` as the object `key`. Two signatures of the same bytes differ (the nonce has randomness); each is as good.
    pub fn sign(&self, key: &ObjectKey, bytes: &[u8]) -> String {
        let secret = parse_secret(&self.text).expect("the text was checked when the value was made");
        let signature = minisign::sign(None, &secret, Cursor::new(bytes), Some(&trusted_comment(key)), Some(UNTRUSTED));
        signature.expect("reading memory does not fail and the key is not encrypted").into_string()
    }
}

fn parse_secret(text: &Secret) -> Option<SecretKey> {
    let whole = Secret::new(format!("untrusted comment: hourglass\n{}\n", text.expose()));
    SecretKeyBox::from_string(whole.expose()).ok()?.into_unencrypted_secret_key().ok()
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ObjectKey {
        text.parse().unwrap()
    }

    #[test]
    fn a_signature_fits_its_key_its_object_and_its_bytes_only() {
        let (alice, mallory) = (SigningKey::generate(), SigningKey::generate());
        let object = key("trust/00000000000000000001.json");
        let signature = alice.sign(&object, b"bytes");
        alice.public().verify(&object, b"bytes", &signature).unwrap();
        assert_eq!(alice.public().verify(&object, b"bytez", &signature), Err(InvalidSignature::Wrong));
        assert_eq!(mallory.public().verify(&object, b"bytes", &signature), Err(InvalidSignature::Wrong));
        assert_eq!(alice.public().verify(&key("other"), b"bytes", &signature), Err(InvalidSignature::OtherObject));
        let renamed = signature.replace("00000000000000000001", "00000000000000000002");
        assert_eq!(alice.public().verify(&key("trust/00000000000000000002.json"), b"bytes", &renamed), Err(InvalidSignature::Wrong));
    }

    #[test]
    fn no_text_makes_verification_panic() {
        let alice = SigningKey::generate();
        let object = key("a");
        let good = alice.sign(&object, b"bytes");
        for cut in 0..good.len() - 1 {
            assert!(alice.public().verify(&object, b"bytes", &good[..cut]).is_err(), "cut at {cut}");
        }
        for line in 0..4 {
            for bad in ["", "ä", "AAAA", &"A".repeat(400)] {
                let lines: Vec<&str> = good.lines().enumerate().map(|(i, text)| if i == line { bad } else { text }).collect();
                assert!(alice.public().verify(&object, b"bytes", &lines.join("\n")).is_err());
            }
        }
    }

    #[test]
    fn keys_read_back_and_show_nothing() {
        let key = SigningKey::generate();
        let again = SigningKey::parse(key.secret().clone()).unwrap();
        assert_eq!(again.public(), key.public());
        assert!(!format!("{key:?}").contains(key.secret().expose()));
        assert_eq!(key.public().id().len(), 16);
        assert_eq!(key.public().as_str().parse::<PublicKey>().unwrap(), *key.public());
        for bad in ["", "RWQ", &"A".repeat(56), &format!("{} ", key.public())] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad:?}");
        }
    }
}
