//! Identifiers. Each is parsed once, at the edge; a value of one of these types is valid.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}: {rule}")]
pub struct InvalidId {
    /// What was wanted, for example `site name`.
    pub kind: &'static str,
    /// What was given.
    pub text: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

const NAME_RULE: &str = "use 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit";

fn is_name(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(ok) && !text.starts_with('-')
}

const STAMP_RULE: &str = "it has the form 20260131T235959Z-0123abcd";

fn is_stamp(text: &str) -> bool {
    let shape = |(i, b): (usize, u8)| match i {
        8 => b == b'T',
        15 => b == b'Z',
        16 => b == b'-',
        17.. => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        _ => b.is_ascii_digit(),
    };
    text.len() == 25 && text.bytes().enumerate().all(shape)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> bool = $check;
                match check(text) {
                    true => Ok(Self(text.to_owned())),
                    false => Err(InvalidId { kind: $kind, text: text.to_owned(), rule: $rule }),
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
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(/// A region with its stores, registry and clusters.
    SiteName, "site name", NAME_RULE, is_name);
text_id!(/// A set of sources that are captured together.
    PolicyName, "policy name", NAME_RULE, is_name);
text_id!(/// A source, and its capture inside a recovery point.
    MemberName, "member name", NAME_RULE, is_name);
text_id!(/// One execution of a plan; begins with its UTC start, so that names sort by time.
    RunId, "run id", STAMP_RULE, is_stamp);
text_id!(/// A span of points that share packs; named after the run that opened it.
    EpochId, "epoch id", STAMP_RULE, is_stamp);
text_id!(/// One repository: 16 random bytes in hex.
    RepositoryId, "repository id", "it is 32 lower-case hex digits", |t| is_hex(t, 32));
text_id!(/// One vault: the first 8 bytes of the SHA-256 of its age recipient, in hex.
    VaultId, "vault id", "it is 16 lower-case hex digits", |t| is_hex(t, 16));
text_id!(/// One step of a plan, unique within it.
    StepId, "step id", "use 1 to 200 printable ASCII characters without spaces",
    |t| (1..=200).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_graphic()));
text_id!(/// The key of an object: relative, `/`-separated, at most 512 bytes, without `.` or `..` or empty parts.
    ObjectKey, "object key", "use 1 to 512 of a-z A-Z 0-9 . _ - @ / without empty, '.' or '..' parts",
    |t| (1..=512).contains(&t.len())
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@/".contains(&b))
        && t.split('/').all(|part| !matches!(part, "" | "." | "..")));

impl RunId {
    /// Makes the id of a run that starts at `start`; `random` tells runs of the same second apart.
    pub fn new(start: jiff::Timestamp, random: u32) -> RunId {
        RunId(format!("{}-{random:08x}", start.strftime("%Y%m%dT%H%M%SZ")))
    }

    /// When it started; none when its name says no time that there is.
    pub fn start(&self) -> Option<jiff::Timestamp> {
        let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", self.0.get(..16)?).ok()?;
        Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    }
}

impl From<RunId> for EpochId {
    fn from(run: RunId) -> EpochId {
        EpochId(run.0)
    }
}

/// Number of an entry of a record: from 1, written with 20 digits in names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryNumber(pub u64);

impl EntryNumber {
    /// The number after this one.
    pub fn next(self) -> EntryNumber {
        EntryNumber(self.0 + 1)
    }
}

impl fmt::Display for EntryNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.0)
    }
}

/// Policy, site and generation: the owner of one record. Written `production@we/1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lineage {
    /// What is captured.
    pub policy: PolicyName,
    /// Where; a site writes only its own lineages.
    pub site: SiteName,
    /// Counts promotions, from 1.
    pub generation: u32,
}

impl FromStr for Lineage {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let (policy, rest) = text.split_once('@')?;
            let (site, generation) = rest.split_once('/')?;
            let number: u32 = generation.parse().ok().filter(|n| *n > 0)?;
            (number.to_string() == generation).then_some(())?;
            Some(Lineage { policy: policy.parse().ok()?, site: site.parse().ok()?, generation: number })
        };
        parse().ok_or(InvalidId { kind: "lineage", text: text.to_owned(), rule: "it has the form policy@site/1" })
    }
}

impl TryFrom<String> for Lineage {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Lineage> for String {
    fn from(lineage: Lineage) -> String {
        lineage.to_string()
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.policy, self.site, self.generation)
    }
}

/// One recovery point: the entry of its lineage's record that is its manifest. Written `production@we/1:42`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecoveryPointId {
    /// Whose record.
    pub lineage: Lineage,
    /// Which entry.
    pub number: EntryNumber,
}

impl FromStr for RecoveryPointId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let (lineage, number) = text.rsplit_once(':')?;
            let number = number.parse().ok().filter(|n| *n > 0)?;
            Some(RecoveryPointId { lineage: lineage.parse().ok()?, number: EntryNumber(number) })
        };
        parse().ok_or(InvalidId { kind: "recovery point", text: text.to_owned(), rule: "it has the form policy@site/1:42" })
    }
}

impl TryFrom<String> for RecoveryPointId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<RecoveryPointId> for String {
    fn from(id: RecoveryPointId) -> String {
        id.to_string()
    }
}

impl fmt::Display for RecoveryPointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.lineage, self.number.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        let point: RecoveryPointId = "production@we/2:42".parse().unwrap();
        assert_eq!(point.to_string(), "production@we/2:42");
        assert_eq!(point.lineage.generation, 2);
        let run = RunId::new("2026-01-31T23:59:59Z".parse().unwrap(), 0xabcd);
        assert_eq!(run.to_string(), "20260131T235959Z-0000abcd");
        assert_eq!(run.to_string().parse::<RunId>().unwrap(), run);
    }

    #[test]
    fn ids_refuse_what_could_leave_their_prefix() {
        for bad in ["", "/a", "a/", "a//b", "../a", "a/./b", "a b", "ä"] {
            assert!(bad.parse::<ObjectKey>().is_err(), "{bad:?}");
        }
        for bad in ["", "-a", "A", "a/b", "a@b", &"a".repeat(64)] {
            assert!(bad.parse::<SiteName>().is_err(), "{bad:?}");
        }
        for bad in ["a@b", "a@b/0", "a@b/01", "a@b/-1", "@b/1", "a@/1", "a@b/1/2"] {
            assert!(bad.parse::<Lineage>().is_err(), "{bad:?}");
        }
    }
}
