//! Registries of a test, spoken to with curl, and images made by hand.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::{require, tls};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const LIST: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const USER: &str = "puller";
pub const PASSWORD: &str = "correct horse";

/// A registry of its own on loopback. It ends with the thread that started it.
pub struct Registry {
    process: Child,
    folder: TempDir,
    pub address: String,
    guarded: bool,
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(digest(&SHA256, bytes)))
}

impl Registry {
    /// One for everybody, without TLS.
    pub fn open() -> Registry {
        Registry::start(false)
    }

    /// One that wants an account, behind TLS with a certificate of the lab's authority.
    pub fn guarded() -> Registry {
        Registry::start(true)
    }

    fn start(guarded: bool) -> Registry {
        let folder = TempDir::with_prefix_in("registry-", require("HOURGLASS_LAB_DIR")).unwrap();
        let program = "print crypt($ARGV[0], q($2b$04$abcdefghijklmnopqrstuu))";
        let hash = Command::new("perl").args(["-e", program, PASSWORD]).output().unwrap().stdout;
        fs::write(folder.path().join("users"), format!("{USER}:{}\n", String::from_utf8(hash).unwrap())).unwrap();
        fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        // Somebody else may take the port before the registry does.
        for _ in 0..10 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
            let mut process = serve(folder.path(), &address, guarded);
            while process.try_wait().unwrap().is_none() {
                let scheme = if guarded { "https" } else { "http" };
                let asked =
                    Command::new("curl").args(["--silent", "--insecure", "--max-time", "5", &format!("{scheme}://{address}/v2/")]).output().unwrap();
                if asked.status.success() && process.try_wait().unwrap().is_none() {
                    return Registry { process, folder, address, guarded };
                }
                sleep(Duration::from_millis(20));
            }
        }
        panic!("no registry: {}", fs::read_to_string(folder.path().join("log")).unwrap());
    }

    /// Its line in a source's `registries`.
    pub fn yaml(&self) -> String {
        let login = format!("user: {USER}, password_file: {:?}, ca_file: {:?}", self.password_file(), tls("ca.crt"));
        format!("{:?}: {{ {} }}", self.address, if self.guarded { &login } else { "plain_http: true" })
    }

    pub fn password_file(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    fn curl(&self, arguments: &[&str], url: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "120"]).args(arguments);
        if self.guarded {
            curl.args(["--user", &format!("{USER}:{PASSWORD}"), "--cacert", tls("ca.crt").to_str().unwrap()]);
        }
        let url =
            if url.starts_with('/') { format!("{}://{}{url}", if self.guarded { "https" } else { "http" }, self.address) } else { url.to_owned() };
        let mut asked = curl.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = asked.stdin.take().unwrap();
        let body = body.to_vec();
        let writing = std::thread::spawn(move || input.write_all(&body));
        let done = asked.wait_with_output().unwrap();
        let _not_wanted = writing.join().unwrap();
        if done.status.success() { Ok(done.stdout) } else { Err(String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()) }
    }

    /// Puts a blob into a repository, and describes it as manifests do.
    pub fn blob(&self, repository: &str, media_type: &str, bytes: &[u8]) -> Value {
        let begun = self.curl(&["--request", "POST", "--dump-header", "-"], &format!("/v2/{repository}/blobs/uploads/"), b"").unwrap();
        let begun = String::from_utf8(begun).unwrap();
        let place = begun.lines().find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("location")));
        let place = place.unwrap().1.trim();
        let name = sha256(bytes);
        let kind = "Content-Type: application/octet-stream";
        self.curl(&["--request", "PUT", "--header", kind, "--data-binary", "@-"], &format!("{place}&digest={name}"), bytes).unwrap();
        json!({"mediaType": media_type, "digest": name, "size": bytes.len()})
    }

    /// Puts a manifest under a tag, or under its own digest, and describes it.
    pub fn manifest(&self, repository: &str, tag: Option<&str>, media_type: &str, manifest: &Value) -> Value {
        // Not as any program would write it: whoever writes it anew gives it another digest.
        let bytes = format!(" {manifest:#}\n\n");
        let name = sha256(bytes.as_bytes());
        let kind = format!("Content-Type: {media_type}");
        let url = format!("/v2/{repository}/manifests/{}", tag.unwrap_or(&name));
        self.curl(&["--request", "PUT", "--header", &kind, "--data-binary", "@-"], &url, bytes.as_bytes()).unwrap();
        json!({"mediaType": media_type, "digest": name, "size": bytes.len()})
    }

    /// An image of these layers; gives its description.
    pub fn image(&self, repository: &str, tag: Option<&str>, media_type: &str, layers: &[&[u8]]) -> Value {
        let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}, "for": tag});
        let [of_config, of_layer] = match media_type {
            DOCKER => ["application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip"],
            _ => ["application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"],
        };
        let config = self.blob(repository, of_config, config.to_string().as_bytes());
        let layers: Vec<Value> = layers.iter().map(|layer| self.blob(repository, of_layer, layer)).collect();
        self.manifest(repository, tag, media_type, &json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers}))
    }

    /// The bytes of a manifest, by tag or digest.
    pub fn bytes(&self, repository: &str, name: &str) -> Result<Vec<u8>, String> {
        let accept = format!("Accept: {MANIFEST}, {LIST}, {DOCKER}");
        self.curl(&["--header", &accept], &format!("/v2/{repository}/manifests/{name}"), b"")
    }

    /// The bytes of a blob.
    pub fn blob_bytes(&self, repository: &str, name: &str) -> Result<Vec<u8>, String> {
        self.curl(&[], &format!("/v2/{repository}/blobs/{name}"), b"")
    }

    /// Takes a blob's bytes away behind the registry's back.
    pub fn lose(&self, name: &str) {
        fs::remove_file(self.blob_file(name)).unwrap();
    }

    /// Where the registry keeps the bytes of a blob.
    pub fn blob_file(&self, name: &str) -> PathBuf {
        let digits = name.strip_prefix("sha256:").unwrap();
        self.folder.path().join(format!("data/docker/registry/v2/blobs/sha256/{}/{digits}/data", &digits[..2]))
    }

    /// Which of these blobs it has whole in a repository below `apim`.
    pub fn held(&self, names: &[String]) -> Vec<String> {
        let Ok(repositories) = fs::read_dir(self.folder.path().join("data/docker/registry/v2/repositories/apim")) else { return Vec::new() };
        let folders: Vec<PathBuf> = repositories.map(|entry| entry.unwrap().path().join("_layers/sha256")).collect();
        // Written last.
        let is_held = |name: &&String| folders.iter().any(|folder| folder.join(&name["sha256:".len()..]).join("link").exists());
        names.iter().filter(is_held).cloned().collect()
    }

    /// How often a blob was uploaded.
    pub fn uploads(&self, name: &str) -> usize {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
        log.lines().filter(|line| line.contains("\"PUT ") && line.contains(&name.replace(':', "%3A"))).count()
    }

    /// Ends it; its files stay.
    pub fn end(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Stops it, as a machine that hangs, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        kill_process(Pid::from_child(&self.process), if frozen { Signal::STOP } else { Signal::CONT }).unwrap();
    }
}

