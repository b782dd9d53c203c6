//! A plan: what is going to be done, decided and printable before anything is done.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Command, EpochId, Lineage, MemberName, PolicyName, Probe, Question, Recovery, RecoveryPointId, RunId, StepId, Timestamp, VaultId};

/// How the points of an epoch relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpochMode {
    /// One point, which closes it; stored without looking at earlier ones, restored sequentially.
    Single,
    /// Many points that share what did not change.
    Rolling,
}

/// A class of retention: which calendar a point is kept by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The newest ones.
    Last,
    /// One per hour.
    Hourly,
    /// One per day.
    Daily,
    /// One per ISO week.
    Weekly,
    /// One per month.
    Monthly,
    /// One per year.
    Yearly,
}

/// What an `epoch-open` entry will say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEpoch {
    /// Its name.
    pub epoch: EpochId,
    /// How its points relate.
    pub mode: EpochMode,
    /// The vault that its packs are encrypted to.
    pub vault: VaultId,
    /// Retention classes that share it.
    pub classes: Vec<Class>,
    /// Until when its objects are locked, where the store locks.
    pub retain_until: Option<Timestamp>,
}

/// Whether a restore may write into something that is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overwrite {
    /// The target is empty or absent; anything else is an error.
    Refuse,
    /// The person named the target: what the point holds replaces what is there, other things stay.
    InPlace,
}

/// What one step does. A closed set; the executor has the only `match` that acts on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Open an epoch in the record.
    OpenEpoch {
        /// Whose record.
        lineage: Lineage,
        /// What to open.
        new: NewEpoch,
    },
    /// Get sources ready, and open their snapshots together; pause writers for it where the policy says how.
    Open {
        /// Which.
        members: Vec<MemberName>,
    },
    /// Let writers go on that were paused.
    ResumeWriters,
    /// Read a source and store what is not stored yet.
    Capture {
        /// Which.
        member: MemberName,
        /// Under which lineage.
        lineage: Lineage,
        /// In which epoch.
        epoch: EpochId,
    },
    /// Write pack lists, index, hints, the sealed part, and last the manifest.
    Commit {
        /// Whose record.
        lineage: Lineage,
        /// In which epoch.
        epoch: EpochId,
    },
    /// Write a member of a point into a target and compare it with the manifest.
    Restore {
        /// From which point.
        point: RecoveryPointId,
        /// Which member.
        member: MemberName,
        /// Paths inside a tree, or objects of a system; all of it when empty.
        select: Vec<String>,
        /// Where it goes.
        to: Destination,
        /// Whether the target may hold something.
        overwrite: Overwrite,
    },
    /// Compare what a target holds with a member of a point; nothing is written.
    Compare {
        /// With which point.
        point: RecoveryPointId,
        /// Which member.
        member: MemberName,
        /// Where it was restored to.
        to: Destination,
    },
    /// Run a command, unless its check says that it is done.
    Command {
        /// Which.
        command: Command,
    },
    /// Ask until the answer is right.
    Probe {
        /// What.
        probe: Probe,
    },
    /// Wait for a person's decision.
    Approve {
        /// About what.
        question: Question,
    },
    /// Stop the old site, and prove that it is stopped or have a person say so.
    Fence {
        /// Stops it.
        command: Option<Command>,
        /// Proves it.
        proof: Option<Probe>,
        /// What a person has to attest when it is not proved.
        attest: Option<Question>,
    },
    /// Move traffic.
    Switch {
        /// Moves it, and moves it back.
        command: Command,
        /// Shows where it goes.
        proof: Probe,
    },
    /// Make a first recovery point at this site.
    Protect {
        /// Of what.
        policy: PolicyName,
    },
}

impl Action {
    /// The command that it runs, if it runs one.
    pub fn command(&self) -> Option<&Command> {
        match self {
            Action::Command { command } | Action::Switch { command, .. } | Action::Fence { command: Some(command), .. } => Some(command),
            _ => None,
        }
    }

    /// Whether it may be begun again after it was begun and nobody knows how it ended.
    pub fn is_repeatable(&self) -> bool {
        self.command().is_none_or(Command::is_repeatable)
    }
}

/// Where a restore writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Destination {
    /// Into this directory.
    Directory(PathBuf),
    /// Into the system that a source of the configuration describes.
    System {
        /// The source.
        source: MemberName,
        /// New names of databases, keyspaces or indices.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        rename: BTreeMap<String, String>,
        /// What becomes of objects that act by themselves.
        #[serde(default, skip_serializing_if = "Activity::is_apply")]
        activity: Activity,
    },
}

impl Destination {
    /// The system of a source, as it is restored into when nothing special is said.
    pub fn system(source: MemberName) -> Destination {
        Destination::System { source, rename: BTreeMap::new(), activity: Activity::Apply }
    }
}

/// What becomes of the objects of a cluster that act by themselves, as cron jobs, autoscalers and webhooks do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Activity {
    /// They are applied like all others.
    #[default]
    Apply,
    /// They are suspended or left out.
    Quiet {
        /// How many replicas workloads get for now, by patterns of objects.
        replicas: BTreeMap<String, u32>,
    },
    /// They alone are applied: what was suspended, scaled or left out becomes what it was.
    Activate,
}

impl Activity {
    /// Whether nothing special becomes of them.
    pub fn is_apply(&self) -> bool {
        *self == Activity::Apply
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Unique within the plan.
    pub id: StepId,
    /// Steps that must have succeeded before.
    pub needs: Vec<StepId>,
    /// Steps that must have ended before, however.
    pub after: Vec<StepId>,
    /// What it does, for a person.
    pub what: String,
    /// What it does.
    pub action: Action,
}

/// Ordered work. Steps come after those that they need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The run that this plan is for.
    pub run: RunId,
    /// What it is for, for a person.
    pub what: String,
    /// The steps.
    pub steps: Vec<Step>,
    /// Of a restore of an incomplete point that was chosen nevertheless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
    /// Of a plan that was made from a runbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Box<Recovery>>,
}

/// That somebody takes a point which lacks members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The members that may be missing.
    pub missing: Vec<MemberName>,
    /// Who says so.
    pub by: String,
}

impl Plan {
    /// The ids of all steps, in order.
    pub fn step_ids(&self) -> Vec<StepId> {
        self.steps.iter().map(|step| step.id.clone()).collect()
    }
}

/// Makes a step id from its parts.
///
/// # Panics
/// When a part holds white space or control characters; names and numbers never do.
pub fn step_id(parts: &[&str]) -> StepId {
    parts.join("/").parse().expect("names and numbers make a valid step id")
}
