//! What a kit says of itself.

use serde::{Deserialize, Serialize};

use super::KitError;
use crate::{
    model::{ObjectKey, RepositoryId, Sha256, SiteName, Timestamp},
    repository::keys::PublicKey,
};

/// The first entry.
pub const MANIFEST: &str = "manifest.json";
/// The second entry.
pub const SIGNATURE: &str = "manifest.json.minisig";
/// The configuration, last.
pub const CONFIG: &str = "hourglass.yaml";
/// The program.
pub const PROGRAM: &str = "hourglass";
/// The container image.
pub const IMAGE: &str = "image.tar";
/// The last accepted heads.
pub const HEADS: &str = "heads.json";
/// Largest manifest, in bytes.
pub(super) const MANIFEST_MAX: u64 = 4 << 20;
/// Longest name, in bytes.
const NAME_MAX: usize = 255;
/// The only version.
pub const FORMAT: u32 = 1;

/// What a kit says of itself; signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format: 1.
    pub format: u32,
    /// Of which repository.
    pub repository: RepositoryId,
    /// The root of its trust.
    pub trust_root: PublicKey,
    /// Who signed this.
    pub signer: PublicKey,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is old.
    pub expires: Timestamp,
    /// Of the program that made it.
    pub version: String,
    /// The site of its configuration.
    pub site: SiteName,
    /// Names of the runbooks.
    pub runbooks: Vec<String>,
    /// Name of the container image, if there is one.
    pub image: Option<String>,
    /// Where points are.
    pub locations: Vec<Place>,
    /// What configuration and runbooks name, and somebody has to bring.
    pub absent: Vec<Absent>,
    /// All entries after the first two, in order.
    pub files: Vec<PackedFile>,
}

/// A location, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// As the configuration names it.
    pub name: String,
    /// Where it is.
    pub url: String,
}

/// A file that is named and not packed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absent {
    /// As written.
    pub path: String,
    /// Why it is not there.
    pub why: String,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackedFile {
    /// Its path in the archive and in the folder that it is unpacked to.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Of its content.
    pub sha256: Sha256,
    /// Whether it is a program.
    pub executable: bool,
}

/// What the signature is made for.
pub(super) fn signed_as() -> ObjectKey {
    "kit/manifest.json".parse().expect("it is a key")
}

/// Whether a file may be packed under this name. What leads out of a folder never is.
pub(super) fn is_name(name: &str) -> bool {
    let part = |part: &str| !matches!(part, "" | "." | "..");
    name.len() <= NAME_MAX && name.split('/').all(part) && !name.contains(|c: char| c.is_control() || c == '\\')
}

impl Manifest {
    /// The bytes that are stored and signed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("a manifest is plain data");
        bytes.push(b'\n');
        bytes
    }

    /// Reads them back.
    ///
    /// # Errors
    /// They are not a manifest that could be unpacked.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, KitError> {
        let unknown = |_| KitError::Damaged(format!("{MANIFEST} is not of a known form"));
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(unknown)?;
        if manifest.format != FORMAT {
            return Err(KitError::Refused(format!("the kit is of the unknown format {}; use the program that is in it", manifest.format)));
        }
        manifest.check().map_err(KitError::Damaged)?;
        Ok(manifest)
    }

    /// Whether its names can stand beside each other in a folder.
    fn check(&self) -> Result<(), String> {
        let mut names: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).chain([MANIFEST, SIGNATURE]).collect();
        if let Some(bad) = names.iter().find(|name| !is_name(name)) {
            return Err(format!("{bad:?} is not a name that may be unpacked"));
        }
        names.sort_unstable();
        let clash = |pair: &&[&str]| pair[0] == pair[1];
        if let Some(pair) = names.windows(2).find(clash) {
            return Err(format!("{:?} stands in it twice", pair[0]));
        }
        let is_folder = |name: &&&str| names.iter().any(|other| other.strip_prefix(**name).is_some_and(|rest| rest.starts_with('/')));
        match names.iter().find(is_folder) {
            Some(name) => Err(format!("{name:?} is a file and a folder")),
            None if self.files.last().is_none_or(|file| file.name != CONFIG) => Err(format!("{CONFIG} is not the last of it")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_of_a_folder_are_none() {
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a/.", "a\\b", "a\nb", "a\0b", &"a".repeat(256)] {
            assert!(!is_name(bad), "{bad:?}");
        }
        for good in ["a", "a/b", "..a", "a b/ü", "trust/signatures/00.minisig"] {
            assert!(is_name(good), "{good:?}");
        }
    }
}
