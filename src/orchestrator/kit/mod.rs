//! Kits: one signed file that holds all that a recovery needs but its keys. Format: docs/format/kit.md.
//!
//! `manifest` is what a kit says of itself, `contents` finds what goes into one, `private` keeps private keys out, `pack` writes the archive,
//! `open` believes one only when every byte of it fits, and unpacks it.

pub mod contents;
mod error;
pub mod manifest;
pub mod open;
pub mod pack;
mod private;

pub use error::KitError;
