//! The record: one signed, hash-chained log per lineage. See `docs/format/record.md`.

pub mod append;
pub mod body;
pub mod copies;
pub mod entry;
pub mod heads;
pub mod keep;
pub mod listing;
pub mod outline;
pub mod point;
pub mod read;
pub mod rules;
pub mod state;

pub use append::{Appended, Writer, append};
pub use body::{
    Body, Class, Depth, EpochClose, EpochMode, EpochOpen, Expire, ExpiredPoint, HeadRef, Mark, Promotion, Proof, ProofOutcome, Proven, Prune,
    Recovery, RecoveryOutcome, Restore, RestoredMember, RunEnd, RunWithoutPoint, Wrapping,
};
pub use copies::Copies;
pub(super) use entry::to_line;
pub use entry::{Entry, MAX_ENTRY, PointRef, TrustRef, VoidRef};
pub use heads::{Heads, Standing};
pub use keep::{Complete, Keep, Whole};
pub use outline::{Outline, PointOutline};
pub use point::{MemberOutcome, PackListRef, Point, PointMember, PointRetention};
pub use read::{Gap, Record, ValidEntry, Void};
pub use rules::VoidReason;
pub use state::{Epoch, Expiry, State};

#[cfg(test)]
mod attack_tests;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
