//! Real trees on a real file system. Some need root: they make devices, and give files away.

mod reading;
mod writing;

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::*;
use crate::{
    model::Problem,
    sources::{EntryKind, Extent, FileTime, TreeEntry},
};

fn path(root: &Path, raw: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(raw))
}

fn options(root: &Path) -> FilesOptions {
    FilesOptions { root: root.to_owned(), ..FilesOptions::default() }
}

fn tree(root: &Path) -> Tree {
    Tree::open(&options(root)).unwrap()
}

/// Everything that a walk finds, files with holes and digests.
fn entries(tree: &Tree) -> (Vec<TreeEntry>, Vec<Problem>) {
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    for seen in tree.walk() {
        match seen {
            Seen::Entry(mut walked) => {
                if matches!(walked.entry.kind, EntryKind::File { .. }) {
                    let (digest, stability) = tree.open_content(&mut walked).unwrap().sha256().unwrap();
                    assert_eq!(stability, Stability::Unchanged);
                    walked.entry.sha256 = Some(digest);
                }
                entries.push(walked.entry);
            }
            Seen::Problem(problem) => problems.push(problem),
            Seen::Skipped { .. } => {}
        }
    }
    (entries, problems)
}

fn paths(entries: &[TreeEntry]) -> Vec<String> {
    entries.iter().map(TreeEntry::display_path).collect()
}

fn find<'a>(entries: &'a [TreeEntry], path: &str) -> &'a TreeEntry {
    entries.iter().find(|entry| entry.path == path.as_bytes()).unwrap()
}

/// Captures a tree and writes it, content by extents and in pieces, as a restore does.
fn copy(from: &Path, to: &Path, overwrite: Overwrite) -> (Vec<TreeEntry>, Written) {
    let source = tree(from);
    let (entries, problems) = entries(&source);
    assert_eq!(problems, []);
    let writer = TreeWriter::create(to, overwrite).unwrap();
    for entry in &entries {
        put(from, &writer, entry);
    }
    (entries, writer.finish().unwrap())
}

fn put(from: &Path, writer: &TreeWriter, entry: &TreeEntry) {
    let EntryKind::File { .. } = entry.kind else { return writer.write(entry).unwrap() };
    let slot = writer.begin_file(entry).unwrap();
    let content = fs::read(path(from, &entry.path)).unwrap();
    for Extent { offset, length } in entry.extents() {
        slot.write_at(offset, &content[offset as usize..(offset + length) as usize]).unwrap();
    }
    writer.finish_file(&slot);
}

fn assert_equal(entries: &[TreeEntry], to: &Path) {
    let comparison = compare(entries.iter().cloned(), to, Extras::Problem).unwrap();
    assert_eq!(comparison, Comparison { problems: vec![], owners: 0, equal: entries.len() as u64 });
}

/// The same thread with the rights of nobody.
fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let (uid, gid) = (rustix::fs::Uid::from_raw(65534), rustix::fs::Gid::from_raw(65534));
            rustix::thread::set_thread_groups(&[]).expect("this test needs root");
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}
