//! Tends one task while this daemon leads: what a keeper does for a policy, with a process instead of a run, and without a record.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    DaemonError,
    decide::{Decision, Rules, decide},
    errand::Errand,
    fate::{Fate, judge},
    keeper::{Shared, TICK},
    ledger::{
        self, Ledger,
        event::{Happened, Slot, Span},
    },
    log::Log,
    order,
};
use crate::{
    config::{Config, PRIMARY, Task},
    model::{Lineage, PolicyName, RunId, Timestamp},
    orchestrator::{process::Process, repo::Repo, runs},
    storage::{self, Fenced, ObjectStore},
};

/// Tends one task.
#[derive(Debug)]
pub struct Tender {
    shared: Shared,
    log: Log,
    name: PolicyName,
    lineage: Lineage,
    repo: Repo,
    control: Arc<dyn ObjectStore>,
    ledger: Ledger,
    underway: Option<(Errand, OwnedSemaphorePermit)>,
}

impl Tender {
    /// Takes the ledger of a task over. `None` when it belongs to another installation.
    ///
    /// # Errors
    /// The repository or the control store does not answer; another daemon leads.
    pub async fn take(shared: Shared, name: PolicyName) -> Result<Option<Tender>, DaemonError> {
        let log = shared.log.of(&name);
        let config = shared.configs.borrow().clone();
        let repo = Repo::connect(Config::clone(&config), PRIMARY).await?;
        let lineage = config.task_ledger(&name);
        let control: Arc<dyn ObjectStore> = Arc::new(Fenced::new(storage::open(&config.control).await?, Arc::clone(&shared.fence)));
        let place = ledger::Place { store: Arc::clone(&control), key: ledger::key(&repo.capture_file()?, &lineage), lineage: lineage.clone() };
        let mut ledger = Ledger::open(place).await?;
        if let Some(of) = ledger.balance().identity.as_ref().filter(|of| **of != shared.identity) {
            log.say(json!({"event": "reports-only", "what": "the ledger belongs to another installation", "ledger": of, "own": shared.identity}));
            return Ok(None);
        }
        let led = Happened::Led { process: Process::current(), identity: shared.identity.clone() };
        ledger.enter(led, shared.ctx.clock.now()).await?;
        Ok(Some(Tender { shared, log, name, lineage, repo, control, ledger, underway: None }))
    }

    /// Tends it until it is told to stop and its process has ended.
    ///
    /// # Errors
    /// The control store does not answer; another daemon leads.
    pub async fn tend(mut self) -> Result<(), DaemonError> {
        let mut configs = self.shared.configs.clone();
        loop {
            let draining = self.shared.ctx.cancel.is_draining();
            let config = configs.borrow_and_update().clone();
            let task = config.tasks.get(&self.name).cloned();
            self.orders().await?;
            let balance = self.ledger.balance();
            let retired = task.is_none() && balance.watched.as_ref().is_none_or(|watched| watched.schedule.is_none());
            if (draining || retired) && balance.open.as_ref().is_none_or(|open| open.run.is_none()) {
                return Ok(());
            }
            let rules = match &task {
                Some(task) => Rules::timed(self.lineage.clone(), &task.timing),
                None => Rules { lineage: self.lineage.clone(), timetable: None, catch_up: jiff::SignedDuration::ZERO, retries: 0 },
            };
            let rest = match decide(&rules, self.ledger.balance(), self.now()) {
                Decision::Enter(event) => {
                    self.enter(event).await?;
                    Duration::ZERO
                }
                Decision::Settle => {
                    self.settle(draining).await?;
                    Duration::ZERO
                }
                Decision::Begin(slot, caught_up) => self.begin(&config, slot, caught_up, task.as_ref()).await?,
                Decision::Sleep(until) => {
                    until.map_or(TICK, |until| Duration::try_from(until.duration_since(self.now())).unwrap_or_default().min(TICK))
                }
            };
            if rest.is_zero() {
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                changed = configs.changed() => if changed.is_err() { return Ok(()) },
                () = self.shared.ctx.cancel.draining() => {}
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.shared.ctx.clock.now()
    }

    async fn enter(&mut self, event: Happened) -> Result<(), DaemonError> {
        let now = self.now();
        self.ledger.enter(event.clone(), now).await?;
        self.log.entered(self.ledger.number(), &event);
        Ok(())
    }

    async fn orders(&mut self) -> Result<(), DaemonError> {
        loop {
            let number = self.ledger.balance().orders + 1;
            match order::next(self.control.as_ref(), &self.repo.trusts, &self.lineage, number).await? {
                Some(event) => self.enter(event).await?,
                None => return Ok(()),
            }
        }
    }

    async fn begin(&mut self, config: &Config, slot: Slot, caught_up: Option<Span>, task: Option<&Task>) -> Result<Duration, DaemonError> {
        let (Some(task), Ok(permit)) = (task, Arc::clone(&self.shared.permits).try_acquire_owned()) else { return Ok(TICK) };
        let run = RunId::new(self.now(), runs::random());
        self.enter(Happened::Begun { slot, run: run.clone(), caught_up }).await?;
        match Errand::begin(config, &task.work, task.timing.deadline) {
            Ok(errand) => self.underway = Some((errand, permit)),
            Err(error) => self.over(Fate::Nothing(format!("its process cannot be started: {error}"))).await?,
        }
        Ok(Duration::ZERO)
    }

    /// Waits for the process a while. One that a daemon before this began has ended with that.
    async fn settle(&mut self, draining: bool) -> Result<(), DaemonError> {
        let fate = match &mut self.underway {
            Some((errand, _)) => {
                if draining {
                    errand.stop("the daemon stops");
                }
                let Some(fate) = errand.wait(TICK).await else { return Ok(()) };
                self.underway = None;
                fate
            }
            None => Fate::Lost,
        };
        self.over(fate).await
    }

    async fn over(&mut self, fate: Fate) -> Result<(), DaemonError> {
        let open = self.ledger.balance().open.clone().expect("a run is under way");
        let run = open.run.clone().expect("a run is under way");
        self.enter(judge(&open, &run, fate, self.now())).await
    }
}
