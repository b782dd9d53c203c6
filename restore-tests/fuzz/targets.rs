//! Every decoder of what a store, a file or a person hands to Hourglass, as a function of bytes. Shared by the fuzzer (`decoders.rs`, run by
//! hand) and by the replay that the tests run (`mod.rs`).
//!
//! A target must not panic, must not hold more memory at once than its bound for the size of its input, and where an encoder exists, what was
//! decoded must come back equal after it was encoded.

use std::{fmt::Debug, path::Path, str::FromStr, sync::LazyLock};

use hourglass::{
    config,
    model::{EpochId, Lineage, MemberName, ObjectKey, RecoveryPointId, RepositoryId, RunId, Secret, Sha256, SiteName, Timestamp, VaultId},
    orchestrator::journal::JournalRecord,
    pipeline::{ChunkKey, FrameDecoder, MacKey, SealedHeader, VaultIdentity, VaultRecipient, frame::Frames, open},
    repository::{
        hints::HintFragment,
        index::Fragment,
        keys::{PublicKey, SigningKey},
        layout,
        map::{StreamLine, TreeLine},
        packlist::{PACKS_MAX, PackList, Positions},
        record::Entry,
        repo::RepoFile,
        sealed::{SealedEpoch, SealedPoint},
        trust::Trust,
    },
    sources::TreeEntry,
};
use serde::{Serialize, de::DeserializeOwned};

use super::seeds::vault;

/// One decoder.
pub struct Target {
    /// As the command line and the corpus call it.
    pub name: &'static str,
    /// Decodes, and panics when a property does not hold.
    decode: fn(&[u8]),
    /// Bytes held at once for each byte of input, beside a fixed part.
    per_byte: u64,
    /// The fixed part.
    fixed: u64,
}

/// What the first configuration of a process leaves behind for all later ones: the pattern of references to images, which takes megabytes.
static PATTERNS: LazyLock<bool> =
    LazyLock::new(|| config::parse(config::EXAMPLE, Path::new("/etc/hourglass.yaml"), "/var/lib/hourglass".into()).is_ok());

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A target.
pub const fn target(name: &'static str, decode: fn(&[u8]), per_byte: u64, fixed: u64) -> Target {
    Target { name, decode, per_byte, fixed }
}

/// All of them.
pub const TARGETS: [Target; 15] = [
    target("entry", entry, 64, 64 * KIB),
    target("trust", trust, 64, 64 * KIB),
    target("signature", signature, 64, 64 * KIB),
    target("packlist", packlist, 64, 64 * KIB),
    target("positions", positions, 64, 64 * KIB),
    target("map", map, 64, 64 * KIB),
    target("tree-entry", tree_entry, 64, 64 * KIB),
    target("index", index, 16, 64 * KIB),
    target("hints", hints, 64, 64 * KIB),
    // A frame of a few bytes may hold as much as the largest one; there is one at a time.
    target("frames", frames, 1, 9 * MIB),
    target("age", age_file, 32, 256 * KIB),
    target("sealed", sealed, 64, 64 * KIB),
    target("journal", journal, 64, 64 * KIB),
    // Most of the fixed part is what the pattern of references to images works with, once for each thread: 5.6 MB for a long reference.
    target("config", configuration, 512, 8 * MIB),
    target("words", words, 16, 64 * KIB),
];

impl Target {
    /// Decodes `bytes` and holds the result against the target's properties.
    pub fn run(&self, bytes: &[u8]) {
        LazyLock::force(&vault::OPENED);
        LazyLock::force(&PATTERNS);
        let held = allocation_counter::measure(|| (self.decode)(bytes)).bytes_max;
        let bound = self.fixed + self.per_byte * bytes.len() as u64;
        assert!(held <= bound, "{}: {} bytes of input made it hold {held} bytes, and {bound} are its bound", self.name, bytes.len());
    }
}

/// The target of this name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// What was decoded comes back after it was encoded.
fn comes_back<T: PartialEq + Debug, E: Debug>(value: &T, again: Result<T, E>) {
    assert_eq!(again.as_ref().ok(), Some(value), "{again:?}");
}

fn json<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    comes_back(value, serde_json::from_slice(&serde_json::to_vec(value).unwrap()));
}

fn entry(bytes: &[u8]) {
    if let Some(entry) = Entry::parse(bytes) {
        comes_back(&entry, Entry::parse(&entry.to_bytes()).ok_or(()));
    }
}

fn trust(bytes: &[u8]) {
    if let Ok(trust) = Trust::parse(bytes) {
        let _ = trust.check();
        comes_back(&trust, Trust::parse(&trust.to_bytes()));
    }
    if let Ok(file) = serde_json::from_slice::<RepoFile>(bytes) {
        json(&file);
    }
}

/// The text of a signature, of a public key, and of a secret key.
fn signature(bytes: &[u8]) {
    static KEY: LazyLock<SigningKey> = LazyLock::new(SigningKey::generate);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert!(KEY.public().verify(&layout::trust(1), b"bytes", text).is_err(), "a signature was forged");
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!((key.to_string(), key.id().len()), (text.to_owned(), 16));
    }
    if let Some(key) = SigningKey::parse(Secret::new(text.to_owned())) {
        let object = layout::trust(2);
        key.public().verify(&object, bytes, &key.sign(&object, bytes)).unwrap();
    }
}

fn packlist(bytes: &[u8]) {
    if let Ok(list) = PackList::parse(bytes) {
        comes_back(&list, PackList::parse(&serde_json::to_vec(&list).unwrap()));
    }
}

