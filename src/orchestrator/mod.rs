//! Runs plans: journals each step before and after, goes on where another process stopped, and tells observers.

pub mod backup;
mod bend;
pub mod coverage;
mod error;
pub mod execute;
pub mod findings;
pub mod journal;
pub mod kit;
pub mod old_journals;
pub mod order;
pub mod output;
pub mod part;
pub mod perform;
pub mod point;
pub mod process;
pub mod readiness;
pub mod recovery;
pub mod repo;
pub mod restore;
pub mod runbook;
pub mod runs;
mod spent;
pub mod state;
pub mod successor;

pub use error::OrchestratorError;
