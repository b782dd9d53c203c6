//! A small repository with two epochs, two vaults and four points, that can be damaged again and again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;

use crate::cli::Home;

const LINEAGE: &str = "daily@here/1";

/// The kinds of object that are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Repo,
    Trust,
    TrustSignature,
    Vault,
    Entry,
    Signature,
    Sealed,
    PackList,
    Pack,
    Index,
    Hints,
}

/// The repository, and everything to put it back.
pub struct Lab {
    pub home: Home,
    newest: u64,
    manifest: Value,
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_tree(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Bytes that no codec makes smaller, the same for the same seed.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(|_| next()).collect()
}

/// Files and their contents, below a folder.
pub fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap()))
        .collect();
    found.sort();
    found
}

impl Lab {
    pub fn new() -> Lab {
        let home = Home::new();
        let at = |name: &str| home.path().join(name).display().to_string();
        for folder in ["p", "o", "c", "src"] {
            fs::create_dir(home.path().join(folder)).unwrap();
        }
        let text = format!(
            "site: here\nlocations:\n  primary: {{ url: \"file://{}\" }}\n  other: {{ url: \"file://{}\" }}\ncontrol: {{ url: \"file://{}\" }}\n\
             capture_key_file: {}\noperator_key_file: {}\nstate_dir: {}\nsources:\n  documents: {{ files: {{ path: {} }} }}\n\
             policies:\n  daily:\n    members: {{ documents: required }}\n",
            at("p"),
            at("o"),
            at("c"),
            at("capture.key"),
            at("operator.key"),
            at("state"),
            at("src"),
        );
        home.write("hourglass.yaml", text);
        let mut lab = Lab { home, newest: 0, manifest: Value::Null };
        lab.must(&["init", "--write"]);
        for round in 1..=4 {
            lab.change(round);
            if round == 3 {
                lab.must(&["keys", "vault", "--root", "root.key"]);
            }
            let point = lab.must(&["backup", "daily"])["point"].as_str().unwrap().to_owned();
            copy_tree(&lab.path("src"), &lab.path(&format!("saved/{point}").replace(':', "-")));
            lab.newest = point.rsplit_once(':').unwrap().1.parse().unwrap();
            lab.manifest = lab.must(&["points", "show", &point])["manifest"].clone();
        }
        for folder in ["p", "o", "c", "state", "src"] {
            copy_tree(&lab.path(folder), &lab.path("template").join(folder));
        }
        lab
    }

    /// Puts everything back as it was before the damage.
    pub fn reset(&self) {
        for folder in ["p", "o", "c", "state", "src"] {
            fs::remove_dir_all(self.path(folder)).unwrap();
            copy_tree(&self.path("template").join(folder), &self.path(folder));
        }
    }

