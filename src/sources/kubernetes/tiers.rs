//! The order in which kinds come back: each tier is ready before the next begins.

use super::discovery::Resource;
use crate::model::Activity;

/// Definitions of kinds.
pub const DEFINITIONS: u8 = 0;
/// Namespaces.
pub const NAMESPACES: u8 = 1;
/// Webhooks, admission policies and API services: what the server itself asks.
const ACTING: u8 = 8;
/// Never applied: volumes and snapshots are of the old site, and an inventory is no object.
pub const NEVER: u8 = 255;

/// The tier of a kind.
pub fn tier(resource: &Resource) -> u8 {
    if resource.custom {
        return if resource.group == "snapshot.storage.k8s.io" { snapshots(&resource.plural) } else { 7 };
    }
    match &*resource.name() {
        "customresourcedefinitions.apiextensions.k8s.io" => DEFINITIONS,
        "namespaces" => NAMESPACES,
        "persistentvolumes" => NEVER,
        name if name.ends_with("classes.storage.k8s.io") || name.ends_with(".scheduling.k8s.io") || name.ends_with(".node.k8s.io") => 2,
        "ingressclasses.networking.k8s.io" | "csidrivers.storage.k8s.io" => 2,
        "serviceaccounts" => 3,
        name if name.ends_with(".rbac.authorization.k8s.io") => 3,
        "secrets" | "configmaps" | "limitranges" | "services" | "endpoints" | "endpointslices.discovery.k8s.io" | "podtemplates" => 4,
        "networkpolicies.networking.k8s.io" | "poddisruptionbudgets.policy" => 4,
        "persistentvolumeclaims" => 5,
        "cronjobs.batch" => 10,
        "pods" | "replicationcontrollers" => 6,
        name if name.ends_with(".apps") || name.ends_with(".batch") => 6,
        "apiservices.apiregistration.k8s.io" => ACTING,
        name if name.ends_with(".admissionregistration.k8s.io") => ACTING,
        "ingresses.networking.k8s.io" | "ingresses.extensions" | "horizontalpodautoscalers.autoscaling" | "resourcequotas" => 9,
        _ => 7,
    }
}

/// Kinds that act on other objects as soon as they are there, and are left out while a cluster is quiet.
fn acts(resource: &Resource) -> bool {
    tier(resource) == ACTING || matches!(&*resource.name(), "horizontalpodautoscalers.autoscaling" | "resourcequotas")
}

/// Kinds whose objects can be there and be quiet: suspended, or with fewer replicas.
pub fn can_be_quiet(resource: &Resource) -> bool {
    matches!(&*resource.name(), "cronjobs.batch" | "deployments.apps" | "statefulsets.apps" | "replicasets.apps" | "replicationcontrollers")
}

/// Whether a kind is applied where this becomes of objects that act by themselves.
pub fn is_applied(resource: &Resource, activity: &Activity) -> bool {
    match activity {
        _ if tier(resource) == NEVER => false,
        Activity::Apply => true,
        Activity::Quiet { .. } => !acts(resource),
        Activity::Activate => acts(resource) || can_be_quiet(resource),
    }
}

/// Classes come back; snapshots lie in the old site.
fn snapshots(plural: &str) -> u8 {
    if plural.ends_with("classes") { 2 } else { NEVER }
}
