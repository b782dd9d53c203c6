//! What can go wrong while a system is read or written.

use std::{io, time::Duration};

/// Why a source could not be read or a target not be written.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The system refused.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On what.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The root of a tree is something else.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// Which.
        path: String,
    },
    /// There is something where a restore would write.
    #[error("{path} is not empty")]
    NotEmpty {
        /// Which.
        path: String,
    },
    /// It was there a moment ago.
    #[error("{path} has vanished")]
    Vanished {
        /// Which.
        path: String,
    },
    /// Something else has taken its place.
    #[error("{path} is no longer {expected}")]
    Replaced {
        /// Which.
        path: String,
        /// What it was.
        expected: &'static str,
    },
    /// A path that could lead out of its root.
    #[error("{path:?} is not a path inside a tree")]
    UnsafePath {
        /// Which.
        path: String,
    },
    /// An exclude pattern that cannot be read.
    #[error("the exclude pattern {pattern:?} is not valid: {why}")]
    Pattern {
        /// Which.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// A command that has no words.
    #[error("no {which} command is given")]
    NoCommand {
        /// `dump` or `load`.
        which: &'static str,
    },
    /// A command that did not start.
    #[error("cannot start {program}")]
    Spawn {
        /// Which.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A command that ended badly.
    #[error("{program} {how}{}", said(stderr))]
    Command {
        /// Which.
        program: String,
        /// How it ended: `exited with status 1`, `was killed by signal 9`.
        how: String,
        /// The last lines of what it said, without secrets.
        stderr: Vec<String>,
    },
    /// A command that took too long and was ended with all its children.
    #[error("{program} was stopped after {} s{}", after.as_secs_f32(), said(stderr))]
    Deadline {
        /// Which.
        program: String,
        /// The time that it had.
        after: Duration,
        /// The last lines of what it said, without secrets.
        stderr: Vec<String>,
    },
    /// A command that was ended because the run was.
    #[error("{program} was stopped with the run")]
    Cancelled {
        /// Which.
        program: String,
    },
    /// A dump without a byte.
    #[error("{program} succeeded but wrote nothing{}", said(stderr))]
    EmptyOutput {
        /// Which.
        program: String,
        /// The last lines of what it said, without secrets.
        stderr: Vec<String>,
    },
    /// A load command that did not take all bytes.
    #[error("{program} stopped reading after at most {taken} bytes, and exited with status 0{}", said(stderr))]
    StoppedReading {
        /// Which.
        program: String,
        /// How many bytes had been handed over.
        taken: u64,
        /// The last lines of what it said, without secrets.
        stderr: Vec<String>,
    },
    /// A database server that could not be reached, or that refused.
    #[error("cannot {doing}")]
    Database {
        /// What was tried, and on what.
        doing: String,
        /// Of what kind it is.
        kind: SourceErrorKind,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A system that is not as it has to be.
    #[error("{subject} {why}")]
    Unfit {
        /// What: a server, an account, a table.
        subject: String,
        /// What is wrong with it.
        why: String,
        /// Of what kind it is.
        kind: SourceErrorKind,
        /// What a person can do.
        hint: Option<&'static str>,
    },
    /// A source that offers no component: a backup of nothing is no success.
    #[error("there is nothing to capture in this source of kind {kind}")]
    Nothing {
        /// The source's kind.
        kind: &'static str,
    },
    /// A target that this source cannot write to.
    #[error("a source of kind {kind} cannot be restored {target}")]
    WrongTarget {
        /// The source's kind.
        kind: &'static str,
        /// Where it should have gone.
        target: &'static str,
    },
    /// A Cassandra cluster.
    #[error(transparent)]
    Cassandra(#[from] super::CassandraError),
}

/// What callers branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceErrorKind {
    /// The configuration or the request is wrong; trying again changes nothing.
    Usage,
    /// The target holds something.
    Occupied,
    /// It is not there (any more).
    Vanished,
    /// It is something else now.
    Changed,
    /// The rights do not suffice.
    Denied,
    /// A command failed.
    Failed,
    /// A deadline has passed.
    TimedOut,
    /// The run was stopped.
    Cancelled,
    /// Anything else that the system refused.
    Io,
}

impl SourceError {
    /// What callers branch on.
    pub fn kind(&self) -> SourceErrorKind {
        match self {
            SourceError::NotADirectory { .. }
            | SourceError::UnsafePath { .. }
            | SourceError::Pattern { .. }
            | SourceError::NoCommand { .. }
            | SourceError::Nothing { .. }
            | SourceError::WrongTarget { .. } => SourceErrorKind::Usage,
            SourceError::NotEmpty { .. } => SourceErrorKind::Occupied,
            SourceError::Vanished { .. } => SourceErrorKind::Vanished,
            SourceError::Replaced { .. } => SourceErrorKind::Changed,
            SourceError::Command { .. } | SourceError::EmptyOutput { .. } | SourceError::StoppedReading { .. } => SourceErrorKind::Failed,
            SourceError::Deadline { .. } => SourceErrorKind::TimedOut,
            SourceError::Cancelled { .. } => SourceErrorKind::Cancelled,
            SourceError::Database { kind, .. } | SourceError::Unfit { kind, .. } => *kind,
            SourceError::Cassandra(error) => error.kind(),
            SourceError::Io { source, .. } | SourceError::Spawn { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => SourceErrorKind::Denied,
                io::ErrorKind::NotFound => SourceErrorKind::Vanished,
                _ => SourceErrorKind::Io,
            },
        }
    }

    /// One thing to do or to check.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            SourceError::Cassandra(error) => error.hint(),
            SourceError::NotADirectory { .. } => Some("name the directory that holds the files"),
            SourceError::NotEmpty { .. } => Some("restore to a new place, or ask for a restore in place by name"),
            SourceError::Pattern { .. } => Some("patterns are like those of .gitignore, with * ** ? [a-z], without '!'"),
            SourceError::NoCommand { .. } => Some("give the command as a list of words in the source's configuration"),
            SourceError::Spawn { .. } => Some("check that the program is installed and that PATH leads to it; no shell is involved"),
            SourceError::Deadline { .. } => Some("raise the source's timeout, or find out what the command waits for"),
            SourceError::EmptyOutput { .. } => Some("let the dump command write to its standard output, or set allow_empty if nothing is right"),
            SourceError::StoppedReading { .. } => Some("check that the load command reads its standard input to the end"),
            SourceError::Unfit { hint, .. } => *hint,
            SourceError::Database { kind: SourceErrorKind::Denied, .. } => Some("check the account, its password and its rights"),
            SourceError::Database { kind: SourceErrorKind::TimedOut, .. } => {
                Some("find out what holds the lock, or raise the source's lock_timeout or timeout")
            }
            SourceError::Nothing { .. } => Some("check what the configuration includes and excludes, and what its user may see"),
            SourceError::WrongTarget { .. } => Some("restore it to a directory"),
            SourceError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("run with the rights to read the source and to write the target")
            }
            SourceError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => Some("free space at the target, then resume"),
            _ => None,
        }
    }
}

fn said(lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { format!(": {}", lines.join("\n")) }
}
