//! What the daemon says of itself: one JSON object for each thing, with time, policy and run.

use std::sync::Arc;

use serde_json::{Value, json};

use super::ledger::event::Happened;
use crate::model::{Event, Observer, PolicyName, RunId, Timestamp};

/// Takes what is said; the outside decides where it goes.
#[derive(Clone)]
pub struct Log {
    say: Arc<dyn Fn(&Value) + Send + Sync>,
    policy: Option<PolicyName>,
    run: Option<RunId>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("policy", &self.policy).field("run", &self.run).finish_non_exhaustive()
    }
}

impl Log {
    /// Says everything through `say`.
    pub fn new(say: impl Fn(&Value) + Send + Sync + 'static) -> Log {
        Log { say: Arc::new(say), policy: None, run: None }
    }

    /// The same, about a policy.
    pub fn of(&self, policy: &PolicyName) -> Log {
        Log { policy: Some(policy.clone()), ..self.clone() }
    }

    /// The same, about a run.
    pub fn about(&self, run: &RunId) -> Log {
        Log { run: Some(run.clone()), ..self.clone() }
    }

    /// Says something; `what` is an object with an `event`.
    pub fn say(&self, what: Value) {
        let mut line = json!({"time": Timestamp::now(), "policy": self.policy, "run": self.run});
        if let (Value::Object(line), Value::Object(what)) = (&mut line, what) {
            line.retain(|_, value| !value.is_null());
            line.extend(what);
        }
        (self.say)(&line);
    }

    /// Says what was entered in the ledger, and under which number.
    pub fn entered(&self, number: u64, event: &Happened) {
        let mut said = json!({"event": "ledger", "number": number});
        if let (Some(said), Ok(Value::Object(event))) = (said.as_object_mut(), serde_json::to_value(event)) {
            said.extend(event);
        }
        self.say(said);
    }
}

impl Observer for Log {
    /// Progress says nothing here: a daemon's log is not watched.
    fn event(&self, event: &Event) {
        if !matches!(event, Event::Progress { .. } | Event::Clock { .. }) {
            self.say(serde_json::to_value(event).expect("events have text keys"));
        }
    }
}
