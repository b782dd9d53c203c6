//! Sends the worker of one part, and gives what came of it.

use std::sync::Arc;

use futures::future::try_join_all;

use super::{Ended as PartEnded, OrchestratorError, PartEnd, PartId, Place, Work};
use crate::{
    config::{Portable, VolumesConfig},
    model::{Context, outcome::advise},
    pipeline::sha256,
    sources::{
        SourceError,
        volumes::{Ended, Errand, INDEX, Workers},
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

fn failed(error: OrchestratorError) -> NoEnd {
    NoEnd::Failed(advise(&error, error.hint()))
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
    pub async fn done(&self, part: &PartId, work: Work, mounted: Mounted<'_>) -> Result<PartEnd, NoEnd> {
        self.all_done(part, vec![work], mounted).await.map(|mut ends| ends.swap_remove(0))
    }

    /// Has the shares of a component done, unless they are already: parts that follow each other. Their ends, in order, as many as `works`.
    ///
    /// # Errors
    /// Why one has no result.
    pub async fn all_done(&self, first: &PartId, works: Vec<Work>, mounted: Mounted<'_>) -> Result<Vec<PartEnd>, NoEnd> {
        let parts: Vec<PartId> = (first.number..).zip(&works).map(|(number, _)| PartId { number, ..first.clone() }).collect();
        let run = first.run.to_string();
        let errand = self.errand(first, &works, mounted, &run);
        for (part, work) in parts.iter().zip(works) {
            let wanted = work.share();
            if self.place.set_plan(part, work).await.map_err(failed)?.share() != wanted {
                return Err(NoEnd::Failed("this run has planned other shares of it; begin a new run".to_owned()));
            }
        }
        let before = self.ends(&parts).await?;
        if let Some(ends) = before.iter().map(|ended| ended.good().cloned()).collect() {
            // Whoever sent its worker may have died before it could remove it, and the Secret with it.
            self.clear(&errand).await;
            return Ok(ends);
        }
        let ended = self.workers.run(&errand, &self.ctx).await;
        // Whatever the cluster says of it: the results are what counts.
        let after = self.ends(&parts).await?;
        self.clear(&errand).await;
        let ends =
            before.iter().zip(&after).map(|(before, after)| before.good().or(after.last.as_ref().filter(|_| after.times > before.times)).cloned());
        let ends: Vec<Option<PartEnd>> = ends.collect();
        let lacking: Vec<String> = (1..).zip(&ends).filter(|(_, end)| end.is_none()).map(|(share, _): (u32, _)| share.to_string()).collect();
        let which = if parts.len() == 1 { String::new() } else { format!("share {} of {}: ", lacking.join(", "), parts.len()) };
        match (ends.into_iter().collect(), ended) {
            (Some(ends), _) => Ok(ends),
            (None, Err(SourceError::Cancelled { .. })) => Err(NoEnd::Cancelled),
            (None, Err(error)) => Err(NoEnd::Failed(which + &advise(&error, error.hint()))),
            (None, Ok(ended)) if matches!(ended, Ended::Badly { code: Some(6), .. }) => Err(NoEnd::Damaged(which + &ended.explain())),
            (None, Ok(ended)) => Err(NoEnd::Failed(which + &ended.explain())),
        }
    }

    async fn ends(&self, parts: &[PartId]) -> Result<Vec<PartEnded>, NoEnd> {
        try_join_all(parts.iter().map(|part| self.place.ended(part))).await.map_err(failed)
    }

    /// Removes a Job that nobody needs any more; the cluster does it too, later.
    async fn clear(&self, errand: &Errand<'_>) {
        if let Err(error) = self.workers.remove(errand).await {
            tracing::warn!(job = errand.name, error = advise(&error, error.hint()), "the Job of a worker could not be removed");
        }
    }

    fn errand<'a>(&'a self, part: &PartId, works: &[Work], mounted: Mounted<'a>, run: &'a str) -> Errand<'a> {
        let digest = sha256(format!("{run} {} {}", part.member, part.number).as_bytes()).to_string();
        let mut arguments = vec!["worker".to_owned()];
        arguments.extend(match works.first() {
            Some(Work::Capture { lineage, .. }) => ["capture".to_owned(), "--lineage".to_owned(), lineage.to_string()].to_vec(),
            Some(Work::Restore { .. }) => vec!["restore".to_owned()],
            Some(Work::Compare { .. }) | None => vec!["compare".to_owned()],
        });
        let named = [("--run", run.to_owned()), ("--member", part.member.to_string()), ("--part", part.number.to_string())];
        arguments.extend(named.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        if works.len() > 1 {
            arguments.extend(["--share".to_owned(), INDEX.to_owned()]);
        }
        arguments.push("--quiet".to_owned());
        let Mounted { namespace, claim, read_only } = mounted;
        Errand {
            name: format!("hourglass-{}", &digest[..NAME_DIGITS]),
            run,
            namespace,
            claim,
            read_only,
            shares: works.len(),
            arguments,
            portable: &self.portable,
        }
    }
}
