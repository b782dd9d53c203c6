//! Registries of Amazon: the API of an emulator before a real registry, which takes nothing for a repository that the API has not made.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    ALL, fill,
    world::{MANIFEST, Registry, name, sha256, wait_until},
};
use crate::{
    kubernetes::world::{CARRY, World},
    lab::{Servers, require},
    site::Site,
    stores::places::fresh_name,
};

const REGION: &str = "eu-central-1";
/// The emulator's only one.
const ACCOUNT: &str = "123456789012";

/// A registry behind the API. It ends with the thread that started it.
struct Ecr {
    registry: Registry,
    front: Child,
    folder: TempDir,
    address: String,
}

impl Ecr {
    fn new() -> Ecr {
        let (registry, folder) = (Registry::open(), TempDir::with_prefix_in("ecr-", require("HOURGLASS_LAB_DIR")).unwrap());
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut front = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", concat!(env!("CARGO_MANIFEST_DIR"), "/restore-tests/lab/ecr-front")])
            .args([&address.port().to_string(), &registry.address, &require("HOURGLASS_LAB_ECR")])
            .arg(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the front", || {
            assert!(front.try_wait().unwrap().is_none(), "the front has ended");
            TcpStream::connect(address).is_ok()
        });
        Ecr { registry, front, folder, address: address.to_string() }
    }

    /// Its line in a source's `registries`.
    fn yaml(&self) -> String {
        format!(
            "{:?}: {{ plain_http: true, ecr: {{ region: {REGION}, account: \"{ACCOUNT}\", endpoint: \"http://{}\" }} }}",
            self.address, self.address
        )
    }

    fn set(&self, file: &str, content: &str) {
        fs::write(self.folder.path().join(file), content).unwrap();
    }

    /// The calls of the API so far, those alone that begin like this.
    fn calls(&self, of: &str) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with(of)).map(str::to_owned).collect()
    }

    /// A call of the API by somebody else.
    fn call(&self, call: &str, body: &Value) -> Value {
        let signed = format!("Authorization: AWS4-HMAC-SHA256 Credential=other/20260101/{REGION}/ecr/aws4_request, SignedHeaders=host, Signature=0");
        let target = format!("X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.{call}");
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "60", "--header", &signed, "--header", &target, "--header", "Content-Type: application/x-amz-json-1.1"]);
        let answer = curl.args(["--data", &body.to_string(), &format!("http://{}/", self.address)]).output().unwrap();
        serde_json::from_slice(&answer.stdout).unwrap()
    }

    /// The status of a request for the registry as somebody who logs in with this word, `USER:PASSWORD` in base64.
    fn status(&self, path: &str, auth: &str) -> String {
        let header = format!("Authorization: Basic {auth}");
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "60", "--output", "/dev/null", "--write-out", "%{http_code}", "--header", &header]);
        String::from_utf8(curl.arg(format!("http://{}{path}", self.address)).output().unwrap().stdout).unwrap()
    }
}

impl Drop for Ecr {
    fn drop(&mut self) {
        self.front.kill().unwrap();
        self.front.wait().unwrap();
    }
}

/// A site with a source `images` of these references in `a`, `spare` in a registry of Amazon to restore to below `prefix`, and a policy `p`.
fn site(a: &Registry, ecr: &Ecr, prefix: &str, references: &[String], more: &str) -> Site {
    let site = Site::in_directories().with_s3();
    site.run(&["init", "--write"], 0);
    let (registries, target) = (format!("registries: {{ {}, {} }}", a.yaml(), ecr.yaml()), format!("registry: \"{}/{prefix}\"", ecr.address));
    site.configure(&format!(
        "sources:\n  images: {{ images: {{ references: {references:?}, {registries}{more} }} }}\n  spare: {{ images: {{ {target}, {registries} }} }}\n"
    ));
    site.configure("policies:\n  p: { members: { images: required } }\n");
    site.run(&["keys", "prove"], 0);
    site
}

/// Panics if a file below a folder has one of these texts.
fn assert_nowhere(folder: &Path, texts: &[String]) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_nowhere(&path, texts);
        } else {
            let bytes = fs::read(&path).unwrap();
            let found = texts.iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()));
            assert!(!found, "{} has a password", path.display());
        }
    }
}