fn serve(folder: &Path, address: &str, guarded: bool) -> Child {
    let at = |name: &str| folder.join(name).display().to_string();
    let (auth, certificate) = match guarded {
        true => (
            format!("auth: {{htpasswd: {{realm: lab, path: {:?}}}}}\n", at("users")),
            format!(", tls: {{certificate: {:?}, key: {:?}}}", tls("server.crt"), tls("server.key")),
        ),
        false => (String::new(), String::new()),
    };
    let storage = format!("storage: {{filesystem: {{rootdirectory: {:?}}}}}\n", at("data"));
    fs::write(at("config"), format!("version: 0.1\n{storage}http: {{addr: {address:?}, secret: lab{certificate}}}\n{auth}")).unwrap();
    let log = fs::File::create(at("log")).unwrap();
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(format!("{}/usr/bin/docker-registry", require("HOURGLASS_LAB_CONTAINERS")))
        .args(["serve", &at("config")])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Ended already when its port was taken.
        let _gone = self.process.kill();
        let _waited = self.process.wait();
    }
}

/// Bytes that do not compress, other ones for each seed.
pub fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// The digest in a description.
pub fn name(described: &Value) -> String {
    described["digest"].as_str().unwrap().to_owned()
}

/// Calls until it is true; fails after a time that is enough for any machine.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(600);
    while !is_so() {
        assert!(Instant::now() < until, "never seen: {what}");
        sleep(Duration::from_millis(2));
    }
}
