//! The daemon as real processes: its slots, its leader, its orders, its answers, and what kills do to them.

mod alerts;
mod events;
mod kills;
mod leads;
mod limits;
mod notices;
mod orders;
mod outside;
mod page;
mod pushes;
mod reports;
mod sinks;
pub mod steady;
mod tasks;
mod told;
mod watched;
pub mod world;
