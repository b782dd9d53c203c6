use std::{
    fs::File,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
    time::{Duration, Instant, SystemTime},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::sources::{SourceErrorKind, SpecialKind};

/// A POSIX ACL as the kernel keeps it: version 2, then (tag, rights, id) of owner, user 1234, group, mask, others.
fn acl() -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in [(1u16, 6u16, u32::MAX), (2, 4, 1234), (4, 4, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)] {
        bytes.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn set_time(path: &Path, time: SystemTime) {
    File::open(path).unwrap().set_modified(time).unwrap();
}

/// A tree with everything in it.
fn rich(root: &Path) {
    let at = |name: &str| root.join(name);
    for name in ["dir", "dir/sub", "sticky", "links"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("dir/file"), "content").unwrap();
    fs::write(at("empty"), "").unwrap();
    fs::write(path(root, b"dir/\xff\xfe not utf-8\n"), "x").unwrap();
    fs::write(at("program"), "#!").unwrap();
    chown(at("program"), Some(1000), Some(1001)).expect("this test needs root");
    fs::set_permissions(at("program"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::set_permissions(at("sticky"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::hard_link(at("dir/file"), at("links/one")).unwrap();
    fs::hard_link(at("dir/file"), at("a-first")).unwrap();
    symlink("../dir/file", at("links/soft")).unwrap();
    symlink(OsStr::from_bytes(b"no/where\xff"), at("links/broken")).unwrap();
    lchown(at("links/broken"), Some(7), Some(8)).unwrap();
    fs::hard_link(at("links/soft"), at("links/soft-again")).unwrap();
    xattr::set(at("dir/file"), "user.note", b"\0\xff value").unwrap();
    xattr::set(at("dir"), "user.empty", b"").unwrap();
    xattr::set(at("links/soft"), "trusted.soft", b"of the link").unwrap();
    xattr::set(at("empty"), "system.posix_acl_access", &acl()).unwrap();
    xattr::set(at("dir/sub"), "system.posix_acl_default", &acl()).unwrap();
    for (name, kind, device) in [
        ("pipe", FileType::Fifo, 0),
        ("socket", FileType::Socket, 0),
        ("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
        ("disk", FileType::BlockDevice, rustix::fs::makedev(7, 250)),
    ] {
        mknodat(CWD, at(name), kind, Mode::RUSR, device).expect("this test needs root");
    }
    fs::set_permissions(at("dir/file"), fs::Permissions::from_mode(0o400)).unwrap();
    set_time(&at("dir/file"), SystemTime::UNIX_EPOCH - Duration::new(5, 1));
    set_time(&at("empty"), SystemTime::UNIX_EPOCH + Duration::new(9_000_000_000, 123_456_789));
    set_time(&at("dir"), SystemTime::UNIX_EPOCH + Duration::new(1, 999_999_999));
    fs::set_permissions(at("dir/sub"), fs::Permissions::from_mode(0o500)).unwrap();
    set_time(root, SystemTime::UNIX_EPOCH + Duration::new(77, 7));
}

#[test]
fn a_tree_with_everything_in_it_comes_back_equal() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    rich(from.path());
    let (was, written) = copy(from.path(), &to.path().join("new/place"), Overwrite::Refuse);
    assert_eq!(written.problems, []);
    assert_eq!(written.notes.len(), 1, "the specials: {:?}", written.notes);
    let at = to.path().join("new/place");
    assert_equal(&was, &at);
    let (is, _) = entries(&tree(&at));
    let specials: Vec<_> = was.iter().filter(|entry| matches!(entry.kind, EntryKind::Special(_))).cloned().collect();
    let rest: Vec<_> = was.iter().filter(|entry| !specials.contains(entry)).cloned().collect();
    assert_eq!(is, rest);
    assert_eq!(paths(&specials), ["disk", "null", "pipe", "socket"]);
    assert_eq!(specials[0].kind, EntryKind::Special(SpecialKind::BlockDevice { major: 7, minor: 250 }));
    // What the comparison relies on is there at all.
    assert_eq!(find(&is, "dir/file").kind, EntryKind::HardLink { first: b"a-first".to_vec() });
    assert_eq!(find(&is, "a-first").mtime, FileTime { seconds: -6, nanos: 999_999_999 });
    assert_eq!(find(&is, "empty").mtime, FileTime { seconds: 9_000_000_000, nanos: 123_456_789 });
    assert_eq!(find(&is, "program").mode, 0o6755);
    assert_eq!(find(&is, "empty").xattrs[&b"system.posix_acl_access"[..]], acl());
    assert_eq!(find(&is, "dir/sub").xattrs[&b"system.posix_acl_default"[..]], acl());
    assert_eq!(find(&is, "links/soft").xattrs[&b"trusted.soft"[..]], b"of the link");
    assert_eq!(find(&is, "links/soft-again").kind, EntryKind::HardLink { first: b"links/soft".to_vec() });
    assert_eq!(fs::metadata(at.join("a-first")).unwrap().nlink(), 3);
}

#[test]
fn a_sparse_file_is_read_and_restored_without_its_holes() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = File::create(from.path().join("sparse")).unwrap();
    file.set_len(4 << 30).unwrap();
    for offset in [1 << 20, 3 << 30] {
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 10_000], offset).unwrap();
    }
    let small = File::create(from.path().join("all-hole")).unwrap();
    small.set_len(123_456).unwrap();
    let source = tree(from.path());
    let writer = TreeWriter::create(to.path(), Overwrite::Refuse).unwrap();
    for seen in source.walk() {
        let Seen::Entry(mut walked) = seen else { panic!("{seen:?}") };
        if walked.entry.path.is_empty() {
            continue;
        }
        let mut content = source.open_content(&mut walked).unwrap();
        let (mut read, slot) = (Vec::new(), writer.begin_file(&walked.entry).unwrap());
        content.read_to_end(&mut read).unwrap();
        let mut done = 0;
        for Extent { offset, length } in walked.entry.extents() {
            slot.write_at(offset, &read[done..done + length as usize]).unwrap();
            done += length as usize;
        }
        assert!(read.len() < 100_000 && done == read.len(), "{} bytes are no holes", read.len());
        assert_eq!(content.finish().unwrap(), Stability::Unchanged);
        writer.finish_file(&slot);
    }
    let _ = writer.finish().unwrap();
    for (name, data) in [("sparse", 2), ("all-hole", 0)] {
        let meta = fs::metadata(to.path().join(name)).unwrap();
        assert!(meta.blocks() * 512 < 200_000 && meta.len() == fs::metadata(from.path().join(name)).unwrap().len());
        let (is, _) = entries_of(to.path(), name);
        assert!(matches!(&is.kind, EntryKind::File { data: Some(extents), .. } if extents.len() == data), "{is:?}");
    }
    let restored = File::open(to.path().join("sparse")).unwrap();
    let mut back = [0; 10_001];
    std::os::unix::fs::FileExt::read_exact_at(&restored, &mut back, 3 << 30).unwrap();
    assert!(back[..10_000] == [7; 10_000] && back[10_000] == 0);
    let all = std::process::Command::new("sha256sum").arg(from.path().join("all-hole")).output().unwrap().stdout;
    let (_, digest) = entries_of(to.path(), "all-hole");
    assert!(String::from_utf8(all).unwrap().starts_with(&digest), "the digest is the one of sha256sum");
}

fn entries_of(root: &Path, name: &str) -> (TreeEntry, String) {
    let source = tree(root);
    let is_it = |seen| match seen {
        Seen::Entry(walked) if walked.entry.path == name.as_bytes() => Some(walked),
        _ => None,
    };
    let mut walked = source.walk().find_map(is_it).unwrap();
    let content = source.open_content(&mut walked).unwrap();
    let digest = if walked.entry.size() < 1 << 20 { content.sha256().unwrap().0.to_string() } else { String::new() };
    (walked.entry, digest)
}

#[test]
fn a_target_that_holds_something_is_refused_unless_in_place() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(from.path().join("d")).unwrap();
    for name in ["d/f", "g", "h"] {
        fs::write(from.path().join(name), name).unwrap();
    }
    fs::write(to.path().join("g"), "old and longer").unwrap();
    fs::write(to.path().join("own"), "kept").unwrap();
    symlink("/", to.path().join("d")).unwrap();
    symlink("own", to.path().join("h")).unwrap();
    let error = TreeWriter::create(to.path(), Overwrite::Refuse).unwrap_err();
    assert_eq!((error.kind(), error.hint().is_some()), (SourceErrorKind::Occupied, true));
    let (was, written) = copy(from.path(), to.path(), Overwrite::InPlace);
    assert_eq!(written, Written::default());
    let comparison = compare(was.iter().cloned(), to.path(), Extras::Problem).unwrap();
    assert_eq!(comparison.problems, [Problem { subject: "own".to_owned(), what: "it is there and should not be".to_owned() }]);
    assert_eq!(fs::read(to.path().join("own")).unwrap(), b"kept");
    // Twice is as good as once.
    assert_eq!(copy(from.path(), to.path(), Overwrite::InPlace).1, Written::default());
    fs::remove_file(to.path().join("own")).unwrap();
    let _ = copy(from.path(), to.path(), Overwrite::InPlace);
    assert_equal(&was, to.path());
    let fresh = tempfile::tempdir().unwrap();
    fs::create_dir(fresh.path().join("lost+found")).unwrap();
    let _ = copy(from.path(), fresh.path(), Overwrite::Refuse);
    assert_equal(&was, fresh.path());
}

#[test]
fn a_part_of_a_tree_is_restored_with_the_directories_on_its_way() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir_all(from.path().join("a/b/c")).unwrap();
    fs::write(from.path().join("a/b/c/f"), "f").unwrap();
    let (all, _) = entries(&tree(from.path()));
    let part = [find(&all, "a/b/c").clone(), find(&all, "a/b/c/f").clone()];
    let writer = TreeWriter::create(to.path(), Overwrite::Refuse).unwrap();
    for entry in part.iter().rev() {
        put(from.path(), &writer, entry);
    }
    assert_eq!(writer.finish().unwrap(), Written::default());
    assert_equal(&part, to.path());
}

#[test]
fn nothing_is_written_outside_when_a_directory_becomes_a_symlink() {
    let (to, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let from = tempfile::tempdir().unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o711)).unwrap();
    fs::create_dir(from.path().join("d")).unwrap();
    fs::write(from.path().join("d/f"), "f").unwrap();
    let (all, _) = entries(&tree(from.path()));
    for overwrite in [Overwrite::Refuse, Overwrite::InPlace] {
        let target = to.path().join(format!("{overwrite:?}"));
        let writer = TreeWriter::create(&target, overwrite).unwrap();
        writer.write(find(&all, "d")).unwrap();
        fs::remove_dir(target.join("d")).unwrap();
        symlink(outside.path(), target.join("d")).unwrap();
        assert_eq!(writer.begin_file(find(&all, "d/f")).unwrap_err().kind(), SourceErrorKind::Changed);
        assert!(writer.finish().is_err(), "the directory's attributes must not go outside");
    }
    for bad in [&b"../x"[..], b"/x", b"a/../../x", b"a\0b", b""] {
        let writer = TreeWriter::create(&to.path().join("fresh"), Overwrite::InPlace).unwrap();
        let entry = TreeEntry { path: bad.to_vec(), ..find(&all, "d/f").clone() };
        assert_eq!(writer.begin_file(&entry).unwrap_err().kind(), SourceErrorKind::Usage);
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert_eq!(fs::metadata(outside.path()).unwrap().mode() & 0o7777, 0o711);
}

#[test]
fn without_root_owners_are_noted_and_setuid_is_not_given_to_the_wrong_person() {
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("program"), "#!").unwrap();
    fs::set_permissions(from.path().join("program"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(from.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let to = tempfile::tempdir().unwrap();
    fs::set_permissions(to.path(), fs::Permissions::from_mode(0o777)).unwrap();
    as_nobody(|| {
        let (was, written) = copy(from.path(), &to.path().join("new"), Overwrite::Refuse);
        assert_eq!((written.problems, written.notes[0].subject.as_str()), (vec![], "2 entries"));
        let comparison = compare(was.into_iter(), &to.path().join("new"), Extras::Problem).unwrap();
        assert_eq!((comparison.owners, comparison.problems.len()), (2, 1), "the missing setuid: {:?}", comparison.problems);
    });
    assert_eq!(fs::metadata(to.path().join("new/program")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn attributes_that_a_target_cannot_hold_are_problems() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(from.path().join("f"), "f").unwrap();
    let (mut all, _) = entries(&tree(from.path()));
    all[1].xattrs.insert(b"nonsense.name".to_vec(), b"v".to_vec());
    let writer = TreeWriter::create(to.path(), Overwrite::Refuse).unwrap();
    put(from.path(), &writer, &all[1]);
    writer.write(&TreeEntry { path: b"link".to_vec(), kind: EntryKind::HardLink { first: b"gone".to_vec() }, ..all[1].clone() }).unwrap();
    let problems = writer.finish().unwrap().problems;
    assert_eq!(problems.iter().map(|p| p.subject.as_str()).collect::<Vec<_>>(), ["f", "link"], "{problems:?}");
}

#[test]
fn every_difference_is_found() {
    let from = tempfile::tempdir().unwrap();
    rich(from.path());
    let (was, _) = entries(&tree(from.path()));
    type Change<'a> = &'a dyn Fn(&Path);
    let differences: [(&str, Change<'_>); 9] = [
        ("empty", &|root| fs::write(root.join("empty"), "x").unwrap()),
        ("dir/sub", &|root| fs::remove_dir(root.join("dir/sub")).unwrap()),
        ("extra", &|root| fs::write(root.join("extra"), "").unwrap()),
        ("more", &|root| fs::create_dir(root.join("more")).unwrap()),
        ("program", &|root| fs::set_permissions(root.join("program"), fs::Permissions::from_mode(0o755)).unwrap()),
        ("dir", &|root| xattr::remove(root.join("dir"), "user.empty").unwrap()),
        ("sticky", &|root| set_time(&root.join("sticky"), SystemTime::UNIX_EPOCH)),
        ("program", &|root| {
            let time = fs::metadata(root.join("program")).unwrap().modified().unwrap();
            let file = fs::OpenOptions::new().write(true).open(root.join("program")).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, b"!#", 0).unwrap();
            file.set_permissions(fs::Permissions::from_mode(0o6755)).unwrap();
            file.set_modified(time).unwrap();
        }),
        ("links/broken", &|root| {
            fs::remove_file(root.join("links/broken")).unwrap();
            symlink("else/where", root.join("links/broken")).unwrap();
        }),
    ];
    for (name, differ) in differences {
        let to = tempfile::tempdir().unwrap();
        let _ = copy(from.path(), to.path(), Overwrite::Refuse);
        assert_equal(&was, to.path());
        differ(to.path());
        let problems = compare(was.iter().cloned(), to.path(), Extras::Problem).unwrap().problems;
        assert!(problems.iter().any(|problem| problem.subject == name), "{name}: {problems:?}");
    }
}

#[test]
fn twenty_thousand_files_written_by_four_threads_come_back_equal() {
    // In memory where there is room: on a slow disk the cleaning up alone takes a minute.
    let room = rustix::fs::statvfs("/dev/shm").map_or(0, |stat| stat.f_bavail * stat.f_frsize);
    let place = if room > 1 << 30 { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
    let (from, to) = (tempfile::tempdir_in(&place).unwrap(), tempfile::tempdir_in(&place).unwrap());
    for n in 0..20_000 {
        let directory = from.path().join(format!("{}/{}", n % 7, n % 141));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(n.to_string()), n.to_string()).unwrap();
    }
    let source = tree(from.path());
    let started = Instant::now();
    let walked = source.walk().count();
    println!("{walked} entries walked in {:?}", started.elapsed());
    let (all, _) = entries(&source);
    let writer = TreeWriter::create(to.path(), Overwrite::Refuse).unwrap();
    std::thread::scope(|scope| {
        for part in all.chunks(all.len() / 4 + 1) {
            scope.spawn(|| part.iter().for_each(|entry| put(from.path(), &writer, entry)));
        }
    });
    assert_eq!(writer.finish().unwrap(), Written::default());
    assert!(all.len() > 20_900 && walked == all.len());
    assert_equal(&all, to.path());
}
