//! Whether somebody else writes a policy since a promotion: its writer of before is told by nobody, so it looks.

use std::time::Duration;

use super::repo::{Repo, RepoError};
use crate::{
    config::Config,
    model::Lineage,
    repository::record::{Promotion, Record},
};

/// Longest wait for a location that may be gone.
const LOCATION_PATIENCE: Duration = Duration::from_secs(10);

/// The lineage that continues another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    /// It.
    pub lineage: Lineage,
    /// Its first entry.
    pub promotion: Promotion,
}

impl Successor {
    /// What it means for the one that it continues.
    pub fn sentence(&self) -> String {
        let Promotion { parent, by, reason, .. } = &self.promotion;
        format!("{} was left behind: {} continues it after entry {}, by {by}: {reason}", parent.lineage, self.lineage, parent.number.0)
    }

    /// How the one that was left behind is written again.
    pub fn hint(&self) -> String {
        let (policy, lineage) = (&self.lineage.policy, &self.lineage);
        format!("to write here again: `hourglass promote {policy} --from {lineage} --who NAME --reason TEXT`")
    }
}

/// The lineage that continues `of`, in any location that answers.
pub async fn successor(config: &Config, of: &Lineage) -> Option<Successor> {
    let look = |name: String| async move {
        let found = tokio::time::timeout(LOCATION_PATIENCE, successor_at(config.clone(), &name, of)).await;
        // A location that does not answer tells nothing; the primary one's errors are those of whatever is done next.
        found.ok().and_then(Result::ok).flatten()
    };
    futures::future::join_all(config.locations.keys().cloned().map(look)).await.into_iter().flatten().next()
}

async fn successor_at(config: Config, location: &str, of: &Lineage) -> Result<Option<Successor>, RepoError> {
    let repo = Repo::connect(config, location).await?;
    for lineage in repo.all_lineages().await?.into_iter().filter(|lineage| lineage.policy == of.policy && lineage != of) {
        let opening = Record::opening(&*repo.store, &repo.trusts, &lineage).await?;
        if let Some(promotion) = opening.filter(|promotion| promotion.parent.lineage == *of) {
            return Ok(Some(Successor { lineage, promotion }));
        }
    }
    Ok(None)
}
