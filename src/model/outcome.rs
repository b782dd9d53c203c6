//! How something ended. Partial success is a value of its own, never success.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that went wrong or is missing, said so that a person can act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What it concerns: a member, a path, an object.
    pub subject: String,
    /// What is wrong with it.
    pub what: String,
}

/// An error and its causes in one line, for a [`Problem`].
pub fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// As [`explain`], and what a person can do about it.
pub fn advise(error: &dyn std::error::Error, hint: Option<impl fmt::Display>) -> String {
    match hint {
        Some(hint) => format!("{}; {hint}", explain(error)),
        None => explain(error),
    }
}

/// How a run, a member or a step ended.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything that was asked for was done and checked. The only outcome that satisfies an objective.
    Succeeded,
    /// It ended, and something is missing; what, is listed (at most a thousand, then counted).
    Incomplete {
        /// What is missing.
        missing: Vec<Problem>,
    },
    /// It did not happen.
    Failed {
        /// Why.
        problem: Problem,
    },
    /// A person or a signal ended it at a safe point.
    Cancelled {
        /// Who or what.
        reason: String,
    },
    /// It can go neither forwards nor back; a person is needed.
    Stuck {
        /// Why.
        problem: Problem,
    },
}

impl Outcome {
    /// Whether an RPO or an RTO may count on it.
    pub fn is_success(&self) -> bool {
        matches!(self, Outcome::Succeeded)
    }
}
