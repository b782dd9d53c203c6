//! What is captured together, when, and how long it is kept.

use std::{collections::BTreeMap, time::Duration};

use super::{
    super::{
        error::nearest,
        file::FilePolicy,
        resolved::{EpochConfig, Keep, Pause, Policy},
    },
    Resolver,
    daemon::WrittenTiming,
};
use crate::model::PolicyName;

impl Resolver<'_> {
    /// Resolves all policies; `sources` are the names that members may have.
    pub(super) fn policies(&mut self, written: BTreeMap<String, FilePolicy>, sources: &[String]) -> BTreeMap<PolicyName, Policy> {
        let mut policies = BTreeMap::new();
        for (name, policy) in written {
            let path = format!("policies.{name}");
            let parsed = self.parse(&path, &name);
            let policy = self.policy(&path, policy, sources);
            policies.extend(parsed.map(|name| (name, policy)));
        }
        policies
    }

    fn policy(&mut self, path: &str, policy: FilePolicy, sources: &[String]) -> Policy {
        if policy.members.is_empty() {
            self.say(&format!("{path}.members"), "a policy needs at least one member");
        }
        let names: Vec<&str> = sources.iter().map(String::as_str).collect();
        let mut members = BTreeMap::new();
        for (name, need) in policy.members {
            if !names.contains(&name.as_str()) {
                let near = nearest(&name, &names).map_or(format!("known: {}", names.join(", ")), |near| format!("did you mean {near:?}?"));
                self.say(&format!("{path}.members.{name}"), &format!("there is no source {name:?}; {near}"));
            }
            members.extend(name.parse().ok().map(|name| (name, need)));
        }
        let keep = policy.keep.map(|keep| Keep {
            last: keep.last,
            hourly: keep.hourly,
            daily: keep.daily,
            weekly: keep.weekly,
            monthly: keep.monthly,
            yearly: keep.yearly,
        });
        if keep.is_some_and(Keep::keeps_nothing) {
            self.say(&format!("{path}.keep"), "every number is zero: nothing would be kept; leave the key out to keep everything");
        }
        let epoch = policy.epoch.map_or(EpochConfig::default(), |epoch| EpochConfig {
            max_age: self.duration(&format!("{path}.epoch.max_age"), epoch.max_age).unwrap_or(EpochConfig::default().max_age),
            mode: epoch.mode.unwrap_or_default(),
        });
        let pause = policy.pause.map(|pause| Pause {
            command: pause.command,
            resume: pause.resume,
            timeout: self.duration(&format!("{path}.pause.timeout"), pause.timeout).unwrap_or(Duration::from_secs(120)),
            until: pause.until.unwrap_or_default(),
        });
        Policy {
            members,
            keep,
            max_skew: self.duration(&format!("{path}.max_skew"), policy.max_skew),
            rpo: self.duration(&format!("{path}.rpo"), policy.rpo),
            timing: self.timing(
                path,
                WrittenTiming {
                    schedule: policy.schedule,
                    time_zone: policy.time_zone,
                    jitter: policy.jitter,
                    blackouts: policy.blackouts,
                    catch_up: policy.catch_up,
                    deadline: policy.deadline,
                    retries: policy.retries,
                },
            ),
            generation: policy.generation,
            epoch,
            pause,
        }
    }
}
