//! An opened repository: one location's store, and the trust under the root that the configuration pins.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{CliError, ExitCode, Globals};
use crate::{
    config::{Config, PRIMARY},
    model::{Clock, Lineage, PolicyName, RepositoryId, SystemClock},
    repository::{
        RepositoryError,
        keys::{IdentityFile, OperatorFile, PublicKey},
        record::{Appended, Body, Heads, Record, Standing, Writer, append},
        repo::RepoFile,
        trust::{Role, TrustChain},
    },
    storage::{self, ObjectStore},
};

/// What most commands begin with.
#[derive(Debug)]
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

impl Repo {
    /// Opens the repository that the configuration names at `location`.
    ///
    /// # Errors
    /// The configuration is wrong or has no such location or no `trust_root`; there is no repository; its trust is void.
    pub async fn open(globals: &Globals, location: &str) -> Result<Repo, CliError> {
        Repo::at(globals.load_config()?, location).await
    }

    /// The same with a configuration that was read.
    ///
    /// # Errors
    /// See [`Repo::open`].
    pub async fn at(config: Config, location: &str) -> Result<Repo, CliError> {
        let names: Vec<&str> = config.locations.keys().map(String::as_str).collect();
        let Some(place) = config.locations.get(location) else {
            return Err(CliError::usage(format!("there is no location {location:?}")).hint(format!("the configuration has: {}", names.join(", "))));
        };
        let root = config.trust_root.as_deref().ok_or_else(no_root)?;
        let root: PublicKey = root.parse().map_err(|error| CliError::from_error(ExitCode::Usage, "config", &error))?;
        let store = storage::open(place).await?;
        let Some(repo) = RepoFile::load(&*store).await? else {
            let missing = CliError::new(ExitCode::Failed, "not-found", format!("there is no repository at {}: it has no repo.json", place.url));
            return Err(missing.hint(if location == PRIMARY { "`hourglass init` makes one" } else { "`hourglass copy` fills a location" }));
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
    pub async fn all_lineages(&self) -> Result<BTreeSet<Lineage>, CliError> {
        let mut found: BTreeSet<Lineage> = self.lineages().into_iter().collect();
        for place in self.store.folders("").await?.iter().filter(|name| name.contains('@')) {
            let generations = self.store.folders(&format!("{place}/")).await?;
            found.extend(generations.iter().filter_map(|generation| format!("{place}/{generation}").parse().ok()));
        }
        Ok(found)
    }

    /// The lineage that `text` names: a policy of this site, or a lineage.
    ///
    /// # Errors
    /// It names neither.
    pub fn lineage(&self, text: &str) -> Result<Lineage, CliError> {
        if text.contains('@') {
            return text.parse().map_err(|error| CliError::from_error(ExitCode::Usage, "usage", &error));
        }
        let known: Vec<String> = self.config.policies.keys().map(ToString::to_string).collect();
        let found = text.parse().ok().and_then(|policy| self.config.lineage(&policy));
        found.ok_or_else(|| CliError::usage(format!("there is no policy {text:?}")).hint(format!("the configuration has: {}", known.join(", "))))
    }

    /// Reads a record, and compares it with what was seen here before.
    ///
    /// # Errors
    /// The store's; the record is forked or was rewritten.
    pub async fn record(&self, lineage: &Lineage) -> Result<(Record, Standing), CliError> {
        let record = Record::load(&*self.store, &self.trusts, lineage).await?;
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
    pub fn remember(&self, record: &Record) -> Result<(), CliError> {
        let place = self.config.locations[&self.location].url.to_string();
        Ok(Heads::open(&self.config.state_dir.join("heads.json"))?.remember(&place, record)?)
    }

    /// A record that may be appended to.
    ///
    /// # Errors
    /// Those of [`Repo::record`], and this location shows less than before.
    pub async fn record_to_write(&self, lineage: &Lineage) -> Result<Record, CliError> {
        match self.record(lineage).await? {
            (record, Standing::Current) => Ok(record),
            (record, Standing::Behind { remembered }) => {
                let found = record.head().map_or(crate::model::EntryNumber(0), |head| head.number);
                Err(RepositoryError::Behind { lineage: lineage.clone(), found, remembered }.into())
            }
        }
    }

    /// The operator file of this machine.
    ///
    /// # Errors
    /// The configuration names none, it cannot be read, or it belongs to another repository.
    pub fn operator(&self) -> Result<OperatorFile, CliError> {
        self.decider(Role::Operator)
    }

    /// The same, or the file of a delegate of this role.
    ///
    /// # Errors
    /// See [`Repo::operator`].
    pub fn decider(&self, role: Role) -> Result<OperatorFile, CliError> {
        let path = self.config.operator_key_file.as_ref().ok_or_else(|| {
            CliError::new(ExitCode::Usage, "config", "this needs an operator key, and the configuration names none")
                .hint("set operator_key_file, on an operator's machine")
        })?;
        let file = IdentityFile::open_decider(path, role)?;
        match file.repository == self.id {
            true => Ok(file),
            false => Err(CliError::new(ExitCode::Usage, "config", format!("{} belongs to another repository", path.display()))),
        }
    }

    /// Appends an operator's entry and remembers the new head.
    ///
    /// # Errors
    /// The entry would be void, or the store's.
    pub async fn decide(&self, record: &mut Record, operator: &OperatorFile, body: Body) -> Result<Appended, CliError> {
        Ok(self.decide_as(record, operator, body).await?)
    }

    /// The same for those who look at why not.
    ///
    /// # Errors
    /// See [`Repo::decide`].
    pub async fn decide_as(&self, record: &mut Record, operator: &OperatorFile, body: Body) -> Result<Appended, RepositoryError> {
        let clock: &dyn Clock = &SystemClock;
        let writer = Writer { store: &*self.store, key: &operator.signing_key, clock, retain_until: None };
        let appended = append(&writer, record, body).await?;
        let place = self.config.locations[&self.location].url.to_string();
        Heads::open(&self.config.state_dir.join("heads.json"))?.remember(&place, record)?;
        Ok(appended)
    }

    /// What the trust calls a signer.
    pub fn name_of(&self, key: &PublicKey) -> String {
        self.trusts.signer(key).map_or_else(|| key.to_string(), |signer| signer.name.clone())
    }
}

fn no_root() -> CliError {
    CliError::new(ExitCode::Usage, "config", "the configuration has no trust_root, so nothing in the repository can be believed")
        .hint("`hourglass init` makes a repository and says which line to add")
}
