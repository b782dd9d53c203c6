//! A site to protect: a home with data, a configuration and keys, in which the binary is run.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Output},
};

use aws_lc_rs::digest::{SHA256, digest};
use hourglass::{
    config::{LockMode, StoreConfig},
    storage::{ObjectStore, list_all},
};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::lab::require;

/// A home of its own.
pub struct Site {
    home: tempfile::TempDir,
    program: PathBuf,
    env: Vec<(String, String)>,
}

impl Site {
    /// A home whose configuration has these locations (as YAML) and control store, and no sources yet. Nothing is initialised.
    pub fn new(site: &str, locations: &[(&str, String)], control: &str) -> Site {
        let made = Site::unconfigured();
        made.begin(site, locations, control);
        made
    }

    /// A home whose stores are directories in it.
    pub fn in_directories() -> Site {
        let site = Site::unconfigured();
        let [repository, control] = ["repository", "control"].map(|name| {
            fs::create_dir(site.path(name)).unwrap();
            format!("{{ url: {:?} }}", site.path(name).display().to_string())
        });
        site.begin("we", &[("primary", repository)], &control);
        site
    }

    /// Where extended attributes are kept.
    fn unconfigured() -> Site {
        let home = tempfile::tempdir_in(require("HOURGLASS_LAB_DIR")).unwrap();
        Site { home, program: env!("CARGO_BIN_EXE_hourglass").into(), env: Vec::new() }
    }

    /// An empty home into which a kit is unpacked, whose own program is run from then on.
    pub fn of_a_kit(kit: &Path, trust_root: &str) -> Site {
        let empty = Site::unconfigured();
        let home = empty.home.path().display().to_string();
        empty.run(&["kit", "unpack", kit.to_str().unwrap(), "--to", &home, "--trust-root", trust_root], 0);
        Site { program: empty.path("hourglass"), ..empty }
    }

    fn begin(&self, site: &str, locations: &[(&str, String)], control: &str) {
        let locations: String = locations.iter().map(|(name, store)| format!("  {name}: {store}\n")).collect();
        let keys = "capture_key_file: capture.key\noperator_key_file: operator.key\nstate_dir: state\n";
        fs::write(self.path("hourglass.yaml"), format!("site: {site}\nlocations:\n{locations}control: {control}\n{keys}")).unwrap();
    }

