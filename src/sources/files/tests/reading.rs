use std::{
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
};

use super::*;
use crate::sources::{SourceError, SourceErrorKind};

#[test]
fn paths_come_in_order_of_their_raw_bytes() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a/x", "a/b/c", "a-b", "a0", "ab/z", "a.d/e"] {
        let file = root.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, name).unwrap();
    }
    fs::write(path(root.path(), b"a\xff"), "").unwrap();
    let (found, _) = entries(&tree(root.path()));
    assert_eq!(paths(&found), [".", "a", "a-b", "a.d", "a.d/e", "a/b", "a/b/c", "a/x", "a0", "ab", "ab/z", "a\\xff"].map(str::to_owned));
    assert!(found.is_sorted_by(|a, b| a.path < b.path));
}

#[test]
fn hard_links_point_to_the_first_of_their_names_across_directories() {
    let root = tempfile::tempdir().unwrap();
    for name in ["b", "z"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    fs::write(root.path().join("z/file"), "content").unwrap();
    fs::hard_link(root.path().join("z/file"), root.path().join("b/second")).unwrap();
    fs::hard_link(root.path().join("z/file"), root.path().join("third")).unwrap();
    let (found, _) = entries(&tree(root.path()));
    assert!(matches!(find(&found, "b/second").kind, EntryKind::File { size: 7, data: None }));
    for name in ["third", "z/file"] {
        assert_eq!(find(&found, name).kind, EntryKind::HardLink { first: b"b/second".to_vec() });
    }
}

#[test]
fn excludes_leave_out_and_list_what_they_match() {
    let root = tempfile::tempdir().unwrap();
    for name in ["cache/a", "sub/cache/b", "keep/x.tmp", "keep/x.txt", "logs/1/a.log", "logs/b.log", "tmp", "d/tmp/f"] {
        let file = root.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, name).unwrap();
    }
    let excludes = ["/cache", "*.tmp", "logs/**/*.log", "tmp/"].map(str::to_owned).to_vec();
    let tree = Tree::open(&FilesOptions { excludes, ..options(root.path()) }).unwrap();
    let (found, problems) = entries(&tree);
    let left = ["d", "keep", "keep/x.txt", "logs", "logs/1", "sub", "sub/cache", "sub/cache/b", "tmp"].map(str::to_owned);
    assert_eq!((paths(&found)[1..].to_vec(), problems), (left.to_vec(), vec![]));
    let skipped = |seen| match seen {
        Seen::Skipped { path, why: Skipped::Excluded } => Some(String::from_utf8(path).unwrap()),
        _ => None,
    };
    let skipped: Vec<_> = tree.walk().filter_map(skipped).collect();
    assert_eq!(skipped, ["cache", "d/tmp", "keep/x.tmp", "logs/1/a.log", "logs/b.log"]);
    for bad in ["!a", "/", "", "a[", "{a"] {
        let error = Tree::open(&FilesOptions { excludes: vec![bad.to_owned()], ..options(root.path()) }).unwrap_err();
        assert!(error.kind() == SourceErrorKind::Usage && error.hint().is_some(), "{bad}: {error}");
    }
}

#[test]
fn what_may_not_be_read_is_named() {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(root.path().join("closed")).unwrap();
    fs::write(root.path().join("closed/inside"), "").unwrap();
    fs::write(root.path().join("secret"), "text").unwrap();
    for name in ["closed", "secret"] {
        fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    as_nobody(|| {
        let tree = tree(root.path());
        let seen: Vec<_> = tree.walk().collect();
        let problem = seen.iter().find_map(|seen| if let Seen::Problem(problem) = seen { Some(problem) } else { None }).unwrap();
        assert_eq!((problem.subject.as_str(), problem.what.contains("ermission denied")), ("closed", true));
        let secret = seen.into_iter().find_map(|seen| match seen {
            Seen::Entry(walked) if walked.entry.path == b"secret" => Some(walked),
            _ => None,
        });
        let error = tree.open_content(&mut secret.unwrap()).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (SourceErrorKind::Denied, "cannot open secret".to_owned()));
    });
}

