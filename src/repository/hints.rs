//! Hints: what an unchanged map segment looked like, for the writer alone. Format: docs/format/hints.md.
//! Losing them costs time; believing a wrong one would cost data, so a hint is used only when everything in it agrees.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{map::SegmentRef, packlist::PackInfo};
use crate::model::{Sha256, Timestamp};

/// Hints in one fragment at most: keeps it below the size limit of an object.
pub const HINTS_MAX: usize = 50_000;

/// One remembered segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hint {
    /// Keyed digest of member, component and the segment's first path, in hex.
    pub key: String,
    /// Keyed digest of every entry's path and metadata, in hex.
    pub fingerprint: String,
    /// The newest ctime among the entries, in nanoseconds since 1970.
    pub newest_ctime_ns: i128,
    /// Bytes of content.
    pub bytes: u64,
    /// The segment.
    pub segment: SegmentRef,
    /// Bytes that the segment uses of each pack, which counts in the fragment's table.
    pub live: Vec<(u32, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    scan: Timestamp,
    packs: Vec<PackInfo>,
}

/// The hints of one scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintFragment {
    /// When the scan began: an entry whose ctime is not before it is read again.
    pub scan: Timestamp,
    /// The packs that `Hint::live` counts in.
    pub packs: Vec<PackInfo>,
    /// The segments.
    pub hints: Vec<Hint>,
}

/// Why a fragment could not be read: it is damaged or of another version.
#[derive(Debug, thiserror::Error)]
#[error("hints fragment is damaged")]
pub struct BadHints(#[source] serde_json::Error);

impl HintFragment {
    /// The JSON lines of the fragment, not yet compressed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut line = |value: serde_json::Result<Vec<u8>>| {
            out.extend(value.expect("hints are plain data"));
            out.push(b'\n');
        };
        line(serde_json::to_vec(&Header { scan: self.scan, packs: self.packs.clone() }));
        self.hints.iter().for_each(|hint| line(serde_json::to_vec(hint)));
        out
    }

    /// Reads a fragment back.
    ///
    /// # Errors
    /// When a line is not what [`HintFragment::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<HintFragment, BadHints> {
        let mut lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let header: Header = serde_json::from_slice(lines.next().unwrap_or_default()).map_err(BadHints)?;
        let hints: Vec<Hint> = lines.map(serde_json::from_slice).collect::<Result<_, _>>().map_err(BadHints)?;
        let known = |hint: &Hint| hint.live.iter().all(|(pack, _)| (*pack as usize) < header.packs.len());
        match hints.iter().all(known) {
            true => Ok(HintFragment { scan: header.scan, packs: header.packs, hints }),
            false => Err(BadHints(serde::de::Error::custom("a hint names a pack that is not there"))),
        }
    }
}

/// A hint with the packs that it names.
#[derive(Debug, Clone)]
pub struct KnownSegment {
    /// The hint.
    pub hint: Hint,
    /// When its scan began.
    pub scan: Timestamp,
    /// Bytes that it uses of each pack.
    pub live: Vec<(PackInfo, u64)>,
}

/// All hints that a run may use. Of two for one segment the later added wins.
#[derive(Debug, Default)]
pub struct HintTable(HashMap<String, KnownSegment>);

impl HintTable {
    /// Adds a fragment that somebody trustworthy named.
    pub fn add(&mut self, fragment: HintFragment) {
        for hint in fragment.hints {
            let live = hint.live.iter().map(|(pack, bytes)| (fragment.packs[*pack as usize], *bytes)).collect();
            self.0.insert(hint.key.clone(), KnownSegment { hint, scan: fragment.scan, live });
        }
    }

    /// The segment with this key and fingerprint, if every entry of it changed last before the scan that saw it.
    pub fn unchanged(&self, key: &str, fingerprint: &str) -> Option<&KnownSegment> {
        let known = self.0.get(key)?;
        let settled = known.hint.newest_ctime_ns < known.scan.as_nanosecond();
        (settled && known.hint.fingerprint == fingerprint).then_some(known)
    }

    /// Every segment.
    pub fn iter(&self) -> impl Iterator<Item = &KnownSegment> {
        self.0.values()
    }
}

/// A table of packs under construction: gives each pack a number, once.
#[derive(Debug, Default)]
pub struct PackTable {
    /// The packs, in the order of their numbers.
    pub packs: Vec<PackInfo>,
    numbers: HashMap<Sha256, u32>,
}

impl PackTable {
    /// The number of a pack.
    pub fn number(&mut self, pack: PackInfo) -> u32 {
        *self.numbers.entry(pack.sha256).or_insert_with(|| {
            self.packs.push(pack);
            u32::try_from(self.packs.len() - 1).expect("a run holds fewer than 2^32 packs")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(ctime: i128) -> HintFragment {
        let segment = SegmentRef { sha256: Sha256([1; 32]), listing: Sha256([2; 32]), entries: 3, runs: vec![] };
        let hint = Hint { key: "k".into(), fingerprint: "f".into(), newest_ctime_ns: ctime, bytes: 5, segment, live: vec![(0, 7)] };
        let scan: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        HintFragment { scan, packs: vec![PackInfo { sha256: Sha256([9; 32]), size: 10 }], hints: vec![hint] }
    }

    #[test]
    fn hints_read_back_and_refuse_a_pack_that_is_not_there() {
        let whole = fragment(0);
        assert_eq!(HintFragment::decode(&whole.encode()).unwrap(), whole);
        let mut wrong = whole;
        wrong.hints[0].live[0].0 = 1;
        assert!(HintFragment::decode(&wrong.encode()).is_err());
        assert!(HintFragment::decode(b"").is_err());
    }

    #[test]
    fn a_segment_that_changed_during_the_scan_is_not_believed() {
        let scan = fragment(0).scan.as_nanosecond();
        for (ctime, believed) in [(scan - 1, true), (scan, false), (scan + 1, false)] {
            let mut table = HintTable::default();
            table.add(fragment(ctime));
            assert_eq!(table.unchanged("k", "f").is_some(), believed);
            assert!(table.unchanged("k", "other").is_none());
        }
    }
}
