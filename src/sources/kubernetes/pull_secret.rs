//! Secrets that images are pulled with: logins for the registry of the old site, made anew for that of the new one.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    config::RegistryConfig,
    model::Problem,
    sources::{SourceError, images},
};

/// What Secrets of registries are. The second is older, and nothing that we make.
const TYPES: [&str; 2] = ["kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"];
/// Where the first has its logins.
const KEY: &str = ".dockerconfigjson";

/// The logins for registries, by the source that names the registry, as Secrets hold them; and what a person should know of them.
///
/// # Errors
/// When a file cannot be read, or a registry gives no password.
pub async fn logins(
    registries: &BTreeMap<String, (String, RegistryConfig)>,
) -> Result<(BTreeMap<String, Zeroizing<String>>, Vec<Problem>), SourceError> {
    let (mut logins, mut notes) = (BTreeMap::new(), Vec::new());
    for (source, (host, known)) in registries {
        let Some(login) = images::login(known).await? else { continue };
        if let Some(until) = login.until {
            let what = format!(
                "its password ends at {until:.0}: until then the nodes need a right of their own to pull, or the Secrets have to be made anew"
            );
            notes.push(Problem { subject: format!("the login that was made for {host}"), what });
        }
        logins.insert(source.clone(), login.docker_config(host));
    }
    Ok((logins, notes))
}

/// Makes a Secret of a registry into this login: as long as there is none, into one that holds nothing.
///
/// # Errors
/// When it is no Secret of a registry.
pub fn mint(secret: &mut Value, login: Option<&str>) -> Result<(), &'static str> {
    if !TYPES.iter().any(|kind| secret["type"] == *kind) {
        return Err("is no login for a registry, so it cannot be made anew as one");
    }
    secret["type"] = TYPES[0].into();
    secret["data"] = json!({KEY: BASE64_STANDARD.encode(login.unwrap_or(r#"{"auths":{}}"#))});
    Ok(())
}

/// Leaves of a login the registries and the accounts: passwords are other ones each time.
pub fn without_password(secret: &mut Value) {
    let decoded = secret["data"][KEY].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
    let Some(mut config) = decoded.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) else { return };
    for (_, login) in config["auths"].as_object_mut().into_iter().flatten() {
        *login = login["username"].clone();
    }
    secret["data"][KEY] = config;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str) -> Value {
        json!({"kind": "Secret", "type": kind, "data": {".dockercfg": "e30=", "more": "eA=="}})
    }

    #[test]
    fn a_secret_of_a_registry_becomes_the_new_login_alone_and_no_other_secret_does() {
        for kind in TYPES {
            let mut secret = of(kind);
            mint(&mut secret, Some("{}")).unwrap();
            assert_eq!(secret, json!({"kind": "Secret", "type": "kubernetes.io/dockerconfigjson", "data": {KEY: "e30="}}));
        }
        assert!(mint(&mut of("Opaque"), Some("{}")).is_err());
    }

    #[test]
    fn logins_are_compared_by_registry_and_account() {
        let login = |host: &str, user: &str, password: &str| {
            let text = json!({"auths": {host: {"username": user, "password": password, "auth": password}}}).to_string();
            let mut secret = json!({"data": {KEY: BASE64_STANDARD.encode(text)}});
            without_password(&mut secret);
            secret
        };
        assert_eq!(login("a", "AWS", "one"), login("a", "AWS", "other"));
        assert_ne!(login("a", "AWS", "one"), login("b", "AWS", "one"));
        assert_ne!(login("a", "AWS", "one"), login("a", "puller", "one"));
    }
}
