//! What a backup of a policy needs, from its configuration; and whether somebody can open what it made.

use std::sync::Arc;

use super::{
    backup::BackupRequest,
    repo::{Repo, RepoError},
};
use crate::{
    backup::job::JobMember,
    config::{Need, SourceConfig},
    model::{EntryNumber, Lineage, MemberName, Problem, RunId, outcome::explain},
    repository::{
        keys, layout,
        record::{Outline, Record},
    },
    sources, storage,
};

/// What a backup of a lineage of this site needs: of all members of its policy, or of some. `run` is its name, where that was announced.
///
/// # Errors
/// The record may not be appended to, the control store cannot be opened, or there is no capture file.
pub async fn prepare(repo: &Repo, lineage: &Lineage, selected: Vec<MemberName>, run: Option<RunId>) -> Result<BackupRequest, RepoError> {
    let policy = repo.config.policies[&lineage.policy].clone();
    let member = |(name, need): (&MemberName, &Need)| {
        let config = &repo.config.sources[name];
        let objects = if let SourceConfig::Analytics(analytics) = config { analytics.objects.clone() } else { None };
        let (source, description) = (sources::open(config), sources::describe(config));
        JobMember { name: name.clone(), required: *need == Need::Required, source, description, objects }
    };
    Ok(BackupRequest {
        run,
        repository: repo.id.clone(),
        members: policy.members.iter().map(member).collect(),
        selected,
        store: Arc::clone(&repo.store),
        locks: repo.config.primary().lock.is_some(),
        control: storage::open(&repo.config.control).await?,
        record: repo.outline_to_write(lineage).await?,
        keys: repo.capture_file()?,
        lineage: lineage.clone(),
        policy,
    })
}

/// Why nobody is known to be able to open a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Something is wrong with the vault; otherwise nobody has tried it.
    pub is_damage: bool,
    /// What, and what to do.
    pub problem: Problem,
}

/// Why nobody is known to be able to open the point of this number: a success that was none.
pub async fn closed(repo: &Repo, record: &Record<Outline>, number: EntryNumber) -> Option<Closed> {
    let vault = record.state().vault(number)?;
    let Some(proven) = record.state().proven_vaults.get(vault) else {
        let what = "nobody has proved that it can be opened, so its points do not count; run `hourglass keys prove`".to_owned();
        return Some(Closed { is_damage: false, problem: Problem { subject: format!("vault {vault}"), what } });
    };
    let what = match keys::vault::fault(&*repo.store, vault, proven).await {
        Ok(None) => return None,
        Ok(Some(fault)) => format!("{}: this point may open for nobody; {MEND}", fault.wrong),
        Err(error) => format!("{}: whether this point opens is not known", explain(&error)),
    };
    let subject = format!("{} {}", repo.location, layout::vault(vault, proven.number));
    Some(Closed { is_damage: true, problem: Problem { subject, what } })
}

const MEND: &str =
    "remove what is left of it and bring it back with `hourglass copy` from another location, or go on with a new vault (`hourglass keys vault`)";
