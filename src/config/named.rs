//! The files that a configuration names, and which of them are secrets by their role.

use super::{ConfigProblem, Document, file::File};

/// Keys whose values are files that anybody may see.
const PUBLIC: [&str; 3] = ["ca_file", "cert_file", "client_ca_file"];
/// Keys whose values are files of secrets.
const SECRET: [&str; 11] = [
    "capture_key_file",
    "operator_key_file",
    "account_key_file",
    "sas_file",
    "password_file",
    "api_key_file",
    "key_file",
    "token_file",
    "order_token_file",
    "url_file",
    "kubeconfig",
];

/// A file that a configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// The key, joined by dots.
    pub key: String,
    /// As written.
    pub path: String,
    /// Whether its content is a secret, whatever it is.
    pub is_secret: bool,
}

/// All files that the text of a configuration names.
///
/// # Errors
/// It is not a configuration.
pub fn named_files(text: &str) -> Result<Vec<NamedFile>, Vec<ConfigProblem>> {
    let (_, document) = Document::<File>::read(text, 0)?.split();
    let named = document.texts().into_iter().filter_map(|text| {
        let is_secret = names_file(&text.path)?;
        Some(NamedFile { key: text.path.join("."), path: text.text.to_owned(), is_secret })
    });
    Ok(named.collect())
}

/// Whether the text at this place, of a configuration or of a step, is the name of a secret file; `None` when it names no file.
pub fn names_file(path: &[String]) -> Option<bool> {
    let (last, above) = path.split_last()?;
    let inside = |name: &str| above.iter().any(|part| part == name);
    match above.last().map(String::as_str) {
        // Variables that people name.
        Some("env") => None,
        Some("env_files") => Some(true),
        Some("files") if inside("secrets") => Some(true),
        _ if SECRET.contains(&last.as_str()) => Some(true),
        _ if PUBLIC.contains(&last.as_str()) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(schema: &serde_json::Value, found: &mut Vec<String>) {
        match schema {
            serde_json::Value::Object(map) => {
                if let Some(serde_json::Value::Object(properties)) = map.get("properties") {
                    found.extend(properties.keys().cloned());
                }
                map.values().for_each(|value| keys(value, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_key_that_names_a_file_is_known_as_public_or_secret() {
        let mut found = Vec::new();
        keys(&crate::config::schema(), &mut found);
        found.retain(|key| key == "files" || key.ends_with("_file") || key.ends_with("_files") || key.contains("kubeconfig"));
        assert!(found.len() > 10, "{found:?}");
        for key in found {
            let known = PUBLIC.contains(&key.as_str()) || SECRET.contains(&key.as_str()) || ["env_files", "files"].contains(&key.as_str());
            assert!(known, "{key} is neither public nor secret");
        }
    }

    #[test]
    fn files_of_the_default_configuration_are_found() {
        let named = named_files(crate::config::EXAMPLE).unwrap();
        let is_secret = |path: &str| named.iter().find(|file| file.path == path).map(|file| file.is_secret);
        for path in ["capture.key", "operator.key", "azure-account.key", "portal.password", "kps-client.key", "cluster.kubeconfig", "gateway.crt"] {
            assert_eq!(is_secret(path), Some(true), "{path}");
        }
        for path in ["orders-ca.pem", "analytics-ca.pem", "registry-ca.pem", "kps-client.pem"] {
            assert_eq!(is_secret(path), Some(false), "{path}");
        }
        assert_eq!(is_secret("/mnt/events"), None);
    }
}
