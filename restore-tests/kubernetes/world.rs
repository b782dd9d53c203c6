//! Two control planes of the lab, asked as an operator asks them, with kubectl, and a site that protects one and restores into the other.

use std::{
    env, fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{lab::require, site::Site, stores::places::fresh_name};

/// A control plane.
#[derive(Debug, Clone)]
pub struct Plane {
    pub kubeconfig: PathBuf,
}

impl Plane {
    fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut kubectl = Command::new(PathBuf::from(require("HOURGLASS_LAB_KUBERNETES")).join("kubectl"));
        kubectl.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments).env("HOME", env::temp_dir());
        let mut asked = kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut stdin, input) = (asked.stdin.take().unwrap(), input.to_owned());
        let fed = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = asked.wait_with_output().unwrap();
        fed.join().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Runs kubectl; what it said against it, if it failed.
    pub fn try_run(&self, arguments: &[&str]) -> Result<String, String> {
        self.kubectl(arguments, "")
    }

    /// Runs kubectl, which has to succeed.
    pub fn run(&self, arguments: &[&str]) -> String {
        self.try_run(arguments).unwrap_or_else(|said| panic!("{arguments:?}: {said}"))
    }

    /// An object, as JSON; `None` when there is none.
    pub fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let mut arguments = vec!["get", kind, name, "--output=json"];
        arguments.extend((!namespace.is_empty()).then_some("--namespace"));
        arguments.extend((!namespace.is_empty()).then_some(namespace));
        match self.kubectl(&arguments, "") {
            Ok(text) => Some(serde_json::from_str(&text).unwrap()),
            Err(said) if said.contains("NotFound") || said.contains("the server doesn't have a resource type") => None,
            Err(said) => panic!("{arguments:?}: {said}"),
        }
    }

    /// An object that has to be there.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Value {
        self.find(kind, namespace, name).unwrap_or_else(|| panic!("{kind} {namespace}/{name} is not there"))
    }

    /// Makes objects, as YAML or JSON.
    pub fn apply(&self, manifests: &str) {
        self.kubectl(&["apply", "--server-side", "--filename=-"], manifests).unwrap_or_else(|said| panic!("{said}\n{manifests}"));
    }

    /// The process of its API server, which is started again when it ends.
    pub fn api_server(&self) -> i32 {
        fs::read_to_string(self.kubeconfig.with_file_name("apiserver.pid")).unwrap().trim().parse().unwrap()
    }
}

/// Objects of one test in both control planes, and a site that protects them. Removed at the end.
pub struct World {
    pub site: Site,
    pub a: Plane,
    pub b: Plane,
    /// Namespaces, and objects in none, of this test begin with it.
    pub name: String,
}

/// What becomes of Secrets in the target of a test that does not care.
pub const CARRY: &str = "secrets: [{ secrets: \"*/*\", class: carry }]";

impl World {
    /// Nothing yet. `capture` and `restore` are what the sources `cluster` and `spare` say besides their credentials; NAME stands for the test's.
    pub fn new(capture: &str, restore: &str) -> World {
        World::at(Site::in_directories(), capture, restore)
    }

    /// The same, with the credentials of the lab's clouds.
    pub fn with_s3(capture: &str, restore: &str) -> World {
        World::at(Site::in_directories().with_s3(), capture, restore)
    }

    fn at(site: Site, capture: &str, restore: &str) -> World {
        let [a, b] = ["A", "B"].map(|region| Plane { kubeconfig: require(&format!("HOURGLASS_LAB_KUBECONFIG_{region}")).into() });
        let name = fresh_name();
        site.run(&["init", "--write"], 0);
        let source = |plane: &Plane, more: &str| format!("{{ kubernetes: {{ kubeconfig: {:?}, {more} }} }}", plane.kubeconfig.display().to_string());
        let capture = format!("namespaces: [\"NAME*\"], {capture}").replace("NAME", &name);
        let restore = format!("restore: {{ ready_within: 2m, {restore} }}").replace("NAME", &name);
        site.configure(&format!("sources:\n  cluster: {}\n  spare: {}\n", source(&a, &capture), source(&b, &restore)));
        site.configure("policies:\n  p: { members: { cluster: required } }\n");
        site.run(&["keys", "prove"], 0);
        World { site, a, b, name }
    }

    /// With the test's own name for NAME.
    pub fn of(&self, text: &str) -> String {
        text.replace("NAME", &self.name)
    }

    /// Makes objects in region A.
    pub fn fill(&self, manifests: &str) {
        self.a.apply(&self.of(manifests));
    }

    /// The words of a restore of all that is this test's.
    pub fn restore(&self) -> Vec<String> {
        ["restore", "p", "cluster", "NAME*", "_cluster/*/NAME*", "_cluster/*/*.NAME.example.org", "--into", "spare"]
            .map(|word| self.of(word))
            .to_vec()
    }

    /// Restores what is this test's, and gives all that was said.
    pub fn restored(&self, status: i32) -> String {
        let words = self.restore();
        self.site.run(&words.iter().map(String::as_str).collect::<Vec<_>>(), status)
    }

    /// Replaces something in the configuration.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.site.path("hourglass.yaml")).unwrap();
        assert!(text.contains(from), "{from}: {text}");
        fs::write(self.site.path("hourglass.yaml"), text.replace(from, &self.of(to))).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for plane in [&self.a, &self.b] {
            let kinds = "nodes,namespaces,clusterroles,clusterrolebindings,storageclasses,persistentvolumes,customresourcedefinitions,apiservices,\
                validatingwebhookconfigurations,priorityclasses";
            let all = plane.kubectl(&["get", kinds, "--output=name"], "").unwrap_or_default();
            let ours: Vec<&str> = all.lines().filter(|name| name.contains(&self.name)).collect();
            if !ours.is_empty() {
                let _gone = plane.kubectl(&[&["delete", "--wait=false"], &*ours].concat(), "");
            }
        }
    }
}
