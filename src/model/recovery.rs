//! What a runbook adds to a plan: terms of its steps, variables, objectives, and what its steps are made of.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{PolicyName, RecoveryPointId, Seconds, Sha256, StepId, Timestamp};

/// The frame of a plan that was made from a runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// Name of the runbook.
    pub runbook: String,
    /// Of the runbook's bytes.
    pub sha256: Sha256,
    /// What it recovers.
    pub policy: PolicyName,
    /// What its restores are from, if it has any.
    pub point: Option<RecoveryPointId>,
    /// Until when everything that is not `later` should be done.
    pub service: Seconds,
    /// Until when everything should be done.
    pub full: Seconds,
    /// When the disaster happened, if that is known.
    pub event: Option<Timestamp>,
    /// When the recovery was declared: the clock starts here.
    pub declared: Timestamp,
    /// Values, as given at first.
    pub variables: BTreeMap<String, String>,
    /// What is agreed of each step.
    pub terms: BTreeMap<StepId, Terms>,
}

/// What is agreed of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// How long it should take.
    pub budget: Seconds,
    /// How often it is tried again by itself.
    pub retries: u32,
    /// It is not on the clock of the service.
    pub later: bool,
    /// Skipping it leaves the outcome as it is.
    pub optional: bool,
}

/// A command and what is needed to run it once, or not again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Program and arguments; never empty.
    pub run: Vec<String>,
    /// Ends with status 0 when nothing is left to do; empty when there is none.
    pub check: Vec<String>,
    /// Takes back what it did; empty when nothing can.
    pub undo: Vec<String>,
    /// Variables of its environment.
    pub env: BTreeMap<String, String>,
    /// Variables whose values are the contents of files.
    pub env_files: BTreeMap<String, PathBuf>,
    /// When it is ended.
    pub limit: Seconds,
    /// Whether it may be run again though nobody knows whether it was.
    pub idempotent: bool,
    /// What is read from what it prints.
    pub outputs: BTreeMap<String, OutputRule>,
}

impl std::fmt::Debug for Command {
    /// Without the values of `env`, which may be secret against all advice.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command").field("run", &self.run).field("check", &self.check).finish_non_exhaustive()
    }
}

impl Command {
    /// Whether it may be begun again after it was begun and nobody knows how it ended.
    pub fn is_repeatable(&self) -> bool {
        self.idempotent || !self.check.is_empty()
    }
}

/// One thing to read from what a command prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputRule {
    /// Where it stands.
    pub at: OutputPlace,
    /// Whether it is a secret.
    pub secret: bool,
}

/// Where an output stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputPlace {
    /// At this JSON pointer.
    Json(String),
    /// On this line, from 1.
    Line(u32),
}

/// An assertion that has to become true, and to stay so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// What is asked.
    pub ask: Ask,
    /// How long it may take altogether.
    pub until: Seconds,
    /// How long the answer has to stay good.
    pub stable: Seconds,
    /// Time between two questions.
    pub interval: Seconds,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Whether a URL answers as it should.
    Http {
        /// Which.
        url: String,
        /// The status that is right.
        status: u16,
        /// A text that the answer has to hold.
        contains: Option<String>,
        /// Authorities to trust besides the system's.
        ca_file: Option<PathBuf>,
    },
    /// Whether something takes connections at `host:port`.
    Tcp(String),
    /// Whether a command ends with status 0.
    Command(Command),
}

/// Something that a named person has to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The question.
    pub text: String,
    /// Who may answer; anybody when empty.
    pub by: Vec<String>,
}
