//! Accounts at registries: from files, or for some hours from Amazon's API.

use std::{fs, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use zeroize::Zeroizing;

use super::ecr::Ecr;
use crate::{
    config::RegistryConfig,
    model::{Secret, Timestamp},
    sources::SourceError,
};

/// An account at a registry.
#[derive(Debug, Clone)]
pub struct Login {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// When the password ends, if it does.
    pub until: Option<Timestamp>,
}

impl Login {
    /// What Docker keeps of it, and Kubernetes pulls images with, for the registry at `host`.
    pub fn docker_config(&self, host: &str) -> Zeroizing<String> {
        let password = self.password.expose();
        let auth = BASE64_STANDARD.encode(Zeroizing::new(format!("{}:{password}", self.user)).as_bytes());
        Zeroizing::new(json!({"auths": {host: {"username": self.user, "password": password, "auth": auth}}}).to_string())
    }
}

/// Our account at a registry, if it wants one.
///
/// # Errors
/// When a file cannot be read, or Amazon's API gives no password.
pub async fn login(known: &RegistryConfig) -> Result<Option<Login>, SourceError> {
    match (&known.ecr, &known.login) {
        (Some(ecr), _) => Ecr::open(ecr).await.login().await.map(Some),
        (None, Some((user, file))) => {
            let password = Zeroizing::new(read(file)?);
            let password = Secret::new(password.trim_end_matches(['\r', '\n']).to_owned());
            Ok(Some(Login { user: user.clone(), password, until: None }))
        }
        (None, None) => Ok(None),
    }
}

/// The text of a file.
///
/// # Errors
/// When it cannot be read.
pub fn read(file: &Path) -> Result<String, SourceError> {
    fs::read_to_string(file).map_err(|source| SourceError::Io { doing: "read", path: file.display().to_string(), source })
}
