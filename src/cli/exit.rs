//! How the process ends.

/// What the exit status means. Stable: scripts and runbooks rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything that was asked for was done and checked.
    Succeeded = 0,
    /// It did not happen.
    Failed = 1,
    /// The command line or the configuration is wrong; nothing was begun.
    Usage = 2,
    /// It ended, and something is missing.
    Incomplete = 3,
    /// A person or a signal ended it at a safe point.
    Cancelled = 4,
    /// It can go neither forwards nor back; a person is needed.
    Stuck = 5,
    /// Damage or forgery was found.
    Damaged = 6,
}

impl ExitCode {
    /// The word for it in the JSON envelope.
    pub fn outcome(self) -> &'static str {
        match self {
            ExitCode::Succeeded => "succeeded",
            ExitCode::Failed | ExitCode::Usage => "failed",
            ExitCode::Incomplete => "incomplete",
            ExitCode::Cancelled => "cancelled",
            ExitCode::Stuck => "stuck",
            ExitCode::Damaged => "damaged",
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> std::process::ExitCode {
        std::process::ExitCode::from(code as u8)
    }
}
