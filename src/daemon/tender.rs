//! Tends one task while this daemon leads: what a keeper does for a policy, with a process instead of a run, and without a record.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::{
    DaemonError,
    book::{Book, Next, Shared, TICK},
    errand::Errand,
    fate::Fate,
    ledger::event::{Slot, Span},
};
use crate::{
    config::{Config, PRIMARY, Task},
    model::PolicyName,
    orchestrator::repo::Repo,
};

/// Tends one task.
#[derive(Debug)]
pub struct Tender {
    book: Book,
    name: PolicyName,
    repo: Repo,
    underway: Option<(Errand, OwnedSemaphorePermit)>,
}

impl Tender {
    /// Takes the ledger of a task over. `None` when it belongs to another installation.
    ///
    /// # Errors
    /// The repository or the control store does not answer; another daemon leads.
    pub async fn take(shared: Shared, name: PolicyName) -> Result<Option<Tender>, DaemonError> {
        let config = shared.configs.borrow().clone();
        let repo = Repo::connect(Config::clone(&config), PRIMARY).await?;
        let Some(book) = Book::open(shared, &name, config.task_ledger(&name), &repo).await? else { return Ok(None) };
        Ok(Some(Tender { book: book.take().await?, name, repo, underway: None }))
    }

    /// Tends it until it is told to stop and its process has ended.
    ///
    /// # Errors
    /// The control store does not answer; another daemon leads.
    pub async fn tend(mut self) -> Result<(), DaemonError> {
        loop {
            let config = self.book.config();
            let task = config.tasks.get(&self.name);
            let rest = match self.book.next(task.map(|task| &task.timing), &self.repo).await? {
                Next::Over => return Ok(()),
                Next::Settle => self.settle().await?,
                Next::Begin(slot, caught_up) => self.begin(&config, slot, caught_up, task).await?,
                Next::Rest(rest) => rest,
            };
            if !rest.is_zero() && !self.book.rest(rest).await {
                return Ok(());
            }
        }
    }

    async fn begin(&mut self, config: &Config, slot: Slot, caught_up: Option<Span>, task: Option<&Task>) -> Result<Duration, DaemonError> {
        let (Some(task), Some(permit)) = (task, self.book.permit()) else { return Ok(TICK) };
        self.book.begun(slot, caught_up).await?;
        match Errand::begin(config, &task.work, task.timing.deadline) {
            Ok(errand) => self.underway = Some((errand, permit)),
            Err(error) => self.book.over(Fate::Nothing(format!("its process cannot be started: {error}"))).await?,
        }
        Ok(Duration::ZERO)
    }

    /// Waits for the process a while. One that a daemon before this began has ended with that.
    async fn settle(&mut self) -> Result<Duration, DaemonError> {
        let fate = match &mut self.underway {
            Some((errand, _)) => {
                if self.book.is_draining() {
                    errand.stop("the daemon stops");
                }
                let Some(fate) = errand.wait(TICK).await else { return Ok(Duration::ZERO) };
                self.underway = None;
                fate
            }
            None => Fate::Lost,
        };
        self.book.over(fate).await?;
        Ok(Duration::ZERO)
    }
}
