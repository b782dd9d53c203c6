//! Notices as Events of the cluster that this daemon runs in.

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{Api, Client, api::PostParams};

use super::{
    SendError,
    book::{Notice, What},
    letter,
};
use crate::{config::Severity, model::SiteName, orchestrator::process::Process};

/// Longest note that a cluster takes, in bytes.
const LONGEST: usize = 1024;

/// Makes an Event of each; one that is there already was made by an earlier try.
///
/// # Errors
/// The cluster cannot be reached or refuses.
pub async fn send(site: &SiteName, notices: &[Notice]) -> Result<(), SendError> {
    let wrong = |error: kube::Error| SendError::Cluster(Box::new(error));
    let client = Client::try_default().await.map_err(wrong)?;
    let namespace = client.default_namespace().to_owned();
    let events: Api<Event> = Api::namespaced(client, &namespace);
    for notice in notices.iter().filter(|notice| notice.what != What::Digest) {
        match events.create(&PostParams::default(), &event(site, &namespace, notice)).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            made => drop(made.map_err(wrong)?),
        }
    }
    Ok(())
}

fn event(site: &SiteName, namespace: &str, notice: &Notice) -> Event {
    let mut message = letter::line(notice);
    message.truncate(message.floor_char_boundary(LONGEST));
    let condition = notice.condition.as_ref();
    let is_bad = notice.what == What::Began && condition.is_some_and(|condition| condition.severity > Severity::Note);
    let at = Some(Time(notice.at));
    Event {
        // The same for the same notice of the same book, whoever sends it.
        metadata: ObjectMeta {
            name: Some(format!("hourglass-{site}-{}-{}", notice.at.as_millisecond(), notice.id)),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(Process::current().machine),
            namespace: Some(namespace.to_owned()),
            ..ObjectReference::default()
        },
        reason: Some(reason(notice)),
        message: Some(message),
        type_: Some(if is_bad { "Warning" } else { "Normal" }.to_owned()),
        source: Some(EventSource { component: Some("hourglass".to_owned()), host: None }),
        first_timestamp: at.clone(),
        last_timestamp: at,
        count: Some(1),
        ..Event::default()
    }
}

/// `SlotFailed`, `SlotFailedOver`.
fn reason(notice: &Notice) -> String {
    let kind = notice.condition.as_ref().map_or("", |condition| condition.kind.as_str());
    let words = kind.split('-').map(|word| word.get(..1).unwrap_or_default().to_uppercase() + word.get(1..).unwrap_or_default());
    words.collect::<String>() + if notice.what == What::Over { "Over" } else { "" }
}
