//! What can be wrong with a configuration.

use std::{fmt, path::PathBuf};

/// One thing that is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ConfigProblem {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// Keys from the root, joined by dots; empty for the root.
    pub path: String,
    /// What is wrong, with what would be right.
    pub what: String,
}

impl ConfigProblem {
    /// Key path and what is wrong, without the place.
    pub fn sentence(&self) -> String {
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        format!("{path}{}", self.what)
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.sentence())
    }
}

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// None of the places holds a file.
    #[error("there is no configuration file; looked for {}", .0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and "))]
    NotFound(Vec<PathBuf>),
    /// It cannot be read.
    #[error("reading the configuration {path}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It can be read and is wrong; every problem names its place.
    #[error("{path} is not a valid configuration{list}", path = path.display(), list = list(problems, path))]
    Invalid {
        /// Which.
        path: PathBuf,
        /// At least one.
        problems: Vec<ConfigProblem>,
    },
}

fn list(problems: &[ConfigProblem], path: &std::path::Path) -> String {
    problems.iter().map(|problem| format!("\n  {}:{problem}", path.display())).collect()
}

impl ConfigError {
    /// One thing to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            ConfigError::NotFound(_) => {
                Some("`hourglass config example > hourglass.yaml` gives one to start from; --config names another place".to_owned())
            }
            ConfigError::Read { .. } => Some("does the file exist, and may this user read it?".to_owned()),
            ConfigError::Invalid { .. } => Some("`hourglass config example` explains every key".to_owned()),
        }
    }
}

/// The candidate that differs least from `text`, when the difference is small enough to be a slip.
pub fn nearest<'a>(text: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let limit = (text.chars().count() / 3).clamp(1, 3);
    candidates.iter().map(|candidate| (distance(text, candidate), *candidate)).filter(|(far, _)| *far <= limit).min().map(|(_, near)| near)
}

/// Edits (insert, delete, replace) that turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_known_key_and_a_stranger_does_not() {
        let known = ["locations", "control", "policies"];
        assert_eq!(nearest("location", &known), Some("locations"));
        assert_eq!(nearest("polices", &known), Some("policies"));
        assert_eq!(nearest("bananas", &known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
