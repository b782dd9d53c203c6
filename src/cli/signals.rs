//! Interrupts: the first asks for a safe point, the second stops.

use tokio::signal::unix::{SignalKind, signal};

use super::output::to_stderr;
use crate::model::Cancel;

/// Raises `cancel` at each SIGINT or SIGTERM and says what happens. Must run inside the runtime.
///
/// # Errors
/// The system refuses the handlers.
pub(super) fn listen(cancel: Cancel, quiet: bool) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if !quiet {
                let first = "stopping at a safe point; `hourglass runs list` shows how to go on; interrupt again to stop now\n";
                to_stderr(if cancel.is_draining() { "stopping now\n" } else { first });
            }
            cancel.raise();
        }
    });
    Ok(())
}