    /// With the credentials of the lab's S3 servers.
    pub fn with_s3(mut self) -> Site {
        self.env.push(("AWS_ACCESS_KEY_ID".to_owned(), require("HOURGLASS_LAB_S3_KEY")));
        self.env.push(("AWS_SECRET_ACCESS_KEY".to_owned(), require("HOURGLASS_LAB_S3_SECRET")));
        self.env.push(("AWS_REGION".to_owned(), "us-east-1".to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Adds lines to the configuration.
    pub fn configure(&self, text: &str) {
        let config = fs::read_to_string(self.path("hourglass.yaml")).unwrap();
        fs::write(self.path("hourglass.yaml"), config + text).unwrap();
    }

    /// `init`, then a source `files` of the folder `tree`, a source `stream` of the file `stream`, and a policy of both per kind of epoch,
    /// whose vault is proved.
    pub fn protect_tree_and_stream(&self) {
        self.run(&["init", "--write"], 0);
        let (tree, stream) = (self.path("tree"), self.path("stream"));
        let dump = format!("[cat, {:?}]", stream.display().to_string());
        self.configure(&format!("sources:\n  files: {{ files: {{ path: {:?} }} }}\n", tree.display().to_string()));
        self.configure(&format!("  stream: {{ command: {{ dump: {dump}, load: [cat] }} }}\npolicies:\n"));
        for mode in ["rolling", "single"] {
            self.configure(&format!(
                "  {mode}: {{ members: {{ files: required, stream: required }}, epoch: {{ mode: {mode} }}, keep: {{ daily: 2 }} }}\n"
            ));
        }
        self.run(&["keys", "prove"], 0);
    }

    /// `hourglass`, ready to run here with nothing of the tester's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let own = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        command.args(arguments).current_dir(self.home.path()).env_clear().env("HOME", self.home.path());
        command.env("PATH", std::env::var_os("PATH").unwrap()).envs(own);
        command
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it, expects an exit status, and gives all that was printed.
    pub fn run(&self, arguments: &[&str], status: i32) -> String {
        let output = self.output(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        text
    }

    /// Restores a whole point into a new folder of this name.
    pub fn restore(&self, point: &str, to: &str) -> PathBuf {
        self.run(&["restore", point, "--to", to, "--quiet"], 0);
        self.path(to)
    }

    /// The value of `trust_root` in the configuration.
    pub fn trust_root(&self) -> String {
        let config = fs::read_to_string(self.path("hourglass.yaml")).unwrap();
        let line = config.lines().find_map(|line| line.strip_prefix("trust_root: ")).unwrap();
        line.trim_matches('"').to_owned()
    }
}

/// The value of a key, wherever it stands in an answer in JSON: the first one.
pub fn find<'a>(value: &'a serde_json::Value, key: &str) -> Option<&'a serde_json::Value> {
    match value {
        serde_json::Value::Object(map) => map.get(key).or_else(|| map.values().find_map(|value| find(value, key))),
        serde_json::Value::Array(values) => values.iter().find_map(|value| find(value, key)),
        _ => None,
    }
}

/// A store as the configuration writes it.
pub fn yaml(config: &StoreConfig) -> String {
    let mut keys = vec![format!("url: {:?}", config.url.to_string())];
    keys.extend(config.endpoint.iter().map(|endpoint| format!("endpoint: {:?}", endpoint.as_str())));
    keys.extend(config.path_style.then(|| "path_style: true".to_owned()));
    keys.extend(config.account_key_file.iter().map(|path| format!("account_key_file: {:?}", path.display().to_string())));
    keys.extend(config.lock.map(|lock| format!("lock: {}", if lock == LockMode::Governance { "governance" } else { "compliance" })));
    format!("{{ {} }}", keys.join(", "))
}

/// Every object of a store, below a folder, with its key as path.
pub async fn download(store: &dyn ObjectStore, to: &Path) {
    for object in list_all(store, "").await.unwrap() {
        let path = to.join(object.key.as_str());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, store.get(&object.key, None).await.unwrap()).unwrap();
    }
}

/// Makes a tree of everything that a restore has to bring back. Little data: `noise` bytes that do not compress, and small files.
pub fn make_tree(root: &Path, noise: usize) {
    let at = |name: &[u8]| root.join(OsStr::from_bytes(name));
    for folder in ["", "a", "a/b", "empty", "closed", "with\nline feed and \"quotes\" | \\ \u{7f} ü"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    for number in 0..40 {
        fs::write(root.join(format!("a/b/small-{number:02}")), format!("small file {number}\n").repeat(number)).unwrap();
    }
    let mut bytes = vec![0; noise];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    fs::write(at(b"noise"), bytes).unwrap();
    fs::write(at(b"not-utf8-\xff\xfe-line\n"), "x").unwrap();
    fs::write(at(b"-begins with a dash"), "y").unwrap();
    fs::write(at(b"closed/inside"), "z").unwrap();
    symlink("a/b/small-01", at(b"link")).unwrap();
    symlink(OsStr::from_bytes(b"nowhere-\xff"), at(b"a/link-to-nowhere")).unwrap();
    fs::hard_link(at(b"a/b/small-07"), at(b"hard-\xfe-link")).unwrap();
    fs::hard_link(at(b"link"), at(b"link-twice")).unwrap();
    let sparse = fs::File::create(at(b"sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    for (offset, text) in [(0, &b"begin"[..]), (1 << 20, b"middle"), ((3 << 20) - 3, b"end")] {
        std::os::unix::fs::FileExt::write_all_at(&sparse, text, offset).unwrap();
    }
    fs::File::create(at(b"all-hole")).unwrap().set_len(1 << 20).unwrap();
    xattr::set(at(b"a/b/small-03"), "user.note", b"a value\0with a zero").unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::lchown(root.join("noise"), Some(12_345), Some(54_321)).unwrap();
        std::os::unix::fs::lchown(root.join("link"), Some(12_345), None).unwrap();
    }
    for (name, mode) in [("noise", 0o4750), ("a/b/small-02", 0o400), ("closed", 0o500), ("empty", 0o1777), ("a", 0o2750)] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    for (name, seconds, nanos) in
        [("a/b/small-04", -315_619_200, 250_000_000), ("link", 981_173_106, 789_000_001), ("a", 1, 0), ("", 1_700_000_000, 5)]
    {
        set_time(&root.join(name), seconds, nanos);
    }
}

/// Changes a tree that [`make_tree`] made: something new, something changed, something gone.
pub fn change_tree(root: &Path) {
    fs::write(root.join("a/b/small-05"), "changed").unwrap();
    fs::write(root.join("a/new"), "new").unwrap();
    fs::remove_file(root.join("a/b/small-06")).unwrap();
}

/// Sets the time of a file, directory or symlink.
pub fn set_time(path: &Path, seconds: i64, nanos: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A tree as sorted lines: every name with its type, mode, owner, time, links, attributes, and digest of content.
pub fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    list(root, root, &mut lines);
    lines.sort();
    lines
}

fn list(root: &Path, path: &Path, lines: &mut Vec<String>) {
    let meta = fs::symlink_metadata(path).unwrap();
    let hex_of = |bytes: &[u8]| hex::encode(digest(&SHA256, bytes));
    let what = if meta.is_dir() {
        "directory".to_owned()
    } else if meta.is_symlink() {
        format!("symlink to {} ({} names)", fs::read_link(path).unwrap().as_os_str().as_bytes().escape_ascii(), meta.nlink())
    } else {
        format!("file of {} bytes ({} names) sha256 {}", meta.len(), meta.nlink(), hex_of(&fs::read(path).unwrap()))
    };
    let mut xattrs: Vec<String> = xattr::list(path).unwrap().map(|name| format!("{name:?}={:?}", xattr::get(path, &name).unwrap())).collect();
    xattrs.sort();
    let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii();
    let (mode, uid, gid) = (meta.mode() & 0o7777, meta.uid(), meta.gid());
    lines.push(format!("{name}: {what}, mode {mode:04o}, owner {uid}:{gid}, time {}.{:09}, xattrs {xattrs:?}", meta.mtime(), meta.mtime_nsec()));
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            list(root, &entry.unwrap().path(), lines);
        }
    }
}

/// Panics with the first difference when two trees differ.
pub fn assert_same_tree(expected: &[String], restored: &Path) {
    let found = listing(restored);
    for (one, other) in expected.iter().zip(&found) {
        assert_eq!(one, other, "in {}", restored.display());
    }
    assert_eq!(expected.len(), found.len(), "in {}", restored.display());
}
