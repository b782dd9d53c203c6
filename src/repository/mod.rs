//! What is stored, under which key, and whom to believe about it.
//!
//! Owns the format (`docs/format/`): key names, keys and vaults, the trust, the record and what follows from it (retention, catalog).
//! Knows no source and no plan.

pub mod catalog;
pub mod copy;
mod courier;
pub mod error;
pub mod hints;
pub mod index;
pub mod keys;
pub mod layout;
pub mod map;
pub mod needs;
pub mod packlist;
pub mod presence;
pub mod prune;
pub mod record;
pub mod repo;
pub mod retention;
pub mod sample;
pub mod sealed;
pub mod trust;
pub mod verify;

mod fetch;

pub use error::{ErrorKind, RepositoryError};
pub use fetch::version_named;
