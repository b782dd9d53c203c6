//! What was restored, beside the snapshot that it came from: for what was written to while the snapshot was taken, so that nobody knows how many documents
//! it holds.
//!
//! The cluster checks each file's checksum as it restores it. What is asked here is whether each shard did come from that snapshot, with all of it, and
//! whether anybody has written to it since.

use std::sync::Mutex;

use serde_json::Value;

use super::{api::Api, catalog::Object, locked};
use crate::{model::Problem, sources::SourceError};

/// What the repository says of the shards of a snapshot, asked for once.
#[derive(Debug, Default)]
pub struct Shards(Mutex<Option<Value>>);

/// Files of a shard: their number, and their bytes.
type Extent = (u64, u64);

impl Shards {
    /// What differs between the restored shards of an object, which is called `name` now, and those of the snapshot; `None` when the cluster cannot tell any
    /// more, because a shard has moved since.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn compare(&self, api: &Api, repository: &str, snapshot: &str, object: &Object, name: &str) -> Result<Option<Vec<Problem>>, SourceError> {
        let saved = self.of(api, repository, snapshot)?;
        let recovered = api.get(&[name, "_recovery"], "")?;
        let since = api.get(&[name, "_stats", "indexing"], "expand_wildcards=all")?;
        let mut differences = Vec::new();
        for index in object.indices() {
            let target = if object.is_stream() { index } else { name };
            let copies: Vec<&Value> = recovered[target]["shards"].as_array().into_iter().flatten().filter(|copy| copy["primary"] == true).collect();
            let shards = saved["indices"][index]["shards"].as_object();
            let Some(shards) = shards.filter(|_| copies.iter().all(|copy| copy["type"] == "SNAPSHOT" && copy["source"]["snapshot"] == *snapshot))
            else {
                return Ok(None);
            };
            for (number, shard) in shards {
                let copy = copies.iter().find(|copy| copy["id"].as_u64() == number.parse().ok());
                if let Some(what) = differs(shard, copy.copied()) {
                    differences.push(Problem { subject: format!("shard {number} of {target}"), what });
                }
            }
            if let Some(what) = written(&since["indices"][target]["primaries"]["indexing"]) {
                differences.push(Problem { subject: format!("index {target}"), what });
            }
        }
        Ok(Some(differences))
    }

    fn of(&self, api: &Api, repository: &str, snapshot: &str) -> Result<Value, SourceError> {
        let mut known = locked(&self.0);
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let mut answer = api.get(&["_snapshot", repository, snapshot, "_status"], "")?;
        let status = answer["snapshots"][0].take();
        *known = Some(status.clone());
        Ok(status)
    }
}

/// How a restored shard differs from the one in the snapshot.
fn differs(saved: &Value, restored: Option<&Value>) -> Option<String> {
    let Some(restored) = restored else { return Some("is not there".to_owned()) };
    if restored["stage"] != "DONE" {
        return Some(format!("is not there yet: {}", restored["stage"]));
    }
    let stats = &saved["stats"];
    // Versions before 6.4 had other names for it.
    let saved: Option<Extent> =
        extent(&stats["total"], "file_count", "size_in_bytes").or_else(|| extent(stats, "number_of_files", "total_size_in_bytes"));
    let index = &restored["index"];
    let total = index["files"]["total"].as_u64().zip(index["size"]["total_in_bytes"].as_u64());
    let part = |of: &str| index["files"][of].as_u64().unwrap_or_default();
    match (saved, total) {
        (Some(saved), Some(total)) if saved == total && part("recovered") + part("reused") == total.0 => None,
        (Some((files, bytes)), Some(total)) => Some(format!(
            "has {} of {} files with {} bytes, and {files} with {bytes} were saved",
            part("recovered") + part("reused"),
            total.0,
            total.1
        )),
        _ => Some("cannot be compared: the cluster does not say how many files it has".to_owned()),
    }
}

/// What was written to an index since it came back: its counters began anew then.
fn written(indexing: &Value) -> Option<String> {
    let counted = |of: &str| indexing[of].as_u64().unwrap_or_default();
    match (counted("index_total"), counted("delete_total")) {
        (0, 0) => None,
        (written, deleted) => Some(format!("was changed since it came back: {written} documents were written, and {deleted} deleted")),
    }
}

fn extent(of: &Value, files: &str, bytes: &str) -> Option<Extent> {
    of[files].as_u64().zip(of[bytes].as_u64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shard_is_equal_only_when_all_files_of_the_snapshot_came_back() {
        let saved = json!({"stats": {"incremental": {"file_count": 1, "size_in_bytes": 5}, "total": {"file_count": 4, "size_in_bytes": 90}}});
        let restored = |recovered: u64, bytes: u64| json!({"stage": "DONE", "index": {"files": {"total": 4, "reused": 1, "recovered": recovered}, "size": {"total_in_bytes": bytes}}});
        assert_eq!(differs(&saved, Some(&restored(3, 90))), None);
        assert_eq!(differs(&saved, Some(&restored(2, 90))).unwrap(), "has 3 of 4 files with 90 bytes, and 4 with 90 were saved");
        assert!(differs(&saved, Some(&restored(3, 91))).is_some());
        assert!(differs(&saved, None).is_some());
        assert!(differs(&saved, Some(&json!({"stage": "INDEX"}))).unwrap().contains("INDEX"));
        let old = json!({"stats": {"number_of_files": 4, "processed_files": 1, "total_size_in_bytes": 90}});
        assert_eq!(differs(&old, Some(&restored(3, 90))), None);
    }
}
