//! What the daemon does besides making points, checked.

use std::{collections::BTreeMap, time::Duration};

use super::{Resolver, daemon::WrittenTiming};
use crate::{
    config::{
        PRIMARY, StoreConfig, Work,
        error::nearest,
        tasks::{FileRestoreTest, FileTask, FileVerify, Task, TaskDepth},
    },
    model::{MemberName, PolicyName},
};

const NO_OPERATOR: &str =
    "this needs an operator's key, and operator_key_file names none: give it to a daemon of its own, not to the one that captures";

/// What tasks may name.
pub(super) struct Known<'a> {
    pub locations: &'a BTreeMap<String, StoreConfig>,
    pub policies: Vec<String>,
    pub sources: &'a [String],
    pub has_operator: bool,
}

impl Resolver<'_> {
    pub(super) fn tasks(&mut self, written: BTreeMap<String, FileTask>, known: &Known<'_>) -> BTreeMap<PolicyName, Task> {
        let mut tasks = BTreeMap::new();
        for (name, task) in written {
            let path = format!("tasks.{name}");
            if known.policies.contains(&name) {
                self.say(&path, "a policy has this name; its schedule and the task's would be one");
            }
            let parsed = self.parse(&path, &name);
            let task = self.task(&path, task, known);
            tasks.extend(parsed.zip(task));
        }
        tasks
    }

    fn task(&mut self, path: &str, task: FileTask, known: &Known<'_>) -> Option<Task> {
        let timing = WrittenTiming {
            schedule: Some(task.schedule),
            time_zone: task.time_zone,
            jitter: task.jitter,
            blackouts: task.blackouts,
            catch_up: task.catch_up,
            deadline: task.deadline,
            retries: task.retries,
        };
        let timing = self.timing(path, timing);
        let mut given = Vec::new();
        given.extend(task.copy.map(|copy| self.one_of(&format!("{path}.copy.to"), copy.to, &known.others()).map(|to| Work::Copy { to })));
        given.extend(task.verify.map(|verify| self.verify(&format!("{path}.verify"), verify, known)));
        given.extend(task.expire.map(|of| Some(Work::Expire { policy: self.policy_of(&format!("{path}.expire"), of.policy, known)? })));
        given.extend(task.prune.map(|prune| {
            let policy = self.policy_of(&format!("{path}.prune"), prune.policy, known);
            let location = self.location(&format!("{path}.prune.location"), prune.location, known);
            Some(Work::Prune { policy: policy?, location: location? })
        }));
        given.extend(task.restore_test.map(|test| self.restore_test(&format!("{path}.restore_test"), test, known)));
        given.extend(task.ready.map(|_| Some(Work::Ready)));
        given.extend(task.coverage.map(|_| Some(Work::Coverage)));
        if given.len() != 1 {
            self.say(path, "give exactly one kind of task: copy, verify, expire, prune, restore_test, ready or coverage");
            return None;
        }
        let work = given.pop().flatten()?;
        if work.needs_operator() && !known.has_operator {
            self.say(&format!("{path}.{}", work.kind()), NO_OPERATOR);
        }
        Some(Task { timing, work })
    }

    pub(super) fn excluded(&mut self, written: &BTreeMap<String, String>, sources: &[String]) {
        for (pattern, reason) in written {
            let path = format!("excluded.{pattern}");
            let source = pattern.split('/').next().unwrap_or_default();
            if pattern.split('/').count() < 2 || !(source.contains('*') || sources.iter().any(|name| name == source)) {
                self.say(&path, &format!("{pattern:?} is not like SOURCE/KIND/NAME of a source that there is"));
            }
            if reason.trim().is_empty() {
                self.say(&path, "the reason is empty");
            }
        }
    }

    /// The name, if it is one of those.
    pub(super) fn one_of(&mut self, path: &str, name: String, known: &[&str]) -> Option<String> {
        if known.contains(&name.as_str()) {
            return Some(name);
        }
        let near = nearest(&name, known).map_or(format!("known: {}", known.join(", ")), |near| format!("did you mean {near:?}?"));
        self.say(path, &format!("there is no {name:?} here; {near}"));
        None
    }

    fn policy_of(&mut self, path: &str, policy: String, known: &Known<'_>) -> Option<PolicyName> {
        let names: Vec<&str> = known.policies.iter().map(String::as_str).collect();
        self.one_of(&format!("{path}.policy"), policy, &names)?.parse().ok()
    }

    pub(super) fn location(&mut self, path: &str, location: Option<String>, known: &Known<'_>) -> Option<String> {
        // That there is no primary location is said where locations are.
        let Some(location) = location else { return Some(PRIMARY.to_owned()) };
        let names: Vec<&str> = known.locations.keys().map(String::as_str).collect();
        self.one_of(path, location, &names)
    }

    fn verify(&mut self, path: &str, written: FileVerify, known: &Known<'_>) -> Option<Work> {
        let depth = written.depth.unwrap_or_default();
        let within = self.duration(&format!("{path}.within"), written.within);
        if within.is_some() && depth != TaskDepth::Intact {
            self.say(&format!("{path}.within"), "only checks of depth intact read a part at a time");
        }
        if within.is_some_and(|within| within < Duration::from_secs(60)) {
            self.say(&format!("{path}.within"), "give at least 1m");
        }
        Some(Work::Verify { depth, location: self.location(&format!("{path}.location"), written.location, known)?, within })
    }

    fn restore_test(&mut self, path: &str, written: FileRestoreTest, known: &Known<'_>) -> Option<Work> {
        if written.into.is_empty() && written.scratch.is_none() {
            self.say(path, "give scratch, a folder, or into, the sources that members are restored into");
        }
        let sources: Vec<&str> = known.sources.iter().map(String::as_str).collect();
        let mut into: BTreeMap<MemberName, MemberName> = BTreeMap::new();
        for (member, source) in written.into {
            let at = format!("{path}.into.{member}");
            if member == source {
                self.say(&at, "a member is not tested in the system that it was captured from: name a source of its own, whose system is scratch");
            }
            let pair = (self.one_of(&at, member, &sources), self.one_of(&at, source, &sources));
            into.extend(pair.0.zip(pair.1).and_then(|(member, source)| Some((member.parse().ok()?, source.parse().ok()?))));
        }
        let policy = self.policy_of(path, written.policy, known)?;
        Some(Work::RestoreTest { policy, into, scratch: written.scratch.map(|folder| self.path(folder)) })
    }
}

impl Known<'_> {
    /// Locations that points are copied to.
    fn others(&self) -> Vec<&str> {
        self.locations.keys().map(String::as_str).filter(|name| *name != PRIMARY).collect()
    }
}
