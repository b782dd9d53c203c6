//! Any system through its own dump and load commands.

mod process;
mod stderr;

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use process::{Direction, Running, Start};
use zeroize::Zeroizing;

use super::{Capture, Component, Opening, Shape, Sink, Source, SourceError, StreamCapture, StreamEnd, StreamSink, Target};
pub use crate::config::Consistency;
use crate::model::{ByteCount, Clock, Context, Secret, Timestamp};

/// The value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// As it stands; no secret.
    Plain(String),
    /// The content of a file, without one trailing line feed, read at each start: a secret, never shown.
    SecretFile(PathBuf),
    /// A secret that is known already, never shown.
    Secret(Secret),
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
    /// Whether the load command may succeed without having read everything.
    pub allow_unread: bool,
    /// What time a dump stands for: of a snapshot, an instant between its start and its first byte.
    pub consistency: Consistency,
}

impl CommandSource {
    /// The name of its only component.
    pub const COMPONENT: &'static str = "dump";

    /// Starts the dump command. Its exit status decides, in `finish`, whether what was read is whole.
    pub fn dump(&self, ctx: &Context) -> Result<StreamCapture, SourceError> {
        let from = ctx.clock.now();
        let running = self.start(&self.dump, Direction::Dump, ctx)?;
        let first_byte = Arc::new(Mutex::new(None));
        let reader = Output { running: running.clone(), clock: ctx.clock.clone(), first_byte: first_byte.clone() };
        let (source, clock) = (self.clone(), ctx.clock.clone());
        let end = move || {
            let mut running = lock(&running);
            let ended = running.finish()?;
            if running.bytes == 0 && !source.allow_empty {
                return Err(SourceError::EmptyOutput { program: source.dump[0].clone(), stderr: ended.stderr });
            }
            let first_byte = *first_byte.lock().expect("no holder of this lock panics");
            let to = first_byte.filter(|_| source.consistency == Consistency::Snapshot).unwrap_or_else(|| clock.now());
            let bytes = ByteCount(running.bytes);
            Ok(StreamEnd { consistent_from: from, consistent_to: to, versions: BTreeMap::new(), bytes, rows: None, problems: Vec::new() })
        };
        Ok(StreamCapture::new(reader, end))
    }

    /// Starts the load command. Its exit status decides, in `finish`; having read everything is part of it.
    pub fn load(&self, ctx: &Context) -> Result<StreamSink, SourceError> {
        let running = self.start(&self.load, Direction::Load, ctx)?;
        let writer = Input { running: running.clone(), allow_unread: self.allow_unread };
        let (program, allow_unread) = (self.load[0].clone(), self.allow_unread);
        let end = move || {
            let mut running = lock(&running);
            let ended = running.finish()?;
            if (running.closed || ended.unread > 0) && !allow_unread {
                let taken = running.bytes - ended.unread;
                return Err(SourceError::StoppedReading { program, taken, stderr: ended.stderr });
            }
            Ok(())
        };
        Ok(StreamSink::new(writer, end))
    }

    fn start(&self, argv: &[String], direction: Direction, ctx: &Context) -> Result<Arc<Mutex<Running>>, SourceError> {
        let (mut env, mut secrets) = (Vec::new(), Vec::new());
        for (name, value) in &self.env {
            let value = match value {
                EnvValue::Plain(text) => Secret::new(text.clone()),
                EnvValue::Secret(secret) => {
                    secrets.push(secret.clone());
                    secret.clone()
                }
                EnvValue::SecretFile(path) => {
                    let secret = secret(path)?;
                    secrets.push(secret.clone());
                    secret
                }
            };
            env.push((name.clone(), value));
        }
        let start = Start { argv, direction, env, secrets, timeout: self.timeout, cancel: ctx.cancel.clone() };
        Ok(Arc::new(Mutex::new(Running::start(start)?)))
    }
}

/// Runs a command to its end; what it writes is not kept.
///
/// # Errors
/// When it cannot be started, takes too long, or its exit status is not 0.
pub fn run(argv: &[String], timeout: Duration, ctx: &Context) -> Result<(), SourceError> {
    let source = CommandSource { dump: argv.to_vec(), timeout: Some(timeout), allow_empty: true, ..CommandSource::default() };
    let mut output = source.dump(ctx)?;
    // Why it broke off, if so, is for `finish` to say.
    let _read = io::copy(&mut output, &mut io::sink());
    output.finish().map(drop)
}

/// Runs the dump command of `source` to its end and gives the first `most` bytes of what it wrote.
///
/// # Errors
/// When it cannot be started, takes too long, or its exit status is not 0.
pub fn printed(source: &CommandSource, most: u64, ctx: &Context) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let (mut output, mut printed) = (source.dump(ctx)?, Zeroizing::new(Vec::new()));
    // Why it broke off, if so, is for `finish` to say.
    let _read = output.by_ref().take(most).read_to_end(&mut printed).and_then(|_| io::copy(&mut output, &mut io::sink()));
    output.finish().map(|_| printed)
}

/// The secret that a file holds.
fn secret(path: &Path) -> Result<Secret, SourceError> {
    let io_error = |source| SourceError::Io { doing: "read the secret in", path: path.display().to_string(), source };
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io_error)?);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().expect("no holder of this lock panics")
}

/// What a dump command writes.
struct Output {
    running: Arc<Mutex<Running>>,
    clock: Arc<dyn Clock>,
    first_byte: Arc<Mutex<Option<Timestamp>>>,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = lock(&self.running).read(buffer)?;
        if count > 0 {
            self.first_byte.lock().expect("no holder of this lock panics").get_or_insert_with(|| self.clock.now());
        }
        Ok(count)
    }
}

/// What a load command reads.
struct Input {
    running: Arc<Mutex<Running>>,
    allow_unread: bool,
}

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut running = lock(&self.running);
        match running.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && running.closed && self.allow_unread => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for CommandSource {
    fn kind(&self) -> &'static str {
        "command"
    }

    fn open(&self, _opening: &Opening, _ctx: &Context) -> Result<Vec<Component>, SourceError> {
        if self.dump.is_empty() {
            return Err(SourceError::NoCommand { which: "dump" });
        }
        Ok(vec![Component::single(CommandSource::COMPONENT, Shape::Stream)])
    }

    fn capture(&self, _component: &Component, ctx: &Context) -> Result<Capture, SourceError> {
        Ok(Capture::Stream(self.dump(ctx)?))
    }

    fn sink(&self, component: &Component, target: &Target, ctx: &Context) -> Result<Sink, SourceError> {
        Ok(Sink::Stream(match target {
            Target::Directory { path, overwrite } => StreamSink::file(path, &component.name, *overwrite)?,
            Target::System(_) => self.load(ctx)?,
        }))
    }
}

#[cfg(test)]
mod tests;
