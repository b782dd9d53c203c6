//! What the registry that images are restored to holds of them already.

use std::sync::Arc;

use oci_client::Reference;

use super::{registry::Registries, target::TargetRegistry};
use crate::{
    config::ImagesConfig,
    model::outcome::explain,
    sources::{SourceError, kubernetes::Answer},
};

/// Of each reference, whether the registry holds it whole: manifests by their digests, and every blob that they name.
pub fn at_registry(config: &ImagesConfig) -> Vec<Answer> {
    let Some(destination) = config.registry.clone() else { return Vec::new() };
    let target = TargetRegistry { registries: Arc::new(Registries::new(config)), destination };
    config.references.iter().map(|image| (image.to_string(), held(&target, image).map_err(|error| explain(&error)).flatten())).collect()
}

fn held(target: &TargetRegistry, image: &Reference) -> Result<Result<String, String>, SourceError> {
    let place = target.place(image);
    let digest = match image.digest() {
        Some(digest) => digest.to_owned(),
        None => match target.registries.find_manifest(&place)? {
            Some(manifest) => manifest.digest,
            None => return Ok(Err(format!("{place} is not there"))),
        },
    };
    let missing = target.missing(image, &digest)?;
    Ok(match missing.first() {
        None => Ok(format!("{digest} is whole at {place}")),
        Some(first) => Err(format!("{}: {}; {} things lack in all", first.subject, first.what, missing.len())),
    })
}
