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