#[test]
fn repositories_that_lack_are_made_by_the_api_of_ecr_and_passwords_are_renewed() {
    let (a, ecr) = (Registry::open(), Ecr::new());
    let references = fill(&a);
    // The emulator is one for all tests, so each has repositories of its own.
    let prefix = format!("{}/apim", fresh_name());
    let site = site(&a, &ecr, &prefix, &references, "");
    site.run(&["backup", "p"], 0);
    // Not to be allowed to is told of before anything is written.
    ecr.set("denied", "yes");
    let said = site.run(&["restore", "p", "images", "--into", "spare"], 1);
    assert!(said.contains("ecr:CreateRepository") && said.contains("AccessDenied") && said.contains(&prefix), "{said}");
    ecr.set("denied", "");
    assert_eq!(ecr.call("DescribeRepositories", &json!({"repositoryNames": [format!("{prefix}/gateway")]}))["__type"], "RepositoryNotFoundException");
    // One is there, made by somebody else in a way of his own, and stays so.
    let own =
        json!({"repositoryName": format!("{prefix}/manager"), "imageTagMutability": "IMMUTABLE", "imageScanningConfiguration": {"scanOnPush": true}});
    ecr.call("CreateRepository", &own);
    // A password that has ended when it comes is renewed each time; the front believes the last ones alone.
    ecr.set("life", "0");
    let said = site.run(&["restore", "p", "images", "--into", "spare"], 0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    let passwords = ecr.calls("GetAuthorizationToken").len();
    assert!(passwords > 4, "passwords are not renewed: {passwords}");
    for (repository, tag) in ALL {
        let bytes = a.bytes(repository, tag).unwrap();
        assert_eq!(ecr.registry.bytes(&format!("{prefix}/{repository}"), tag).map(|there| sha256(&there)), Ok(sha256(&bytes)));
        let made = &ecr.call("DescribeRepositories", &json!({"repositoryNames": [format!("{prefix}/{repository}")]}))["repositories"][0];
        let expected = if repository == "manager" { ("IMMUTABLE", true) } else { ("MUTABLE", false) };
        assert_eq!((&made["imageTagMutability"], &made["imageScanningConfiguration"]["scanOnPush"]), (&json!(expected.0), &json!(expected.1)));
    }
    // Once more, with one password for all of it: what is there is no failure.
    ecr.set("life", "43200");
    site.run(&["restore", "p", "images", "--into", "spare"], 0);
    assert_eq!(ecr.calls("GetAuthorizationToken").len(), passwords + 1);
    let of = |repository: &str| ecr.calls(&format!("CreateRepository {REGION} {ACCOUNT} {prefix}/{repository}")).len();
    assert_eq!(ALL.map(|(repository, _)| of(repository)).iter().sum::<usize>(), 2 * ALL.len() + 1, "once for each restore, and one was refused");
}

#[test]
fn a_mirror_makes_repositories_by_the_api_of_ecr_and_a_capture_logs_in_by_it() {
    let (a, ecr) = (Registry::open(), Ecr::new());
    let prefix = fresh_name();
    let made = name(&a.image("gateway", Some("1"), MANIFEST, &[b"layer"]));
    let mirror = format!(", mode: mirror, registry: \"{}/{prefix}\"", ecr.address);
    let site = site(&a, &ecr, &prefix, &[format!("{}/gateway:1", a.address)], &mirror);
    site.run(&["backup", "p"], 0);
    let there = format!("{}/{prefix}/gateway:1", ecr.address);
    assert_eq!(ecr.calls("CreateRepository").len(), 1);
    let config = fs::read_to_string(site.path("hourglass.yaml")).unwrap();
    let from_ecr = format!(
        "  other: {{ images: {{ references: [{there:?}], registries: {{ {} }} }} }}\npolicies:\n  q: {{ members: {{ other: required }} }}",
        ecr.yaml()
    );
    fs::write(site.path("hourglass.yaml"), config.replace("policies:", &from_ecr)).unwrap();
    site.run(&["keys", "prove"], 0);
    site.run(&["backup", "q"], 0);
    let layout = site.restore("q", "layout").join("other");
    assert!(fs::read_to_string(layout.join("index.json")).unwrap().contains(&made));
    assert_eq!(ecr.calls("CreateRepository").len(), 1, "a capture makes nothing");
    // Without credentials it is said so.
    let said = String::from_utf8(
        site.command(&["backup", "q"]).env_remove("AWS_ACCESS_KEY_ID").env("AWS_EC2_METADATA_DISABLED", "true").output().unwrap().stderr,
    )
    .unwrap();
    assert!(said.contains("there are no credentials"), "{said}");
}

const LOGINS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: NAME }
---
apiVersion: v1
kind: Secret
metadata: { name: registry-login, namespace: NAME, labels: { of: platform } }
type: kubernetes.io/dockerconfigjson
stringData: { .dockerconfigjson: '{"auths": {"registry.we.example.com": {"username": "puller", "password": "of-the-old-registry"}}}' }
---
apiVersion: v1
kind: Secret
metadata: { name: registry-old, namespace: NAME }
type: kubernetes.io/dockercfg
stringData: { .dockercfg: '{"registry.we.example.com": {"username": "puller", "password": "of-the-old-registry"}}' }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: gateway, namespace: NAME }
imagePullSecrets: [{ name: registry-login }]
"#;

