//! Asks the server what we may do, before anything is done.

use futures::future::join_all;
use http::Method;
use serde_json::json;

use super::{
    api::{Api, Ask, JSON},
    discovery::Resource,
};
use crate::sources::{SourceError, SourceErrorKind};

/// Kinds that are named; more are counted.
const NAMED: usize = 16;

/// A verb on a kind.
pub type Right = (&'static str, Resource);

/// That we have all these rights, in all namespaces.
///
/// # Errors
/// When one lacks; all that lack are named.
pub async fn check(api: &Api, wanted: Vec<Right>, what_for: &str) -> Result<(), SourceError> {
    let everything = Resource { group: "*".to_owned(), plural: "*".to_owned(), ..wanted[0].1.clone() };
    if is_allowed(api, "*", &everything).await? {
        return Ok(());
    }
    let mut lacking: Vec<(String, Vec<&str>)> = Vec::new();
    for ((verb, resource), allowed) in wanted.iter().zip(join_all(wanted.iter().map(|(verb, resource)| is_allowed(api, verb, resource))).await) {
        match lacking.last_mut() {
            _ if allowed? => {}
            Some((name, verbs)) if *name == resource.name() => verbs.push(verb),
            _ => lacking.push((resource.name(), vec![verb])),
        }
    }
    if lacking.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = lacking.iter().take(NAMED).map(|(name, verbs)| format!("{} {name}", verbs.join("/"))).collect();
    let more = lacking.len() - named.len();
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    Err(SourceError::Unfit {
        subject: format!("the account at {}", api.server),
        why: format!("may not {}{more}, which {what_for} needs", named.join(", ")),
        kind: SourceErrorKind::Denied,
        hint: Some("give it the rights that the guide on Kubernetes names, or leave the kinds out"),
    })
}

async fn is_allowed(api: &Api, verb: &str, resource: &Resource) -> Result<bool, SourceError> {
    let attributes = json!({"verb": verb, "group": resource.group, "resource": resource.plural});
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}});
    let ask = Ask::path("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").sending(JSON, &review);
    let answer = api.json(&Method::POST, &ask).await?;
    Ok(answer["status"]["allowed"] == true)
}