fn only_file(tree: &Tree) -> Walked {
    let is_file = |seen| match seen {
        Seen::Entry(walked) if matches!(walked.entry.kind, EntryKind::File { .. }) => Some(*walked),
        _ => None,
    };
    tree.walk().find_map(is_file).unwrap()
}

#[test]
fn a_file_that_changes_while_it_is_read_says_so() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, vec![1; 300_000]).unwrap();
    let tree = tree(root.path());
    let mut walked = only_file(&tree);
    let change: [&dyn Fn(); 4] = [
        &|| fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"more").unwrap(),
        &|| fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(10).unwrap(),
        &|| fs::write(&file, vec![2; 10]).unwrap(),
        &|| fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap(),
    ];
    for (n, change) in change.into_iter().enumerate() {
        let mut content = tree.open_content(&mut walked).unwrap();
        content.read_exact(&mut [0; 5]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        change();
        std::io::copy(&mut content, &mut std::io::sink()).unwrap();
        assert!(matches!(content.finish().unwrap(), Stability::Changed { .. }), "change {n}");
    }
    let mut content = tree.open_content(&mut walked).unwrap();
    let mut read = Vec::new();
    content.read_to_end(&mut read).unwrap();
    assert_eq!((read, content.finish().unwrap()), (vec![2; 10], Stability::Unchanged));
    assert_eq!((walked.entry.size(), walked.entry.mode), (10, 0o640), "the entry describes what was read, not what was walked");
}

#[test]
fn a_file_that_was_replaced_or_deleted_after_the_walk_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "outside").unwrap();
    fs::create_dir(root.path().join("d")).unwrap();
    let file = root.path().join("d/file");
    fs::write(&file, "inside").unwrap();
    let tree = tree(root.path());
    let open = || tree.open_content(&mut only_file(&tree));
    let mut walked = only_file(&tree);
    fs::remove_file(&file).unwrap();
    assert!(matches!(tree.open_content(&mut walked), Err(SourceError::Vanished { .. })));
    symlink(outside.path().join("file"), &file).unwrap();
    assert!(matches!(tree.open_content(&mut walked), Err(SourceError::Replaced { .. })));
    fs::remove_file(&file).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert!(matches!(tree.open_content(&mut walked), Err(SourceError::Replaced { .. })));
    fs::remove_file(&file).unwrap();
    fs::remove_dir(root.path().join("d")).unwrap();
    symlink(outside.path(), root.path().join("d")).unwrap();
    let fresh = super::tree(root.path());
    assert!(matches!(fresh.open_content(&mut walked), Err(SourceError::Replaced { .. })), "a directory became a symlink that leads out");
    fs::write(root.path().join("other"), "other").unwrap();
    assert!(open().is_ok());
}

#[test]
fn a_root_that_cannot_be_read_is_an_error_with_its_path() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    let error = Tree::open(&options(&root.path().join("file"))).unwrap_err();
    assert!(matches!(error, SourceError::NotADirectory { .. }), "{error:?}");
    let error = Tree::open(&options(&root.path().join("nothing"))).unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::Vanished);
    symlink(root.path(), root.path().join("link")).unwrap();
    assert!(Tree::open(&options(&root.path().join("link"))).is_ok());
}

