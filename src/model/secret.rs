//! Values that are never printed.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret text. `Debug` shows nothing of it, it has no `Display`, and its memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Takes charge of a secret text.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself: for the one place that must hand it on.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
