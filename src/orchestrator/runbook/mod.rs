//! Runbooks: Markdown that a person can follow and the program can run. Format: docs/format/runbook.md.
//!
//! `page` finds the parts of the text, `file` has them as written, `read` turns them into a [`Runbook`] and says all that is wrong, `named`
//! finds the files that steps name, `values` puts values in, `plan` makes the plan of a run, `forecast` says how long it takes.

mod file;
pub mod forecast;
mod lint;
pub mod named;
mod page;
pub mod plan;
pub mod read;
#[cfg(test)]
mod tests;
pub mod values;

use std::collections::BTreeMap;

pub use read::{Finding, read};

use crate::model::{Action, Destination, MemberName, Overwrite, PolicyName, Seconds, Sha256, SiteName, StepId, Terms};

/// A runbook without errors.
#[derive(Debug)]
pub struct Runbook {
    /// Its name.
    pub name: String,
    /// Whose point is restored.
    pub policy: PolicyName,
    /// Of the file's bytes.
    pub sha256: Sha256,
    /// Until when everything that is not `later` should be done.
    pub service: Seconds,
    /// Until when everything should be done.
    pub full: Seconds,
    /// Whose point; this site's when absent.
    pub from: Option<SiteName>,
    /// The site that it is for; any when absent.
    pub to: Option<SiteName>,
    /// Files and folders that steps use, below the folder of the configuration.
    pub files: Vec<String>,
    /// What has to be known before it runs.
    pub variables: BTreeMap<String, Variable>,
    /// Steps come after those that they need.
    pub steps: Vec<RunbookStep>,
}

/// One step.
#[derive(Debug)]
pub struct RunbookStep {
    /// Unique.
    pub id: StepId,
    /// Title of its section.
    pub title: String,
    /// What must have succeeded before.
    pub needs: Vec<StepId>,
    /// What is agreed of it.
    pub terms: Terms,
    /// What it does.
    pub work: Work,
}

/// What a step does, as far as a runbook alone can say.
#[derive(Debug)]
pub enum Work {
    /// Restore a member of the point that is going to be chosen.
    Restore {
        /// The word that the runbook has for it, of those that restore.
        kind: RestoreKind,
        /// Which.
        member: MemberName,
        /// Parts of it; all when empty.
        select: Vec<String>,
        /// Where it goes.
        to: Destination,
        /// Whether the target may hold something.
        overwrite: Overwrite,
    },
    /// Anything else.
    Other(Box<Action>),
}

/// Kinds of steps that restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreKind {
    /// Any member, into anything that takes it.
    Restore,
    /// Images into a registry.
    Images,
    /// Objects into a cluster.
    Objects,
}

impl RestoreKind {
    /// As runbooks have it.
    pub fn key(self) -> &'static str {
        match self {
            RestoreKind::Restore => "restore",
            RestoreKind::Images => "images",
            RestoreKind::Objects => "objects",
        }
    }

    /// The only kind of source that it is for.
    pub fn of_source(self) -> Option<&'static str> {
        match self {
            RestoreKind::Restore => None,
            RestoreKind::Images => Some("images"),
            RestoreKind::Objects => Some("kubernetes"),
        }
    }
}

/// Something that has to be known before a runbook runs.
#[derive(Debug, Clone)]
pub struct Variable {
    /// For a person.
    pub about: String,
    /// What it is when nobody says.
    pub default: Option<String>,
    /// What it has to be.
    pub kind: VariableKind,
    /// The texts that it may be; any when empty.
    pub one_of: Vec<String>,
}

/// What a value has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VariableKind {
    /// Any text that is not empty.
    #[default]
    Text,
    /// A whole number.
    Number,
    /// 1 to 65535.
    Port,
    /// `http://` or `https://`.
    Url,
    /// An absolute path.
    Path,
    /// An absolute path where a folder is.
    Folder,
}
