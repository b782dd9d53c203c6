//! How an object in a cluster differs from what it shall be. Fields that the server adds do not count; those that lack or are other do.

use serde_json::Value;

/// Differences that are named of one object.
const NAMED: usize = 5;
/// Maps whose keys are all the user's: a further one is a difference.
const WHOLE: [&str; 3] = ["data", "binaryData", "stringData"];

/// The fields in which an object differs, each with what was saved and what is there.
pub fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut differing = Vec::new();
    compare(expected, found, "", &mut differing);
    for field in WHOLE {
        for key in found[field].as_object().into_iter().flatten().map(|(key, _)| key).filter(|key| expected[field].get(*key).is_none()) {
            differing.push((format!("{field}.{key}"), "is there, and was not saved".to_owned()));
        }
    }
    // Values of Secrets are not shown.
    let secret = expected["kind"] == "Secret";
    let more = differing.len().saturating_sub(NAMED);
    let shown = differing.into_iter().take(NAMED).map(|(field, what)| {
        let hidden = secret && field.starts_with("data");
        if hidden { format!("{field} differs") } else { format!("{field} {what}") }
    });
    shown.chain((more > 0).then(|| format!("{more} further fields"))).collect()
}

/// Names of the fields in which two versions of an object differ, both ways.
pub fn changed_fields(one: &Value, other: &Value) -> Vec<String> {
    let mut differing = Vec::new();
    compare(one, other, "", &mut differing);
    compare(other, one, "", &mut differing);
    let mut fields: Vec<String> = differing.into_iter().map(|(field, _)| field).collect();
    fields.sort();
    fields.dedup();
    fields
}

fn compare(expected: &Value, found: &Value, at: &str, differing: &mut Vec<(String, String)>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (key, value) in expected {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                compare(value, found.get(key).unwrap_or(&Value::Null), &at, differing);
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            expected.iter().zip(found).enumerate().for_each(|(i, (expected, found))| compare(expected, found, &format!("{at}[{i}]"), differing));
        }
        // The server leaves out what is empty.
        (expected, Value::Null) if is_empty(expected) => {}
        (expected, found) if expected == found => {}
        (Value::Array(expected), Value::Array(found)) => {
            differing.push((at.to_owned(), format!("has {} elements, and {} were saved", found.len(), expected.len())));
        }
        (expected, found) => differing.push((at.to_owned(), format!("is {}, and {} was saved", short(found), short(expected)))),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Number(number) => number.as_i64() == Some(0),
    }
}

fn short(value: &Value) -> String {
    let text = if value.is_null() { "not there".to_owned() } else { value.to_string() };
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_adds_is_no_difference_and_what_lacks_or_is_other_is() {
        let expected = json!({"spec": {"replicas": 2, "list": [{"a": 1}], "empty": {}}});
        let found = json!({"spec": {"replicas": 2, "list": [{"a": 1, "default": true}], "policy": "Always"}, "status": {}});
        assert!(differences(&expected, &found).is_empty());
        let planted = json!({"spec": {"replicas": 3, "list": [{"a": 1}, {}]}});
        assert_eq!(differences(&expected, &planted), ["spec.list has 2 elements, and 1 were saved", "spec.replicas is 3, and 2 was saved"]);
    }

    #[test]
    fn keys_that_were_added_to_data_are_named_and_values_of_secrets_are_not_shown() {
        let expected = json!({"kind": "Secret", "data": {"a": "eA=="}});
        let found = json!({"kind": "Secret", "data": {"a": "eQ==", "b": "eg=="}});
        assert_eq!(differences(&expected, &found), ["data.a differs", "data.b differs"]);
        assert_eq!(changed_fields(&expected, &found), ["data.a", "data.b"]);
    }
}
