//! An opened repository, as commands use it: named on the command line, and with an operator's keys.

use super::{CliError, ExitCode, Globals};
pub use crate::orchestrator::repo::Repo;
use crate::{
    config::Config,
    model::{Clock, Lineage, SystemClock},
    repository::{
        RepositoryError,
        keys::{IdentityFile, OperatorFile, PublicKey},
        record::{Appended, Body, Heads, Record, Writer, append},
        trust::Role,
    },
};

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
        Ok(Repo::connect(config, location).await?)
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
