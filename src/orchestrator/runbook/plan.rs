//! From a runbook and facts to the plan of a run. Pure, but for looking whether folders are there.

use std::collections::BTreeMap;

use super::{Runbook, Work, values::fill_action};
use crate::{
    config::{Config, SourceConfig, nearest},
    model::{Action, Destination, EntryNumber, Lineage, MemberName, Plan, Problem, Recovery, RecoveryPointId, RunId, Step, Timestamp},
};

/// What a plan is made from besides the runbook.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The run.
    pub run: RunId,
    /// Where systems are.
    pub config: &'a Config,
    /// The point and the members that it has; `None` when nobody needs one, or before one is chosen.
    pub point: Option<(RecoveryPointId, Vec<MemberName>)>,
    /// Values that were given.
    pub given: BTreeMap<String, String>,
    /// When the disaster happened, if that is known.
    pub event: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

impl Runbook {
    /// Whether a point is needed.
    pub fn restores(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.work, Work::Restore { .. }))
    }

    /// All values: those that were given, and defaults.
    ///
    /// # Errors
    /// All that are unknown, missing or wrong.
    pub fn values(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Vec<Problem>> {
        let (mut values, mut problems) = (BTreeMap::new(), Vec::new());
        let mut say = |name: &str, what: String| problems.push(Problem { subject: format!("variable {name}"), what });
        let known: Vec<&str> = self.variables.keys().map(String::as_str).collect();
        for name in given.keys().filter(|name| !self.variables.contains_key(*name)) {
            let near = nearest(name, &known).map_or(format!("known: {}", known.join(", ")), |near| format!("did you mean {near:?}?"));
            say(name, format!("the runbook has none of this name; {near}"));
        }
        for (name, variable) in &self.variables {
            match given.get(name).or(variable.default.as_ref()) {
                None => say(name, format!("it has to be given ({}): --var {name}=…", variable.about)),
                Some(value) => match variable.accepts(value) {
                    Ok(()) => drop(values.insert(name.clone(), value.clone())),
                    Err(what) => say(name, what),
                },
            }
        }
        if problems.is_empty() { Ok(values) } else { Err(problems) }
    }

    /// The plan of a run.
    ///
    /// # Errors
    /// All that is wrong with values, members and targets, as far as it can be seen before anything runs.
    pub fn plan(&self, facts: Facts<'_>) -> Result<Plan, Vec<Problem>> {
        let values = self.values(&facts.given)?;
        let mut problems = Vec::new();
        let mut steps = Vec::new();
        for step in &self.steps {
            let action = match &step.work {
                Work::Other(action) => Action::clone(action),
                Work::Restore { member, select, to, overwrite, .. } => {
                    if let Some((id, members)) = facts.point.as_ref().filter(|(_, members)| !members.contains(member)) {
                        let names: Vec<String> = members.iter().map(ToString::to_string).collect();
                        problems.push(Problem {
                            subject: step.id.to_string(),
                            what: format!("{id} has no member {member}; it has {}", names.join(", ")),
                        });
                    }
                    let point = facts.point.as_ref().map_or_else(|| no_point(self, facts.config), |(id, _)| id.clone());
                    let (select, to) = (select.clone(), place(to, facts.config));
                    Action::Restore { point, member: member.clone(), select, to, overwrite: *overwrite }
                }
            };
            // What needs an output is checked when the step begins.
            let lookup = |name: &str| values.get(name).cloned().ok_or_else(|| LATER.to_owned());
            if let Err(what) = fill_action(&action, &lookup)
                && what != LATER
            {
                problems.push(Problem { subject: step.id.to_string(), what });
            }
            steps.push(Step { id: step.id.clone(), needs: step.needs.clone(), after: Vec::new(), what: step.title.clone(), action });
        }
        let recovery = Recovery {
            runbook: self.name.clone(),
            sha256: self.sha256,
            policy: self.policy.clone(),
            point: facts.point.map(|(id, _)| id),
            service: self.service,
            full: self.full,
            event: facts.event,
            declared: facts.now,
            variables: values,
            terms: self.steps.iter().map(|step| (step.id.clone(), step.terms)).collect(),
        };
        let what = format!("recover by {}", self.name);
        if problems.is_empty() { Ok(Plan { run: facts.run, what, steps, accepted: None, recovery: Some(Box::new(recovery)) }) } else { Err(problems) }
    }
}

const LATER: &str = "later";

/// A source of kind `files` stands for its folder.
fn place(to: &Destination, config: &Config) -> Destination {
    match to {
        Destination::System { source, .. } => match config.sources.get(source) {
            Some(SourceConfig::Files(files)) => Destination::Directory(std::path::absolute(&files.path).unwrap_or_else(|_| files.path.clone())),
            _ => to.clone(),
        },
        Destination::Directory(_) => to.clone(),
    }
}

/// What stands in a plan that is only looked at.
fn no_point(runbook: &Runbook, config: &Config) -> RecoveryPointId {
    let site = runbook.from.clone().unwrap_or_else(|| config.site.clone());
    RecoveryPointId { lineage: Lineage { policy: runbook.policy.clone(), site, generation: 1 }, number: EntryNumber(1) }
}
