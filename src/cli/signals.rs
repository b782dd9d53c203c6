//! Interrupts: the first asks for a safe point, the second stops.

use tokio::signal::unix::{SignalKind, signal};

use super::output::to_stderr;
use crate::model::Cancel;

/// How long whoever is not to be outlived may be outlived.
const LEASH_GRACE: std::time::Duration = std::time::Duration::from_secs(5);

/// Stops when standard input ends: at a safe point, or a moment later at once.
pub(super) fn leash(cancel: Cancel) {
    std::thread::spawn(move || {
        // Whatever comes is not for us, and an error is an end.
        let _end = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        cancel.raise();
        std::thread::sleep(LEASH_GRACE);
        cancel.raise();
    });
}

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
