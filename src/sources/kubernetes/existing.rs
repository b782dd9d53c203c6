//! What a cluster holds: namespaces, claims, and the images that its pods run.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{api::Api, list, select::fits_any, select::fits_path, text};
use crate::{
    config::KubernetesConfig,
    sources::{
        SourceError,
        existing::{Capture, Existing, Thing, ThingKind},
    },
};

/// Asks the cluster.
pub async fn existing(api: &Api, config: &KubernetesConfig) -> Result<Existing, SourceError> {
    let names = api.all("/api/v1/namespaces", None).await?.iter().map(|one| text(&one["metadata"]["name"])).collect::<Vec<_>>();
    let is_captured = |name: &str| config.namespaces.is_empty() || fits_any(&config.namespaces, name);
    let mut found = Existing::of(ThingKind::Namespace, names, is_captured, "it is not among namespaces");
    for claim in api.all("/api/v1/persistentvolumeclaims", None).await? {
        let name = format!("{}/{}", text(&claim["metadata"]["namespace"]), text(&claim["metadata"]["name"]));
        let capture = match config.data.iter().find(|(pattern, _)| fits_path(pattern, &name)) {
            Some((_, source)) => Capture::By(Some(source.clone())),
            None if config.no_data.iter().any(|pattern| fits_path(pattern, &name)) => Capture::NotNeeded("no_data"),
            None => Capture::Left("it is in neither data nor no_data".to_owned()),
        };
        found.things.push(Thing { kind: ThingKind::Claim, name, capture });
    }
    let images: BTreeSet<String> = api.all("/api/v1/pods", None).await?.iter().flat_map(images).collect();
    found.things.extend(images.into_iter().map(|name| Thing { kind: ThingKind::Image, name, capture: Capture::By(None) }));
    Ok(found)
}

fn images(pod: &Value) -> Vec<String> {
    let containers = ["containers", "initContainers", "ephemeralContainers"].into_iter().flat_map(|key| list(&pod["spec"][key]));
    containers.map(|container| text(&container["image"])).filter(|image| !image.is_empty()).collect()
}
