//! Takes orders over HTTP, and signs them with the cluster's key: what `hourglass schedule run|pause|resume` does without HTTP.

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    ledger::{Ledger, Place, event::Wish},
    order::{self, Order},
    sight::Sight,
};
use crate::{
    model::{Clock, Lineage, PolicyName, SystemClock, outcome::explain},
    orchestrator::order::words,
    repository::layout,
    storage,
};

/// Bytes of an order at most.
pub const MOST_BODY: usize = 8 << 10;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The policy or task.
    of: PolicyName,
    /// What of it.
    what: Wish,
    /// Who says so.
    who: String,
    /// Why.
    reason: String,
}

/// Why an order is not taken.
type Refused = (StatusCode, String);

/// Answers somebody who may give orders.
pub async fn answer(sight: &Sight, headers: &HeaderMap, body: &Bytes) -> Response {
    match take(sight, headers, body).await {
        Ok(taken) => (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], taken).into_response(),
        Err((status, why)) => (status, format!("{why}\n")).into_response(),
    }
}

async fn take(sight: &Sight, headers: &HeaderMap, body: &Bytes) -> Result<String, Refused> {
    // A page of somebody else cannot make a browser send this.
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != "application/json") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "an order is application/json".to_owned()));
    }
    let wrong = |why: String| (StatusCode::BAD_REQUEST, why);
    let asked: Asked = serde_json::from_slice(body).map_err(|error| {
        wrong(format!("{error}; write {{\"of\": NAME, \"what\": \"run\" or \"pause\" or \"resume\", \"who\": NAME, \"reason\": TEXT}}"))
    })?;
    let by = words(&asked.who).map_err(|why| wrong(format!("who: {why}")))?;
    let reason = words(&asked.reason).map_err(|why| wrong(format!("reason: {why}")))?;
    let lineage = ledger_of(sight, &asked.of).await?;
    let failed = |error: &dyn std::error::Error| (StatusCode::BAD_GATEWAY, explain(error));
    let keys = sight.keys().map_err(|error| failed(&error))?;
    let store = storage::open(&sight.config().control).await.map_err(|error| failed(&error))?;
    let place = Place::of(&store, &keys, &lineage);
    let ledger = Ledger::open(place).await.map_err(|error| failed(&error))?;
    if let Some(of) = ledger.balance().identity.as_ref().filter(|of| *of != sight.identity()) {
        return Err((StatusCode::CONFLICT, format!("installation {of} keeps {}, and this one only reports", asked.of)));
    }
    let order = Order { format: layout::FORMAT, lineage, number: 1, written: SystemClock.now(), by, reason, what: asked.what };
    let number = order::give(store.as_ref(), &keys.signing_key, order).await.map_err(|error| failed(&error))?;
    Ok(json!({"of": asked.of, "order": number, "what": asked.what}).to_string())
}

/// Under which name the ledger of a policy or a task lies.
async fn ledger_of(sight: &Sight, name: &PolicyName) -> Result<Lineage, Refused> {
    let config = sight.config();
    if config.tasks.contains_key(name) {
        return Ok(config.task_ledger(name));
    }
    let status = sight.status().await.map_err(|error| (StatusCode::BAD_GATEWAY, explain(&error)))?;
    let policy = status.policies.into_iter().find(|policy| policy.policy == *name);
    policy.map(|policy| policy.lineage).ok_or_else(|| (StatusCode::NOT_FOUND, format!("there is no policy and no task {name}")))
}
