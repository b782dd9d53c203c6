//! The nouns of the product, as data: identifiers, units, outcomes, events, the clock. No I/O.

pub mod clock;
pub mod context;
pub mod digest;
pub mod event;
pub mod ids;
pub mod outcome;
pub mod plan;
pub mod progress;
pub mod recovery;
pub mod secret;
pub mod units;

pub use clock::{Clock, FixedClock, SystemClock, Timestamp};
pub use context::{Cancel, Context, Lease, Limits};
pub use digest::{ChunkId, Sha256};
pub use event::{Event, Observer, Quiet};
pub use ids::{
    EntryNumber, EpochId, InvalidId, Lineage, MemberName, ObjectKey, PolicyName, RecoveryPointId, RepositoryId, RunId, SiteName, StepId, VaultId,
};
pub use outcome::{Outcome, Problem};
pub use plan::{Accepted, Action, Activity, Class, Destination, EpochMode, NewEpoch, Overwrite, Plan, Step, step_id};
pub use progress::Progress;
pub use recovery::{Ask, Command, OutputPlace, OutputRule, Probe, Question, Recovery, Terms};
pub use secret::Secret;
pub use units::{ByteCount, Seconds};
