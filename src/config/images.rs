//! Container images and charts in registries: as written, and resolved.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use oci_client::Reference;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

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
    /// It is Amazon's ECR: we log in by its API, with the credentials of this machine or pod, and make repositories that lack. A host like
    /// `111111111111.dkr.ecr.eu-west-1.amazonaws.com` without `user` and `create` is known to be one.
    pub ecr: Option<FileEcr>,
}

/// Where the API of a registry of Amazon is. What is absent is read from the registry's host.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileEcr {
    /// The registry's region, for example `eu-west-1`.
    pub region: Option<String>,
    /// The account that the registry belongs to. Default, where the host does not say it: ours.
    pub account: Option<String>,
    /// Where the API is, when not at Amazon's usual address: a VPC endpoint, an emulator.
    pub endpoint: Option<String>,
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
    /// The API that logs us in and makes repositories, instead of the account and the command.
    pub ecr: Option<EcrConfig>,
}

/// Where the API of a registry of Amazon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcrConfig {
    /// The registry's region.
    pub region: String,
    /// The account that it belongs to; ours when absent.
    pub account: Option<String>,
    /// Where the API is, when not at Amazon's usual address.
    pub endpoint: Option<Url>,
}

impl EcrConfig {
    /// What the name of a host says: `<account>.dkr.ecr.<region>.amazonaws.com`, with `-fips` behind `ecr` and `.cn` at the end where those are.
    pub fn of_host(host: &str) -> Option<EcrConfig> {
        let (account, rest) = host.split_once(".dkr.")?;
        let rest = rest.strip_prefix("ecr-fips.").or_else(|| rest.strip_prefix("ecr."))?;
        let region = rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))?;
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_region = region.contains('-') && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (is_account && is_region).then(|| EcrConfig { region: region.to_owned(), account: Some(account.to_owned()), endpoint: None })
    }
}
