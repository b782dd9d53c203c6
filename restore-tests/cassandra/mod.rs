//! Cassandra clusters of three releases and shapes, captured and restored; the Python driver judges.

mod binary;
mod edge;
mod failures;
mod guide;
pub mod world;
