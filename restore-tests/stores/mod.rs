//! Stores, against real services and real directories.

mod certificates;
mod conformance;
mod faults;
mod locks;
pub mod places;
mod probes;
mod rights;
mod rules;
