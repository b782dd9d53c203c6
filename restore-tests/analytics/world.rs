//! Search clusters of the lab: asked as an operator asks them, with curl, and a site that protects them.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    lab::{Region, Search, require, tls},
    site::Site,
    stores::places::fresh_name,
};

/// Asks a cluster and gives the answer, which has to be a good one.
pub fn ask(cluster: &Search, method: &str, path: &str, body: &str) -> Value {
    try_ask(cluster, method, path, body).unwrap_or_else(|said| panic!("{method} {path}: {said}"))
}

/// As [`ask`], or what the cluster said against it.
pub fn try_ask(cluster: &Search, method: &str, path: &str, body: &str) -> Result<Value, String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "120", "--request", method]);
    curl.arg(format!("{}/{path}", cluster.plain));
    if !body.is_empty() {
        let kind = if body.ends_with('\n') { "application/x-ndjson" } else { "application/json" };
        curl.args(["--header", &format!("Content-Type: {kind}"), "--data-binary", "@-"]);
    }
    let mut asked = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It reads all of it before it answers.
    asked.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let output = asked.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(serde_json::from_str(&text).unwrap_or(Value::Null)),
        false => Err(text + &String::from_utf8_lossy(&output.stderr)),
    }
}

/// Writes documents, and sees to it that they are found.
pub fn write(cluster: &Search, index: &str, documents: &[String]) {
    let lines: String = documents.iter().enumerate().map(|(id, document)| format!("{{\"create\":{{\"_id\":\"{id}\"}}}}\n{document}\n")).collect();
    let answer = ask(cluster, "POST", &format!("{index}/_bulk?refresh=true"), &lines);
    assert_eq!(answer["errors"], false, "{answer}");
}

/// All documents of an index, with their ids, in order: what equality is judged by.
pub fn documents(cluster: &Search, index: &str) -> Vec<(String, Value)> {
    ask(cluster, "POST", &format!("{index}/_refresh"), "");
    let answer = ask(cluster, "GET", &format!("{index}/_search?size=10000"), "");
    let hits = answer["hits"]["hits"].as_array().unwrap();
    let mut documents: Vec<_> = hits.iter().map(|hit| (hit["_id"].as_str().unwrap().to_owned(), hit["_source"].clone())).collect();
    documents.sort_by(|a, b| a.0.cmp(&b.0));
    documents
}

/// Indices of one test in both clusters, its repository, and a site that protects them. Removed at the end.
pub struct World {
    pub site: Site,
    pub a: Search,
    pub b: Search,
    /// Names of everything that this test makes begin with it.
    pub name: String,
}

impl World {
    /// A repository in the file system, and indices `<name>-*`.
    pub fn new() -> World {
        let place = Region::A.search().repositories.join(fresh_name()).display().to_string();
        World::with_repository(&format!("{{ name: REPOSITORY, type: fs, settings: {{ location: {place:?}, compress: \"true\", chunk_size: 1gb }} }}"))
    }

    /// A repository that this YAML describes, with `REPOSITORY` for its name.
    pub fn with_repository(repository: &str) -> World {
        World::with_repositories(repository, repository)
    }

    /// A repository that region A writes, and one that region B reads. There is a second location, `other`.
    pub fn with_repositories(written: &str, read: &str) -> World {
        let (site, a, b, name) = (Site::in_directories().with_s3(), Region::A.search(), Region::B.search(), fresh_name());
        site.run(&["init", "--write"], 0);
        fs::create_dir(site.path("other")).unwrap();
        let config = fs::read_to_string(site.path("hourglass.yaml")).unwrap();
        let other = format!("  other: {{ url: {:?} }}\ncontrol:", site.path("other").display().to_string());
        fs::write(site.path("hourglass.yaml"), config.replace("control:", &other)).unwrap();
        fs::write(site.path("search.password"), require("HOURGLASS_LAB_OPENSEARCH_PASSWORD")).unwrap();
        fs::write(site.path("search.key"), require("HOURGLASS_LAB_OPENSEARCH_API_KEY")).unwrap();
        fs::copy(tls("ca.crt"), site.path("ca.pem")).unwrap();
        let (basic, key) = (format!("user: {}, password_file: search.password", a.user), "api_key_file: search.key");
        let source = |url: &str, login: &str, repository: &str| {
            let (indices, repository) = (format!("{name}-*"), repository.replace("REPOSITORY", &name));
            format!("{{ analytics: {{ url: {url:?}, ca_file: ca.pem, {login}, indices: [{indices:?}], repository: {repository}, timeout: 10m }} }}")
        };
        site.configure(&format!("sources:\n  events: {}\n  spare: {}\n", source(&a.url, &basic, written), source(&b.url, key, read)));
        site.configure("policies:\n  p: { members: { events: required } }\n");
        site.run(&["keys", "prove"], 0);
        World { site, a, b, name }
    }

    /// The whole name of something of this test.
    pub fn of(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// Replaces something in the configuration.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.site.path("hourglass.yaml")).unwrap();
        assert!(text.contains(from), "{from}: {text}");
        fs::write(self.site.path("hourglass.yaml"), text.replace(from, to)).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for cluster in [&self.a, &self.b] {
            for path in [
                "_data_stream/NAME-*",
                "NAME-*?expand_wildcards=all",
                "_index_template/NAME-*",
                "_component_template/NAME-*",
                "_ingest/pipeline/NAME-*",
                "_snapshot/NAME",
            ] {
                let _gone = try_ask(cluster, "DELETE", &path.replace("NAME", &self.name), "");
            }
        }
    }
}