    /// Something new to save.
    pub fn change(&self, round: u64) {
        self.home.write(&format!("src/large-{round}"), noise(round, 300_000));
        for file in 0..20 {
            self.home.write(&format!("src/small-{round}-{file}"), format!("{round} {file}\n"));
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn run(&self, arguments: &[&str]) -> (i32, Value, String) {
        let Output { status, stdout, stderr } = self.home.output(&[&["--output", "json", "--quiet"], arguments].concat());
        let envelope: Value = serde_json::from_slice(&stdout).unwrap_or_else(|_| panic!("{arguments:?}: {}", String::from_utf8_lossy(&stderr)));
        let text = String::from_utf8(stdout).unwrap();
        (status.code().unwrap(), envelope["data"].clone(), text)
    }

    pub fn must(&self, arguments: &[&str]) -> Value {
        let (status, data, text) = self.run(arguments);
        assert_eq!(status, 0, "{arguments:?}: {text}");
        data
    }

    /// Restores the newest point that the record shows. When that ends well, the data must be what that point saved; gives the exit
    /// status and the point.
    pub fn restore(&self, case: &str) -> (i32, Option<String>) {
        let _old = fs::remove_dir_all(self.path("out"));
        let (status, data, text) = self.run(&["restore", "daily", "documents", "--to", "out"]);
        if status != 0 {
            assert!(text.contains("\"message\"") || text.contains("\"what\""), "{case}: a restore that failed does not say why: {text}");
            return (status, None);
        }
        let point = data["point"].as_str().unwrap().to_owned();
        let saved = self.path(&format!("saved/{point}").replace(':', "-"));
        let expected = if saved.exists() { saved } else { self.path("src") };
        assert!(contents(&self.path("out")) == contents(&expected), "{case}: the restore of {point} ended well with other data");
        (status, Some(point))
    }

    /// All objects of a kind, the one to damage first: one that the newest point needs.
    pub fn objects(&self, kind: Kind) -> Vec<PathBuf> {
        let epoch = self.manifest["epoch"].as_str().unwrap();
        let one = |field: &str| self.manifest[field][0].as_str().unwrap_or_default().to_owned();
        let entry = format!("{LINEAGE}/record/{:020}.json", self.newest);
        let digest = |path: &str| hex(&self.path("p").join(path));
        let (folder, first) = match kind {
            Kind::Repo => (String::new(), "repo.json".to_owned()),
            Kind::Trust => ("trust".to_owned(), "00000000000000000002.json".to_owned()),
            Kind::TrustSignature => ("trust/signatures".to_owned(), format!("{}.minisig", digest("trust/00000000000000000002.json"))),
            Kind::Vault => (format!("vaults/{}", self.manifest["vault"].as_str().unwrap()), "00000000000000000001.age".to_owned()),
            Kind::Entry => (format!("{LINEAGE}/record"), format!("{:020}.json", self.newest)),
            Kind::Signature => (format!("{LINEAGE}/signatures"), format!("{}.minisig", digest(&entry))),
            Kind::Sealed => (format!("{LINEAGE}/sealed"), format!("{}.age", self.manifest["sealed"].as_str().unwrap())),
            Kind::PackList => {
                (format!("{LINEAGE}/packlists/{epoch}"), format!("{}.json", self.manifest["pack_lists"][0]["sha256"].as_str().unwrap()))
            }
            Kind::Pack => (format!("{LINEAGE}/packs/{epoch}"), self.largest(&format!("{LINEAGE}/packs/{epoch}"))),
            Kind::Index => (format!("{LINEAGE}/index/{epoch}"), format!("{}.age", one("index"))),
            Kind::Hints => (format!("{LINEAGE}/hints/{epoch}"), format!("{}.age", one("hints"))),
        };
        let folder = self.path("p").join(folder);
        let first = folder.join(first);
        assert!(first.is_file(), "{kind:?}: {}", first.display());
        let all = if kind == Kind::Vault { self.path("p/vaults") } else { folder };
        let mut found = vec![first.clone()];
        found.extend(files(&all, kind == Kind::Vault).into_iter().filter(|path| *path != first && kind != Kind::Repo));
        found
    }

    /// What the next number of a kind is called, if it has numbers.
    pub fn next_number(&self, kind: Kind) -> Option<PathBuf> {
        let path = self.objects(kind).remove(0);
        let last = match kind {
            Kind::Trust | Kind::Vault => path.file_name()?.to_str()?.split('.').next()?.parse::<u64>().ok()?,
            Kind::Entry => files(path.parent()?, false).len() as u64,
            _ => return None,
        };
        Some(path.with_file_name(format!("{:020}.{}", last + 1, path.extension()?.to_str()?)))
    }

    fn largest(&self, folder: &str) -> String {
        let largest = files(&self.path("p").join(folder), false).into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
        largest.file_name().unwrap().to_str().unwrap().to_owned()
    }
}

fn files(folder: &Path, deep: bool) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    if deep {
        found = found.iter().flat_map(|path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path())).collect();
    }
    found.retain(|path| path.is_file());
    found.sort();
    found
}

fn hex(path: &Path) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &fs::read(path).unwrap());
    ::hex::encode(digest.as_ref())
}
