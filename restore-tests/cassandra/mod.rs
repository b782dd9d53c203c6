//! Cassandra clusters of three releases and shapes, captured and restored; the Python driver judges.

mod edge;
mod failures;
mod world;