fn positions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(positions) = text.parse::<Positions>() {
        comes_back(&positions, positions.to_string().parse());
        assert!(positions.iter().count() <= PACKS_MAX);
    }
}

/// The lines of a segment, of a tree or of a stream.
fn map(bytes: &[u8]) {
    for line in bytes.split(|b| *b == b'\n') {
        if let Ok(line) = serde_json::from_slice::<TreeLine>(line) {
            json(&line);
        }
        if let Ok(line) = serde_json::from_slice::<StreamLine>(line) {
            json(&line);
        }
    }
}

fn tree_entry(bytes: &[u8]) {
    if let Ok(entry) = serde_json::from_slice::<TreeEntry>(bytes) {
        json(&entry);
        let line = entry.canonical_line();
        assert!(line.ends_with(b"\n") && !line[..line.len() - 1].contains(&b'\n'), "a name leaves its line");
        assert!(!entry.path.starts_with(b"/"), "a path leaves its tree");
        let _ = (entry.display_path(), entry.size(), entry.extents());
    }
}

fn index(bytes: &[u8]) {
    if let Ok(fragment) = Fragment::decode(bytes) {
        assert!(fragment.encode() == bytes, "a fragment has two forms");
    }
}

fn hints(bytes: &[u8]) {
    if let Ok(fragment) = HintFragment::decode(bytes) {
        comes_back(&fragment, HintFragment::decode(&fragment.encode()));
    }
}

fn frames(bytes: &[u8]) {
    let mut decoder = FrameDecoder::new().unwrap();
    for (frame, length) in Frames(bytes).map_while(Result::ok) {
        let mut plain = Vec::new();
        let decoded = decoder.decode(frame, length, &mut plain);
        assert!(decoded.is_err() || plain.len() == length, "{} of {length} bytes", plain.len());
    }
}

fn age_file(bytes: &[u8]) {
    let identity = &vault::OPENED.identity;
    let plain = open(identity, bytes);
    if let Ok(header) = SealedHeader::parse(bytes, identity) {
        assert!(header.len <= bytes.len());
        if let Ok(plain) = &plain {
            let middle = plain.len() as u64 / 2..plain.len() as u64;
            let range = header.cipher_range(middle.clone(), bytes.len() as u64).unwrap();
            let blocks = &bytes[range.bytes.start as usize..range.bytes.end as usize];
            let part = header.key.open_range(blocks, range.first_block, range.is_last).unwrap();
            assert!(part[range.skip..] == plain[middle.start as usize..], "a range differs from the whole");
        }
    }
    // What a wrapping of a vault holds.
    if let Ok(text) = std::str::from_utf8(plain.as_deref().unwrap_or(bytes)) {
        if let Ok(identity) = text.trim_end().parse::<VaultIdentity>() {
            let again: VaultIdentity = identity.to_secret().expose().parse().unwrap();
            assert_eq!(again.recipient(), identity.recipient());
        }
        if let Ok(recipient) = text.trim_end().parse::<VaultRecipient>() {
            comes_back(&recipient, recipient.to_string().parse());
        }
    }
}

fn sealed(bytes: &[u8]) {
    if let Ok(point) = SealedPoint::parse(bytes) {
        comes_back(&point, SealedPoint::parse(&serde_json::to_vec(&point).unwrap()));
    }
    if let Ok(epoch) = serde_json::from_slice::<SealedEpoch>(bytes) {
        json(&epoch);
    }
}

/// A journal's key, the same in every run.
pub fn journal_key() -> MacKey {
    ChunkKey::new([7; 32]).derive("hourglass 2026-11-21 fuzzing of journals")
}

/// As it stands, and as the line of a record whose MAC is right.
fn journal(bytes: &[u8]) {
    let (key, run) = (journal_key(), "20261121T135146Z-00bf4b65".parse::<RunId>().unwrap());
    let _ = JournalRecord::decode(bytes, &run, 1, &key);
    let Ok(record) = serde_json::from_slice::<JournalRecord>(bytes) else { return };
    let again = JournalRecord::decode(&record.encode(&key), &record.run, record.number, &key);
    if record.format == 1 {
        comes_back(&record, again);
    } else {
        assert!(again.is_err(), "an unknown format was read");
    }
}

fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines = text.lines().count() as u64 + 1;
    if let Err(problems) = config::parse(text, Path::new("/etc/hourglass.yaml"), "/var/lib/hourglass".into()) {
        assert!(!problems.is_empty(), "an error without a problem");
        for problem in problems {
            assert!((1..=lines).contains(&problem.line), "line {} of {lines}: {}", problem.line, problem.what);
        }
    }
}

/// Ids and keys as they stand in names of objects and on the command line.
fn words(bytes: &[u8]) {
    fn word<T: FromStr + ToString + PartialEq + Debug>(text: &str)
    where
        T::Err: Debug,
    {
        if let Ok(value) = text.parse::<T>() {
            comes_back(&value, value.to_string().parse());
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    word::<EpochId>(text);
    word::<Lineage>(text);
    word::<MemberName>(text);
    word::<ObjectKey>(text);
    word::<RecoveryPointId>(text);
    word::<RepositoryId>(text);
    word::<RunId>(text);
    word::<Sha256>(text);
    word::<SiteName>(text);
    word::<Timestamp>(text);
    word::<VaultId>(text);
    let _ = config::parse_duration(text);
    if let Ok(key) = text.parse::<ObjectKey>() {
        let _ = layout::number(&key);
    }
}
