//! What becomes of one object of a point in the target: decided from the object and the configuration alone.

use std::{collections::BTreeMap, fs};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::{
    convert::convert,
    discovery::{Resource, list},
    object::Line,
    select::{Selection, fits_path, means},
    strip::strip,
    transform::Transform,
};
use crate::{
    config::{KubernetesRestore, SecretClass},
    model::Problem,
};

/// What becomes of an object.
#[derive(Debug)]
pub enum Fate {
    /// It is applied.
    Apply(Box<Apply>),
    /// It is not asked for, or is left out on purpose, of which a person is told.
    Skip(Option<Problem>),
    /// The restore may not go on before a person has decided.
    Refuse(Problem),
    /// It cannot be applied here: the restore is incomplete.
    Lose(Problem),
}

/// An object as it is applied.
#[derive(Debug)]
pub struct Apply {
    /// `<namespace>/<name>` in the target.
    pub path: String,
    /// As it shall be.
    pub object: Value,
    /// Those that it had, without their identities.
    pub owners: Vec<Value>,
}

/// Decides.
#[derive(Debug)]
pub struct Planner {
    /// What is asked for.
    pub selection: Selection,
    /// New names of namespaces.
    pub namespaces: BTreeMap<String, String>,
    /// All else.
    pub config: KubernetesRestore,
}

impl Planner {
    /// What becomes of a line of a component, whose kind is `target` in the target, if it has one.
    pub fn fate(&self, of: &Resource, target: Option<&Resource>, line: Line) -> Fate {
        let (component, path) = (of.name(), line.path);
        let mut object = line.object;
        if !self.selection.means(&component, &path, &object) {
            return Fate::Skip(None);
        }
        let subject = format!("{component} {path}");
        let problem = |what: &str| Problem { subject: subject.clone(), what: what.to_owned() };
        if component == "storageclasses.storage.k8s.io"
            && path.split_once('/').is_some_and(|(_, name)| self.config.storage_classes.contains_key(name))
        {
            return Fate::Skip(Some(problem("has another name here, and was not applied")));
        }
        if has_ended(&object) {
            return Fate::Skip(Some(problem("had ended, and was not applied: it would run again")));
        }
        if component == "secrets"
            && let Some(fate) = self.secret(&path, &mut object, &problem)
        {
            return fate;
        }
        let Some(target) = target else { return Fate::Lose(problem("the target has no such kind")) };
        let (object, owners) = strip(object);
        let mut object = match convert(object, of, target) {
            Ok(object) => object,
            Err(what) => return Fate::Lose(problem(&what)),
        };
        let transform = Transform { namespaces: &self.namespaces, config: &self.config };
        transform.apply(&component, &path, &mut object);
        if !self.config.residue_allowed.iter().any(|pattern| means(pattern, &component, &path))
            && let Some((field, text)) = residue(&object, &self.config.residue)
        {
            return Fate::Refuse(problem(&format!("{field} still has {text:?} of the old site")));
        }
        Fate::Apply(Box::new(Apply { path: transform.path(&path, component == "namespaces"), object, owners }))
    }
}

impl Planner {
    /// What becomes of a Secret that is not applied; one that is may get new values.
    fn secret(&self, path: &str, object: &mut Value, problem: &impl Fn(&str) -> Problem) -> Option<Fate> {
        let rule = self.config.secrets.iter().find(|rule| fits_path(&rule.secrets, path));
        let Some(rule) = rule else {
            return Some(Fate::Refuse(problem("has no class; say in restore.secrets of the target what becomes of it")));
        };
        match rule.class {
            SecretClass::Drop => return Some(Fate::Skip(Some(problem("was dropped")))),
            SecretClass::Mint => return Some(Fate::Skip(Some(problem("has to be made anew")))),
            SecretClass::Carry | SecretClass::Set => {}
        }
        for (key, file) in &rule.files {
            match fs::read(file) {
                Ok(bytes) => object["data"][key] = BASE64_STANDARD.encode(bytes).into(),
                Err(error) => return Some(Fate::Refuse(problem(&format!("needs {}: {error}", file.display())))),
            }
        }
        None
    }
}

/// Whether a job or a pod is over.
fn has_ended(object: &Value) -> bool {
    let status = &object["status"];
    match object["kind"].as_str() {
        Some("Pod") => matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")),
        Some("Job") => list(&status["conditions"]).iter().any(|is| is["status"] == "True" && (is["type"] == "Complete" || is["type"] == "Failed")),
        _ => false,
    }
}

/// The first field that has one of these texts, which values of Secrets may hide.
fn residue<'a>(object: &Value, texts: &'a [String]) -> Option<(String, &'a str)> {
    let secret = object["kind"] == "Secret";
    find(object, "", &|field, value| {
        let decoded = (secret && field.starts_with(".data.")).then(|| BASE64_STANDARD.decode(value).ok()).flatten();
        let decoded = decoded.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        texts.iter().map(String::as_str).find(|text| value.contains(text) || decoded.as_ref().is_some_and(|value| value.contains(text)))
    })
}

fn find<'a>(value: &Value, at: &str, hit: &impl Fn(&str, &str) -> Option<&'a str>) -> Option<(String, &'a str)> {
    match value {
        Value::String(text) => hit(at, text).map(|found| (at.trim_start_matches('.').to_owned(), found)),
        Value::Array(values) => values.iter().enumerate().find_map(|(i, value)| find(value, &format!("{at}[{i}]"), hit)),
        Value::Object(fields) => fields.iter().find_map(|(key, value)| {
            let at = format!("{at}.{key}");
            hit(&at, key).map(|found| (at.trim_start_matches('.').to_owned(), found)).or_else(|| find(value, &at, hit))
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn residue_is_found_in_values_keys_lists_and_decoded_secrets() {
        let texts = ["eu-west-1".to_owned()];
        let found = |object: Value| residue(&object, &texts).map(|(field, _)| field);
        assert_eq!(found(json!({"spec": {"hosts": ["a", "x.eu-west-1.example"]}})).as_deref(), Some("spec.hosts[1]"));
        assert_eq!(found(json!({"metadata": {"labels": {"eu-west-1": "1"}}})).as_deref(), Some("metadata.labels.eu-west-1"));
        let data = json!({"region": BASE64_STANDARD.encode("in eu-west-1\n")});
        assert_eq!(found(json!({"kind": "Secret", "data": data})).as_deref(), Some("data.region"));
        assert_eq!(found(json!({"spec": "eu-west-2"})), None);
    }
}
