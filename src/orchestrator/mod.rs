//! Runs plans: journals each step before and after, goes on where another process stopped, and tells observers.

pub mod output;
pub mod process;
pub mod state;
