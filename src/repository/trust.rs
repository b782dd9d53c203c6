//! Whom to believe: a chain of objects signed by a root that is pinned outside the repository. See `docs/format/trust.md`.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    RepositoryError,
    fetch::{Found, bodies, current, put_signature, read, settle},
    keys::{PublicKey, SigningKey, sign::InvalidSignature, vault::vault_id},
    layout,
    record::{TrustRef, to_line},
};
use crate::{
    model::{EntryNumber, Lineage, RepositoryId, Sha256, SiteName, Timestamp, VaultId},
    pipeline::sha256,
    storage::{ObjectStore, Put, PutOptions, list_all},
};

/// One trust object; whole, not a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// [`layout::FORMAT`].
    pub format: u32,
    /// In which repository it is valid.
    pub repository: RepositoryId,
    /// From 1, without gaps.
    pub number: u64,
    /// SHA-256 of the bytes of the one before it; zeros for the first.
    pub prev: Sha256,
    /// When it was made; never decides about validity.
    pub written: Timestamp,
    /// Who may sign what.
    pub signers: Vec<Signer>,
    /// The last one is used for new epochs.
    pub vaults: Vec<TrustedVault>,
    /// Whose entries are not believed any more, from where on.
    pub revoked: Vec<Revocation>,
}

/// What a signer may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Epochs, points and runs of one site, and shallow proofs.
    Capture,
    /// Everything.
    Operator,
    /// Expiries and prunes, with the closing of epochs that they need.
    Expire,
    /// Proofs.
    Verify,
}

impl Role {
    /// Its name, as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Capture => "capture",
            Role::Operator => "operator",
            Role::Expire => "expire",
            Role::Verify => "verify",
        }
    }
}

/// One key that may sign entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// For people.
    pub name: String,
    /// What it may write.
    pub role: Role,
    /// The site of a capture signer; no other has one.
    pub site: Option<SiteName>,
    /// The key.
    pub key: PublicKey,
}

/// One vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedVault {
    /// Follows from the recipient.
    pub id: VaultId,
    /// age X25519 recipient: `age1…`.
    pub recipient: String,
}

/// The end of a signer's credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Whose.
    pub key: PublicKey,
    /// Per lineage, the last entry that is still believed; a lineage that is missing has none.
    pub last_accepted: BTreeMap<Lineage, EntryNumber>,
    /// Why, for a person.
    pub reason: String,
}

impl Trust {
    /// Reads the bytes of a trust object of this format; its signature and its place in the chain are not looked at.
    ///
    /// # Errors
    /// [`TrustProblem::Unreadable`].
    pub fn parse(bytes: &[u8]) -> Result<Trust, TrustProblem> {
        let trust: Trust = serde_json::from_slice(bytes).map_err(|_| TrustProblem::Unreadable)?;
        if trust.format == layout::FORMAT { Ok(trust) } else { Err(TrustProblem::Unreadable) }
    }

    /// The bytes that are stored and signed.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_line(self)
    }

    /// The vault for new epochs.
    pub fn current_vault(&self) -> Option<&TrustedVault> {
        self.vaults.last()
    }

    /// The vault of this name.
    pub fn vault(&self, id: &VaultId) -> Option<&TrustedVault> {
        self.vaults.iter().find(|vault| vault.id == *id)
    }

    /// Whether it says only what can be.
    ///
    /// # Errors
    /// [`TrustProblem::Content`].
    pub fn check(&self) -> Result<(), TrustProblem> {
        if self.signers.iter().any(|signer| signer.site.is_some() != (signer.role == Role::Capture)) {
            return Err(TrustProblem::Content("a capture signer, and no other, has a site"));
        }
        if self.vaults.iter().any(|vault| vault_id(&vault.recipient) != vault.id) {
            return Err(TrustProblem::Content("a vault's id does not follow from its recipient"));
        }
        Ok(())
    }
}

/// Why a trust object is void.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustProblem {
    /// It, or all of them, are not there.
    #[error("it is missing")]
    Missing,
    /// It does not parse.
    #[error("it is not a trust object of a known format")]
    Unreadable,
    /// It names another repository.
    #[error("it belongs to another repository")]
    OtherRepository,
    /// It names another number than its key.
    #[error("it names another number than its key")]
    OtherNumber,
    /// It does not continue the chain.
    #[error("it does not name the trust object before it")]
    WrongPrev,
    /// Its signature is not there.
    #[error("its signature is missing")]
    NoSignature,
    /// Its signature is not the root's.
    #[error("its signature is not that of the pinned root: {0}")]
    BadSignature(InvalidSignature),
    /// It says something that cannot be.
    #[error("{0}")]
    Content(&'static str),
}

/// The valid trust objects of a repository, from number 1 to the one in force.
#[derive(Debug, Clone)]
pub struct TrustChain {
    root: PublicKey,
    objects: Vec<(Trust, Sha256)>,
    void: Option<(u64, TrustProblem)>,
    covered: Vec<u64>,
}

