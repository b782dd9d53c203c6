//! What a Job and its pods tell. Pure.

use std::time::Duration;

use serde_json::Value;

use crate::sources::kubernetes::{list, text};

/// Where a worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A pod of it runs, or the next one is on its way.
    Underway,
    /// It succeeded.
    Done,
    /// It does not go on, and why.
    Failed {
        /// With what its last pod exited.
        code: Option<i64>,
        /// What is known of the cause.
        why: String,
    },
    /// No pod of it has run yet, and why.
    Waiting {
        /// What it waits for.
        why: String,
        /// Whether waiting changes nothing.
        is_hopeless: bool,
    },
}

/// Reasons of a waiting container that no time mends.
const HOPELESS: [&str; 2] = ["InvalidImageName", "ErrImageNeverPull"];

/// Where a worker is, from its Job and its pods.
pub fn state(job: &Value, pods: &[Value]) -> State {
    let condition =
        |wanted: &str| list(&job["status"]["conditions"]).iter().find(|condition| condition["type"] == wanted && condition["status"] == "True");
    if condition("Complete").is_some() {
        return State::Done;
    }
    if let Some(failed) = condition("Failed") {
        let badly = |terminated: &&Value| terminated["exitCode"] != 0;
        let last = pods.iter().filter_map(terminated).filter(badly).max_by_key(|terminated| text(&terminated["finishedAt"]));
        let code = last.and_then(|terminated| terminated["exitCode"].as_i64());
        let (reason, message) = (text(&failed["reason"]), text(&failed["message"]));
        let why = match (last.map(said), &*reason) {
            (_, "DeadlineExceeded") => "it did not end in time".to_owned(),
            (Some(said), _) => said,
            (None, _) => format!("{reason}: {message}"),
        };
        return State::Failed { code, why };
    }
    let in_phase = |phase: &'static str| move |pod: &&Value| pod["status"]["phase"] == phase;
    if pods.iter().any(|pod| in_phase("Running")(&pod)) {
        // One of several: the others get their turn.
        return State::Underway;
    }
    let newest = pods.iter().filter(in_phase("Pending")).max_by_key(|pod| text(&pod["metadata"]["creationTimestamp"]));
    match newest {
        Some(pod) => waiting(pod),
        None if pods.is_empty() => State::Waiting { why: "the cluster has made no pod for it".to_owned(), is_hopeless: false },
        None => State::Underway,
    }
}

fn waiting(pod: &Value) -> State {
    let container = list(&pod["status"]["containerStatuses"]).iter().find_map(|status| status["state"].get("waiting"));
    let scheduled = list(&pod["status"]["conditions"]).iter().find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False");
    let reason = container.map(|waiting| text(&waiting["reason"])).unwrap_or_default();
    let why = match (container, scheduled) {
        (_, Some(condition)) => format!("its pod has no node: {}", text(&condition["message"])),
        (Some(waiting), None) => format!("its pod waits: {reason} {}", text(&waiting["message"])).trim_end().to_owned(),
        (None, None) => "its pod has not begun".to_owned(),
    };
    State::Waiting { why, is_hopeless: HOPELESS.contains(&&*reason) }
}

fn terminated(pod: &Value) -> Option<&Value> {
    list(&pod["status"]["containerStatuses"]).iter().find_map(|status| status["state"].get("terminated"))
}

/// What a container that has ended says: its last words, or what ended it.
fn said(terminated: &Value) -> String {
    let message = text(&terminated["message"]);
    let last = message.trim();
    match last.is_empty() {
        false => last.to_owned(),
        true => format!("its pod was ended ({}, exit code {})", text(&terminated["reason"]), terminated["exitCode"]),
    }
}

/// For how long nothing of it may run.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Longest time.
    pub limit: Duration,
    /// How long it has been so.
    pub waited: Duration,
}

impl Patience {
    /// Why to give up, if that is so.
    pub fn verdict(self, state: &State) -> Option<String> {
        match state {
            State::Waiting { why, is_hopeless: true } => Some(why.clone()),
            State::Waiting { why, .. } if self.waited >= self.limit => Some(format!("nothing of it ran for {} s: {why}", self.waited.as_secs())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(phase: &str, state: Value) -> Value {
        json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": phase, "containerStatuses": [{"state": state}]}})
    }

    fn job(condition: &str, reason: &str) -> Value {
        json!({"status": {"conditions": [{"type": condition, "status": "True", "reason": reason, "message": "m"}]}})
    }

    #[test]
    fn a_job_is_done_or_failed_when_the_cluster_says_so_and_not_before() {
        assert_eq!(state(&job("Complete", ""), &[]), State::Done);
        let killed = pod("Failed", json!({"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": "1"}}));
        assert_eq!(state(&json!({}), std::slice::from_ref(&killed)), State::Underway, "the next pod is on its way");
        let said = pod("Failed", json!({"terminated": {"exitCode": 5, "message": "error: not empty\n", "finishedAt": "2"}}));
        let failed = State::Failed { code: Some(5), why: "error: not empty".to_owned() };
        assert_eq!(state(&job("Failed", "PodFailurePolicy"), &[killed.clone(), said]), failed);
        let State::Failed { code, why } = state(&job("Failed", "BackoffLimitExceeded"), &[killed]) else { panic!("it failed") };
        assert!(code == Some(137) && why.contains("exit code 137"), "{why}");
        let late = State::Failed { code: None, why: "it did not end in time".to_owned() };
        assert_eq!(state(&job("Failed", "DeadlineExceeded"), &[]), late);
    }

    #[test]
    fn a_pod_that_does_not_start_is_given_up_after_its_time_or_at_once_where_time_mends_nothing() {
        let unscheduled =
            json!({"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]}});
        let pulling = pod("Pending", json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}));
        let wrong = pod("Pending", json!({"waiting": {"reason": "InvalidImageName"}}));
        let limit = Duration::from_secs(60);
        let give_up =
            |pod: &Value, seconds| Patience { limit, waited: Duration::from_secs(seconds) }.verdict(&state(&json!({}), std::slice::from_ref(pod)));
        assert_eq!((give_up(&unscheduled, 59), give_up(&pulling, 59)), (None, None));
        assert!(give_up(&unscheduled, 60).unwrap().contains("no node: 0/1 nodes"));
        assert!(give_up(&pulling, 60).unwrap().contains("ImagePullBackOff"));
        assert!(give_up(&wrong, 0).unwrap().contains("InvalidImageName"));
        assert!(matches!(state(&json!({}), &[]), State::Waiting { is_hopeless: false, .. }));
        assert_eq!(state(&json!({}), &[pod("Running", json!({"running": {}}))]), State::Underway);
    }
}
