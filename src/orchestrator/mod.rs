//! Runs plans: journals each step before and after, goes on where another process stopped, and tells observers.

mod error;
pub mod execute;
pub mod journal;
pub mod output;
pub mod process;
pub mod state;

pub use error::OrchestratorError;
