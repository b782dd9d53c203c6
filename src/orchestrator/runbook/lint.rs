//! What is wrong between the parts of a runbook: needs, circles, values, names of the configuration, time.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    RestoreKind, Runbook, Work,
    forecast::{Leg, forecast},
    read::{Finding, Written},
    values::{Part, parts},
};
use crate::{
    config::{Config, Document, nearest},
    model::{Action, Activity, Destination, MemberName, StepId},
    sources,
};

struct Linter<'a> {
    steps: BTreeMap<&'a StepId, &'a Written>,
    /// Names that steps have which could not be read: whatever leads there is not wrong for that.
    is_whole: bool,
    findings: &'a mut Vec<Finding>,
}

/// Finds it, and gives the order in which steps come after those that they need. Not every step may have been read: `is_whole`.
pub(super) fn lint(
    front: Option<&(Runbook, Document<()>)>,
    steps: &[Written],
    is_whole: bool,
    config: Option<&Config>,
    findings: &mut Vec<Finding>,
) -> Vec<StepId> {
    let mut linter = Linter { steps: BTreeMap::new(), is_whole, findings };
    for written in steps {
        if linter.steps.insert(&written.step.id, written).is_some() {
            linter.say(written, "id", format!("the id {:?} stands on another step too", written.step.id.as_str()));
        }
    }
    steps.iter().for_each(|written| linter.needs(written));
    let order = linter.order(steps);
    let mut used = BTreeSet::new();
    for written in steps {
        linter.retries(written);
        linter.values(written, front.map(|(runbook, _)| runbook), &mut used);
    }
    if let Some((runbook, document)) = front {
        for name in runbook.variables.keys().filter(|name| is_whole && !used.contains(*name)) {
            linter.warn(document, &format!("variables.{name}"), "no step uses it".to_owned());
        }
        linter.time(runbook, document, &order);
        for (written, source) in left_quiet(steps).into_iter().filter(|_| is_whole) {
            let what = format!("no step activates what stays suspended or left out in {source}");
            linter.findings.push(Finding { problem: written.document.problem("objects.mode", what), is_warning: true });
        }
        if let Some(config) = config {
            linter.names(runbook, document, steps, config);
        }
    }
    order
}

