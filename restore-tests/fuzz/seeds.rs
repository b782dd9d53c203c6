//! Where fuzzing begins: the real objects of the fixtures, opened with their keys, the configurations, and what was found before.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hourglass::{
    model::{RunId, Sha256},
    orchestrator::{journal::JournalRecord, process::Process, state::JournalEvent},
    pipeline::{FrameDecoder, VaultIdentity, frame::Frames, open},
    repository::map::TreeLine,
};

use super::targets::journal_key;

/// The vault of the fixture.
pub mod vault {
    use std::sync::LazyLock;

    use super::*;

    /// Its identity, and that of the operator who can open it.
    pub struct Opened {
        /// Opens packs and sealed parts.
        pub identity: VaultIdentity,
        /// Opens index and hints.
        pub index: VaultIdentity,
    }

    /// Opened once.
    pub static OPENED: LazyLock<Opened> = LazyLock::new(|| {
        let file = |name: &str| -> serde_json::Value { serde_json::from_slice(&fs::read(fixture().join(name)).unwrap()).unwrap() };
        let identity = |value: &serde_json::Value| value.as_str().unwrap().parse::<VaultIdentity>().unwrap();
        let operator = identity(&file("TEST-ONLY-operator.key")["identities"][0]);
        let first = objects("vaults").remove(0);
        let text = String::from_utf8(open(&operator, &first).unwrap()).unwrap();
        Opened { identity: text.trim().parse().unwrap(), index: identity(&file("TEST-ONLY-capture.key")["index_identity"]) }
    });
}

/// The folder of the integration tests, from either package.
pub fn tests() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = own.ancestors().map(|folder| folder.join("restore-tests")).find(|folder| folder.join("fixtures").is_dir());
    found.expect("both packages lie in the clone")
}

fn fixture() -> PathBuf {
    tests().join("fixtures/format-1")
}

/// The files below `folder`, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// All objects of the fixture below a folder of this name.
fn objects(kind: &str) -> Vec<Vec<u8>> {
    let repository = fixture().join("repository");
    let is_kind = |path: &PathBuf| path.parent().is_some_and(|parent| parent.components().any(|part| part.as_os_str() == kind));
    let found: Vec<_> = files(&repository).into_iter().filter(is_kind).map(|path| fs::read(path).unwrap()).collect();
    assert!(!found.is_empty(), "the fixture has no {kind}");
    found
}

fn opened(kind: &str, identity: &VaultIdentity) -> Vec<Vec<u8>> {
    objects(kind).iter().filter_map(|sealed| open(identity, sealed).ok()).collect()
}

fn unzipped(kind: &str, identity: &VaultIdentity) -> Vec<Vec<u8>> {
    opened(kind, identity).iter().map(|packed| zstd::stream::decode_all(&packed[..]).unwrap()).collect()
}

/// The frames of the packs, decoded one by one.
fn plain_frames() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for pack in opened("packs", &vault::OPENED.identity) {
        for (frame, length) in Frames(&pack).map(Result::unwrap) {
            let mut plain = Vec::new();
            FrameDecoder::new().unwrap().decode(frame, length, &mut plain).unwrap();
            found.push(plain);
        }
    }
    found
}

fn maps() -> Vec<Vec<u8>> {
    plain_frames().into_iter().filter(|text| text.starts_with(b"{\"entry\"") || text.starts_with(b"{\"runs\"")).collect()
}

fn tree_entries() -> Vec<Vec<u8>> {
    let maps = maps();
    let lines = maps.iter().flat_map(|text| text.split(|b| *b == b'\n'));
    lines.filter_map(|line| Some(serde_json::to_vec(&serde_json::from_slice::<TreeLine>(line).ok()?.entry).unwrap())).collect()
}

fn journals() -> Vec<Vec<u8>> {
    let run: RunId = "20261121T135146Z-00bf4b65".parse().unwrap();
    let outcome = r#"{"outcome":"incomplete","missing":[{"subject":"a","what":"b"}]}"#;
    let events = [
        r#"{"kind":"step-started","step":"capture-files"}"#.to_owned(),
        format!(r#"{{"kind":"step-ended","step":"commit","outcome":{outcome},"output":{{"output":"entry","number":3}}}}"#),
        r#"{"kind":"run-ended","outcome":{"outcome":"succeeded"}}"#.to_owned(),
    ];
    let event = |text: &String| serde_json::from_str::<JournalEvent>(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let all = std::iter::once(JournalEvent::Resumed { process: Process::current() }).chain(events.iter().map(event));
    let record = |(number, event)| JournalRecord { format: 1, run: run.clone(), number, written: "2026-11-21T13:51:46Z".parse().unwrap(), event };
    (1..).zip(all).map(record).flat_map(|record| [record.encode(&journal_key()), serde_json::to_vec(&record).unwrap()]).collect()
}

fn configurations() -> Vec<Vec<u8>> {
    let folder = tests().join("../config");
    files(&folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "yaml")).map(|path| fs::read(path).unwrap()).collect()
}

fn words() -> Vec<Vec<u8>> {
    let keys = files(&fixture().join("repository")).into_iter();
    let keys = keys.map(|path| path.strip_prefix(fixture().join("repository")).unwrap().display().to_string());
    let others = ["rolling@we/1", "rolling@we/1:3", "20261121T135146Z-00bf4b65", "2026-11-21T13:51:46Z", "1h30m", "777f35876573dee6"];
    keys.chain(others.map(str::to_owned)).chain([Sha256::ZERO.to_string()]).map(String::into_bytes).collect()
}

/// What the target of this name begins with: what the fixtures hold of its kind, and its committed corpus.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let keys = &*vault::OPENED;
    let mut found = match target {
        "entry" => objects("record"),
        "trust" => {
            let of_json = |bytes: &Vec<u8>| bytes.starts_with(b"{");
            let repo = fs::read(fixture().join("repository/repo.json")).unwrap();
            objects("trust").into_iter().filter(of_json).chain([repo]).collect()
        }
        "signature" => {
            let trusted = fs::read(fixture().join("trust_root")).unwrap();
            objects("signatures").into_iter().chain([trusted]).collect()
        }
        "packlist" => objects("packlists"),
        "positions" => ["", "0", "0-17,19", "1,3,5-8,199999"].map(|text| text.as_bytes().to_vec()).to_vec(),
        "map" => maps(),
        "tree-entry" => tree_entries(),
        "index" => opened("index", &keys.index),
        "hints" => unzipped("hints", &keys.index),
        "frames" => opened("packs", &keys.identity),
        "age" => {
            let text = format!("{}\n", keys.identity.to_secret().expose()).into_bytes();
            let wrapped = hourglass::pipeline::seal(&[&keys.identity.recipient()], &text).unwrap().to_vec();
            objects("packs").into_iter().chain(objects("sealed")).chain([text, wrapped, keys.identity.recipient().to_string().into_bytes()]).collect()
        }
        "sealed" => opened("sealed", &keys.identity).into_iter().map(|packed| zstd::stream::decode_all(&packed[..]).unwrap_or(packed)).collect(),
        "journal" => journals(),
        "config" => configurations(),
        "words" => words(),
        other => panic!("{other} has no seeds"),
    };
    assert!(!found.is_empty(), "{target} has no seeds");
    let corpus = tests().join("fuzz/corpus").join(target);
    if corpus.is_dir() {
        found.extend(files(&corpus).into_iter().map(|path| fs::read(path).unwrap()));
    }
    found
}
