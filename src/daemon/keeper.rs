//! Keeps the schedule of one policy while this daemon leads: decides, enters, begins runs, and settles what became of them.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    DaemonError,
    book::{Book, Next, Shared, TICK},
    fate::Fate,
    ledger::{
        self,
        event::{Slot, Span},
    },
    log::Log,
    report::owed,
    work::{self, Underway},
};
use crate::{
    config::{Config, PRIMARY, Policy},
    model::{Context, Lineage, PolicyName, outcome::advise},
    orchestrator::{repo::Repo, successor::successor},
    repository::record::{Body, Writer, append},
    storage::{Fence, Fenced},
};

/// Entries that are compared with the record.
const REPORTED: usize = 200;

/// Keeps the schedule of one policy.
#[derive(Debug)]
pub struct Keeper {
    book: Book,
    /// What `repo` was opened with.
    config: Arc<Config>,
    repo: Repo,
    underway: Option<(Underway, OwnedSemaphorePermit)>,
}

impl Keeper {
    /// Takes a ledger over: whoever led before writes no more to it. `None` when this daemon only reports: the ledger belongs to another installation, or
    /// another site has promoted.
    ///
    /// # Errors
    /// The repository or the control store does not answer; another daemon leads.
    pub async fn take(shared: Shared, policy: PolicyName) -> Result<Option<Keeper>, DaemonError> {
        let config = shared.configs.borrow().clone();
        let repo = open(&config, &shared.fence).await?;
        // Since a promotion it is another generation than the configuration says.
        let Some(lineage) = repo.config.lineage(&policy) else { return Ok(None) };
        let Some(book) = Book::open(shared, &policy, lineage, &repo).await? else { return Ok(None) };
        if is_left_behind(&config, &book.lineage, &book.log).await {
            return Ok(None);
        }
        Ok(Some(Keeper { book: book.take().await?, config, repo, underway: None }))
    }

