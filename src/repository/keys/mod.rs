//! Who signs, and who can read: signing keys, the files that hold secrets, vaults.

pub mod identity;
pub mod offer;
pub mod sign;
pub mod vault;

pub use identity::{CaptureFile, IdentityFile, OperatorFile, RootFile};
pub use offer::SignerOffer;
pub use sign::{PublicKey, SigningKey};
pub use vault::{Unlocked, vault_id};