impl TrustChain {
    /// Checks the next object without taking it in.
    fn judge(&self, repository: &RepositoryId, bytes: &[u8], signature: Option<&str>) -> Result<Trust, TrustProblem> {
        let number = self.objects.len() as u64 + 1;
        let trust = Trust::parse(bytes)?;
        let signature = signature.ok_or(TrustProblem::NoSignature)?;
        self.root.verify(&layout::trust(number), bytes, signature).map_err(TrustProblem::BadSignature)?;
        if trust.repository != *repository {
            return Err(TrustProblem::OtherRepository);
        }
        if trust.number != number {
            return Err(TrustProblem::OtherNumber);
        }
        if trust.prev != self.objects.last().map_or(Sha256::ZERO, |(_, sha)| *sha) {
            return Err(TrustProblem::WrongPrev);
        }
        trust.check().map(|()| trust)
    }

    /// Reads the chain from `store` as far as it is valid. What lies above is void, and [`TrustChain::void`] tells of it.
    /// Errors when not even number 1 is valid.
    pub async fn load_valid(store: &dyn ObjectStore, repository: &RepositoryId, root: &PublicKey) -> Result<TrustChain, RepositoryError> {
        let mut chain = TrustChain::begin(root.clone());
        while chain.void.is_none() && chain.load_next(store, repository).await? {}
        match (&chain.void, chain.objects.is_empty()) {
            (None, true) => Err(RepositoryError::Trust { number: 1, problem: TrustProblem::Missing }),
            (Some((number, problem)), true) => Err(RepositoryError::Trust { number: *number, problem: problem.clone() }),
            _ => Ok(chain),
        }
    }

    /// Reads the chain from `store` and errors when anything above its end is void: somebody may be hiding a revocation.
    pub async fn load(store: &dyn ObjectStore, repository: &RepositoryId, root: &PublicKey) -> Result<TrustChain, RepositoryError> {
        let chain = TrustChain::load_valid(store, repository, root).await?;
        match chain.void {
            Some((number, problem)) => Err(RepositoryError::Trust { number, problem }),
            None => Ok(chain),
        }
    }

