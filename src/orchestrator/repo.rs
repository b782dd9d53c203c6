//! An opened repository: one location's store, and the trust under the root that the configuration pins.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use crate::{
    config::{Config, PRIMARY},
    model::{EntryNumber, InvalidId, Lineage, PolicyName, RepositoryId},
    repository::{
        RepositoryError,
        keys::{CaptureFile, IdentityFile, PublicKey},
        record::{Copies, Heads, Keep, Outline, Record, Standing},
        repo::RepoFile,
        trust::TrustChain,
    },
    storage::{self, ObjectStore, StoreError},
};

/// What most work begins with.
#[derive(Debug, Clone)]
pub struct Repo {
    /// The configuration; its policies have the generations that this location shows.
    pub config: Config,
    /// The generations that the configuration says.
    pub configured: BTreeMap<PolicyName, u32>,
    /// Name of the location.
    pub location: String,
    /// Its store.
    pub store: Arc<dyn ObjectStore>,
    /// Which repository.
    pub id: RepositoryId,
    /// Whom to believe.
    pub trusts: Arc<TrustChain>,
}

/// Why a repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// The configuration has no such location.
    #[error("there is no location {location:?}")]
    NoLocation {
        /// What was asked for.
        location: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The configuration pins no root.
    #[error("the configuration has no trust_root, so nothing in the repository can be believed")]
    NoRoot,
    /// The root is not a key.
    #[error(transparent)]
    Root(#[from] InvalidId),
    /// The location is empty.
    #[error("there is no repository at {url}: it has no repo.json")]
    Nothing {
        /// Where.
        url: String,
        /// Whether backups go there.
        is_primary: bool,
    },
    /// A key file is not of here.
    #[error("{path} belongs to another repository or site", path = path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// The repository refused.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RepoError {
    /// One thing to do or to check.
    pub fn hint(&self) -> Option<String> {
        match self {
            RepoError::NoLocation { known, .. } => Some(format!("the configuration has: {}", known.join(", "))),
            RepoError::NoRoot => Some("`hourglass init` makes a repository and says which line to add".to_owned()),
            RepoError::Root(_) => None,
            RepoError::Nothing { is_primary: true, .. } => Some("`hourglass init` makes one".to_owned()),
            RepoError::Nothing { .. } => Some("`hourglass copy` fills a location".to_owned()),
            RepoError::Foreign { .. } => Some("give the capture file that `hourglass init` made for this site".to_owned()),
            RepoError::Repository(error) => error.hint().map(str::to_owned),
            RepoError::Store(error) => error.hint().map(str::to_owned),
        }
    }
}

impl Repo {
    /// Opens the repository of a configuration at one of its locations.
    ///
    /// # Errors
    /// There is no such location, root or repository; its trust is void.
    pub async fn connect(config: Config, location: &str) -> Result<Repo, RepoError> {
        let Some(place) = config.locations.get(location) else {
            return Err(RepoError::NoLocation { location: location.to_owned(), known: config.locations.keys().cloned().collect() });
        };
        let root: PublicKey = config.trust_root.as_deref().ok_or(RepoError::NoRoot)?.parse()?;
        let store = storage::open(place).await?;
        let Some(repo) = RepoFile::load(&*store).await? else {
            return Err(RepoError::Nothing { url: place.url.to_string(), is_primary: location == PRIMARY });
        };
        let trusts = Arc::new(TrustChain::load(&*store, &repo.repository, &root).await?);
        let (mut config, mut configured) = (config, BTreeMap::new());
        for (name, policy) in &mut config.policies {
            configured.insert(name.clone(), policy.generation);
            let next = |generation| Lineage { policy: name.clone(), site: config.site.clone(), generation };
            // A record that a promotion begins is the next that this site writes.
            while let Some(generation) = policy.generation.checked_add(1)
                && Record::opening(&*store, &trusts, &next(generation)).await?.is_some()
            {
                policy.generation = generation;
            }
        }
        Ok(Repo { config, configured, location: location.to_owned(), store, id: repo.repository, trusts })
    }

    /// The lineages of this site: of each policy the one that it writes, then those that it wrote before promotions.
    pub fn lineages(&self) -> Vec<Lineage> {
        let of = |policy: &PolicyName| {
            let newest = self.config.lineage(policy)?;
            let first = self.configured.get(policy).copied().unwrap_or(newest.generation);
            Some((first..=newest.generation).rev().map(move |generation| Lineage { generation, ..newest.clone() }))
        };
        self.config.policies.keys().filter_map(of).flatten().collect()
    }

    /// The lineages that this site writes, one per policy.
    pub fn written(&self) -> Vec<Lineage> {
        self.config.policies.keys().filter_map(|policy| self.config.lineage(policy)).collect()
    }

    /// Every lineage that has a record at this location, of this site or another, and those that this site writes.
    ///
    /// # Errors
    /// The store's.
    pub async fn all_lineages(&self) -> Result<BTreeSet<Lineage>, StoreError> {
        let mut found: BTreeSet<Lineage> = self.lineages().into_iter().collect();
        for place in self.store.folders("").await?.iter().filter(|name| name.contains('@')) {
            let generations = self.store.folders(&format!("{place}/")).await?;
            found.extend(generations.iter().filter_map(|generation| format!("{place}/{generation}").parse().ok()));
        }
        Ok(found)
    }

    /// Reads a record, and compares it with what was seen here before. Entries that this machine has read before, and that the store lists
    /// unchanged, are not asked for again.
    ///
    /// # Errors
    /// The store's; the record is forked or was rewritten.
    pub async fn record(&self, lineage: &Lineage) -> Result<(Record, Standing), RepoError> {
        self.read(lineage).await
    }

    /// As [`Repo::record`], for those who need little of what its entries say.
    ///
    /// # Errors
    /// Those of [`Repo::record`].
    pub async fn outline(&self, lineage: &Lineage) -> Result<(Record<Outline>, Standing), RepoError> {
        self.read(lineage).await
    }

    async fn read<K: Keep>(&self, lineage: &Lineage) -> Result<(Record<K>, Standing), RepoError> {
        let place = self.config.locations[&self.location].url.to_string();
        let copies = Copies::of(&self.config.state_dir, &place, lineage);
        self.compared(Record::load_beside(&*self.store, &self.trusts, lineage, &copies).await?)
    }

    /// As [`Repo::record`], with every entry and signature read from the store: for those who ask whether they are there.
    ///
    /// # Errors
    /// Those of [`Repo::record`].
    pub async fn record_as_stored(&self, lineage: &Lineage) -> Result<(Record, Standing), RepoError> {
        self.compared(Record::load(&*self.store, &self.trusts, lineage).await?)
    }

    /// As [`Repo::record_as_stored`], but of what this machine has read before only those entries are read that lie in the buckets `due` (see
    /// [`crate::repository::sample`]), or that the store does not list as they were, with their signatures.
    ///
    /// # Errors
    /// Those of [`Repo::record`].
    pub async fn record_as_listed(&self, lineage: &Lineage, due: BTreeSet<u16>) -> Result<(Record, Standing), RepoError> {
        let place = self.config.locations[&self.location].url.to_string();
        let copies = Copies::of(&self.config.state_dir, &place, lineage).as_listed(&*self.store, lineage, due).await?;
        self.compared(Record::load_beside(&*self.store, &self.trusts, lineage, &copies).await?)
    }

    fn compared<K: Keep>(&self, record: Record<K>) -> Result<(Record<K>, Standing), RepoError> {
        let mut heads = Heads::open(&self.config.state_dir.join("heads.json"))?;
        let place = self.config.locations[&self.location].url.to_string();
        let standing = heads.check(&place, &record)?;
        heads.remember(&place, &record)?;
        Ok((record, standing))
    }

    /// Remembers the head of a record that this process has written to.
    ///
    /// # Errors
    /// The file of heads cannot be written.
    pub fn remember<K: Keep>(&self, record: &Record<K>) -> Result<(), RepoError> {
        let place = self.config.locations[&self.location].url.to_string();
        Ok(Heads::open(&self.config.state_dir.join("heads.json"))?.remember(&place, record)?)
    }

    /// A record that may be appended to.
    ///
    /// # Errors
    /// Those of [`Repo::record`], and this location shows less than before.
    pub async fn record_to_write(&self, lineage: &Lineage) -> Result<Record, RepoError> {
        to_write(lineage, self.record(lineage).await?)
    }

    /// As [`Repo::record_to_write`], for those who need little of what its entries say.
    ///
    /// # Errors
    /// Those of [`Repo::record_to_write`].
    pub async fn outline_to_write(&self, lineage: &Lineage) -> Result<Record<Outline>, RepoError> {
        to_write(lineage, self.outline(lineage).await?)
    }

    /// The cluster's file of secrets.
    ///
    /// # Errors
    /// It cannot be read, or belongs to another repository or site.
    pub fn capture_file(&self) -> Result<CaptureFile, RepoError> {
        let path = &self.config.capture_key_file;
        let file = IdentityFile::open_capture(path)?;
        match file.repository == self.id && file.site == self.config.site {
            true => Ok(file),
            false => Err(RepoError::Foreign { path: path.clone() }),
        }
    }
}

fn to_write<K: Keep>(lineage: &Lineage, (record, standing): (Record<K>, Standing)) -> Result<Record<K>, RepoError> {
    match standing {
        Standing::Current => Ok(record),
        Standing::Behind { remembered } => {
            let found = record.head().map_or(EntryNumber(0), |head| head.number);
            Err(RepositoryError::Behind { lineage: lineage.clone(), found, remembered }.into())
        }
    }
}
