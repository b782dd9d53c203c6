//! Backwards: a manifest leads to maps, maps to packs, packs to what was captured, and that is compared with what was saved.
//!
//! `plan` decides what is restored where; `fetch` reads packs, whole or in part, from any location; `maps` reads the lines of a component;
//! `window` turns lines into reads of packs, `mend` writes again what came out different; `tree` and `stream` write; `member` and `system` put
//! components together and read back. It must not know how a run is journalled.

pub mod content;
mod error;
pub mod fetch;
pub mod maps;
pub mod member;
pub mod mend;
pub mod opened;
pub mod plan;
pub mod stream;
pub mod system;
pub mod tree;
pub mod verify;
pub mod walk;
pub mod window;

pub use error::RestoreError;
