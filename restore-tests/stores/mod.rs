//! Stores, against real services and real directories.

mod certificates;
mod conformance;
mod faults;
mod locks;
mod places;
mod probes;
mod rights;
