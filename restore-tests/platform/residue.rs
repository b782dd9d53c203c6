//! Texts of the old region in the objects of the new one, looked for with kubectl alone.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::world::{NAMESPACE, Place};

/// Where these texts stand in any object, values of Secrets decoded. The history that Helm keeps is packed once more: see [`in_releases`].
pub fn outside_of_releases(place: &Place, texts: &[&str]) -> Vec<String> {
    let kinds = place.kubectl(&["api-resources", "--verbs=list", "--output=name"]);
    let kinds = kinds.lines().collect::<Vec<_>>().join(",");
    let all: Value = serde_json::from_str(&place.kubectl(&["get", &kinds, "--all-namespaces", "--output=json"])).unwrap();
    let objects = all["items"].as_array().unwrap();
    assert!(objects.len() > 100, "the search saw {} objects", objects.len());
    let mut found = Vec::new();
    for object in objects {
        let name = format!("{} {}/{}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"]);
        search(object, &name, object["kind"] == "Secret", texts, &mut found);
    }
    found
}

/// Where these texts stand in what Helm keeps of its releases.
pub fn in_releases(place: &Place, texts: &[&str]) -> Vec<String> {
    let all: Value =
        serde_json::from_str(&place.kubectl(&["--namespace", NAMESPACE, "get", "secrets", "--selector=owner=helm", "--output=json"])).unwrap();
    let mut found = Vec::new();
    for secret in all["items"].as_array().unwrap() {
        let packed = BASE64_STANDARD.decode(secret["data"]["release"].as_str().unwrap()).unwrap();
        let mut gunzip = Command::new("gzip").arg("--decompress").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut stdin, packed) = (gunzip.stdin.take().unwrap(), BASE64_STANDARD.decode(packed).unwrap());
        let fed = std::thread::spawn(move || stdin.write_all(&packed).unwrap());
        let release: Value = serde_json::from_slice(&gunzip.wait_with_output().unwrap().stdout).unwrap();
        fed.join().unwrap();
        assert!(release["manifest"].as_str().unwrap().contains("kind:"), "the search saw no manifest");
        search(&release, &secret["metadata"]["name"].to_string(), false, texts, &mut found);
    }
    found
}

fn search(value: &Value, at: &str, secret: bool, texts: &[&str], found: &mut Vec<String>) {
    let look = |text: &str| texts.iter().filter(|old| text.contains(**old)).map(|old| format!("{at}: {old}")).collect::<Vec<_>>();
    match value {
        Value::String(text) => {
            found.extend(look(text));
            let decoded = if secret { BASE64_STANDARD.decode(text).unwrap_or_default() } else { Vec::new() };
            found.extend(look(&String::from_utf8_lossy(&decoded)));
        }
        Value::Array(values) => values.iter().for_each(|value| search(value, at, secret, texts, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                found.extend(look(key));
                search(value, &format!("{at}.{key}"), secret, texts, found);
            }
        }
        _ => {}
    }
}
