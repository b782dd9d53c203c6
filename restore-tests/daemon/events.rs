//! Notices as Events of a real cluster.

use std::fs;

use serde_json::Value;

use super::world::Kept;
use crate::{
    clusters::{eventually, kubeconfig, kubectl},
    lab::Region,
};

#[tokio::test]
async fn what_begins_and_ends_becomes_events_of_kubernetes() {
    let kept = Kept::new("0 0 1 1 *", "    retries: 0\n");
    let config = kubeconfig(Region::A);
    // Where a program without a configuration of its own looks.
    fs::create_dir(kept.site.path(".kube")).unwrap();
    fs::copy(&config, kept.site.path(".kube/config")).unwrap();
    kept.site.configure("notify: { events: true }\n");
    let namespace = kubectl(&config, &["config", "view", "--minify", "--output=jsonpath={..namespace}"]).unwrap();
    let namespace = if namespace.is_empty() { "default".to_owned() } else { namespace };
    let daemon = kept.daemon("a");
    let find = |reason: &str, text: &str| -> Value {
        eventually(|| {
            let found =
                kubectl(&config, &["get", "events", "--namespace", &namespace, "--output=json", "--field-selector", &format!("reason={reason}")])?;
            let found: Value = serde_json::from_str(&found).unwrap();
            let mut events = found["items"].as_array().unwrap().iter().filter(|event| event["message"].as_str().unwrap().contains(text));
            events.next().cloned().ok_or_else(|| format!("{found:#}\n{}", daemon.log()))
        })
    };
    let began = find("ObjectiveBroken", "CRITICAL  p: it has no good point");
    assert_eq!(
        (began["type"].as_str(), began["source"]["component"].as_str(), began["count"].as_u64()),
        (Some("Warning"), Some("hourglass"), Some(1))
    );
    kept.order("run");
    assert_eq!(find("ObjectiveBrokenOver", "OVER  p: it has no good point")["type"], "Normal");
}
