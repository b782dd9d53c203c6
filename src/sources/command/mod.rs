//! Any system through its own dump and load commands.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{Capture, Component, Shape, Sink, Source, SourceError, StreamCapture, StreamSink, Target};
use crate::model::Context;

/// The value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// As it stands; no secret.
    Plain(String),
    /// The content of a file, without one trailing line feed, read at each start: a secret, never shown.
    SecretFile(PathBuf),
}

/// What span of time a dump stands for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// The whole time that the command ran.
    #[default]
    Span,
    /// An instant between its start and its first byte: for commands that dump one snapshot, as `pg_dump` does.
    Snapshot,
}

/// A system that one command dumps to its standard output and another loads from its standard input.
///
/// There is no shell. The commands see `PATH`, `HOME`, `USER`, `LANG`, `LC_ALL`, `TZ`, `TMPDIR` and what `env` names, and nothing else of the
/// environment. A secret belongs into `env`, never into the words of a command, which everybody on the machine can read.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CommandSource {
    /// Program and arguments that write everything to standard output.
    pub dump: Vec<String>,
    /// Program and arguments that read it from standard input.
    pub load: Vec<String>,
    /// Environment of both.
    pub env: BTreeMap<String, EnvValue>,
    /// How long each may run.
    pub timeout: Option<Duration>,
    /// Whether a dump without a byte is right.
    pub allow_empty: bool,
    /// What span of time a dump stands for.
    pub consistency: Consistency,
}

impl CommandSource {
    /// The name of its only component.
    pub const COMPONENT: &'static str = "dump";

    /// Starts the dump command. Its exit status decides, in `finish`, whether what was read is whole.
    pub fn dump(&self, _ctx: &Context) -> Result<StreamCapture, SourceError> {
        Err(SourceError::NoCommand { which: "dump" })
    }

    /// Starts the load command. Its exit status decides, in `finish`.
    pub fn load(&self, _ctx: &Context) -> Result<StreamSink, SourceError> {
        Err(SourceError::NoCommand { which: "load" })
    }
}

impl Source for CommandSource {
    fn kind(&self) -> &'static str {
        "command"
    }

    fn components(&self, _ctx: &Context) -> Result<Vec<Component>, SourceError> {
        if self.dump.is_empty() {
            return Err(SourceError::NoCommand { which: "dump" });
        }
        Ok(vec![Component { name: CommandSource::COMPONENT.to_owned(), shape: Shape::Stream }])
    }

    fn capture(&self, _component: &Component, ctx: &Context) -> Result<Capture, SourceError> {
        Ok(Capture::Stream(self.dump(ctx)?))
    }

    fn sink(&self, component: &Component, target: &Target, ctx: &Context) -> Result<Sink, SourceError> {
        Ok(Sink::Stream(match target {
            Target::Directory { path, overwrite } => StreamSink::file(path, &component.name, *overwrite)?,
            Target::Own => self.load(ctx)?,
        }))
    }
}
