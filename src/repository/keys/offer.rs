//! The public part of a new signer: what whoever made the key gives to the holder of the root. See `docs/format/identity.md`.

use std::{fs::File, io::Read, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    model::RepositoryId,
    repository::{RepositoryError, layout::FORMAT, trust::Signer},
};

/// No such file is larger.
const MAX_FILE: u64 = 64 << 10;

/// The public part of a signer. It says what its maker wants; only the trust makes it true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerOffer {
    /// [`FORMAT`].
    pub format: u32,
    /// For which repository.
    pub repository: RepositoryId,
    /// As the trust would name it.
    pub signer: Signer,
}

impl SignerOffer {
    /// Writes a new file; anybody may read it. Never replaces one.
    ///
    /// # Errors
    /// `IdentityIo`.
    pub fn create(&self, path: &Path) -> Result<(), RepositoryError> {
        let failed = |source| RepositoryError::IdentityIo { path: path.to_owned(), source };
        let file = File::options().write(true).create_new(true).open(path).map_err(failed)?;
        serde_json::to_writer_pretty(&file, self).map_err(|error| failed(error.into()))?;
        std::io::Write::write_all(&mut &file, b"\n").and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `IdentityIo`; `IdentityRefused` when it is something else.
    pub fn open(path: &Path) -> Result<SignerOffer, RepositoryError> {
        let failed = |source| RepositoryError::IdentityIo { path: path.to_owned(), source };
        let mut text = Vec::new();
        File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut text)).map_err(failed)?;
        // A file of secrets may be given by mistake: nothing of it is shown.
        let offer = serde_json::from_slice(&text).ok().filter(|offer: &SignerOffer| offer.format == FORMAT);
        offer.ok_or(RepositoryError::IdentityRefused { path: path.to_owned(), rule: "it is not the public part of a signer" })
    }
}
