//! Has policies run on schedule, and tells the truth about it.
//!
//! It owns what is due, the ledger that says of every slot how it ended, which of several daemons leads, and what can be seen of all that from outside.
//! It must not know how a run makes a point; it asks `orchestrator` for one and believes the record alone.

mod book;
mod clerk;
pub mod cluster;
pub mod condition;
pub mod decide;
pub mod errand;
mod error;
pub mod facts;
pub mod fate;
pub mod heap;
pub mod identity;
mod keeper;
pub mod leader;
pub mod lease;
pub mod ledger;
pub mod log;
pub mod metrics;
pub mod notify;
pub mod order;
pub mod page;
pub mod picture;
pub mod push;
mod recovered;
mod report;
pub mod serve;
pub mod sight;
#[cfg(test)]
mod simulation;
pub mod slot;
pub mod status;
mod summary;
pub mod tasks;
mod tender;
pub mod timetable;
mod tls;
mod work;

pub use error::DaemonError;
