//! Vaults: key pairs that operators make, and whose private half lies in the repository, wrapped to the operators. See `docs/format/vault.md`.

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::{
    model::{ByteCount, Secret, VaultId},
    pipeline::{PipelineError, VaultIdentity, VaultRecipient, open, seal, sha256},
    repository::{
        RepositoryError, fetch,
        layout::{self, number},
        needs::{Fault, Part, Wrong},
        record::Wrapping,
        trust::{TrustChain, TrustedVault},
    },
    storage::{ObjectStore, Put, PutOptions, list_all},
};

/// No wrapping is larger.
const MAX_WRAPPING: u64 = 1 << 20;
/// How often other operators may be faster in adding a wrapping.
const MOST_RACES: usize = 16;
/// Numbers whose older versions are looked at when no wrapping that is shown opens.
const MOST_HIDDEN: usize = 16;

/// A vault's id: the first 8 bytes of the SHA-256 of its recipient's text, in hex.
pub fn vault_id(recipient: &str) -> VaultId {
    hex::encode(&sha256(recipient.as_bytes()).0[..8]).parse().expect("8 bytes in hex are a vault id")
}

/// A vault that was opened.
#[derive(Debug, Clone)]
pub struct Unlocked {
    /// Its private key.
    pub identity: VaultIdentity,
    /// The wrapping that gave it.
    pub wrapping: Wrapping,
    /// It is deleted or covered by something else, and was read from an older version.
    pub covered: bool,
}

/// Makes a new vault, puts its identity wrapped to `recipients` (`age1…`), and gives what the trust must name.
pub async fn create(store: &dyn ObjectStore, recipients: &[VaultRecipient]) -> Result<(TrustedVault, Unlocked), RepositoryError> {
    let identity = VaultIdentity::generate();
    let recipient = identity.recipient();
    let wrapping = wrap(store, &identity, recipients).await?;
    let vault = TrustedVault { id: recipient.id(), recipient: recipient.to_string() };
    Ok((vault, Unlocked { identity, wrapping, covered: false }))
}

/// Wraps a vault's identity to another set of recipients, under the next free number. Earlier wrappings stay.
pub async fn wrap(store: &dyn ObjectStore, identity: &VaultIdentity, recipients: &[VaultRecipient]) -> Result<Wrapping, RepositoryError> {
    let id = identity.recipient().id();
    let what = || format!("a wrapping of vault {id}");
    let text = Zeroizing::new(format!("{}\n", identity.to_secret().expose()));
    let recipients: Vec<&dyn age::Recipient> = recipients.iter().map(|recipient| recipient as &dyn age::Recipient).collect();
    let sealed = seal(&recipients, text.as_bytes()).map_err(|source| RepositoryError::Seal { what: what(), source: Box::new(source) })?;
    for _ in 0..MOST_RACES {
        let next = wrappings(store, &id).await?.last().map_or(1, |(last, _)| last + 1);
        let (key, options) = (layout::vault(&id, next), PutOptions::of(&sealed));
        match store.put_new(&key, sealed.clone(), &options).await {
            Ok(Put::Created) => return Ok(named(next, &sealed)),
            Ok(Put::AlreadyThere) if fetch::read(store, &key).await?.as_ref() == Some(&sealed) => return Ok(named(next, &sealed)),
            Ok(Put::AlreadyThere) => {}
            Err(error) => match fetch::read(store, &key).await? {
                Some(there) if there == sealed => return Ok(named(next, &sealed)),
                _ => return Err(error.into()),
            },
        }
    }
    Err(RepositoryError::Damaged { key: layout::vault(&id, 1), what: "its next number is taken, and no listing shows it".to_owned() })
}

fn named(number: u64, sealed: &Bytes) -> Wrapping {
    Wrapping { number, sha256: sha256(sealed), size: ByteCount(sealed.len() as u64) }
}

/// The numbers of a vault's wrappings and their sizes, in order.
async fn wrappings(store: &dyn ObjectStore, id: &VaultId) -> Result<Vec<(u64, u64)>, RepositoryError> {
    let listed = list_all(store, &layout::vault_prefix(id)).await?;
    Ok(listed.iter().filter_map(|object| Some((number(&object.key)?, object.size.0))).collect())
}

/// What is wrong with a wrapping that a proof names; needs no private key.
///
/// # Errors
/// The store's.
pub async fn fault(store: &dyn ObjectStore, id: &VaultId, proven: &Wrapping) -> Result<Option<Fault>, RepositoryError> {
    let key = layout::vault(id, proven.number);
    let wrong = match fetch::read(store, &key).await? {
        None => Some(Wrong::Missing),
        Some(bytes) => (sha256(&bytes) != proven.sha256).then_some(Wrong::Digest),
    };
    Ok(wrong.map(|wrong| Fault { key, part: Part::Vault, wrong }))
}

