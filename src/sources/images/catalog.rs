//! What the images of a source are made of, and what of that becomes a component of a point.

use std::collections::{BTreeMap, BTreeSet};

use oci_client::Reference;
use serde_json::{Value, json};

use super::{
    error::refused,
    manifest::{Manifest, hex},
    registry::{Registries, name},
};
use crate::{
    config::{ImagesConfig, ImagesMode},
    model::{Context, Problem, outcome::advise},
    sources::{Component, Shape, SourceError},
};

/// The list of images, as an OCI layout has it.
pub const INDEX: &str = "index.json";
/// What tells that a directory is an OCI layout.
pub const LAYOUT: &str = "oci-layout";
/// Lists that name lists that name lists are not read.
const DEPTH_MAX: u8 = 4;

/// An image of the source.
#[derive(Debug, Clone)]
pub struct Image {
    /// As it is configured.
    pub reference: Reference,
    /// The manifest that its name stands for.
    pub digest: String,
}

/// A manifest that is held, and who needs it.
#[derive(Debug, Clone)]
pub struct Held {
    /// The manifest.
    pub manifest: Manifest,
    /// 1 for an image, more for a list: what it names is below.
    pub level: u8,
    /// Registry and name of repositories.
    pub repositories: BTreeSet<String>,
    /// Names of images that stand for it.
    pub references: BTreeSet<String>,
}

/// A blob, and who needs it.
#[derive(Debug, Clone, Default)]
pub struct Blob {
    /// In bytes.
    pub size: u64,
    /// Registry and name of repositories.
    pub repositories: BTreeSet<String>,
}

/// All that the images of a source are made of.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Those that were found.
    pub images: Vec<Image>,
    /// By digest.
    pub manifests: BTreeMap<String, Held>,
    /// By digest.
    pub blobs: BTreeMap<String, Blob>,
    /// Images that are missing.
    pub problems: Vec<Problem>,
    /// What a person should know.
    pub notes: Vec<Problem>,
}

impl Catalog {
    /// Reads all manifests. An image that is not there is a problem, unless none is.
    ///
    /// # Errors
    /// When no image can be read, or the run is stopped.
    pub fn read(registries: &Registries, config: &ImagesConfig, ctx: &Context) -> Result<Catalog, SourceError> {
        if config.references.is_empty() {
            return Err(SourceError::Nothing { kind: "images" });
        }
        let mut catalog = Catalog::default();
        let mut first = None;
        for reference in &config.references {
            if ctx.cancel.is_draining() {
                return Err(SourceError::Cancelled { program: "the reading of manifests".to_owned() });
            }
            if let Err(error) = catalog.add(registries, reference, config.platform.as_deref()) {
                catalog.problems.push(Problem { subject: reference.to_string(), what: advise(&error, error.hint()) });
                first = first.or(Some(error));
            }
        }
        match first {
            Some(error) if catalog.images.is_empty() => Err(error),
            _ => Ok(catalog),
        }
    }

    fn add(&mut self, registries: &Registries, reference: &Reference, platform: Option<&str>) -> Result<(), SourceError> {
        let mut manifest = registries.manifest(reference)?;
        self.look_at_tag(registries, reference, &manifest)?;
        if let Some(platform) = platform.filter(|_| !manifest.manifests.is_empty()) {
            let chosen = manifest.manifests.iter().find(|child| child.platform.as_ref().is_some_and(|known| known.is(platform)));
            let chosen = chosen.ok_or_else(|| refused(reference, format!("is not made for {platform}")))?;
            let (list, chosen) = (manifest.digest.clone(), reference.clone_with_digest(chosen.digest.clone()));
            manifest = registries.manifest(&chosen)?;
            if reference.digest().is_some() {
                let what = format!("only its manifest for {platform} is kept, so it cannot be had any more as {list}");
                self.notes.push(Problem { subject: reference.to_string(), what });
            }
        }
        let mut found = Vec::new();
        level(registries, reference, manifest, &mut found, DEPTH_MAX)?;
        let (_, top) = found.last().expect("the manifest itself is among them");
        self.images.push(Image { reference: reference.clone(), digest: top.digest.clone() });
        let top = top.digest.clone();
        for (level, manifest) in found {
            self.hold(reference, manifest, level);
        }
        let tagged = reference.tag().map_or_else(|| format!("{}@{top}", name(reference)), |tag| format!("{}:{tag}", name(reference)));
        self.manifests.get_mut(&top).expect("it was just put there").references.insert(tagged);
        Ok(())
    }

