//! What became of a component's lines: read once more from the cluster, in lists where many are expected, and compared.
//!
//! Lines and lists have the same order, so both are walked side by side. Where the orders differ, because namespaces were renamed, an object that was
//! not met is asked for by its name: the order only saves requests.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read},
    vec,
};

use futures::{StreamExt, stream};
use serde_json::{Value, value::RawValue};

use super::{
    ahead::Ahead,
    api::Ask,
    compare::differences,
    discovery::Resource,
    locked,
    object::{path_of, remove_at},
    plan::{Apply, Fate},
    pull_secret,
    restore::{AT_ONCE, Restore, place},
    strip::strip,
};
use crate::{
    model::{Activity, Problem},
    sources::{Component, SourceError, SourceErrorKind},
};

/// Bytes of objects that are compared together.
const COMPARED: usize = 4 << 20;
/// Objects of which each is asked for by its name; more are read in lists.
const FEW: usize = 64;

/// Reads a component's lines once more, and the objects that became of them.
///
/// # Errors
/// When either cannot be read.
pub fn compare(restore: &Restore, component: &Component, saved: &mut (dyn Read + Send)) -> Result<Vec<Problem>, SourceError> {
    let Some(of) = Resource::of(component) else { return Ok(Vec::new()) };
    let target = restore.api.block(restore.target(component))?;
    let (mut saved, mut found) = (BufReader::new(saved), Vec::new());
    let mut live = target.as_ref().map(|target| Live {
        restore,
        target,
        pages: Ahead::new(restore.api.clone(), restore.pages(target, None)),
        items: Vec::new().into_iter(),
        next: None,
    });
    let unreadable = |source: io::Error| SourceError::Io { doing: "read", path: component.name.clone(), source };
    let (mut text, mut is_read) = (Vec::new(), false);
    while !is_read {
        let (mut expected, mut held) = (BTreeMap::new(), 0);
        while held < COMPARED {
            text.clear();
            is_read = saved.read_until(b'\n', &mut text).map_err(unreadable)? == 0;
            if is_read {
                break;
            }
            // Small objects count too.
            held += text.len() + 8192;
            match restore.planner.fate(&of, target.as_ref(), serde_json::from_slice(&text).map_err(|error| unreadable(error.into()))?) {
                Fate::Apply(apply) => drop(expected.insert(apply.path.clone(), *apply)),
                Fate::Refuse(problem) | Fate::Lose(problem) => {
                    restore.count(&problem.what);
                    found.push(problem);
                }
                Fate::Skip(note) => note.iter().for_each(|note| restore.count(&note.what)),
            }
        }
        if let Some(live) = &mut live {
            found.extend(restore.api.block(live.compare(expected))?);
        }
    }
    Ok(found)
}

/// The objects of a kind in the target, in the order in which the server lists them.
struct Live<'a> {
    restore: &'a Restore,
    target: &'a Resource,
    pages: Ahead,
    /// What is left of the newest page.
    items: vec::IntoIter<Box<RawValue>>,
    /// Read, and of a later batch.
    next: Option<Value>,
}

impl Live<'_> {
    async fn compare(&mut self, mut expected: BTreeMap<String, Apply>) -> Result<Vec<Problem>, SourceError> {
        let mut found = Vec::new();
        if expected.len() > FEW {
            while let Some(object) = self.next().await? {
                let path = path_of(&object);
                if expected.last_key_value().is_none_or(|(last, _)| path > *last) {
                    self.next = Some(object);
                    break;
                }
                if let Some(apply) = expected.remove(&path) {
                    found.extend(self.judge(apply, Some(object)));
                }
            }
        }
        let asked = stream::iter(expected.into_values()).map(|apply| self.ask(apply)).buffer_unordered(AT_ONCE);
        for problem in asked.collect::<Vec<_>>().await {
            found.extend(problem?);
        }
        Ok(found)
    }

    async fn next(&mut self) -> Result<Option<Value>, SourceError> {
        if let Some(object) = self.next.take() {
            return Ok(Some(object));
        }
        loop {
            if let Some(item) = self.items.next() {
                let understood = serde_json::from_str::<Value>(item.get()).map(|mut object| {
                    // Items of a list do not say what they are.
                    object["apiVersion"] = self.target.api_version().into();
                    object["kind"] = self.target.kind.clone().into();
                    object
                });
                let doing = || format!("understand an object of {}", self.target.name());
                let failed =
                    |source: serde_json::Error| SourceError::Database { doing: doing(), kind: SourceErrorKind::Failed, source: source.into() };
                return understood.map(Some).map_err(failed);
            }
            match self.pages.next().await? {
                Some(page) => self.items = page.items.unwrap_or_default().into_iter(),
                None => return Ok(None),
            }
        }
    }

    async fn ask(&self, apply: Apply) -> Result<Option<Problem>, SourceError> {
        let (namespace, name) = place(&apply.path);
        let live = self.restore.api.find(&Ask::path(self.target.path(namespace, name))).await?;
        Ok(self.judge(apply, live))
    }

    /// What differs of one object.
    fn judge(&self, apply: Apply, live: Option<Value>) -> Option<Problem> {
        let restore = self.restore;
        let subject = format!("{} {}", self.target.name(), apply.path);
        let lost = locked(&restore.lost).get(&subject).cloned();
        let what = match live {
            None => {
                restore.count("not there");
                Some(lost.unwrap_or_else(|| "is not there".to_owned()))
            }
            // It was there before and stays, or another step has applied it, and compares it.
            Some(live) if !restore.has_applied(&live) => {
                restore.count("there already, or applied by another step");
                lost
            }
            // What the new cluster has given it is no difference.
            Some(live) => {
                let (mut expected, mut live) = (apply.object, strip(live).0);
                if apply.is_minted {
                    [&mut expected, &mut live].into_iter().for_each(pull_secret::without_password);
                }
                // Autoscalers may have been at work since it was activated.
                if restore.planner.activity == Activity::Activate {
                    remove_at(&mut expected, "/spec", &["replicas"]);
                }
                let differs = differences(&expected, &live).join("; ");
                restore.count(if differs.is_empty() { "applied and found equal" } else { "applied and found different" });
                Some(differs).filter(|what| !what.is_empty())
            }
        };
        what.map(|what| Problem { subject, what })
    }
}