    /// Keeps it until it is told to stop, and its run has reached a safe point.
    ///
    /// # Errors
    /// The control store does not answer; another daemon leads.
    pub async fn keep(mut self) -> Result<(), DaemonError> {
        loop {
            let config = self.book.config();
            self.reopen(&config).await;
            let Lineage { policy, generation, .. } = &self.book.lineage;
            let policy = self.repo.config.policies.get(policy).filter(|policy| policy.generation == *generation).cloned();
            let rest = match self.book.next(policy.as_ref().map(|policy| &policy.timing), &self.repo).await? {
                Next::Over => return Ok(()),
                Next::Settle => self.settle().await?,
                Next::Begin(slot, caught_up) => match self.begin(slot, caught_up, policy.as_ref()).await? {
                    Some(rest) => rest,
                    None => return Ok(()),
                },
                Next::Rest(rest) => rest,
            };
            let goes_on = rest.is_zero() || self.report().await && self.book.rest(rest).await;
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// A configuration that changed is used from the next run on; one whose repository cannot be opened is not, and is tried again.
    async fn reopen(&mut self, config: &Arc<Config>) {
        if self.underway.is_some() || Arc::ptr_eq(&self.config, config) {
            return;
        }
        match open(config, &self.book.shared.fence).await {
            Ok(repo) => (self.repo, self.config) = (repo, Arc::clone(config)),
            Err(error) => self.book.log.say(json!({"event": "problem", "what": advise(&error, error.hint())})),
        }
    }

    /// Begins a run, unless as many go on already as may. `None` when this lineage is written here no more.
    async fn begin(&mut self, slot: Slot, caught_up: Option<Span>, policy: Option<&Policy>) -> Result<Option<Duration>, DaemonError> {
        let (Some(policy), Some(permit)) = (policy, self.book.permit()) else { return Ok(Some(TICK)) };
        if !self.may_write().await? {
            return Ok(None);
        }
        let run = self.book.begun(slot, caught_up).await?;
        let ctx = Context { observer: Arc::new(self.book.log.about(&run)), ..self.book.shared.ctx.clone() };
        let (fence, lineage) = (Arc::clone(&self.book.shared.fence), self.book.lineage.clone());
        self.underway = Some((Underway::begin(self.repo.clone(), lineage, run, fence, policy.timing.deadline, &ctx), permit));
        Ok(Some(Duration::ZERO))
    }

    /// Looks at what others may have changed since the repository was opened, trust and promotions, and whether this lineage is still written here.
    async fn may_write(&mut self) -> Result<bool, DaemonError> {
        self.repo = open(&self.config, &self.book.shared.fence).await?;
        let Book { lineage, log, .. } = &self.book;
        Ok(self.repo.config.lineage(&lineage.policy).as_ref() == Some(lineage) && !is_left_behind(&self.config, lineage, log).await)
    }

    /// Waits for the run that is under way, a while; or finds out what became of one that another process began.
    async fn settle(&mut self) -> Result<Duration, DaemonError> {
        let fate = match &mut self.underway {
            Some((underway, _)) => {
                if self.book.is_draining() {
                    underway.stop("the daemon stops");
                }
                let Some(fate) = underway.wait(TICK).await else { return Ok(Duration::ZERO) };
                self.underway = None;
                fate?
            }
            None => Fate::Lost,
        };
        let fate = match fate {
            made @ (Fate::Complete(_) | Fate::Closed(..) | Fate::Incomplete(..)) => made,
            // Its journal is open, or may be: another run goes on with what it stored once that is ended.
            other => match work::settle(&self.repo, &self.book.control, &self.book.lineage, &self.book.underway().1, &self.book.shared.ctx).await? {
                Fate::Lost => other,
                made => made,
            },
        };
        self.book.over(fate).await?;
        Ok(Duration::ZERO)
    }

    /// Enters in the record what failed or was missed. What cannot be entered now is entered later. False when this lineage is written here no more.
    async fn report(&mut self) -> bool {
        if self.book.owes && self.underway.is_none() {
            match self.pay().await {
                Ok(true) => self.book.owes = false,
                Ok(false) => return false,
                Err(error) => self.book.log.say(json!({"event": "problem", "what": advise(&error, error.hint())})),
            }
        }
        true
    }

    async fn pay(&mut self) -> Result<bool, DaemonError> {
        let keys = self.repo.capture_file()?;
        let lineage = self.book.lineage.clone();
        let place = ledger::Place::of(&self.book.control, &keys, &lineage);
        let history = place.history(REPORTED).await?;
        let mut record = self.repo.outline_to_write(&lineage).await?;
        let owed = owed(&history, &record, &lineage, self.book.now());
        if !owed.is_empty() && !self.may_write().await? {
            return Ok(false);
        }
        let clock = self.book.shared.ctx.clock.as_ref();
        for run in owed {
            let writer = Writer { store: self.repo.store.as_ref(), key: &keys.signing_key, clock, retain_until: None };
            append(&writer, &mut record, Body::Run(run)).await.map_err(crate::orchestrator::repo::RepoError::from)?;
        }
        self.repo.remember(&record)?;
        Ok(true)
    }
}

/// Whether another site writes this policy since a promotion; says so.
async fn is_left_behind(config: &Config, lineage: &Lineage, log: &Log) -> bool {
    let Some(successor) = successor(config, lineage).await else { return false };
    log.say(json!({"event": "reports-only", "what": successor.sentence(), "hint": successor.hint()}));
    true
}

/// The repository, to be written to while this daemon leads.
async fn open(config: &Config, fence: &Arc<Fence>) -> Result<Repo, DaemonError> {
    let repo = Repo::connect(config.clone(), PRIMARY).await?;
    Ok(Repo { store: Arc::new(Fenced::new(Arc::clone(&repo.store), Arc::clone(fence))), ..repo })
}
