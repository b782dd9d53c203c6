//! Trees made, changed, and looked at without the product: what a restore is compared with.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, symlink},
    path::{Path, PathBuf},
};

/// Each path below a root, and everything about it that a restore must bring back.
pub type Snapshot = BTreeMap<PathBuf, String>;

/// Looks at a tree. Of the folders on the first level, which a restore makes itself, only what lies in them counts.
pub fn snapshot(root: &Path) -> Snapshot {
    let (mut found, mut first_names) = (Snapshot::new(), HashMap::new());
    for member in names(root) {
        let plain = member.file_name().unwrap() == "dump";
        for path in names(&member) {
            look(root, &path, plain, &mut first_names, &mut found);
        }
    }
    found
}

/// Fails and names the entries that differ, when some do.
pub fn assert_same(found: &Snapshot, expected: &Snapshot, why: &str) {
    let paths: BTreeSet<&PathBuf> = found.keys().chain(expected.keys()).collect();
    let differs = |path: &&PathBuf| found.get(*path) != expected.get(*path);
    let different: Vec<_> = paths.into_iter().filter(differs).map(|path| (path, found.get(path), expected.get(path))).take(5).collect();
    assert!(different.is_empty(), "{why}: (path, found, expected): {different:#?}");
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

fn look(root: &Path, path: &Path, plain: bool, first_names: &mut HashMap<u64, PathBuf>, found: &mut Snapshot) {
    let data = fs::symlink_metadata(path).unwrap();
    let below = path.strip_prefix(root).unwrap().to_owned();
    let kind = if data.is_symlink() {
        format!("link to {}", fs::read_link(path).unwrap().display())
    } else if data.is_dir() {
        "folder".to_owned()
    } else if data.file_type().is_fifo() {
        "fifo".to_owned()
    } else {
        let first = first_names.entry(data.ino()).or_insert_with(|| below.clone());
        format!("file {} {} {}", data.len(), blake3::hash(&fs::read(path).unwrap()).to_hex(), first.display())
    };
    let attributes = format!("{:o} {}:{} {}.{}", data.mode(), data.uid(), data.gid(), data.mtime(), data.mtime_nsec());
    found.insert(below, if plain { kind } else { format!("{kind} {attributes}") });
    if data.is_dir() {
        names(path).iter().for_each(|path| look(root, path, plain, first_names, found));
    }
}

/// The first names at which the map of a tree is cut: files with such a name are segments of their own, chunks too if they are small.
pub fn boundary_names(count: usize) -> Vec<String> {
    let fnv = |name: &str| {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
        hash ^ (hash >> 32)
    };
    (0..).map(|i| format!("f{i:06}")).filter(|name| fnv(name).trailing_zeros() >= 9).take(count).collect()
}

/// Bytes that no codec makes smaller, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A tree of many segments, each kind of entry, and a dump beside it.
pub fn fill(tree: &Path, dump: &Path, files: usize) {
    for (i, name) in boundary_names(files).iter().enumerate() {
        fs::write(tree.join(name), noise(i as u64, 12 << 10)).unwrap();
    }
    fs::create_dir_all(tree.join("sub/deep")).unwrap();
    fs::write(tree.join("sub/empty"), b"").unwrap();
    fs::write(tree.join("sub/one"), b"one\n").unwrap();
    fs::hard_link(tree.join("sub/one"), tree.join("sub/two")).unwrap();
    symlink("../nowhere", tree.join("sub/deep/link")).unwrap();
    let sparse = fs::File::create(tree.join("sub/sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"in the middle", 500_000).unwrap();
    fs::write(dump, noise(1 << 40, 400 << 10)).unwrap();
}
