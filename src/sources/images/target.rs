//! The registry that images are written to, by a restore or by a mirror.

use std::{collections::BTreeSet, io, sync::Arc};

use bytes::Bytes;
use oci_client::Reference;

use super::{
    blob::{BlobReader, Upload},
    error::refused,
    manifest::Manifest,
    registry::{Registries, name},
};
use crate::{
    config::Destination,
    model::{Context, Problem},
    sources::SourceError,
};

/// Where images go.
#[derive(Debug, Clone)]
pub struct TargetRegistry {
    /// All registries.
    pub registries: Arc<Registries>,
    /// Which one, and what stands before the names of repositories.
    pub destination: Destination,
}

/// Registry and repository of an image, as words that were joined.
pub fn repository(text: &str) -> Result<Reference, SourceError> {
    let unreadable = |_| SourceError::Vanished { path: format!("the repository {text:?}") };
    text.parse::<Reference>().map_err(unreadable)
}

impl TargetRegistry {
    /// The place that an image, or a repository, has here.
    pub fn place(&self, image: &Reference) -> Reference {
        self.destination.place(image)
    }

    /// Sees to it that an image's repository is here.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn prepare(&self, image: &Reference, ctx: &Context) -> Result<(), SourceError> {
        self.registries.prepare(&self.place(image), ctx)
    }

    /// Begins to take a blob into the first of these repositories; `None` when it has it.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses.
    pub fn blob(&self, first: &Reference, digest: &str, size: u64) -> Result<Option<Upload>, SourceError> {
        match self.registries.has_blob(first, digest)? {
            true => Ok(None),
            false => Upload::begin(Arc::clone(&self.registries), first, digest, size).map(Some),
        }
    }

    /// Lets a repository have a blob that is in another one here.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses.
    pub fn share(&self, to: &Reference, from: &Reference, digest: &str, size: u64, ctx: &Context) -> Result<(), SourceError> {
        if self.registries.has_blob(to, digest)? || self.registries.mount(to, from, digest)? {
            return Ok(());
        }
        self.copy(to, from, digest, size, ctx)
    }

    /// Sees to it that an image's repository here has a blob: from another one here of those that need it too, or else from where the image is.
    ///
    /// # Errors
    /// When it cannot be read, is not what its digest says, or cannot be written.
    pub fn bring(&self, image: &Reference, others: &[Reference], digest: &str, size: u64, ctx: &Context) -> Result<(), SourceError> {
        let to = self.place(image);
        if self.registries.has_blob(&to, digest)? {
            return Ok(());
        }
        for other in others.iter().map(|other| self.place(other)).filter(|other| other.repository() != to.repository()) {
            if self.registries.has_blob(&other, digest)? && self.registries.mount(&to, &other, digest)? {
                return Ok(());
            }
        }
        self.copy(&to, image, digest, size, ctx)
    }

    /// Copies a blob from any repository into one of this registry, unless it is there.
    ///
    /// # Errors
    /// When it cannot be read, is not what its digest says, or cannot be written.
    fn copy(&self, to: &Reference, from: &Reference, digest: &str, size: u64, ctx: &Context) -> Result<(), SourceError> {
        let Some(mut upload) = self.blob(to, digest, size)? else { return Ok(()) };
        let reader = BlobReader::new(Arc::clone(&self.registries), from.clone(), digest.to_owned(), size, ctx.clone());
        let mut refused: Option<io::Error> = None;
        let read = reader.copy(|part: Bytes| {
            upload.part(part).map_err(|error| {
                refused = Some(error);
                SourceError::Vanished { path: "the upload".to_owned() }
            })
        });
        match (read, refused) {
            // The registry knows better why it stopped taking.
            (Err(error), Some(_)) => upload.end().and(Err(error)),
            (Err(error), None) => Err(error),
            (Ok(()), _) => upload.end(),
        }
    }

    /// Puts a manifest into a repository, and under tags of it.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses: also when it lacks something that the manifest names.
    pub fn manifest(&self, manifest: &Manifest, repositories: &[Reference], tags: &[Reference]) -> Result<(), SourceError> {
        for repository in repositories {
            self.registries.put_manifest(&self.place(repository).clone_with_digest(manifest.digest.clone()), manifest)?;
        }
        for tag in tags.iter().filter(|tag| tag.digest().is_none()) {
            self.registries.put_manifest(&self.place(tag), manifest)?;
        }
        Ok(())
    }

    /// What is missing or different here of an image that has to be there under a digest, and under its tag where it has one.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses.
    pub fn missing(&self, image: &Reference, digest: &str) -> Result<Vec<Problem>, SourceError> {
        let place = self.place(image);
        let mut missing = Vec::new();
        let mut say = |subject: String, what: &str| missing.push(Problem { subject, what: what.to_owned() });
        if let (Some(_), None) = (image.tag(), image.digest()) {
            match self.registries.find_manifest(&place)? {
                Some(found) if found.digest == digest => {}
                Some(found) => say(place.to_string(), &format!("means {} instead of {digest}", found.digest)),
                None => say(place.to_string(), "is not there"),
            }
        }
        let (mut open, mut seen) = (vec![digest.to_owned()], BTreeSet::new());
        while let Some(digest) = open.pop() {
            let named = place.clone_with_digest(digest.clone());
            let Some(manifest) = self.registries.find_manifest(&named)? else {
                say(named.to_string(), "is not there");
                continue;
            };
            for blob in manifest.blobs {
                if seen.insert(blob.digest.clone()) && !self.registries.has_blob(&place, &blob.digest)? {
                    say(format!("{}@{}", name(&place), blob.digest), "is not there");
                }
            }
            open.extend(manifest.manifests.into_iter().map(|child| child.digest).filter(|child| seen.insert(child.clone())));
        }
        Ok(missing)
    }

    /// Whether a tag is free, or already what it is to be.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses.
    pub fn is_free(&self, tag: &Reference, digest: &str) -> Result<bool, SourceError> {
        Ok(self.registries.find_manifest(&self.place(tag))?.is_none_or(|found| found.digest == digest))
    }
}

/// An error that names the first of what is missing.
pub fn not_whole(image: &Reference, missing: &[Problem]) -> SourceError {
    let first = missing.first().map(|problem| format!("{} {}", problem.subject, problem.what)).unwrap_or_default();
    refused(image, format!("is not whole in the target: {first}, and {} more", missing.len().saturating_sub(1)))
}
