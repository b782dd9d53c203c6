//! Hourglass protects API-management platforms and rebuilds them in another region, against a clock.
//!
//! A byte travels forwards through
//! `sources` (read) -> `pipeline` (chunk, compress, encrypt, pack) -> `storage` (put) -> `repository` (record, manifest last),
//! driven by `backup`; and back through
//! `repository` (manifest, map) -> `storage` (get) -> `pipeline` reversed -> `sources` (write) -> comparison, driven by `restore`.
//! Both are plans that `orchestrator` journals, runs and resumes; `daemon` has them run on schedule; `cli` is the outside.
//!
//! Modules are listed from the top layer down. A module uses only modules of lower layers; modules that
//! share a layer do not know each other. A test enforces both.

// layer 7
pub mod cli;
// layer 6
pub mod daemon;
// layer 5
pub mod orchestrator;
// layer 4
pub mod backup;
pub mod restore;
// layer 3
pub mod repository;
// layer 2
pub mod pipeline;
pub mod sources;
pub mod storage;
// layer 1
pub mod config;
// layer 0
pub mod model;
