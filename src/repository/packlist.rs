//! Pack lists: which packs a run put, in public, and which of them a point needs. Format: docs/format/packlist.md.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::layout::FORMAT;
use crate::model::{EpochId, InvalidId, Lineage, RepositoryId, RunId, Sha256};

/// Most packs in one list: keeps a list well below the size limit of an object.
pub const PACKS_MAX: usize = 200_000;

/// A pack as its list names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackInfo {
    /// SHA-256 of the whole object.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// The packs of one run, sorted by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackList {
    /// Version of the format: 1.
    pub format: u32,
    /// The repository that it belongs to.
    pub repository: RepositoryId,
    /// Whose packs.
    pub lineage: Lineage,
    /// In which epoch.
    pub epoch: EpochId,
    /// The run that wrote the list.
    pub run: RunId,
    /// The packs.
    pub packs: Vec<PackInfo>,
}

impl PackList {
    /// Reads the bytes of a list.
    ///
    /// # Errors
    /// When they are not a list of this format.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<PackList> {
        let list: PackList = serde_json::from_slice(bytes)?;
        if list.format == FORMAT { Ok(list) } else { Err(serde::de::Error::custom("its format is unknown")) }
    }
}

/// Positions in a pack list, written `0-17,19`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Positions(Vec<(u32, u32)>);

impl Positions {
    /// Every position, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().flat_map(|(first, last)| *first as usize..=*last as usize)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<usize> for Positions {
    /// Takes ascending positions without repetition.
    fn from_iter<I: IntoIterator<Item = usize>>(positions: I) -> Positions {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for position in positions {
            let position = u32::try_from(position).expect("a list holds at most 200,000 packs");
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == position => *last = position,
                _ => ranges.push((position, position)),
            }
        }
        Positions(ranges)
    }
}

impl FromStr for Positions {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let mut ranges: Vec<(u32, u32)> = Vec::new();
            for part in text.split(',').filter(|_| !text.is_empty()) {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let range: (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
                let ascends = ranges.last().is_none_or(|(_, before)| *before < range.0);
                (ascends && range.0 <= range.1 && (range.1 as usize) < PACKS_MAX).then_some(())?;
                ranges.push(range);
            }
            Some(Positions(ranges))
        };
        parse().ok_or(InvalidId { kind: "list of positions", text: text.to_owned(), rule: "it has the form 0-17,19" })
    }
}

impl TryFrom<String> for Positions {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Positions> for String {
    fn from(positions: Positions) -> String {
        positions.to_string()
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_back_what_they_print() {
        let positions: Positions = [0, 1, 2, 5, 7, 8].into_iter().collect();
        assert_eq!(positions.to_string(), "0-2,5,7-8");
        assert_eq!(positions.to_string().parse::<Positions>().unwrap(), positions);
        assert_eq!(positions.iter().collect::<Vec<_>>(), [0, 1, 2, 5, 7, 8]);
        assert!("".parse::<Positions>().unwrap().is_empty());
    }

    #[test]
    fn positions_refuse_disorder_and_bombs() {
        for bad in ["3-1", "1,1", "2,1", "1-3,2", "-", "a", "0-4294967295", ","] {
            assert!(bad.parse::<Positions>().is_err(), "{bad}");
        }
    }
}