    /// A name with tag and digest means the digest; the tag may mean something else by now.
    fn look_at_tag(&mut self, registries: &Registries, reference: &Reference, runs: &Manifest) -> Result<(), SourceError> {
        let (Some(tag), Some(_)) = (reference.tag(), reference.digest()) else { return Ok(()) };
        let tagged = Reference::with_tag(reference.registry().to_owned(), reference.repository().to_owned(), tag.to_owned());
        let what = match registries.find_manifest(&tagged)? {
            Some(now) if now.digest == runs.digest => return Ok(()),
            Some(now) => format!("the tag {tag} means {} by now; what runs is kept", now.digest),
            None => format!("the tag {tag} is gone from the registry; what runs is kept"),
        };
        self.notes.push(Problem { subject: reference.to_string(), what });
        Ok(())
    }

    fn hold(&mut self, reference: &Reference, manifest: Manifest, level: u8) {
        let repository = name(reference);
        for blob in &manifest.blobs {
            let known = self.blobs.entry(blob.digest.clone()).or_default();
            known.size = blob.size;
            known.repositories.insert(repository.clone());
        }
        let digest = manifest.digest.clone();
        let new = || Held { manifest, level, repositories: BTreeSet::new(), references: BTreeSet::new() };
        self.manifests.entry(digest).or_insert_with(new).repositories.insert(repository);
    }

    /// The components of a point: all parts of an OCI layout, or for a mirror one per image.
    pub fn components(&self, mode: ImagesMode) -> Vec<Component> {
        if mode == ImagesMode::Mirror {
            return self.images.iter().map(mirrored).collect();
        }
        let mut components = vec![Component::single(LAYOUT, Shape::Stream), Component::single(INDEX, Shape::Stream)];
        for (digest, blob) in &self.blobs {
            let about = [("repositories", joined(&blob.repositories)), ("size", blob.size.to_string())];
            components.push(part(digest, 0, &about));
        }
        for (digest, held) in &self.manifests {
            let about = [
                ("repositories", joined(&held.repositories)),
                ("references", joined(&held.references)),
                ("media_type", held.manifest.media_type.clone()),
            ];
            components.push(part(digest, held.level, &about));
        }
        components
    }

    /// The text of a component that is no blob.
    pub fn text(&self, component: &str) -> Option<Vec<u8>> {
        match component {
            LAYOUT => Some(b"{\"imageLayoutVersion\":\"1.0.0\"}\n".to_vec()),
            INDEX => Some(format!("{}\n", self.index()).into_bytes()),
            _ => self.manifests.get(&digest_of(component)?).map(|held| held.manifest.bytes.to_vec()),
        }
    }

    fn index(&self) -> Value {
        let entry = |image: &Image| {
            let manifest = &self.manifests[&image.digest].manifest;
            let named = json!({"org.opencontainers.image.ref.name": image.reference.to_string()});
            json!({"mediaType": manifest.media_type, "digest": image.digest, "size": manifest.bytes.len(), "annotations": named})
        };
        json!({"schemaVersion": 2, "mediaType": super::manifest::ACCEPTED[0], "manifests": self.images.iter().map(entry).collect::<Vec<_>>()})
    }
}

/// A manifest and those below it, lowest first, with their levels. Gives the level of the manifest.
fn level(registries: &Registries, image: &Reference, manifest: Manifest, found: &mut Vec<(u8, Manifest)>, depth: u8) -> Result<u8, SourceError> {
    if depth == 0 {
        return Err(refused(image, "is a list of lists of lists".to_owned()));
    }
    let mut own = 1;
    for child in &manifest.manifests {
        let child = registries.manifest(&image.clone_with_digest(child.digest.clone()))?;
        own = own.max(1 + level(registries, image, child, found, depth - 1)?);
    }
    found.push((own, manifest));
    Ok(own)
}

fn part(digest: &str, stage: u8, about: &[(&str, String)]) -> Component {
    let about = about.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Component { name: format!("blobs/sha256/{}", hex(digest).unwrap_or_default()), shape: Shape::Stream, stage, about }
}

fn mirrored(image: &Image) -> Component {
    let runs = image.digest.replace(':', "-");
    let last = match (image.reference.tag(), image.reference.digest()) {
        (Some(tag), None) => tag.to_owned(),
        (Some(tag), Some(_)) => format!("{tag}@{runs}"),
        (None, _) => runs,
    };
    let about = [("reference", image.reference.to_string()), ("digest", image.digest.clone()), ("repositories", name(&image.reference))];
    let about = about.map(|(key, value)| (key.to_owned(), value)).into();
    Component { name: format!("images/{}/{last}", name(&image.reference)), shape: Shape::Stream, stage: 0, about }
}

fn joined(words: &BTreeSet<String>) -> String {
    words.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// The digest of the blob or manifest that a component is.
pub fn digest_of(component: &str) -> Option<String> {
    let digest = format!("sha256:{}", component.strip_prefix("blobs/sha256/")?);
    hex(&digest).is_some().then_some(digest)
}
