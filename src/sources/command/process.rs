//! One run of a command: its pipes, its deadline, its end, and the end of all its children.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl},
    io::{Errno, ioctl_fionread},
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid},
};

use super::stderr::Listener;
use crate::{
    model::{Cancel, Secret},
    sources::SourceError,
};

/// How often deadline and cancellation are looked at while nothing moves.
const TICK: Duration = Duration::from_millis(50);
/// How long a command may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(2);
/// What a command sees of our environment.
const INHERITED: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From its standard output.
    Dump,
    /// To its standard input.
    Load,
}

/// Everything that a start needs.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) argv: &'a [String],
    pub(super) direction: Direction,
    pub(super) env: Vec<(String, Secret)>,
    pub(super) secrets: Vec<Secret>,
    pub(super) timeout: Option<Duration>,
    pub(super) cancel: Cancel,
}

/// Why we ended a command.
#[derive(Debug, Clone, Copy)]
enum Stopped {
    Deadline,
    Cancelled,
}

/// A started command. Its process is not reaped before `finish` or drop, so that the number of its group stays its own.
#[derive(Debug)]
pub(super) struct Running {
    program: String,
    child: Child,
    group: Pid,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Listener,
    secrets: Vec<Secret>,
    timeout: Option<Duration>,
    started: Instant,
    cancel: Cancel,
    stopped: Option<Stopped>,
    reaped: bool,
    /// Bytes that went through the pipe.
    pub(super) bytes: u64,
    /// Whether the other end of the pipe was closed.
    pub(super) closed: bool,
}

/// How a command ended well.
#[derive(Debug)]
pub(super) struct Ended {
    /// Bytes that it was given and did not read.
    pub(super) unread: u64,
    /// The last lines of what it said.
    pub(super) stderr: Vec<String>,
}

impl Running {
    pub(super) fn start(start: Start<'_>) -> Result<Running, SourceError> {
        let which = if start.direction == Direction::Dump { "dump" } else { "load" };
        let [program, arguments @ ..] = start.argv else { return Err(SourceError::NoCommand { which }) };
        let spawn_error = |source| SourceError::Spawn { program: program.clone(), source };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().process_group(0).stderr(Stdio::piped());
        command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(start.env.iter().map(|(name, value)| (name, value.expose())));
        match start.direction {
            Direction::Dump => command.stdin(Stdio::null()).stdout(Stdio::piped()),
            Direction::Load => command.stdin(Stdio::piped()).stdout(Stdio::null()),
        };
        let mut child = command.spawn().map_err(spawn_error)?;
        let stderr = Listener::new(child.stderr.take().expect("its standard error is piped"));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let running = Running {
            program: program.clone(),
            group: Pid::from_child(&child),
            child,
            stdin,
            stdout,
            stderr,
            secrets: start.secrets,
            timeout: start.timeout,
            started: Instant::now(),
            cancel: start.cancel,
            stopped: None,
            reaped: false,
            bytes: 0,
            closed: false,
        };
        let nonblocking = match start.direction {
            Direction::Dump => running.stdout.as_ref().map(nonblocking),
            Direction::Load => running.stdin.as_ref().map(nonblocking),
        };
        nonblocking.transpose().map_err(|error| spawn_error(error.into()))?;
        Ok(running)
    }

    /// Ends the command when its time is over or the run is stopped.
    fn check(&mut self) -> io::Result<()> {
        let late = self.timeout.is_some_and(|timeout| self.started.elapsed() >= timeout);
        let why = if self.cancel.is_stopped() { Stopped::Cancelled } else { Stopped::Deadline };
        if self.stopped.is_none() && (late || self.cancel.is_stopped()) {
            self.stopped = Some(why);
            self.stop();
        }
        match self.stopped {
            Some(Stopped::Deadline) => Err(io::Error::from(io::ErrorKind::TimedOut)),
            Some(Stopped::Cancelled) => Err(io::Error::other("the run was stopped")),
            None => Ok(()),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.check()?;
            let Some(pipe) = &mut self.stdout else { return Ok(0) };
            match pipe.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(pipe, PollFlags::IN)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.bytes += count as u64;
                    self.closed |= count == 0 && !buffer.is_empty();
                    return Ok(count);
                }
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.check()?;
            let Some(pipe) = &mut self.stdin else { return Err(io::ErrorKind::BrokenPipe.into()) };
            match pipe.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(pipe, PollFlags::OUT)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.closed |= error.kind() == io::ErrorKind::BrokenPipe;
                    return Err(error);
                }
                Ok(count) => {
                    self.bytes += count as u64;
                    return Ok(count);
                }
            }
        }
    }

    /// Closes the pipe, waits for the end, ends what the command left behind, and judges.
    pub(super) fn finish(&mut self) -> Result<Ended, SourceError> {
        let io_error = |doing| {
            let path = self.program.clone();
            move |source| SourceError::Io { doing, path, source }
        };
        // A second look into the pipe tells later what was left in it. Without a /proc that is unknown, and counts as nothing.
        let reopened = self.stdin.as_ref().and_then(|pipe| reopen(pipe).ok());
        let wait_error = io_error("wait for");
        if self.stdout.is_some() && !self.closed && self.stopped.is_none() {
            self.stop();
            let stderr = self.stderr.lines(&self.secrets);
            return Err(SourceError::Command { program: self.program.clone(), how: "was stopped before all its output was read".to_owned(), stderr });
        }
        (self.stdin, self.stdout) = (None, None);
        while self.check().is_ok() && !self.has_exited() {
            thread::sleep(TICK / 10);
        }
        let status = self.reap().map_err(wait_error)?;
        let stderr = self.stderr.lines(&self.secrets);
        let program = self.program.clone();
        match (self.stopped, status.success()) {
            (Some(Stopped::Cancelled), _) => Err(SourceError::Cancelled { program }),
            (Some(Stopped::Deadline), _) => Err(SourceError::Deadline { program, after: self.timeout.unwrap_or_default(), stderr }),
            (None, false) => Err(SourceError::Command { program, how: how(status), stderr }),
            (None, true) => Ok(Ended { unread: reopened.and_then(|pipe| ioctl_fionread(pipe).ok()).unwrap_or(0), stderr }),
        }
    }

    /// Whether the command itself has ended; it stays unreaped.
    fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.group), options), Ok(None) | Err(Errno::INTR))
    }

    /// Asks the whole group to end, then makes it.
    fn stop(&mut self) {
        self.signal(Signal::TERM);
        let asked = Instant::now();
        while !self.has_exited() && asked.elapsed() < GRACE {
            thread::sleep(TICK / 10);
        }
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // The group may be gone already, which is what we want.
        let _ = kill_process_group(self.group, signal);
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        let status = self.child.wait()?;
        self.reaped = true;
        Ok(status)
    }
}

impl Drop for Running {
    /// A command that was not finished is killed with its children before its pipe is closed: the end of its input must not look regular.
    fn drop(&mut self) {
        if !self.reaped {
            // It cannot be helped here if it does not work.
            let _ = self.reap();
        }
    }
}

fn nonblocking(pipe: impl AsFd) -> rustix::io::Result<()> {
    fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)
}

fn wait(pipe: impl AsFd, events: PollFlags) -> io::Result<()> {
    let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
    match poll(&mut [PollFd::new(&pipe, events)], Some(&tick)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn reopen(pipe: &ChildStdin) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(format!("/proc/self/fd/{}", pipe.as_raw_fd()), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}
