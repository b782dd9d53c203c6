//! What a step leaves for later steps and for a resumed run, as the journal holds it. Nothing private: no names of files; argument vectors stand in a runbook's plan alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    backup::Checkpoint,
    model::{ByteCount, EntryNumber, Outcome, RecoveryPointId},
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
        /// How many objects became what, where the source says it.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        tally: BTreeMap<String, u64>,
    },
    /// Components of a member that its target has whole, by their positions in the point.
    Written {
        /// The positions.
        components: Vec<u32>,
    },
    /// Values that a command printed.
    Values {
        /// Outputs by name.
        plain: BTreeMap<String, String>,
        /// Secret outputs by name, encrypted under a key of the operator's.
        secret: BTreeMap<String, String>,
        /// Nothing was run: its check said that it was done.
        was_done: bool,
    },
    /// What a probe was told.
    Answered {
        /// Before anything was done; only of a switch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// At the end.
        after: String,
    },
    /// A person's decision.
    Decided {
        /// Who.
        by: String,
    },
    /// A recovery point.
    Point {
        /// Which.
        point: RecoveryPointId,
    },
    /// What the step did was taken back.
    Undone,
    /// Nothing: the step found damage or forgery in the repository.
    Damaged,
    /// What a later run of the same epoch need not put again.
    Stored(Checkpoint),
}

/// How a step ended, and what it left.
pub type StepEnd = (Outcome, Output);