impl Linter<'_> {
    fn say(&mut self, written: &Written, path: &str, what: String) {
        self.findings.push(Finding { problem: written.document.problem(path, what), is_warning: false });
    }

    fn warn(&mut self, document: &Document<()>, path: &str, what: String) {
        self.findings.push(Finding { problem: document.problem(path, what), is_warning: true });
    }

    fn near(&self, name: &str) -> String {
        let known: Vec<&str> = self.steps.keys().map(|id| id.as_str()).collect();
        nearest(name, &known).map_or(format!("; known: {}", known.join(", ")), |near| format!("; did you mean {near:?}?"))
    }

    fn needs(&mut self, written: &Written) {
        for (i, need) in written.step.needs.iter().enumerate() {
            let path = format!("needs.{i}");
            match self.steps.get(need) {
                None if self.is_whole => self.say(written, &path, format!("there is no step {:?}{}", need.as_str(), self.near(need.as_str()))),
                Some(needed) if needed.step.terms.later && !written.step.terms.later => {
                    self.say(written, &path, format!("{need} is later, and this step is on the clock of the service"));
                }
                _ => {}
            }
        }
    }

    /// Steps after those that they need; those of circles are told, and are missing.
    fn order(&mut self, steps: &[Written]) -> Vec<StepId> {
        let mut order: Vec<StepId> = Vec::new();
        loop {
            let known = |need: &StepId| !self.steps.contains_key(need) || order.contains(need);
            let next = steps.iter().find(|written| !order.contains(&written.step.id) && written.step.needs.iter().all(known));
            match next {
                Some(written) => order.push(written.step.id.clone()),
                None => break,
            }
        }
        for written in steps.iter().filter(|written| !order.contains(&written.step.id)) {
            // Those that merely come after a circle are not in it.
            if self.behind(&written.step.id).contains(&written.step.id) {
                let circle: Vec<String> = self.behind(&written.step.id).iter().filter(|id| !order.contains(id)).map(ToString::to_string).collect();
                self.say(written, "needs", format!("this step waits for itself: the circle is among {}", circle.join(", ")));
            }
        }
        order
    }

    /// All steps that a step needs, directly or not.
    fn behind(&self, id: &StepId) -> BTreeSet<StepId> {
        let mut found: BTreeSet<StepId> = BTreeSet::new();
        let mut next = vec![id];
        while let Some(id) = next.pop() {
            for need in self.steps.get(id).iter().flat_map(|written| &written.step.needs) {
                if found.insert(need.clone()) {
                    next.push(need);
                }
            }
        }
        found
    }

    fn retries(&mut self, written: &Written) {
        if let Work::Other(action) = &written.step.work
            && !action.is_repeatable()
            && written.step.terms.retries > 0
        {
            self.say(written, "retries", "a command that is tried again needs a check, or idempotent: true".to_owned());
        }
    }

    fn values(&mut self, written: &Written, front: Option<&Runbook>, used: &mut BTreeSet<String>) {
        for text in written.document.texts() {
            let path = text.path.join(".");
            let named = match parts(text.text) {
                Ok(parts) => parts,
                Err(what) => {
                    self.say(written, &path, what);
                    continue;
                }
            };
            for part in named {
                let Part::Name(name) = part else { continue };
                let is_env = text.path.iter().rev().nth(1).is_some_and(|key| key == "env");
                let wrong = match name.split_once('.') {
                    Some((step, output)) => self.output(written, step, output, is_env),
                    None => front.and_then(|runbook| {
                        used.insert(name.to_owned());
                        let known: Vec<&str> = runbook.variables.keys().map(String::as_str).collect();
                        let near =
                            || nearest(name, &known).map_or(format!("; known: {}", known.join(", ")), |near| format!("; did you mean {near:?}?"));
                        (!known.contains(&name)).then(|| format!("there is no variable {name:?}{}", near()))
                    }),
                };
                wrong.into_iter().for_each(|what| self.say(written, &path, what));
            }
        }
    }

    /// What is wrong with `${step.output}`.
    fn output(&self, written: &Written, step: &str, output: &str, is_env: bool) -> Option<String> {
        let id: Option<StepId> = step.parse().ok();
        let Some(giver) = id.as_ref().and_then(|id| self.steps.get(id)) else {
            return self.is_whole.then(|| format!("there is no step {step:?}{}", self.near(step)));
        };
        if !self.behind(&written.step.id).contains(&giver.step.id) {
            return Some(format!("the output of {step} is known once it has ended, and this step does not need it"));
        }
        let outputs = match &giver.step.work {
            Work::Other(action) => action.command().map(|command| &command.outputs),
            Work::Restore { .. } => None,
        };
        match outputs.and_then(|outputs| outputs.get(output)) {
            None => Some(format!("step {step} has no output {output:?}")),
            Some(rule) if rule.secret && !is_env => {
                Some(format!("{step}.{output} is a secret: it may stand in env only, because everybody can read the words of a command"))
            }
            Some(_) => None,
        }
    }

    fn time(&mut self, runbook: &Runbook, document: &Document<()>, order: &[StepId]) {
        let steps = order.iter().map(|id| &self.steps[id].step);
        let legs: Vec<Leg<'_>> =
            steps.map(|step| Leg { id: &step.id, needs: &step.needs, takes: step.terms.budget, later: step.terms.later }).collect();
        let forecast = forecast(&legs);
        for (key, takes, rto) in [("service", forecast.service, runbook.service), ("full", forecast.full, runbook.full)] {
            if takes > rto {
                let way: Vec<String> = forecast.critical.iter().map(ToString::to_string).collect();
                let of = if key == "service" { format!(" ({})", way.join(" -> ")) } else { String::new() };
                self.warn(document, &format!("rto.{key}"), format!("the longest way{of} has a budget of {takes}, and the objective is {rto}"));
            }
        }
    }

    /// Names that the configuration has to know.
    fn names(&mut self, runbook: &Runbook, document: &Document<()>, steps: &[Written], config: &Config) {
        let policies = || config.policies.keys().map(ToString::to_string).collect();
        let is_own = runbook.from.as_ref().is_none_or(|from| *from == config.site);
        if is_own && let Some(what) = unknown("the configuration has no policy", runbook.policy.as_str(), policies()) {
            self.findings.push(Finding { problem: document.problem("policy", what), is_warning: false });
        }
        let members = config.policies.get(&runbook.policy).filter(|_| is_own);
        for written in steps {
            let wrong = match &written.step.work {
                Work::Restore { kind, member, to, .. } => {
                    let of_policy = members.and_then(|policy| {
                        let known = policy.members.keys().map(ToString::to_string).collect();
                        unknown(&format!("policy {} has no member", runbook.policy), member.as_str(), known)
                    });
                    let of_member = of_policy.or_else(|| misfit(*kind, member, config).filter(|_| is_own));
                    let of_source = match to {
                        Destination::System { source, .. } => {
                            let known = config.sources.keys().map(ToString::to_string).collect();
                            unknown("the configuration has no source", source.as_str(), known).or_else(|| misfit(*kind, source, config))
                        }
                        Destination::Directory(_) => None,
                    };
                    vec![(format!("{}.member", kind.key()), of_member), (format!("{}.into", kind.key()), of_source)]
                }
                Work::Other(action) => match action.as_ref() {
                    Action::Protect { policy } => {
                        vec![("protect.policy".to_owned(), unknown("the configuration has no policy", policy.as_str(), policies()))]
                    }
                    _ => Vec::new(),
                },
            };
            for (path, what) in wrong {
                what.into_iter().for_each(|what| self.say(written, &path, what));
            }
        }
    }
}

/// That a name is none of those that are known.
fn unknown(what: &str, name: &str, known: Vec<String>) -> Option<String> {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    (!known.contains(&name)).then(|| {
        let near = nearest(name, &known).map_or(format!("known: {}", known.join(", ")), |near| format!("did you mean {near:?}?"));
        format!("{what} {name:?}; {near}")
    })
}

/// That a source of the configuration is not of the kind that a step is for.
fn misfit(kind: RestoreKind, name: &MemberName, config: &Config) -> Option<String> {
    let (wanted, found) = (kind.of_source()?, sources::open(config.sources.get(name)?).kind());
    (wanted != found).then(|| format!("{name} is a source of kind {found}, and {} is for {wanted}", kind.key()))
}

/// Targets that are left quiet, with the step that does it last.
fn left_quiet(steps: &[Written]) -> Vec<(&Written, &MemberName)> {
    let activated = |of: &MemberName| {
        steps.iter().any(|written| {
            matches!(&written.step.work, Work::Restore { to: Destination::System { source, activity: Activity::Activate, .. }, .. } if source == of)
        })
    };
    let quiet = steps.iter().filter_map(|written| match &written.step.work {
        Work::Restore { to: Destination::System { source, activity: Activity::Quiet { .. }, .. }, .. } => Some((source, written)),
        _ => None,
    });
    let last: BTreeMap<&MemberName, &Written> = quiet.collect();
    last.into_iter().filter(|(source, _)| !activated(source)).map(|(source, written)| (written, source)).collect()
}
