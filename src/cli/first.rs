//! The first process of a container, which the kernel protects from its own signals and so from its fuse: a child works, and this one waits for it.

use std::{ffi::OsString, io, os::unix::process::ExitStatusExt, process::ExitCode};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::Command as Process,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use super::Command;

/// Whether this is the first process, and the command may hold a lease. See docs/format/journal.md.
pub(super) fn is_needed(command: &Command) -> bool {
    std::process::id() == 1 && matches!(command, Command::Restore(_) | Command::RestoreTest(_) | Command::Recover(_) | Command::Runs(_))
}

/// Runs the same in a child, which is asked to end when this process is (a terminal asks both); ends as the child does.
pub(super) fn wait_for_child(argv: &[OsString]) -> io::Result<ExitCode> {
    let [name, arguments @ ..] = argv else { return Err(io::ErrorKind::InvalidInput.into()) };
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut asked = signal(SignalKind::terminate())?;
        let mut child = Process::new(std::env::current_exe()?).arg0(name).args(arguments).spawn()?;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                Some(()) = asked.recv() => {
                    if let Some(child) = child.id().and_then(|id| Pid::from_raw(id as i32)) {
                        kill_process(child, Signal::TERM)?;
                    }
                }
            }
        };
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(ExitCode::from(code as u8))
    })
}
