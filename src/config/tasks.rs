//! What the daemon does besides making points: copies, checks, giving up and deleting, restore tests, readiness, coverage.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Blackout, Schedule};
use crate::model::{MemberName, PolicyName};

/// Something that the daemon does on a schedule: exactly one of its kinds. Its name is none of a policy.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileTask {
    /// Copies points to another location.
    pub copy: Option<FileCopy>,
    /// Checks points.
    pub verify: Option<FileVerify>,
    /// Gives up what retention does not keep. Needs an operator's key.
    pub expire: Option<FileOfPolicy>,
    /// Deletes what was given up. Needs an operator's key.
    pub prune: Option<FilePrune>,
    /// Restores the newest good point to scratch, and compares it. Needs an operator's key.
    pub restore_test: Option<FileRestoreTest>,
    /// Asks whether this site could take the service over, as `ready` says.
    pub ready: Option<FileNothing>,
    /// Asks what exists and no policy covers.
    pub coverage: Option<FileNothing>,
    /// When to run: five cron fields, as of a policy.
    pub schedule: String,
    /// Time zone of `schedule`. Default `UTC`.
    pub time_zone: Option<String>,
    /// Longest random delay after a slot.
    pub jitter: Option<String>,
    /// Windows in which it does not begin.
    #[serde(default)]
    pub blackouts: Vec<String>,
    /// How late a slot may still be caught up. Default `1d`.
    pub catch_up: Option<String>,
    /// Longest time for one run. Default `1d`.
    pub deadline: Option<String>,
    /// How often a slot is tried again. Default 2.
    #[schemars(range(max = 20))]
    pub retries: Option<u32>,
}

/// A task with nothing to say about it: `{}`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileNothing {}

/// A copy.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileCopy {
    /// The location to copy to.
    pub to: String,
}

/// A check.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileVerify {
    /// How deep. Default `intact`.
    pub depth: Option<TaskDepth>,
    /// Where. Default `primary`.
    pub location: Option<String>,
    /// Of depth `intact`: each run reads a part, so that everything is read within this time. Without it each run reads everything.
    pub within: Option<String>,
}

/// How deep a check goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskDepth {
    /// Every object is there.
    Present,
    /// Every object has its digest.
    #[default]
    Intact,
    /// Everything decrypts and decodes; needs an operator's key.
    Restorable,
}

/// What concerns one policy.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileOfPolicy {
    /// Which.
    pub policy: String,
}

/// What is deleted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilePrune {
    /// Of which policy.
    pub policy: String,
    /// Where. Default `primary`.
    pub location: Option<String>,
}

/// A restore test.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRestoreTest {
    /// Of which policy.
    pub policy: String,
    /// Members that are restored, each into a source whose system is scratch: what it holds under the same names is replaced. Members that are not
    /// named go to a folder.
    #[serde(default)]
    pub into: BTreeMap<String, String>,
    /// Folder with room for the other members; each test makes a folder of its own in it, and removes it. Without it only members of `into` are tested.
    pub scratch: Option<String>,
}

/// When something runs.
#[derive(Debug, Clone)]
pub struct Timing {
    /// When it is due.
    pub schedule: Option<Schedule>,
    /// Time zone of `schedule`.
    pub time_zone: jiff::tz::TimeZone,
    /// Longest random delay after a slot.
    pub jitter: Duration,
    /// When nothing begins by itself.
    pub blackouts: Vec<Blackout>,
    /// How late a slot may still be caught up.
    pub catch_up: Duration,
    /// Longest time for one run.
    pub deadline: Duration,
    /// How often a slot is tried again.
    pub retries: u32,
}

/// Something that the daemon does on a schedule.
#[derive(Debug, Clone)]
pub struct Task {
    /// When.
    pub timing: Timing,
    /// What.
    pub work: Work,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Copies points.
    Copy {
        /// To this location.
        to: String,
    },
    /// Checks points.
    Verify {
        /// How deep.
        depth: TaskDepth,
        /// Where.
        location: String,
        /// In which time everything is read; at once when absent.
        within: Option<Duration>,
    },
    /// Gives points up.
    Expire {
        /// Of this policy.
        policy: PolicyName,
    },
    /// Deletes what was given up.
    Prune {
        /// Of this policy.
        policy: PolicyName,
        /// Where.
        location: String,
    },
    /// Restores to scratch, and compares.
    RestoreTest {
        /// The newest good point of this policy.
        policy: PolicyName,
        /// Members that go into the systems of sources.
        into: BTreeMap<MemberName, MemberName>,
        /// Where the others go.
        scratch: Option<PathBuf>,
    },
    /// Asks whether this site is ready.
    Ready,
    /// Asks what is not covered.
    Coverage,
}

impl Work {
    /// Its key in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Work::Copy { .. } => "copy",
            Work::Verify { .. } => "verify",
            Work::Expire { .. } => "expire",
            Work::Prune { .. } => "prune",
            Work::RestoreTest { .. } => "restore_test",
            Work::Ready => "ready",
            Work::Coverage => "coverage",
        }
    }

    /// Whether it needs a key that no daemon has that only captures.
    pub fn needs_operator(&self) -> bool {
        match self {
            Work::Verify { depth, .. } => *depth == TaskDepth::Restorable,
            Work::Expire { .. } | Work::Prune { .. } | Work::RestoreTest { .. } => true,
            Work::Copy { .. } | Work::Ready | Work::Coverage => false,
        }
    }
}
