//! The pages that say how to recover and verify without the product, executed exactly as they stand.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use hourglass::storage::ObjectStore;

use crate::{
    site::{Site, assert_same_tree, change_tree, download, listing, make_tree, yaml},
    stores::places::{S3, azure, below, bucket, container, directory_at, s3},
};

/// The bash blocks of a page, one after the other.
fn script(page: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format").join(page)).unwrap();
    let blocks: Vec<&str> = text.split("\n```bash\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    assert!(blocks.len() > 3, "{page} has lost its blocks");
    blocks.join("\n")
}

pub fn execute(page: &str, variables: &[(&str, &str)]) -> Output {
    let (home, path) = (tempfile::tempdir().unwrap(), std::env::var_os("PATH").unwrap());
    let mut command = Command::new("bash");
    command.arg("-c").arg(script(page)).env_clear().env("PATH", path).env("HOME", home.path()).current_dir(home.path());
    command.envs(variables.iter().copied()).output().unwrap()
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A point, and what has to come out of it.
struct Expected {
    lineage: &'static str,
    number: &'static str,
    tree: Vec<String>,
    stream: Vec<u8>,
}

/// Two points in a rolling epoch and one in an epoch of its own.
fn protect(site: &Site) -> Vec<Expected> {
    site.protect_tree_and_stream();
    make_tree(&site.path("tree"), 3 << 20);
    let mut stream: Vec<u8> = (0..200_000).flat_map(|n| format!("row {n}\n").into_bytes()).collect();
    let mut expected = Vec::new();
    for (lineage, number) in [("rolling@we/1", "3"), ("rolling@we/1", "4"), ("single@we/1", "3")] {
        if number == "4" {
            change_tree(&site.path("tree"));
            stream.extend_from_slice(b"one more row\n");
        }
        fs::write(site.path("stream"), &stream).unwrap();
        let policy = lineage.split('@').next().unwrap();
        let text = site.run(&["backup", policy, "--quiet"], 0);
        assert!(text.contains(&format!("{lineage}:{number} is complete")), "{text}");
        expected.push(Expected { lineage, number, tree: listing(&site.path("tree")), stream: stream.clone() });
    }
    expected
}

fn recover(repository: &Path, operator: &Path, point: &Expected) -> (tempfile::TempDir, Output) {
    let place = tempfile::tempdir_in(operator.parent().unwrap()).unwrap();
    let (target, work) = (place.path().join("target"), place.path().join("work"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let paths = [text(repository), text(operator), text(&target), text(&work)];
    let [repository, operator, target, work] = paths.each_ref().map(String::as_str);
    let variables =
        [("REPOSITORY", repository), ("OPERATOR", operator), ("TARGET", target), ("WORK", work), ("LINEAGE", point.lineage), ("POINT", point.number)];
    let output = execute("recover-by-hand.md", &variables);
    (place, output)
}

fn verify(repository: &Path, root: &str, heads: Option<&Path>) -> Output {
    let place = tempfile::tempdir().unwrap();
    let work = place.path().join("work");
    let heads = heads.map_or("", |path| path.to_str().unwrap());
    let variables = [("REPOSITORY", repository.to_str().unwrap()), ("TRUST_ROOT", root), ("WORK", work.to_str().unwrap()), ("HEADS", heads)];
    execute("verify-by-hand.md", &variables)
}

/// Both pages, on some points of a repository that lies in `store`.
async fn both_pages(site: &Site, store: &dyn ObjectStore, points: &[usize]) {
    let expected = protect(site);
    let repository = site.path("downloaded");
    download(store, &repository).await;
    let heads = site.path("heads");
    fs::write(&heads, site.run(&["record", "head", "rolling"], 0) + &site.run(&["record", "head", "single"], 0)).unwrap();
    let verified = verify(&repository, &site.trust_root(), Some(&heads));
    assert!(verified.status.success() && said(&verified).contains("nothing is wrong"), "{}", said(&verified));
    assert!(said(&verified).contains("rolling@we/1: 2 points, head 4"), "{}", said(&verified));
    for point in points.iter().map(|point| &expected[*point]) {
        let (place, output) = recover(&repository, &site.path("operator.key"), point);
        assert!(output.status.success(), "{}", said(&output));
        assert_same_tree(&point.tree, &place.path().join("target/files"));
        assert!(fs::read(place.path().join("target/stream/dump")).unwrap() == point.stream, "the stream of {} differs", point.number);
        assert!(!place.path().join("work").exists(), "keys are left behind");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_pages_work_on_a_directory() {
    let site = Site::in_directories();
    let store = directory_at(&site.path("repository"));
    both_pages(&site, &*store, &[0, 1, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_pages_work_on_what_was_downloaded_from_s3() {
    let config = bucket(S3::SeaweedFs, None).await;
    let (data, control) = (below(&config, "data"), below(&config, "control"));
    let site = Site::new("we", &[("primary", yaml(&data))], &yaml(&control)).with_s3();
    both_pages(&site, &*s3(&data).await, &[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_pages_work_on_what_was_downloaded_from_azure() {
    let (_folder, config) = container(None).await;
    let (data, control) = (below(&config, "data"), below(&config, "control"));
    let site = Site::new("we", &[("primary", yaml(&data))], &yaml(&control));
    both_pages(&site, &*azure(&data), &[1, 2]).await;
}

/// All files of a repository whose path holds `part`, in order.
fn files(repository: &Path, part: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![repository.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.retain(|path| path.to_str().unwrap().contains(part));
    found.sort();
    found
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn swap(files: &[PathBuf]) {
    let (one, other) = (fs::read(&files[0]).unwrap(), fs::read(&files[1]).unwrap());
    fs::write(&files[0], other).unwrap();
    fs::write(&files[1], one).unwrap();
}

/// A way to tamper with a repository, and what the page has to say then.
type Tampering = (&'static str, fn(&Path), &'static str);

const TAMPERINGS: [Tampering; 11] = [
    ("a byte of an entry", |r| flip(&files(r, "rolling@we/1/record")[2]), "00003.json: void: no valid signature"),
    ("an entry is gone", |r| fs::remove_file(&files(r, "rolling@we/1/record")[2]).unwrap(), "00004.json: number 3 is missing"),
    ("the last entry is gone", |r| fs::remove_file(&files(r, "rolling@we/1/record")[3]).unwrap(), "entry 4 is not the one that was seen"),
    ("two entries change places", |r| swap(&files(r, "rolling@we/1/record")[2..]), "00003.json: void: no valid signature"),
    (
        "a stranger's entry",
        |r| fs::write(files(r, "rolling@we/1/record")[0].with_file_name("00000000000000000005.json"), "{}").unwrap(),
        "void: not an entry",
    ),
    ("a signature is gone", |r| fs::remove_file(&files(r, "rolling@we/1/signatures")[0]).unwrap(), "void: no valid signature"),
    ("two packs change places", |r| swap(&files(r, "rolling@we/1/packs/")), ".age: damaged"),
    ("a pack is gone", |r| fs::remove_file(&files(r, "single@we/1/packs/")[0]).unwrap(), ".age: missing"),
    ("a pack list", |r| flip(&files(r, "packlists")[0]), "/packlists/"),
    ("a sealed part", |r| flip(&files(r, "single@we/1/sealed")[1]), ".age: damaged"),
    ("the trust", |r| flip(&files(r, "trust/0000")[0]), "not signed by the root"),
];

#[tokio::test(flavor = "multi_thread")]
async fn verifying_by_hand_finds_what_was_tampered_with() {
    let site = Site::in_directories();
    protect(&site);
    let heads = site.path("heads");
    fs::write(&heads, site.run(&["record", "head", "rolling"], 0)).unwrap();
    let root = site.trust_root();
    std::thread::scope(|scope| {
        for (what, tamper, expected) in TAMPERINGS {
            let (repository, copy, heads, root) = (site.path("repository"), site.path(&what.replace(' ', "-")), &heads, &root);
            assert!(Command::new("cp").arg("-r").arg(repository).arg(&copy).status().unwrap().success());
            scope.spawn(move || {
                tamper(&copy);
                let output = verify(&copy, root, Some(heads));
                let text = said(&output);
                let found = text.lines().any(|line| line.starts_with("WRONG") && line.contains(expected));
                assert!(output.status.code() == Some(1) && found, "{what}: {text}");
            });
        }
    });
    let other = Site::in_directories();
    other.protect_tree_and_stream();
    let output = verify(&site.path("repository"), &other.trust_root(), None);
    assert_eq!(output.status.code(), Some(1), "another root: {}", said(&output));
}

#[test]
fn recovering_by_hand_stops_at_a_damaged_pack_and_without_the_right_key() {
    let site = Site::in_directories();
    let expected = protect(&site);
    let stranger = Site::in_directories();
    stranger.protect_tree_and_stream();
    let (_place, output) = recover(&site.path("repository"), &stranger.path("operator.key"), &expected[1]);
    assert!(!output.status.success() && said(&output).contains("can be opened"), "{}", said(&output));
    files(&site.path("repository"), "rolling@we/1/packs/").iter().for_each(|pack| flip(pack));
    let (_place, output) = recover(&site.path("repository"), &site.path("operator.key"), &expected[1]);
    assert!(!output.status.success() && said(&output).contains("is damaged"), "{}", said(&output));
}
