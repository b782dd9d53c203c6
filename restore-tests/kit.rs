//! Kits: what a recovery begins with when nothing else is left, and what must never be believed or packed.

use std::{
    fs,
    io::Read,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use hourglass::{
    orchestrator::kit::manifest::{Manifest, PackedFile},
    pipeline::sha256,
    repository::keys::{IdentityFile, SigningKey},
};
use serde_json::Value;

use crate::{
    byhand::{execute, said},
    recover::{World, once},
    site::{assert_same_tree, listing},
};

/// A site with a point, a runbook that uses files beside it, and a small program instead of the large one.
fn world() -> World {
    let world = World::new(100_000);
    world.book("", &[&once("one", ""), "id: tree\nneeds: [one]\nbudget: 1s\nrestore: { member: files, to: \"${dir}/restored\" }", &script()]);
    let text = world.text("book.md").replace("policy: single\n", "policy: single\nfiles: [tools, ca.pem]\n");
    fs::write(world.site.path("book.md"), text).unwrap();
    fs::create_dir(world.site.path("tools")).unwrap();
    fs::write(world.site.path("tools/mark.sh"), "#!/bin/sh\necho marked > \"$1/marked\"\n").unwrap();
    fs::set_permissions(world.site.path("tools/mark.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(world.site.path("ca.pem"), "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n").unwrap();
    fs::write(world.site.path("program"), "#!/bin/sh\n").unwrap();
    world
}

fn script() -> String {
    "id: mark\nneeds: [tree]\nbudget: 1s\ncommand: { run: [tools/mark.sh, \"${dir}\"], check: [test, -e, \"${dir}/marked\"] }".to_owned()
}

fn create(world: &World, kit: &str, more: &[&str], status: i32) -> String {
    let arguments = ["kit", "create", "--runbook", "book.md", "--program", "program", "--to", kit];
    world.site.run(&[&arguments, more].concat(), status)
}

fn unpack(world: &World, kit: &str, to: &Path, status: i32) -> String {
    let (root, to) = (world.site.trust_root(), to.display().to_string());
    world.site.run(&["kit", "unpack", kit, "--to", &to, "--trust-root", &root], status)
}

/// Whether a folder holds nothing.
fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

#[test]
fn a_kit_makes_recover_work_in_an_empty_home_whatever_was_killed() {
    let world = world();
    let expected = listing(&world.site.path("tree"));
    // Enough to be killed in.
    let mut noise = vec![0; 48 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    fs::write(world.site.path("image"), noise).unwrap();
    let told = world.site.run(&["kit", "create", "--runbook", "book.md", "--image", "image", "--to", "kit.tar"], 0);
    assert!(told.contains("capture.key: a secret") && told.contains("operator.key: a secret"), "{told}");
    let (elsewhere, home) = (tempfile::tempdir_in(world.site.path("")).unwrap(), tempfile::tempdir().unwrap());
    let to = elsewhere.path().join("recovery");
    let root = world.site.trust_root();
    let mut half = 0;
    for wait in [0, 5, 20, 60, 150] {
        let arguments = ["kit", "unpack", "kit.tar", "--to", &to.display().to_string(), "--trust-root", &root];
        let mut child = world.site.command(&arguments).spawn().unwrap();
        // Everything is read and believed before the first file is written.
        let written = |to: &Path| fs::read_dir(to).map_or(0, Iterator::count);
        let before = written(&to);
        while (written(&to) <= before.min(1)) && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        let unfinished = to.join(".unpacking").exists() && !to.join("hourglass.yaml").exists();
        half += usize::from(unfinished);
        if !to.join(".unpacking").exists() && !is_empty(&to) {
            fs::remove_dir_all(&to).unwrap();
        }
    }
    println!("{half} of 5 kills left a half");
    assert!(half > 0);
    unpack(&world, "kit.tar", &to, 0);
    assert!(to.join("hourglass.yaml").exists() && !to.join(".unpacking").exists());
    assert_eq!(fs::read(world.site.path("image")).unwrap(), fs::read(to.join("image.tar")).unwrap());
    // What the kit does not bring. The site itself has lost everything but its stores.
    fs::copy(world.site.path("operator.key"), to.join("operator.key")).unwrap();
    for lost in ["hourglass.yaml", "capture.key", "operator.key", "state", "tools", "book.md"] {
        let path = world.site.path(lost);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    let dir = format!("dir={}", elsewhere.path().display());
    let mut command = Command::new(to.join("hourglass"));
    command.args(["recover", "book.md", "--var", &dir, "--quiet"]).current_dir(&to).env_clear().env("HOME", home.path());
    let output = command.env("PATH", std::env::var_os("PATH").unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_same_tree(&expected, &elsewhere.path().join("restored"));
    assert!(elsewhere.path().join("marked").exists());
}

/// Every byte of a small kit counts: the program is told, ends with status 6, and writes nothing.
#[test]
fn a_damaged_truncated_or_forged_kit_is_refused_before_anything_is_written() {
    let world = world();
    create(&world, "kit.tar", &[], 0);
    let good = fs::read(world.site.path("kit.tar")).unwrap();
    let to = world.site.path("to");
    let refused = |bytes: &[u8], what: &str| {
        fs::write(world.site.path("bad.tar"), bytes).unwrap();
        let said = unpack(&world, "bad.tar", &to, 6);
        assert!(!to.exists() && (said.contains("damaged") || said.contains("not to be believed")), "{what}: {said}");
    };
    // The fourth byte of every block: of names in headers, and of content. Where it is zero, nothing is held.
    for at in (3..good.len()).step_by(512).filter(|at| good[*at] != 0) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        refused(&bad, &format!("a flipped bit at {at}"));
    }
    for cut in [0, 1, 511, 512, 700, 5000, good.len() / 2, good.len() - 1025, good.len() - 1024, good.len() - 1] {
        refused(&good[..cut], &format!("cut at {cut}"));
    }
    refused(&[&good[..], &[0; 512]].concat(), "longer");
    refused(&[&good[..], b"x"].concat(), "longer by a letter");
    // Whole and well signed, but by somebody else: a stranger, and the cluster's own key.
    let capture = IdentityFile::open_capture(&world.site.path("capture.key")).unwrap().signing_key;
    for key in [SigningKey::generate(), capture] {
        refused(&signed_by(&good, &key, |_| {}), "another signer");
    }
    let operator = IdentityFile::open_operator(&world.site.path("operator.key")).unwrap().signing_key;
    // The same with the right key is good, so that the cases above failed for the signature.
    fs::write(world.site.path("same.tar"), signed_by(&good, &operator, |_| {})).unwrap();
    unpack(&world, "same.tar", &to, 0);
    let other = SigningKey::generate().public().to_string();
    let arguments = ["kit", "unpack", "kit.tar", "--to", "to2", "--trust-root", &other];
    assert!(world.site.run(&arguments, 6).contains("it is of the root"));
}

/// An archive of the same entries with another manifest, signed.
fn signed_by(good: &[u8], key: &SigningKey, change: impl Fn(&mut Manifest)) -> Vec<u8> {
    let mut files = entries(good);
    let mut manifest = Manifest::parse(&files[0].1).unwrap();
    manifest.signer = key.public().clone();
    change(&mut manifest);
    files[0].1 = manifest.to_bytes();
    files[1].1 = key.sign(&"kit/manifest.json".parse().unwrap(), &files[0].1).into_bytes();
    archive(files.iter().map(|(name, bytes)| (name.as_str(), tar::EntryType::Regular, &bytes[..])))
}

fn entries(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let entry = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    };
    archive.entries().unwrap().map(entry).collect()
}

/// Names are put into headers as they are: no library corrects them.
fn archive<'a>(entries: impl Iterator<Item = (&'a str, tar::EntryType, &'a [u8])>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(if kind == tar::EntryType::Regular { bytes.len() as u64 } else { 0 });
        if kind != tar::EntryType::Regular {
            header.set_link_name("../outside").unwrap();
        }
        header.set_cksum();
        builder.append(&header, if kind == tar::EntryType::Regular { bytes } else { &[] }).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Even an operator's own signature unpacks nothing outside of the folder.
#[test]
fn no_name_and_no_link_in_a_kit_leads_out_of_its_folder() {
    let world = world();
    create(&world, "kit.tar", &[], 0);
    let good = fs::read(world.site.path("kit.tar")).unwrap();
    let key = IdentityFile::open_operator(&world.site.path("operator.key")).unwrap().signing_key;
    let to = world.site.path("deep/to");
    let outside = world.site.path("deep/outside");
    let refused = |bytes: &[u8], what: &str| {
        fs::write(world.site.path("bad.tar"), bytes).unwrap();
        let said = unpack(&world, "bad.tar", &to, 6);
        assert!(!to.exists() && !outside.exists(), "{what}: {said}");
    };
    for name in ["../outside", "/tmp/hourglass-outside", "a/../../outside", "./a", "a//b", "book.md", "book.md/below", "manifest.json"] {
        let mut files = entries(&good);
        let mut manifest = Manifest::parse(&files[0].1).unwrap();
        let evil = PackedFile { name: name.to_owned(), size: 1, sha256: sha256(b"x"), executable: false };
        let at = manifest.files.len() - 1;
        manifest.files.insert(at, evil);
        files.insert(at + 2, (name.to_owned(), b"x".to_vec()));
        // `Manifest::parse` would refuse it, so the bytes are made without it.
        files[0].1 = manifest.to_bytes();
        files[1].1 = key.sign(&"kit/manifest.json".parse().unwrap(), &files[0].1).into_bytes();
        refused(&archive(files.iter().map(|(name, bytes)| (name.as_str(), tar::EntryType::Regular, &bytes[..]))), name);
    }
    // A well signed manifest, and an archive that does not keep to it.
    let files = entries(&good);
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Directory, tar::EntryType::Fifo] {
        let of = |(name, bytes): &'_ (String, Vec<u8>)| (name.clone(), if name == "ca.pem" { kind } else { tar::EntryType::Regular }, bytes.clone());
        let changed: Vec<_> = files.iter().map(of).collect();
        refused(&archive(changed.iter().map(|(name, kind, bytes)| (name.as_str(), *kind, &bytes[..]))), &format!("{kind:?}"));
    }
    let regular = |(name, bytes): &'_ (String, Vec<u8>)| (name.clone(), tar::EntryType::Regular, bytes.clone());
    let mut more: Vec<_> = files.iter().map(regular).collect();
    more.push(("../outside".to_owned(), tar::EntryType::Regular, b"x".to_vec()));
    refused(&archive(more.iter().map(|(name, kind, bytes)| (name.as_str(), *kind, &bytes[..]))), "one more");
    // What somebody has put into the folder meanwhile is not written through.
    fs::create_dir_all(&to).unwrap();
    fs::write(to.join(".unpacking"), format!("{}\n", sha256(&files[0].1))).unwrap();
    symlink("../outside", to.join("ca.pem")).unwrap();
    unpack(&world, "kit.tar", &to, 0);
    assert!(!outside.exists() && to.join("ca.pem").symlink_metadata().unwrap().is_file());
}

#[test]
fn a_private_key_is_never_packed_wherever_it_hides() {
    let world = world();
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n";
    let operator = fs::read_to_string(world.site.path("operator.key")).unwrap();
    let hide = |name: &str, bytes: &[u8]| fs::write(world.site.path(name), bytes).unwrap();
    let refused = |what: &str| {
        let said = create(&world, "kit.tar", &[], 2);
        assert!(said.contains("a kit never does") && !world.site.path("kit.tar").exists(), "{what}: {said}");
    };
    for (name, text) in [("pem", key), ("operator", operator.as_str())] {
        hide("tools/hidden", text.as_bytes());
        refused(name);
    }
    let chart = Command::new("tar").args(["--create", "--gzip", "--file", "chart.tgz", "tools/hidden"]).current_dir(world.site.path("")).status();
    assert!(chart.unwrap().success());
    fs::rename(world.site.path("chart.tgz"), world.site.path("tools/hidden")).unwrap();
    refused("a chart");
    fs::remove_file(world.site.path("tools/hidden")).unwrap();
    let book = world.text("book.md");
    hide("book.md", format!("{book}\n{key}").as_bytes());
    refused("the runbook");
    hide("book.md", book.as_bytes());
    symlink(world.site.path("operator.key"), world.site.path("tools/link")).unwrap();
    refused("a link");
    fs::remove_file(world.site.path("tools/link")).unwrap();
    create(&world, "kit.tar", &[], 0);
    let all = fs::read(world.site.path("kit.tar")).unwrap();
    for identity in ["operator.key", "capture.key", "root.key"] {
        let secret: Value = serde_json::from_slice(&fs::read(world.site.path(identity)).unwrap()).unwrap();
        let secret = crate::site::find(&secret, "signing_key").unwrap().as_str().unwrap();
        assert!(memchr::memmem::find(&all, secret.as_bytes()).is_none(), "{identity}");
    }
}

#[test]
fn check_says_what_is_missing_or_old() {
    let world = world();
    fs::write(world.site.path("forgotten.txt"), "x").unwrap();
    let text = world.text("book.md");
    fs::write(world.site.path("book.md"), text.replace("[grep, -qx, one,", "[grep, -qx, one, forgotten.txt,")).unwrap();
    let said = create(&world, "incomplete.tar", &[], 3);
    assert!(said.contains("forgotten.txt: test, Step 0 names it, and the kit does not bring it"), "{said}");
    fs::write(world.site.path("book.md"), &text).unwrap();
    create(&world, "kit.tar", &["--valid", "365d"], 0);
    let check = |kit: &str, status: i32| world.site.run(&["kit", "check", kit], status);
    let said = check("kit.tar", 0);
    assert!(said.contains("the newest good point of single: single@we/1:") && said.contains("nothing is missing or old"), "{said}");
    fs::write(world.site.path("tools/mark.sh"), "#!/bin/sh\nexit 1\n").unwrap();
    fs::remove_file(world.site.path("ca.pem")).unwrap();
    world.site.configure("# changed\n");
    let said = check("kit.tar", 3);
    for text in ["hourglass.yaml: it changed since", "tools/mark.sh: it changed since", "ca.pem: it is not here any more"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    // The runbook names a member that the configuration of the kit does not have any more.
    fs::write(world.site.path("ca.pem"), "x").unwrap();
    create(&world, "short.tar", &["--valid", "1s"], 0);
    std::thread::sleep(Duration::from_secs(2));
    assert!(check("short.tar", 3).contains("kit: it was fresh until"));
    let to = world.site.path("old");
    assert!(unpack(&world, "short.tar", &to, 3).contains("what it knows may be old") && to.join("hourglass.yaml").exists());
    // Somebody else is trusted since.
    create(&world, "before.tar", &[], 0);
    world.site.run(&["keys", "vault", "--root", "root.key"], 0);
    assert!(check("before.tar", 3).contains("trust: the location primary has number 2, and the kit ends at 1"));
    // The store is gone.
    create(&world, "last.tar", &[], 0);
    fs::rename(world.site.path("repository"), world.site.path("gone")).unwrap();
    let said = check("last.tar", 3);
    assert!(said.contains("location primary: it cannot be read") && said.contains("single: no location shows a good recovery point"), "{said}");
    assert!(world.site.run(&["kit", "check", "last.tar", "--offline"], 0).contains("nothing is missing"));
    create(&world, "none.tar", &[], 1);
    assert!(!world.site.path("none.tar").exists());
}

#[test]
fn the_page_of_the_format_verifies_a_kit_with_stock_tools() {
    let world = world();
    create(&world, "kit.tar", &[], 0);
    let root = world.site.trust_root();
    let look = |kit: PathBuf, root: &str| {
        let work = world.site.path("work");
        let _gone = fs::remove_dir_all(&work);
        let output = execute("kit.md", &[("KIT", kit.to_str().unwrap()), ("TRUST_ROOT", root), ("WORK", work.to_str().unwrap())]);
        (output.status.code(), said(&output))
    };
    let (status, text) = look(world.site.path("kit.tar"), &root);
    assert!(status == Some(0) && text.contains("the kit is good"), "{text}");
    world.site.run(&["kit", "create", "--runbook", "book.md", "--program", "program", "--to", "root.tar", "--root-key", "root.key"], 0);
    let (status, text) = look(world.site.path("root.tar"), &root);
    assert_eq!(status, Some(0), "{text}");
    let good = fs::read(world.site.path("kit.tar")).unwrap();
    let other = SigningKey::generate();
    let capture = IdentityFile::open_capture(&world.site.path("capture.key")).unwrap().signing_key;
    let operator = IdentityFile::open_operator(&world.site.path("operator.key")).unwrap().signing_key;
    let mut flipped = good.clone();
    let at = memchr::memmem::find(&good, b"echo marked").unwrap();
    flipped[at] ^= 1;
    let signed_files = signed_by(&good, &operator, |_| {});
    let unsigned = signed_by(&good, &capture, |manifest| manifest.signer = operator.public().clone());
    for (name, bytes) in [
        ("flipped", flipped),
        ("stranger", signed_by(&good, &other, |_| {})),
        ("capture", signed_by(&good, &capture, |_| {})),
        ("unsigned", unsigned),
    ] {
        fs::write(world.site.path("bad.tar"), bytes).unwrap();
        let (status, text) = look(world.site.path("bad.tar"), &root);
        assert!(status == Some(1) && text.contains("WRONG"), "{name}: {text}");
    }
    fs::write(world.site.path("bad.tar"), signed_files).unwrap();
    assert_eq!(look(world.site.path("bad.tar"), &root).0, Some(0));
    assert_eq!(look(world.site.path("kit.tar"), other.public().as_str()).0, Some(1));
}