/// Opens a vault with any of `identities`, through its highest wrapping that they open and that holds what the trust names.
///
/// Errors: `UnknownVault`, `Missing`, `WrongIdentity`, `ForgedVault` or `Damaged` when a wrapping opens and holds something else.
pub async fn unlock(store: &dyn ObjectStore, trusts: &TrustChain, id: &VaultId, identities: &[Secret]) -> Result<Unlocked, RepositoryError> {
    let trusted = trusts.vault(id).ok_or_else(|| RepositoryError::UnknownVault { vault: id.clone() })?;
    let parsed = identities.iter().map(|identity| identity.expose().parse::<VaultIdentity>()).collect::<Result<Vec<_>, _>>();
    let parsed =
        parsed.map_err(|source| RepositoryError::Seal { what: "with an identity of the operator file".to_owned(), source: Box::new(source) })?;
    let numbers = wrappings(store, id).await?;
    let mut worst = match numbers.is_empty() {
        true => RepositoryError::Missing { key: layout::vault(id, 1), store: store.describe() },
        false => RepositoryError::WrongIdentity { vault: id.clone() },
    };
    for (number, _) in numbers.iter().rev().filter(|(_, size)| *size <= MAX_WRAPPING) {
        let key = layout::vault(id, *number);
        let Some(sealed) = fetch::read(store, &key).await? else { continue };
        match open_wrapping(&sealed, &parsed, trusted) {
            Ok(Some(identity)) => return Ok(Unlocked { identity, wrapping: named(*number, &sealed), covered: false }),
            Ok(None) => {}
            Err(Unopened::Forged) => worst = RepositoryError::ForgedVault { key },
            Err(Unopened::Damaged(error)) => worst = RepositoryError::Damaged { key, what: error.to_string() },
        }
    }
    // A delete marker may hide one, or something was put over it. The last one that is listed need not be the last.
    for number in (1..=numbers.last().map_or(1, |(last, _)| last + 1)).rev().take(MOST_HIDDEN) {
        for sealed in fetch::bodies(store, &layout::vault(id, number)).await? {
            if let Ok(Some(identity)) = open_wrapping(&sealed, &parsed, trusted) {
                return Ok(Unlocked { identity, wrapping: named(number, &sealed), covered: true });
            }
        }
    }
    Err(worst)
}

enum Unopened {
    Forged,
    Damaged(PipelineError),
}

/// The identity in a wrapping, when one of `identities` opens it.
fn open_wrapping(sealed: &Bytes, identities: &[VaultIdentity], trusted: &TrustedVault) -> Result<Option<VaultIdentity>, Unopened> {
    for identity in identities {
        let text = match open(identity, sealed) {
            Ok(text) => Zeroizing::new(text),
            Err(PipelineError::WrongKey) => continue,
            Err(error) => return Err(Unopened::Damaged(error)),
        };
        let parse = || std::str::from_utf8(&text).ok()?.strip_suffix('\n')?.parse::<VaultIdentity>().ok();
        return match parse() {
            Some(vault) if vault.recipient().to_string() == trusted.recipient => Ok(Some(vault)),
            _ => Err(Unopened::Forged),
        };
    }
    Ok(None)
}

/// Unlocks a vault and opens a probe that was sealed to the recipient in the trust: what a `proof` of a vault claims.
pub async fn prove(store: &dyn ObjectStore, trusts: &TrustChain, id: &VaultId, identities: &[Secret]) -> Result<Unlocked, RepositoryError> {
    let unlocked = unlock(store, trusts, id, identities).await?;
    let trusted = trusts.vault(id).ok_or_else(|| RepositoryError::UnknownVault { vault: id.clone() })?;
    let failed = |source| RepositoryError::Seal { what: format!("a probe to vault {id}"), source: Box::new(source) };
    let recipient: VaultRecipient = trusted.recipient.parse().map_err(failed)?;
    let probe = format!("hourglass probe of vault {id}");
    let sealed = seal(&[&recipient], probe.as_bytes()).map_err(failed)?;
    match open(&unlocked.identity, &sealed).map_err(failed)? == probe.as_bytes() {
        true => Ok(unlocked),
        false => Err(RepositoryError::ForgedVault { key: layout::vault(id, unlocked.wrapping.number) }),
    }
}

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;
