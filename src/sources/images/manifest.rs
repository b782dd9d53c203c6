//! Manifests: what an image is made of. Their bytes are kept as they are, because their digest is the image's name.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use oci_client::Reference;
use serde::Deserialize;

use super::error::refused;
use crate::sources::SourceError;

/// Kinds of manifests that are asked for.
pub const ACCEPTED: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// Largest manifest that is taken.
const BYTES_MAX: usize = 8 << 20;

/// A manifest, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// As the registry has it.
    pub bytes: Bytes,
    /// `sha256:` and the SHA-256 of the bytes.
    pub digest: String,
    /// What it is.
    pub media_type: String,
    /// Its blobs, each once: configuration and layers.
    pub blobs: Vec<Descriptor>,
    /// The manifests that a list names.
    pub manifests: Vec<Descriptor>,
}

/// What a manifest says of something that it names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Its digest.
    pub digest: String,
    /// In bytes.
    pub size: u64,
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// For whom, in a list.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Where it is instead of in the registry.
    #[serde(default)]
    urls: Vec<String>,
}

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    architecture: String,
    os: String,
    #[serde(default)]
    variant: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    manifests: Option<Vec<Descriptor>>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is of a kind that we do not know, or names something in a way that could lead elsewhere.
    pub fn parse(image: &Reference, bytes: Bytes) -> Result<Manifest, SourceError> {
        if bytes.len() > BYTES_MAX {
            return Err(refused(image, format!("has a manifest larger than {} MiB", BYTES_MAX >> 20)));
        }
        let written: Written =
            serde_json::from_slice(&bytes).map_err(|error| refused(image, format!("has a manifest that cannot be read: {error}")))?;
        if written.schema_version != 2 {
            return Err(refused(image, format!("has a manifest of schema {}, which names no digests: build it anew", written.schema_version)));
        }
        let guess = if written.manifests.is_some() { ACCEPTED[0] } else { ACCEPTED[1] };
        let mut blobs: Vec<Descriptor> = Vec::new();
        for blob in written.config.into_iter().chain(written.layers) {
            if blob.urls.is_empty() && !blobs.iter().any(|known| known.digest == blob.digest) {
                blobs.push(blob);
            }
        }
        let manifests = written.manifests.unwrap_or_default();
        if let Some(odd) = blobs.iter().chain(&manifests).find(|named| hex(&named.digest).is_none()) {
            return Err(refused(image, format!("names {:?}, which is no SHA-256", odd.digest)));
        }
        let digest = format!("sha256:{}", hex::encode(digest(&SHA256, &bytes)));
        Ok(Manifest { digest, media_type: written.media_type.unwrap_or_else(|| guess.to_owned()), blobs, manifests, bytes })
    }
}

impl Platform {
    /// Whether it is the one with that name: `linux/amd64`, `linux/arm/v7`.
    pub fn is(&self, name: &str) -> bool {
        let plain = format!("{}/{}", self.os, self.architecture);
        plain == name || self.variant.as_ref().is_some_and(|variant| format!("{plain}/{variant}") == name)
    }
}

/// The hexadecimal digits of a SHA-256 as registries write it.
pub fn hex(digest: &str) -> Option<&str> {
    let digits = digest.strip_prefix("sha256:")?;
    (digits.len() == 64 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))).then_some(digits)
}
