//! Digests of sets of rows: the same for the same rows in any order. Format: docs/format/row-digest.md.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Names rows in the digests of one point: without it a digest tells nothing about guessed content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RowKey([u8; 32]);

impl RowKey {
    /// A new key.
    ///
    /// # Panics
    /// When the system has no random numbers.
    pub fn generate() -> RowKey {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        RowKey(bytes)
    }

    /// The key that these bytes are.
    pub fn from_bytes(bytes: [u8; 32]) -> RowKey {
        RowKey(bytes)
    }

    /// A digester under this key, with no row in it.
    pub fn digester(&self) -> RowDigester {
        RowDigester { hasher: blake3::Hasher::new_keyed(&self.0), rows: 0, sum: [0; 4] }
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowKey(…)")
    }
}

impl Serialize for RowKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for RowKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<RowKey, D::Error> {
        let bytes = hex::decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)?;
        bytes.try_into().map(RowKey).map_err(|_| serde::de::Error::custom("a row key has 64 hexadecimal digits"))
    }
}

/// Number of rows, and the sum modulo 2^256 of their keyed hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowDigest {
    /// How many rows.
    pub rows: u64,
    /// The sum.
    pub sum: RowSum,
}

impl RowDigest {
    /// The digest of the rows of both.
    #[must_use]
    pub fn plus(self, other: RowDigest) -> RowDigest {
        RowDigest { rows: self.rows + other.rows, sum: RowSum(add(self.sum.0, other.sum.0)) }
    }
}

/// A number below 2^256, lowest word first; as text, 64 hexadecimal digits, highest first.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct RowSum([u64; 4]);

/// Adds rows up.
#[derive(Debug, Clone)]
pub struct RowDigester {
    hasher: blake3::Hasher,
    rows: u64,
    sum: [u64; 4],
}

impl RowDigester {
    /// Adds a row in its canonical form.
    pub fn row(&mut self, canonical: &[u8]) {
        let hash = self.hasher.reset().update(canonical).finalize();
        self.rows += 1;
        self.sum = add(self.sum, words(hash.as_bytes()));
    }

    /// The digest of the rows so far.
    pub fn digest(&self) -> RowDigest {
        RowDigest { rows: self.rows, sum: RowSum(self.sum) }
    }
}

/// Little-endian words of a hash.
fn words(hash: &[u8; 32]) -> [u64; 4] {
    let (words, _) = hash.as_chunks::<8>();
    [0, 1, 2, 3].map(|i| u64::from_le_bytes(words[i]))
}

fn add(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    let mut carry = false;
    [0, 1, 2, 3].map(|i| {
        let (sum, first) = a[i].overflowing_add(b[i]);
        let (sum, second) = sum.overflowing_add(u64::from(carry));
        carry = first || second;
        sum
    })
}

impl fmt::Display for RowSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

impl fmt::Debug for RowSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowSum({self})")
    }
}

/// Not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a row digest has 64 hexadecimal digits")]
pub struct InvalidRowSum;

impl FromStr for RowSum {
    type Err = InvalidRowSum;

    fn from_str(text: &str) -> Result<RowSum, InvalidRowSum> {
        let mut bytes: [u8; 32] = hex::decode(text).map_err(|_| InvalidRowSum)?.try_into().map_err(|_| InvalidRowSum)?;
        bytes.reverse();
        Ok(RowSum(words(&bytes)))
    }
}

impl Serialize for RowSum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RowSum {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<RowSum, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(rows: &[&str]) -> RowDigest {
        let mut digester = RowKey::from_bytes([7; 32]).digester();
        rows.iter().for_each(|row| digester.row(row.as_bytes()));
        digester.digest()
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_their_number_and_content_do() {
        assert_eq!(digest(&["a", "b", "b"]), digest(&["b", "a", "b"]));
        assert_eq!(digest(&["a", "b", "b"]), digest(&["b"]).plus(digest(&["a", "b"])));
        assert_ne!(digest(&["a", "b", "b"]), digest(&["a", "b"]));
        assert_ne!(digest(&["a", "b", "b"]).sum, digest(&["a", "a", "b"]).sum);
        assert_eq!(digest(&[]).sum.to_string(), "0".repeat(64));
    }

    #[test]
    fn sums_carry_over_all_words_and_wrap() {
        let max = RowSum([u64::MAX; 4]);
        let one = RowSum([1, 0, 0, 0]);
        assert_eq!(add(max.0, one.0), [0; 4]);
        assert_eq!(add([u64::MAX, u64::MAX, 0, 0], one.0), [0, 0, 1, 0]);
        let text = "00".repeat(7) + "01" + &"00".repeat(23) + "02";
        assert_eq!(text.parse::<RowSum>().unwrap().0, [2, 0, 0, 1]);
        assert_eq!(text.parse::<RowSum>().unwrap().to_string(), text);
    }

    #[test]
    fn the_digest_is_frozen() {
        insta::assert_snapshot!(serde_json::to_string(&digest(&["alpha", "beta", ""])).unwrap(), @r#"{"rows":3,"sum":"7c0cda1cc41eebedcb8e6923a11409140f1270d683f32a55e071c260b12d4218"}"#);
    }
}
