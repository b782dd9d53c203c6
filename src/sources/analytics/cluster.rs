//! What is not in an index: templates, pipelines, settings. Captured as JSON; of these, templates and pipelines come back where they are missing.

use serde_json::{Map, Value, json};

use super::api::Api;
use crate::{
    model::{Problem, outcome::advise},
    sources::{SourceError, SourceErrorKind},
};

/// What is captured: its name, the path of the API, where the list lies in the answer, and the key of the definition in each item of it.
const KINDS: [Kind; 4] = [
    Kind { name: "component_templates", path: &["_component_template"], list: Some(("component_templates", "component_template")) },
    Kind { name: "ingest_pipelines", path: &["_ingest", "pipeline"], list: None },
    Kind { name: "index_templates", path: &["_index_template"], list: Some(("index_templates", "index_template")) },
    Kind { name: "legacy_templates", path: &["_template"], list: None },
];

/// How often it is read again when it has changed meanwhile.
const LOOKS_MAX: usize = 10;

struct Kind {
    name: &'static str,
    path: &'static [&'static str],
    list: Option<(&'static str, &'static str)>,
}

impl Kind {
    /// Definitions by name, without those of the system.
    fn read(&self, api: &Api) -> Result<Map<String, Value>, SourceError> {
        // Old clusters do not have all of them.
        let Some(answer) = api.find(self.path, "")? else { return Ok(Map::new()) };
        let all: Map<String, Value> = match (self.list, answer) {
            (Some((list, key)), mut answer) => {
                let items = answer[list].as_array_mut().map(std::mem::take).unwrap_or_default();
                items.into_iter().filter_map(|mut item| Some((item["name"].as_str()?.to_owned(), item[key].take()))).collect()
            }
            (None, Value::Object(map)) => map,
            (None, _) => Map::new(),
        };
        Ok(all.into_iter().filter(|(name, definition)| !name.starts_with('.') && definition["_meta"]["managed"] != json!(true)).collect())
    }
}

/// Reads all of it, as it was at one time: a template is of no use without those that it is composed of.
///
/// # Errors
/// When the cluster does not tell, or does not come to rest.
pub fn read(api: &Api) -> Result<Value, SourceError> {
    let mut last = look(api)?;
    for _ in 0..LOOKS_MAX {
        let now = look(api)?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
    Err(SourceError::Unfit {
        subject: "the templates and pipelines of the cluster".to_owned(),
        why: "change all the time".to_owned(),
        kind: SourceErrorKind::Changed,
        hint: Some("try again when nobody changes them"),
    })
}

fn look(api: &Api) -> Result<Value, SourceError> {
    let mut all = Map::new();
    for kind in &KINDS {
        all.insert(kind.name.to_owned(), Value::Object(kind.read(api)?));
    }
    all.insert("settings".to_owned(), api.get(&["_cluster", "settings"], "flat_settings=true")?["persistent"].take());
    Ok(Value::Object(all))
}

/// What came of putting it back.
#[derive(Debug, Default)]
pub struct Restored {
    /// What a person should know.
    pub notes: Vec<Problem>,
    /// What the target did not take.
    pub refused: Vec<Problem>,
}

/// Puts back what is missing. What is there is left as it is, and settings are not touched: they belong to the cluster that they were made for.
/// What the cluster refuses keeps nothing else from coming back.
///
/// # Errors
/// When the cluster does not answer.
pub fn restore(api: &Api, saved: &[u8]) -> Result<Restored, SourceError> {
    let saved: Value = serde_json::from_slice(saved).map_err(|error| SourceError::Unfit {
        subject: "what was saved of the cluster".to_owned(),
        why: format!("cannot be read: {error}"),
        kind: SourceErrorKind::Changed,
        hint: None,
    })?;
    let mut restored = Restored::default();
    let mut note = |subject: String, what: &str| restored.notes.push(Problem { subject, what: what.to_owned() });
    for kind in &KINDS {
        let definitions = saved[kind.name].as_object().filter(|definitions| !definitions.is_empty());
        let Some(definitions) = definitions else { continue };
        let there = match answered(kind.read(api))? {
            Ok(there) => there,
            Err(what) => {
                restored.refused.push(Problem { subject: kind.name.replace('_', " "), what });
                continue;
            }
        };
        for (name, definition) in definitions {
            let subject = format!("{} {name}", kind.name.trim_end_matches('s').replace('_', " "));
            match there.get(name) {
                None => {
                    let put = answered(api.put(&[kind.path, &[name.as_str()]].concat(), "", definition))?;
                    restored.refused.extend(put.err().map(|what| Problem { subject, what }));
                }
                Some(found) if found == definition => {}
                Some(_) => note(subject, "is another one here, and was left as it is"),
            }
        }
    }
    if saved["settings"].as_object().is_some_and(|settings| !settings.is_empty()) {
        note("settings of the cluster".to_owned(), "were saved and are not restored; restore the member to a directory to read them");
    }
    Ok(restored)
}

/// An answer, or why the cluster says no. That it says nothing is an error: asked later it may say something else.
fn answered<T>(result: Result<T, SourceError>) -> Result<Result<T, String>, SourceError> {
    match result {
        Err(error) if matches!(error.kind(), SourceErrorKind::Io | SourceErrorKind::TimedOut) => Err(error),
        Err(error) => Ok(Err(format!("was refused: {}", advise(&error, error.hint())))),
        Ok(answer) => Ok(Ok(answer)),
    }
}
