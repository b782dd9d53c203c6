//! Sends the worker of one part, and gives what came of it.

use std::sync::Arc;

use super::{PartEnd, PartId, Place, Work};
use crate::{
    config::{Portable, VolumesConfig},
    model::{Context, outcome::advise},
    pipeline::sha256,
    sources::{
        SourceError,
        volumes::{Ended, Errand, Workers},
    },
};

/// Letters of the digest in the name of a Job.
const NAME_DIGITS: usize = 20;

/// Who sends workers, and where they tell of themselves.
#[derive(Debug)]
pub struct Sender {
    /// Starts them.
    pub workers: Workers,
    /// Where they tell of themselves.
    pub place: Place,
    /// Their configuration.
    pub portable: Portable,
    /// Workers at a time.
    pub at_once: usize,
    ctx: Context,
}

/// A claim, as `NAMESPACE/CLAIM`, and whether it is only read.
#[derive(Debug, Clone, Copy)]
pub struct Mounted<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub claim: &'a str,
    /// Whether it is only read.
    pub read_only: bool,
}

/// Why there is no result of a part.
#[derive(Debug)]
pub enum NoEnd {
    /// The run is stopped.
    Cancelled,
    /// The worker found damage or forgery in the repository.
    Damaged(String),
    /// Anything else.
    Failed(String),
}

impl Sender {
    /// Connects to the cluster of a source.
    ///
    /// # Errors
    /// When it cannot be used.
    pub async fn connect(config: &VolumesConfig, place: Place, portable: Portable, ctx: &Context) -> Result<Arc<Sender>, SourceError> {
        let (own, at_once) = (config.clone(), config.worker.at_once);
        let torn = |_| SourceError::Cancelled { program: "the connection to the cluster".to_owned() };
        let workers = tokio::task::spawn_blocking(move || Workers::connect(&own)).await.map_err(torn)??;
        Ok(Arc::new(Sender { workers, place, portable, at_once, ctx: ctx.clone() }))
    }

    /// Has a part done, unless it is already.
    ///
    /// # Errors
    /// Why there is no result.
    pub async fn done(&self, part: &PartId, work: &Work, mounted: Mounted<'_>) -> Result<PartEnd, NoEnd> {
        let failed = |error: crate::orchestrator::OrchestratorError| NoEnd::Failed(advise(&error, error.hint()));
        self.place.set_plan(part, work).await.map_err(failed)?;
        let before = self.place.ended(part).await.map_err(failed)?;
        let run = part.run.to_string();
        let errand = self.errand(part, work, mounted, &run);
        if let Some(end) = before.good() {
            // Whoever sent its worker may have died before it could remove it, and the Secret with it.
            self.clear(&errand).await;
            return Ok(end.clone());
        }
        let ended = self.workers.run(&errand, &self.ctx).await;
        // Whatever the cluster says of it: the result is what counts.
        let after = self.place.ended(part).await.map_err(failed)?;
        let end = after.last.filter(|_| after.times > before.times);
        self.clear(&errand).await;
        match (end, ended) {
            (Some(end), _) => Ok(end),
            (None, Err(SourceError::Cancelled { .. })) => Err(NoEnd::Cancelled),
            (None, Err(error)) => Err(NoEnd::Failed(advise(&error, error.hint()))),
            (None, Ok(ended)) if matches!(ended, Ended::Badly { code: Some(6), .. }) => Err(NoEnd::Damaged(ended.explain())),
            (None, Ok(ended)) => Err(NoEnd::Failed(ended.explain())),
        }
    }

    /// Removes a Job that nobody needs any more; the cluster does it too, later.
    async fn clear(&self, errand: &Errand<'_>) {
        if let Err(error) = self.workers.remove(errand).await {
            tracing::warn!(job = errand.name, error = advise(&error, error.hint()), "the Job of a worker could not be removed");
        }
    }

    fn errand<'a>(&'a self, part: &PartId, work: &Work, mounted: Mounted<'a>, run: &'a str) -> Errand<'a> {
        let digest = sha256(format!("{run} {} {}", part.member, part.number).as_bytes()).to_string();
        let mut arguments = vec!["worker".to_owned()];
        arguments.extend(match work {
            Work::Capture { lineage, .. } => ["capture".to_owned(), "--lineage".to_owned(), lineage.to_string()].to_vec(),
            Work::Restore { .. } => vec!["restore".to_owned()],
            Work::Compare { .. } => vec!["compare".to_owned()],
        });
        let named = [("--run", run.to_owned()), ("--member", part.member.to_string()), ("--part", part.number.to_string())];
        arguments.extend(named.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        arguments.push("--quiet".to_owned());
        let Mounted { namespace, claim, read_only } = mounted;
        Errand { name: format!("hourglass-{}", &digest[..NAME_DIGITS]), run, namespace, claim, read_only, arguments, portable: &self.portable }
    }
}
