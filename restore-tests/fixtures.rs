//! Repositories as earlier versions made them. Never edited: what could be read once is read for ever.

use std::{
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
};

use aws_lc_rs::digest::{SHA256, digest};

use crate::{
    byhand::{execute, said},
    site::{Site, listing, set_time},
};

/// Every version of the format, and the SHA-256 of the SHA256SUMS of its fixture.
const VERSIONS: [(&str, &str); 1] = [("format-1", "580a5da3af9a243ddc44b76c32e395fe8d66d4b9ecc0a104f001666c347e5637")];
/// The points of every fixture.
const POINTS: [&str; 3] = ["rolling@we/1:3", "rolling@we/1:4", "single@we/1:3"];
/// Key files carry this before their name, so that nobody takes them for anything else.
const MARK: &str = "TEST-ONLY-";
const KEYS: [&str; 3] = ["root.key", "operator.key", "capture.key"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("restore-tests/fixtures")
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// Every file below a folder, relative to it, in order.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}

/// The lines of `SHA256SUMS` for what is there now.
fn sums(folder: &Path) -> String {
    let files = files_below(folder).into_iter().filter(|path| path != Path::new("SHA256SUMS"));
    files.map(|path| format!("{}  {}\n", sha256(&fs::read(folder.join(&path)).unwrap()), path.display())).collect()
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").args(["-r", "--no-preserve=mode"]).arg(from).arg(to).status().unwrap().success());
}

/// Where the expected listing of a point's tree is, and the SHA-256 of its stream.
fn expected(fixture: &Path, point: &str) -> (PathBuf, PathBuf) {
    let name = point.replace(['@', '/', ':'], "-");
    (fixture.join(format!("expected/{name}.tree")), fixture.join(format!("expected/{name}.stream.sha256")))
}

/// A tree as lines. Owners are left out where they cannot be given back.
fn lines(root: &Path) -> String {
    listing(root).into_iter().map(|line| line + "\n").collect()
}

fn without_owners(text: &str) -> String {
    if rustix::process::geteuid().is_root() {
        return text.to_owned();
    }
    let cut = |line: &str| line.split(", ").filter(|part| !part.starts_with("owner ")).collect::<Vec<_>>().join(", ");
    text.lines().map(|line| cut(line) + "\n").collect()
}

/// Makes the fixture of the present format. See README.md beside the fixtures.
fn make(fixture: &Path) {
    let site = Site::in_directories();
    site.protect_tree_and_stream();
    let tree = site.path("tree");
    make_small_tree(&tree);
    fs::create_dir_all(fixture.join("expected")).unwrap();
    let rows = |count: u32| (0..count).map(|n| format!("row {}\n", n / 100)).collect::<String>();
    for (point, rows) in POINTS.into_iter().zip([rows(90_000), rows(90_123), rows(90_123)]) {
        if point.ends_with(":4") {
            fs::write(tree.join("small-1"), "changed").unwrap();
            fs::remove_file(tree.join("small-2")).unwrap();
            fs::write(tree.join("folder/new"), "new").unwrap();
        }
        fs::write(site.path("stream"), &rows).unwrap();
        site.run(&["backup", point.split('@').next().unwrap()], 0);
        let (listed, stream) = expected(fixture, point);
        fs::write(listed, lines(&tree)).unwrap();
        fs::write(stream, sha256(rows.as_bytes())).unwrap();
    }
    // A second trust object, and more kinds of entries.
    site.run(&["keys", "vault", "--root", "root.key"], 0);
    site.run(&["points", "hold", POINTS[0], "--by", "Test", "--reason", "to be read for ever"], 0);
    site.run(&["restore", POINTS[1], "files", "--to", "restored"], 0);
    copy(&site.path("repository"), &fixture.join("repository"));
    for name in KEYS {
        fs::copy(site.path(name), fixture.join(format!("{MARK}{name}"))).unwrap();
    }
    fs::write(fixture.join("trust_root"), site.trust_root()).unwrap();
    fs::write(fixture.join("SHA256SUMS"), sums(fixture)).unwrap();
}

fn make_small_tree(root: &Path) {
    fs::create_dir_all(root.join("folder/empty")).unwrap();
    for number in 0..4 {
        fs::write(root.join(format!("small-{number}")), format!("small file {number}\n").repeat(9)).unwrap();
    }
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"not-utf8-\xff\xfe")), "a name of other bytes").unwrap();
    symlink(std::ffi::OsStr::from_bytes(b"../\xff"), root.join("link")).unwrap();
    fs::hard_link(root.join("small-3"), root.join("folder/again")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    sparse.write_all_at(b"in the middle", 300_000).unwrap();
    xattr::set(root.join("small-0"), "user.note", b"value\0\xff").unwrap();
    fs::set_permissions(root.join("small-0"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(root.join("folder"), fs::Permissions::from_mode(0o750)).unwrap();
    set_time(&root.join("small-0"), -1, 999_999_999);
    set_time(&root.join("link"), 1_000_000_000, 1);
}

/// A home with a copy of a fixture's repository and keys, and its configuration.
fn site_of(fixture: &Path) -> Site {
    let site = Site::in_directories();
    fs::remove_dir(site.path("repository")).unwrap();
    copy(&fixture.join("repository"), &site.path("repository"));
    for name in KEYS {
        fs::copy(fixture.join(format!("{MARK}{name}")), site.path(name)).unwrap();
        fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    site.configure(&format!("trust_root: {}\n", fs::read_to_string(fixture.join("trust_root")).unwrap()));
    site.protect_tree_and_stream();
    site
}

#[test]
fn fixtures_are_those_of_all_versions_and_unchanged() {
    let mut present: Vec<String> =
        fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).map(name).collect();
    present.sort();
    if std::env::var_os("HOURGLASS_UPDATE").is_some() && !present.contains(&VERSIONS[VERSIONS.len() - 1].0.to_owned()) {
        let fixture = fixtures().join(VERSIONS[VERSIONS.len() - 1].0);
        make(&fixture);
        panic!("made; its SHA256SUMS has the SHA-256 {}", sha256(&fs::read(fixture.join("SHA256SUMS")).unwrap()));
    }
    assert_eq!(present, VERSIONS.map(|(version, _)| version));
    for (version, frozen) in VERSIONS {
        let fixture = fixtures().join(version);
        let written = fs::read_to_string(fixture.join("SHA256SUMS")).unwrap();
        assert_eq!(sha256(written.as_bytes()), frozen, "{version}: fixtures are never edited");
        assert_eq!(sums(&fixture), written, "{version}: fixtures are never edited");
        let bytes: u64 = files_below(&fixture).iter().map(|path| fs::metadata(fixture.join(path)).unwrap().len()).sum();
        assert!(bytes < 200 << 10, "{version} has {bytes} bytes");
    }
}

fn name(path: PathBuf) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn every_version_is_read_verified_restored_and_continued() {
    for (version, _) in VERSIONS {
        let fixture = fixtures().join(version);
        let site = site_of(&fixture);
        site.run(&["record", "check"], 0);
        for point in POINTS {
            let to = format!("restored-{}", point.replace(['/', ':'], "-"));
            let restored = site.restore(point, &to);
            let (listed, stream) = expected(&fixture, point);
            assert_eq!(without_owners(&lines(&restored.join("files"))), without_owners(&fs::read_to_string(listed).unwrap()), "{version} {point}");
            assert_eq!(sha256(&fs::read(restored.join("stream/dump")).unwrap()), fs::read_to_string(stream).unwrap(), "{version} {point}");
        }
        copy(&site.path("restored-rolling@we-1-4/files"), &site.path("tree"));
        fs::write(site.path("stream"), "row").unwrap();
        let text = site.run(&["backup", "rolling", "--quiet"], 0);
        assert!(text.contains("is complete"), "{text}");
        site.run(&["record", "check"], 0);
    }
}

#[test]
fn every_version_is_verified_and_recovered_by_hand() {
    for (version, _) in VERSIONS {
        let fixture = fixtures().join(version);
        let place = tempfile::tempdir_in(crate::lab::require("HOURGLASS_LAB_DIR")).unwrap();
        let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
        let (repository, root) = (fixture.join("repository").display().to_string(), fs::read_to_string(fixture.join("trust_root")).unwrap());
        let (work, target, operator) = (at("work"), at("target"), fixture.join(format!("{MARK}operator.key")).display().to_string());
        let output = execute("verify-by-hand.md", &[("REPOSITORY", &repository), ("TRUST_ROOT", &root), ("WORK", &work), ("HEADS", "")]);
        assert!(output.status.success(), "{version}: {}", said(&output));
        let variables = [
            ("REPOSITORY", &*repository),
            ("OPERATOR", &operator),
            ("TARGET", &target),
            ("WORK", &work),
            ("LINEAGE", "rolling@we/1"),
            ("POINT", "4"),
        ];
        let output = execute("recover-by-hand.md", &variables);
        assert!(output.status.success(), "{version}: {}", said(&output));
        let (listed, stream) = expected(&fixture, POINTS[1]);
        assert_eq!(without_owners(&lines(&place.path().join("target/files"))), without_owners(&fs::read_to_string(listed).unwrap()), "{version}");
        assert_eq!(sha256(&fs::read(place.path().join("target/stream/dump")).unwrap()), fs::read_to_string(stream).unwrap(), "{version}");
    }
}
