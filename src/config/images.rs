//! Container images and charts in registries: as written, and resolved.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use oci_client::Reference;
use schemars::JsonSchema;
use serde::Deserialize;

/// Container images, and charts that registries hold like images.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileImages {
    /// Images and charts as Kubernetes names them, for example `registry.example:5000/apim/gateway:10.0.1`, with `@sha256:…` behind it to name the one that runs
    /// whatever becomes of the tag. Without a registry it is docker.io, without a tag `latest`. None for a source that is only restored to.
    #[serde(default)]
    pub references: Vec<String>,
    /// Keep the images in the point, or copy them to `registry`. Default `archive`.
    #[serde(default)]
    pub mode: ImagesMode,
    /// Where a restore, or the mirror, writes to: a registry, perhaps with the first words of repositories, for example `registry.other.example/apim`. The
    /// names of repositories are kept behind it.
    pub registry: Option<String>,
    /// Only this platform of images that are made for several, for example `linux/amd64`: its manifest then has the tag. Default: all.
    pub platform: Option<String>,
    /// Registries that want something of us, by host and port.
    #[serde(default)]
    pub registries: BTreeMap<String, FileRegistry>,
    /// Blobs that are read or written at a time, from 1 to 4. Default 3.
    #[schemars(range(min = 1, max = 4))]
    pub lanes: Option<u32>,
    /// Longest silence of a registry. Default `2m`.
    pub timeout: Option<String>,
}

/// What becomes of images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImagesMode {
    /// They are kept in the point.
    #[default]
    Archive,
    /// They are copied to `registry`, and the point says which are there.
    Mirror,
}

/// How a registry is talked to.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRegistry {
    /// Account.
    pub user: Option<String>,
    /// File that holds its password or token.
    pub password_file: Option<String>,
    /// PEM file of a certificate authority to trust besides the system's.
    pub ca_file: Option<String>,
    /// Talk to it without TLS.
    #[serde(default)]
    pub plain_http: bool,
    /// Command that makes a repository, `{repository}` standing for its name, before anything is put into it; it has to end well when there is one already.
    #[serde(default)]
    pub create: Vec<String>,
}

/// Container images and charts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagesConfig {
    /// Which.
    pub references: Vec<Reference>,
    /// What becomes of them.
    pub mode: ImagesMode,
    /// Where a restore or the mirror writes to.
    pub registry: Option<Destination>,
    /// The only platform, as operating system, architecture and perhaps variant, joined by `/`.
    pub platform: Option<String>,
    /// Registries that want something of us, by host and port.
    pub registries: BTreeMap<String, RegistryConfig>,
    /// Blobs at a time, at least 1.
    pub lanes: usize,
    /// Longest silence.
    pub timeout: Duration,
}

/// A registry, and the words before the names of repositories in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Host and port.
    pub host: String,
    /// Words joined by `/`, perhaps none.
    pub prefix: String,
}

impl Destination {
    /// The place that an image has there, by its digest if it has one, else by its tag.
    pub fn place(&self, image: &Reference) -> Reference {
        let repository = if self.prefix.is_empty() { image.repository().to_owned() } else { format!("{}/{}", self.prefix, image.repository()) };
        match (image.tag(), image.digest()) {
            (_, Some(digest)) => Reference::with_digest(self.host.clone(), repository, digest.to_owned()),
            (tag, None) => Reference::with_tag(self.host.clone(), repository, tag.unwrap_or("latest").to_owned()),
        }
    }
}

/// How a registry is talked to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryConfig {
    /// An account, and the file of its password.
    pub login: Option<(String, PathBuf)>,
    /// Authority to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Without TLS.
    pub plain_http: bool,
    /// Makes a repository; empty where that is not needed.
    pub create: Vec<String>,
}
