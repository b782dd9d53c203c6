//! What becomes of one object of a point in the target: decided from the object and the configuration alone.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Read},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    convert::convert,
    discovery::{Resource, list},
    object::Line,
    pull_secret,
    residue::{Hit, Learned, Residue},
    select::{Selection, fits_path, means},
    strip::strip,
    transform::Transform,
};
use crate::{
    config::{KubernetesConfig, KubernetesRestore, SecretClass},
    model::{Activity, Problem},
    sources::{Component, SourceError, SystemTarget},
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
    /// Whether it is suspended or scaled for now.
    pub is_quiet: bool,
    /// Whether it is a login that was made anew.
    pub is_minted: bool,
}

/// Decides.
#[derive(Debug)]
pub struct Planner {
    /// What is asked for.
    pub selection: Selection,
    /// New names of namespaces.
    pub namespaces: BTreeMap<String, String>,
    /// What becomes of objects that act by themselves.
    pub activity: Activity,
    /// Texts of the old site.
    pub residue: Residue,
    /// Logins for registries that Secrets become, by the source of images that names the registry; none before a restore has begun.
    pub logins: BTreeMap<String, Zeroizing<String>>,
    /// All else.
    pub config: KubernetesRestore,
}

impl Planner {
    /// From what a configuration, a restore and a point say.
    pub fn new(config: &KubernetesConfig, target: &SystemTarget, learned: &Learned) -> Planner {
        Planner {
            selection: Selection::new(&target.select),
            namespaces: target.rename.clone(),
            activity: target.activity.clone(),
            residue: Residue::new(&config.restore, learned),
            logins: BTreeMap::new(),
            config: config.restore.clone(),
        }
    }

    /// The namespace in the target of all objects in namespaces that may be applied, if there is just one.
    pub fn namespace(&self) -> Option<&str> {
        let name = self.selection.namespace()?;
        Some(self.namespaces.get(name).map_or(name, String::as_str))
    }

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
        let is_minted = match (component == "secrets").then(|| self.secret(&path, &mut object, &problem)) {
            Some(Err(fate)) => return *fate,
            Some(Ok(is_minted)) => is_minted,
            None => false,
        };
        let Some(target) = target else { return Fate::Lose(problem("the target has no such kind")) };
        let (object, owners) = strip(object);
        let mut object = match convert(object, of, target) {
            Ok(object) => object,
            Err(what) => return Fate::Lose(problem(&what)),
        };
        let transform = Transform { namespaces: &self.namespaces, config: &self.config };
        transform.apply(&component, &path, &mut object);
        if !self.config.residue_allowed.iter().any(|pattern| means(pattern, &component, &path))
            && let Some(Hit { field, text, of }) = self.residue.find(&object)
        {
            let of = of.map_or(String::new(), |of| format!(", one of its {of}"));
            return Fate::Refuse(problem(&format!("{field} still has {text:?} of the old site{of}")));
        }
        let is_quiet = self.quieten(&component, &path, &mut object);
        Fate::Apply(Box::new(Apply { path: transform.path(&path, component == "namespaces"), object, owners, is_quiet, is_minted }))
    }

    /// Suspends or scales an object where that is asked for; whether that changed it.
    fn quieten(&self, component: &str, path: &str, object: &mut Value) -> bool {
        let Activity::Quiet { replicas } = &self.activity else { return false };
        let before = object["spec"].clone();
        if object["kind"] == "CronJob" {
            object["spec"]["suspend"] = true.into();
        }
        let scaled = replicas.iter().find(|(pattern, _)| means(pattern, component, path)).filter(|_| object["spec"]["replicas"].is_u64());
        if let Some((_, replicas)) = scaled {
            object["spec"]["replicas"] = (*replicas).into();
        }
        object["spec"] != before
    }
}

impl Planner {
    /// Gives a Secret the values that it has here; whether it was made anew. As an error, what becomes of one that is not applied.
    fn secret(&self, path: &str, object: &mut Value, problem: &impl Fn(&str) -> Problem) -> Result<bool, Box<Fate>> {
        let Some(rule) = self.config.secrets.iter().find(|rule| fits_path(&rule.secrets, path)) else {
            return Err(Box::new(Fate::Refuse(problem("has no class; say in restore.secrets of the target what becomes of it"))));
        };
        match (rule.class, &rule.registry_of) {
            (SecretClass::Drop, _) => Err(Box::new(Fate::Skip(Some(problem("was dropped"))))),
            (SecretClass::Mint, None) => Err(Box::new(Fate::Skip(Some(problem("has to be made anew"))))),
            (SecretClass::Mint, Some(source)) => {
                let login = self.logins.get(source).map(|login| login.as_str());
                let minted = pull_secret::mint(object, login).map(|()| true);
                minted.map_err(|why| Box::new(Fate::Refuse(problem(why))))
            }
            (SecretClass::Carry | SecretClass::Set, _) => {
                for (key, file) in &rule.files {
                    match fs::read(file) {
                        Ok(bytes) => object["data"][key] = BASE64_STANDARD.encode(bytes).into(),
                        Err(error) => return Err(Box::new(Fate::Refuse(problem(&format!("needs {}: {error}", file.display()))))),
                    }
                }
                Ok(false)
            }
        }
    }
}

/// What of a component's lines would stop a restore, wherever they go: neither versions nor what is there is looked at.
///
/// # Errors
/// When they cannot be read.
pub fn objections(planner: &Planner, component: &Component, saved: &mut (dyn Read + Send)) -> Result<Vec<Problem>, SourceError> {
    let Some(of) = Resource::of(component) else { return Ok(Vec::new()) };
    let unreadable = |source: io::Error| SourceError::Io { doing: "read", path: component.name.clone(), source };
    let (mut saved, mut text, mut found) = (BufReader::new(saved), Vec::new(), Vec::new());
    while saved.read_until(b'\n', &mut text).map_err(unreadable)? > 0 {
        if let Fate::Refuse(problem) = planner.fate(&of, Some(&of), serde_json::from_slice(&text).map_err(|error| unreadable(error.into()))?) {
            found.push(problem);
        }
        text.clear();
    }
    Ok(found)
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
