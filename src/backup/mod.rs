//! Forwards: sources are read, cut, compressed, encrypted and put; the manifest goes last.
//!
//! `plan` decides from facts; `open` opens the snapshots of all members together; `capture` stores one member (`scan` and `text` read it,
//! `segment` cuts a tree's map, `assemble` and `finish` fill packs and draw the map, `captured` is what came of it); `commit` writes the point;
//! `mirror` brings the repositories of search clusters to another site. It must not know how a run is journalled.

pub mod assemble;
pub mod capture;
pub mod captured;
pub mod commit;
pub mod destination;
mod error;
pub mod finish;
pub mod job;
pub mod mirror;
pub mod open;
pub mod plan;
pub mod scan;
pub mod segment;
mod shares;
pub mod steps;
pub mod text;

pub use error::BackupError;
use serde::{Deserialize, Serialize};

use crate::{
    model::{EpochId, Sha256},
    repository::packlist::PackInfo,
};

/// A checkpoint on its way into the journal.
#[derive(Debug)]
pub struct CheckpointRequest {
    /// What was reached.
    pub checkpoint: Checkpoint,
    /// Told when it is journalled. Whoever sent it waits, so that nothing is journalled after the run has ended.
    pub done: tokio::sync::oneshot::Sender<()>,
}

/// What a run has put so far that a later run of the same epoch may use, were this one to end here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The epoch.
    pub epoch: EpochId,
    /// Packs that the store acknowledged since the last checkpoint.
    pub packs: Vec<PackInfo>,
    /// Their chunks.
    pub index: Vec<Sha256>,
    /// Segments that are stored.
    pub hints: Vec<Sha256>,
}