#[test]
fn logins_of_the_old_registry_become_logins_for_ecr_in_the_namespaces_of_kubernetes_that_had_them() {
    let _lab = Servers::Kubernetes.together();
    let (ecr, a) = (Ecr::new(), Registry::open());
    let world = World::with_s3("no_data: [\"*/*\"]", &format!("existing: replace, {CARRY}"));
    let mint =
        "secrets: [{ secrets: \"*/registry-*\", class: mint, registry_of: registry }, { secrets: \"*/*\", class: carry }], residue: [we.example.com]";
    world.reconfigure(CARRY, mint);
    // Before there is such a registry.
    let said = world.site.run(&["config", "check"], 2);
    assert!(said.contains("registry_of") && said.contains("there is no source \"registry\""), "{said}");
    world.reconfigure(
        "  spare: {",
        &format!("  registry: {{ images: {{ registry: {:?}, registries: {{ {}, {} }} }} }}\n  spare: {{", ecr.address, ecr.yaml(), a.yaml()),
    );
    world.fill(LOGINS);
    world.site.run(&["backup", "p"], 0);
    let said = world.restored(0);
    assert!(said.contains("its password ends at"), "{said}");
    let auth = |secret: &str| {
        let secret = world.b.get("secret", &world.name, secret);
        assert_eq!(secret["type"], "kubernetes.io/dockerconfigjson");
        let data = secret["data"].as_object().unwrap();
        assert_eq!(data.len(), 1);
        let config: Value = serde_json::from_slice(&BASE64_STANDARD.decode(data[".dockerconfigjson"].as_str().unwrap()).unwrap()).unwrap();
        let auths = config["auths"].as_object().unwrap();
        assert_eq!((auths.keys().collect::<Vec<_>>(), &auths[&ecr.address]["username"]), (vec![&ecr.address], &json!("AWS")));
        auths[&ecr.address]["auth"].as_str().unwrap().to_owned()
    };
    let first = auth("registry-login");
    assert_eq!(
        (first.clone(), world.b.get("secret", &world.name, "registry-login")["metadata"]["labels"]["of"].clone()),
        (auth("registry-old"), json!("platform"))
    );
    // It opens the registry, and what is no login does not.
    assert_eq!([ecr.status("/v2/", &first), ecr.status("/v2/", &BASE64_STANDARD.encode("AWS:of-the-old-registry"))], ["200", "401"]);
    // A later restore renews it; so somebody who needs it for longer than it lives restores the Secrets again.
    let renew = ["restore", "p", "cluster", &world.of("NAME/secrets"), "--into", "spare"];
    let said = world.site.run(&renew, 0);
    assert!(said.contains("found equal"), "{said}");
    let second = auth("registry-login");
    assert_ne!(first, second);
    // A password is in no file of ours, and a Secret that is no login for a registry does not become one.
    let decoded = |auth: &str| String::from_utf8(BASE64_STANDARD.decode(auth).unwrap()).unwrap();
    let passwords = [decoded(&first), decoded(&second)].map(|login| login.split_once(':').unwrap().1.to_owned());
    assert_nowhere(world.site.path("").as_path(), &passwords);
    assert!(!passwords.iter().any(|password| said.contains(password)));
    world.fill("{ apiVersion: v1, kind: Secret, metadata: { name: registry-key, namespace: NAME }, stringData: { key: other } }");
    world.site.run(&["backup", "p"], 0);
    let said = world.restored(1);
    assert!(said.contains("registry-key is no login for a registry"), "{said}");
}
