//! Processes that are killed at every request and after every journal record: the next run goes on and nothing is lost.

mod backup;
mod clouds;
mod journal;
mod restore;
pub mod snapshot;
pub mod tap;
pub mod victim;
pub mod world;
