//! What the user wrote, resolved into what the code uses.

pub mod store;

pub use store::{LockMode, StoreConfig, StoreUrl};
