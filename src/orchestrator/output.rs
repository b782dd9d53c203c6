//! What a step leaves for later steps and for a resumed run, as the journal holds it. Nothing private: no names of files, no argument vectors.

use serde::{Deserialize, Serialize};

use crate::{
    backup::Checkpoint,
    model::{ByteCount, EntryNumber, Outcome},
};

/// What a step left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "output", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Output {
    /// Nothing.
    Nothing,
    /// An entry of a record.
    Entry {
        /// Its number.
        number: EntryNumber,
    },
    /// Content that went through.
    Content {
        /// Bytes of it.
        bytes: ByteCount,
        /// Files, tables or objects.
        items: u64,
        /// Bytes that were put into, or fetched from, a store for it.
        transferred: ByteCount,
    },
    /// A member that was restored.
    Restored {
        /// Bytes of its content.
        bytes: ByteCount,
        /// Files, rows or objects.
        items: u64,
        /// Bytes that were fetched from stores for it.
        fetched: ByteCount,
        /// Whether all of it was read back from the target and compared.
        compared: bool,
    },
    /// Components of a member that its target has whole, by their positions in the point.
    Written {
        /// The positions.
        components: Vec<u32>,
    },
    /// Nothing: the step found damage or forgery in the repository.
    Damaged,
    /// What a later run of the same epoch need not put again.
    Stored(Checkpoint),
}

/// How a step ended, and what it left.
pub type StepEnd = (Outcome, Output);
