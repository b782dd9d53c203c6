//! A document against the JSON Schema of the file: unknown and missing keys and wrong types, all of them, in words of our own.

use serde_json::Value as Json;

use super::{
    error::{ConfigProblem, nearest},
    tree::{Node, Value},
};

/// Everything in `document` that `schema` does not allow. `hidden` says which paths hold values that must not be printed.
pub(super) fn check(document: &Node, schema: &Json, hidden: fn(&[String]) -> bool) -> Vec<ConfigProblem> {
    let mut checker = Checker { root: schema, problems: Vec::new(), path: Vec::new(), hidden };
    checker.node(document, schema);
    checker.problems.sort_by_key(|problem| (problem.line, problem.column));
    checker.problems
}

struct Checker<'a> {
    root: &'a Json,
    problems: Vec<ConfigProblem>,
    path: Vec<String>,
    hidden: fn(&[String]) -> bool,
}

impl<'a> Checker<'a> {
    fn say(&mut self, at: &Node, what: String) {
        self.problems.push(ConfigProblem { line: at.line, column: at.column, path: self.path.join("."), what });
    }

    fn node(&mut self, node: &Node, schema: &'a Json) {
        if let Some(name) = schema["$ref"].as_str().and_then(|text| text.strip_prefix("#/$defs/")) {
            return self.node(node, &self.root["$defs"][name]);
        }
        let optional = |options: &'a Vec<Json>| options.iter().find(|option| option["type"] != "null");
        if let Some(inner) = schema["anyOf"].as_array().and_then(optional) {
            if !matches!(node.value, Value::Null) {
                self.node(node, inner);
            }
            return;
        }
        if let Some(words) = words(schema) {
            return self.word(node, &words);
        }
        let types: Vec<&str> = match &schema["type"] {
            Json::Array(types) => types.iter().filter_map(Json::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        match &node.value {
            Value::Null if types.contains(&"null") => {}
            Value::Text(_) if types.contains(&"string") => {}
            Value::Bool(_) if types.contains(&"boolean") => {}
            Value::Integer(number) if types.contains(&"integer") => self.integer(node, *number, schema),
            Value::List(items) if types.contains(&"array") => self.list(node, items, schema),
            Value::Map(entries) if types.contains(&"object") => self.map(node, entries, schema),
            other => {
                let got = if (self.hidden)(&self.path) { "something else".to_owned() } else { other.to_string() };
                let quote = if types.contains(&"string") && matches!(other, Value::Bool(_) | Value::Integer(_) | Value::Float(_)) {
                    "; put it in quotes"
                } else {
                    ""
                };
                self.say(node, format!("expected {}, found {got}{quote}", expected(&types)));
            }
        }
    }

    fn word(&mut self, node: &Node, words: &[&str]) {
        if node.text().is_none_or(|text| !words.contains(&text)) {
            let near = node.text().and_then(|text| nearest(text, words)).map_or(String::new(), |near| format!("; did you mean {near:?}?"));
            self.say(node, format!("expected one of {}, found {}{near}", words.join(", "), node.value));
        }
    }

    fn integer(&mut self, node: &Node, number: i128, schema: &Json) {
        let bound = |name: &str, otherwise: i128| schema[name].as_i64().map_or(otherwise, i128::from);
        let (least, most) = (bound("minimum", 0), bound("maximum", u32::MAX.into()));
        if !(least..=most).contains(&number) {
            self.say(node, format!("expected a number from {least} to {most}, found {number}"));
        }
    }

    fn list(&mut self, node: &Node, items: &[Node], schema: &'a Json) {
        if schema["minItems"].as_u64().is_some_and(|least| (items.len() as u64) < least) {
            self.say(node, "expected at least one item, found an empty list".to_owned());
        }
        for (index, item) in items.iter().enumerate() {
            self.path.push(index.to_string());
            self.node(item, &schema["items"]);
            self.path.pop();
        }
    }

    fn map(&mut self, node: &Node, entries: &[(Node, Node)], schema: &'a Json) {
        let properties = schema["properties"].as_object();
        let known: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        for (key, value) in entries {
            let Some(name) = key.text() else {
                self.say(key, format!("expected a text as key, found {}; put it in quotes", key.value));
                continue;
            };
            let inner = properties.and_then(|all| all.get(name)).or(schema.get("additionalProperties").filter(|inner| inner.is_object()));
            match inner {
                Some(inner) => {
                    self.path.push(name.to_owned());
                    self.node(value, inner);
                    self.path.pop();
                }
                None => {
                    let near = nearest(name, &known).map_or(format!("known keys: {}", known.join(", ")), |near| format!("did you mean {near:?}?"));
                    self.say(key, format!("unknown key {name:?}; {near}"));
                }
            }
        }
        for missing in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            if !entries.iter().any(|(key, _)| key.text() == Some(missing)) {
                self.say(node, format!("missing key {missing:?}"));
            }
        }
    }
}

/// The words of an enumeration, in either form that a schema gives it.
fn words(schema: &Json) -> Option<Vec<&str>> {
    if let Some(list) = schema["enum"].as_array() {
        return Some(list.iter().filter_map(Json::as_str).collect());
    }
    schema["oneOf"].as_array().map(|options| options.iter().filter_map(|option| option["const"].as_str()).collect())
}

fn expected(types: &[&str]) -> &'static str {
    match types.iter().find(|name| **name != "null") {
        Some(&"string") => "a text",
        Some(&"boolean") => "true or false",
        Some(&"integer") => "a whole number",
        Some(&"array") => "a list",
        _ => "a map of keys and values",
    }
}