    /// Takes in the next object, from any version of it that is valid. False at the end of the chain.
    async fn load_next(&mut self, store: &dyn ObjectStore, repository: &RepositoryId) -> Result<bool, RepositoryError> {
        let number = self.objects.len() as u64 + 1;
        let key = layout::trust(number);
        let shown = current(store, &key, layout::trust_signature).await?;
        let judge = |bytes: &[u8], signature: Option<&str>| self.judge(repository, bytes, signature);
        match settle(store, &key, shown, layout::trust_signature, judge).await? {
            Found::Valid { value, sha256, covered } => {
                self.objects.push((value, sha256));
                self.covered.extend(covered.then_some(number));
            }
            Found::Two { .. } => return Err(RepositoryError::TrustFork { number }),
            Found::Invalid { problem, .. } => self.void = Some((number, problem)),
            Found::Missing => {
                let listed = list_all(store, layout::TRUST_PREFIX).await?;
                let is_gap = listed.iter().any(|object| layout::number(&object.key).is_some_and(|above| above > number));
                self.void = is_gap.then_some((number, TrustProblem::Missing));
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds an object: the signature first, then the object by conditional put. Number, `prev`, format and repository are filled in.
    /// Errors when it would be void, when this chain is void above its end, and when the number is taken by something else.
    pub async fn append(&mut self, store: &dyn ObjectStore, root: &SigningKey, content: TrustContent) -> Result<TrustRef, RepositoryError> {
        if let Some((number, problem)) = &self.void {
            return Err(RepositoryError::Trust { number: *number, problem: problem.clone() });
        }
        let TrustContent { repository, written, signers, vaults, revoked } = content;
        let (number, prev) = (self.objects.len() as u64 + 1, self.objects.last().map_or(Sha256::ZERO, |(_, sha)| *sha));
        let trust = Trust { format: layout::FORMAT, repository, number, prev, written, signers, vaults, revoked };
        let (key, bytes) = (layout::trust(number), Bytes::from(trust.to_bytes()));
        let (options, signature) = (PutOptions::of(&bytes), root.sign(&key, &bytes));
        let repository = self.objects.first().map_or(&trust.repository, |(first, _)| &first.repository);
        self.judge(repository, &bytes, Some(&signature)).map_err(|problem| RepositoryError::TrustRefused { problem })?;
        let is_valid = |text: &str| self.root.verify(&key, &bytes, text).is_ok();
        put_signature(store, &layout::trust_signature(options.sha256), signature, &options, is_valid).await?;
        let put = store.put_new(&key, bytes.clone(), &options).await;
        if !matches!(put, Ok(Put::Created)) && read(store, &key).await? != Some(bytes) {
            let _failed = put?;
            return Err(RepositoryError::Forged { key, what: "another trust object, or none, was put before this one".to_owned() });
        }
        self.objects.push((trust, options.sha256));
        Ok(TrustRef { number, sha256: options.sha256 })
    }

    /// The stored bytes of all valid objects with their signatures, in order: for whoever keeps them elsewhere.
    ///
    /// # Errors
    /// The store's; a signature is not there any more.
    pub async fn exported(&self, store: &dyn ObjectStore) -> Result<Vec<(Bytes, String)>, RepositoryError> {
        let mut found = Vec::new();
        for (trust, sha256) in self.objects() {
            let (bytes, key) = (Bytes::from(trust.to_bytes()), layout::trust(trust.number));
            let signature = layout::trust_signature(sha256);
            let shown = read(store, &signature).await?;
            let all = shown.into_iter().chain(bodies(store, &signature).await?);
            let good = all.map(|text| String::from_utf8_lossy(&text).into_owned()).find(|text| self.root.verify(&key, &bytes, text).is_ok());
            let missing = || RepositoryError::Missing { key: signature.clone(), store: store.describe() };
            found.push((bytes, good.ok_or_else(missing)?));
        }
        Ok(found)
    }

    /// The chain of objects and signatures that were kept elsewhere.
    ///
    /// # Errors
    /// One of them is not valid at its place.
    pub fn of_objects(repository: &RepositoryId, root: &PublicKey, objects: &[(Bytes, String)]) -> Result<TrustChain, RepositoryError> {
        let mut chain = TrustChain::begin(root.clone());
        for (number, (bytes, signature)) in (1..).zip(objects) {
            let trust = chain.judge(repository, bytes, Some(signature)).map_err(|problem| RepositoryError::Trust { number, problem })?;
            chain.objects.push((trust, sha256(bytes)));
        }
        match chain.objects.is_empty() {
            true => Err(RepositoryError::Trust { number: 1, problem: TrustProblem::Missing }),
            false => Ok(chain),
        }
    }

    /// Begins the chain of a new repository; the first [`TrustChain::append`] writes number 1.
    pub fn begin(root: PublicKey) -> TrustChain {
        TrustChain { root, objects: Vec::new(), void: None, covered: Vec::new() }
    }

    /// Objects that a plain read does not show, or not with their signatures: they were read from older versions.
    pub fn covered(&self) -> &[u64] {
        &self.covered
    }

    /// All valid objects with the digests of their bytes, in order.
    pub fn objects(&self) -> impl Iterator<Item = (&Trust, Sha256)> {
        self.objects.iter().map(|(trust, sha256)| (trust, *sha256))
    }

    /// The key that signs them.
    pub fn root(&self) -> &PublicKey {
        &self.root
    }

    /// The object in force. `None` only for a chain that was just begun.
    pub fn in_force(&self) -> Option<&Trust> {
        self.objects.last().map(|(trust, _)| trust)
    }

    /// The name of the object in force.
    pub fn head(&self) -> Option<TrustRef> {
        self.objects.last().map(|(trust, sha256)| TrustRef { number: trust.number, sha256: *sha256 })
    }

    /// The first object above the valid ones, and why it is void.
    pub fn void(&self) -> Option<&(u64, TrustProblem)> {
        self.void.as_ref()
    }

    /// The repository that this trust is about. `None` only for a chain that was just begun.
    pub fn repository(&self) -> Option<&RepositoryId> {
        self.in_force().map(|trust| &trust.repository)
    }

    /// The valid object of this name.
    pub fn get(&self, name: &TrustRef) -> Option<&Trust> {
        let index = usize::try_from(name.number.checked_sub(1)?).ok()?;
        self.objects.get(index).filter(|(_, sha256)| *sha256 == name.sha256).map(|(trust, _)| trust)
    }

    /// What the newest object that has this key says of it: of one that was revoked, too.
    pub fn signer(&self, key: &PublicKey) -> Option<&Signer> {
        self.objects.iter().rev().find_map(|(trust, _)| trust.signers.iter().find(|signer| signer.key == *key))
    }

    /// Whether the object `since` or a later one takes the credit of `key` from the entry `number` of `lineage`.
    pub fn is_revoked(&self, since: u64, key: &PublicKey, lineage: &Lineage, number: EntryNumber) -> bool {
        let later = self.objects.iter().filter(|(trust, _)| trust.number >= since);
        let mut revocations = later.flat_map(|(trust, _)| &trust.revoked).filter(|revocation| revocation.key == *key);
        revocations.any(|revocation| revocation.last_accepted.get(lineage).is_none_or(|last| number > *last))
    }

    /// The vault of this name, in the newest object that has it.
    pub fn vault(&self, id: &VaultId) -> Option<&TrustedVault> {
        self.objects.iter().rev().find_map(|(trust, _)| trust.vault(id))
    }
}

/// What a person decides about the next trust object.
#[derive(Debug, Clone)]
pub struct TrustContent {
    /// The repository.
    pub repository: RepositoryId,
    /// The present.
    pub written: Timestamp,
    /// See [`Trust::signers`].
    pub signers: Vec<Signer>,
    /// See [`Trust::vaults`].
    pub vaults: Vec<TrustedVault>,
    /// See [`Trust::revoked`]. Keep earlier ones: a revocation is remembered either way, but the object should be whole.
    pub revoked: Vec<Revocation>,
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
