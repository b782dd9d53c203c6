//! The daemon as real processes: its slots, its leader, its orders, its answers, and what kills do to them.

mod kills;
mod leads;
mod limits;
mod orders;
mod outside;
mod reports;
mod steady;
mod tasks;
mod world;