#[test]
fn a_tree_deeper_than_paths_and_open_files_allow_is_walked_whole() {
    let root = tempfile::tempdir().unwrap();
    let name = "deep".repeat(10);
    let depth = 600;
    let mut at = rustix::fs::open(root.path(), rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..depth {
        rustix::fs::mkdirat(&at, name.as_str(), rustix::fs::Mode::RWXU).unwrap();
        at = beneath::directory_at(std::os::fd::AsFd::as_fd(&at), name.as_bytes()).unwrap();
        let file = rustix::fs::openat(&at, "z", rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY, rustix::fs::Mode::RUSR).unwrap();
        rustix::io::write(&file, b"bottom").unwrap();
    }
    let (found, problems) = entries(&tree(root.path()));
    assert_eq!((found.len(), problems), (1 + 2 * depth, vec![]));
    assert!(found.iter().any(|entry| entry.path.len() > 20_000));
}

#[test]
fn a_mounted_file_system_is_read_only_when_asked_for() {
    // Every Linux system has one file system mounted in another here.
    let walk = |cross_mounts| {
        let root = PathBuf::from("/dev");
        let excludes = vec!["/mqueue".to_owned(), "/hugepages".to_owned()];
        Tree::open(&FilesOptions { root, excludes, cross_mounts }).unwrap().walk().collect::<Vec<_>>()
    };
    let names_pts = |seen: &Seen| matches!(seen, Seen::Problem(problem) if problem.subject == "pts" && problem.what.contains("cross_mounts"));
    let inside_pts = |seen: &Seen| matches!(seen, Seen::Entry(walked) if walked.entry.path == b"pts/ptmx");
    assert!(walk(false).iter().any(names_pts) && !walk(false).iter().any(inside_pts));
    assert!(walk(true).iter().any(inside_pts) && !walk(true).iter().any(names_pts));
}

#[test]
fn the_shares_of_a_tree_are_the_tree_and_know_its_hard_links() {
    let root = tempfile::tempdir().unwrap();
    for n in 0..300_u32 {
        let folder = root.path().join(format!("d{}/e{}", n % 7, n % 3));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{n}")), vec![b'x'; 20_000 * (n as usize % 5)]).unwrap();
    }
    // Names that sort between a directory and what it holds, and files with a name in each of several shares.
    fs::write(root.path().join("d3-not"), "").unwrap();
    for (first, later) in [("d0/e0/0", "d6/link"), ("d0/e0/0", "d3/link"), ("d2/e0/9", "d2/e0/again"), ("d1/e1/1", "z")] {
        fs::hard_link(root.path().join(first), root.path().join(later)).unwrap();
    }
    let whole = entries(&tree(root.path()));
    for of in [1, 2, 5, 64] {
        let cut = cut(&tree(root.path()), of, &Context::default()).unwrap();
        assert_eq!(cut.len() + 1, of as usize);
        let (mut together, mut lent) = (Vec::new(), Vec::new());
        for number in 0..of as usize {
            let share = Arc::new(Share::new(&cut, number));
            let (found, problems) = entries(&tree(root.path()).within(Some(Arc::clone(&share))));
            assert!(problems.is_empty() && (of == 64 || found.len() > 20), "{problems:?}, {} in share {number} of {of}", found.len());
            together.extend(found);
            let links = share.links();
            assert!(links.borrows.iter().all(|first| lent.contains(first)), "{links:?}");
            assert!(of != 5 || number != 4 || links.borrows.len() == 2, "{links:?}");
            lent.extend(links.lends);
        }
        assert!((together, Vec::new()) == whole, "{of} shares");
    }
    // What came after the cut is of one share, and a share without a path has nothing.
    let few = vec![b"d3".to_vec()];
    let all: Vec<_> = (0..4).map(|number| entries(&tree(root.path()).within(Some(Arc::new(Share::new(&few, number))))).0.len()).collect();
    assert!(all[0] > 20 && all[1] > 20 && all[2..] == [0, 0] && all.iter().sum::<usize>() == whole.0.len(), "{all:?}");
}

#[test]
fn what_a_share_could_not_see_whole_is_told_by_it_even_if_it_began_before() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("d")).unwrap();
    fs::write(root.path().join("d/x"), "").unwrap();
    fs::write(root.path().join("d-x"), "").unwrap();
    // The directory is of the first share, what it holds of the second.
    let cut = [b"d-x".to_vec()];
    let share = |number| tree(root.path()).within(Some(Arc::new(Share::new(&cut, number))));
    let (second, mut walk) = (share(1), Vec::new());
    for seen in second.walk() {
        if walk.is_empty() {
            fs::remove_dir_all(root.path().join("d")).unwrap();
            fs::write(root.path().join("d"), "").unwrap();
        }
        walk.push(seen);
    }
    assert!(walk.iter().any(|seen| matches!(seen, Seen::Problem(problem) if problem.subject == "d")), "{walk:?}");
    assert_eq!(paths(&entries(&share(0)).0), [".", "d"].map(str::to_owned));
}
