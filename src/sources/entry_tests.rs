use proptest::prelude::*;

use super::*;

fn file(path: &[u8]) -> TreeEntry {
    TreeEntry {
        path: path.to_vec(),
        kind: EntryKind::File { size: 10, data: None },
        mode: 0o644,
        uid: 1,
        gid: 2,
        mtime: FileTime { seconds: -1, nanos: 5 },
        xattrs: BTreeMap::new(),
        sha256: None,
    }
}

fn parse(json: &str) -> Result<TreeEntry, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn the_stored_form_is_frozen() {
    let mut entry = file("a/ü\n".as_bytes());
    entry.kind = EntryKind::File { size: 1 << 40, data: Some(vec![Extent { offset: 4096, length: 8192 }]) };
    entry.mode = 0o4755;
    entry.xattrs.insert(b"user.\xff".to_vec(), b"\0v".to_vec());
    entry.xattrs.insert(b"user.a".to_vec(), Vec::new());
    entry.sha256 = Some(Sha256([0xab; 32]));
    let digest = "ab".repeat(32);
    let head = r#"{"path":"a/ü\n","kind":"file","mode":"4755","uid":1,"gid":2,"mtime":[-1,5],"#;
    let xattrs = format!(r#""xattrs":[{{"name":"user.a","value":""}},{{"name_base64":"dXNlci7/","value":"AHY="}}],"sha256":"{digest}""#);
    let stored = format!(r#"{head}{xattrs},"size":1099511627776,"data":[[4096,8192]]}}"#);
    assert_eq!(serde_json::to_string(&entry).unwrap(), stored);
    assert_eq!(String::from_utf8(entry.canonical_line()).unwrap(), format!("{head}{xattrs}}}\n"));
    assert_eq!(parse(&stored).unwrap(), entry);
}

#[test]
fn every_kind_reads_back_what_it_writes() {
    let kinds = [
        EntryKind::File { size: 0, data: None },
        EntryKind::File { size: 9, data: Some(vec![]) },
        EntryKind::Directory,
        EntryKind::Symlink { target: b"../\xfe".to_vec() },
        EntryKind::HardLink { first: b"b/\xfe".to_vec() },
        EntryKind::Special(SpecialKind::Fifo),
        EntryKind::Special(SpecialKind::Socket),
        EntryKind::Special(SpecialKind::CharDevice { major: 1, minor: 3 }),
        EntryKind::Special(SpecialKind::BlockDevice { major: 259, minor: 70000 }),
    ];
    let mut lines = std::collections::BTreeSet::new();
    for kind in kinds {
        let entry = TreeEntry { kind, ..file(b"\xff/b") };
        assert_eq!(parse(&serde_json::to_string(&entry).unwrap()).unwrap(), entry);
        lines.insert(entry.canonical_line());
    }
    // The two files differ in size and holes only, of which the digest of the content knows.
    assert_eq!(lines.len(), 8);
}

#[test]
fn entries_that_could_do_harm_are_refused() {
    let good = r#"{"path":"a","kind":"file","mode":"0644","uid":0,"gid":0,"mtime":[0,0],"size":10}"#;
    parse(good).unwrap();
    let bad = [
        (r#""path":"a""#, r#""path":"../a""#),
        (r#""path":"a""#, r#""path":"/a""#),
        (r#""path":"a""#, r#""path":"a//b""#),
        (r#""path":"a""#, r#""path":"a/.""#),
        (r#""path":"a""#, r#""path":"a\u0000b""#),
        (r#""path":"a""#, r#""path_base64":"Li4vYQ==""#),
        (r#""path":"a""#, r#""path_base64":"!""#),
        (r#""path":"a""#, r#""path":"a","path_base64":"YQ==""#),
        (r#""path":"a","#, ""),
        (r#""0644""#, r#""644""#),
        (r#""0644""#, r#""0648""#),
        (r#""0644""#, r#""+644""#),
        ("[0,0]", "[0,1000000000]"),
        (r#","size":10"#, ""),
        (r#""size":10"#, r#""size":10,"data":[[0,11]]"#),
        (r#""size":10"#, r#""size":10,"data":[[0,0]]"#),
        (r#""size":10"#, r#""size":10,"data":[[4,2],[5,1]]"#),
        (r#""size":10"#, r#""size":10,"data":[[1,18446744073709551615]]"#),
        (r#""size":10"#, r#""size":10,"first":"b""#),
        (r#""size":10"#, r#""size":10,"shoe":"b""#),
        (r#""file""#, r#""door""#),
        (r#""file""#, r#""directory""#),
        (r#""size":10"#, r#""size":10,"xattrs":[{"name":"a","value":""},{"name":"a","value":""}]"#),
        (r#""kind":"file""#, r#""kind":"hard-link","first":"../a""#),
    ];
    for (from, to) in bad {
        let text = good.replace(from, to);
        assert_ne!(text, good, "{from}");
        assert!(parse(&text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn any_path_and_xattr_reads_back(path in prop::collection::vec(any::<u8>(), 0..40), name in prop::collection::vec(1u8.., 1..9), seconds: i64) {
        let mut entry = file(&path);
        entry.mtime.seconds = seconds;
        entry.xattrs.insert(name, path.clone());
        let read = parse(&serde_json::to_string(&entry).unwrap());
        match is_inside(&path) {
            true => prop_assert_eq!(read.unwrap(), entry),
            false => prop_assert!(read.is_err()),
        }
    }
}
