//! The ledger of one schedule, while this daemon leads: taken over, told of orders, and asked what is due. What a run is, is not known here.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{
    DaemonError,
    decide::{Decision, Rules, decide},
    fate::{Fate, judge},
    ledger::{
        self, Ledger,
        event::{Happened, Slot, Span},
        state::Open,
    },
    log::Log,
    order,
};
use crate::{
    config::{Config, Timing},
    model::{Context, Lineage, PolicyName, RunId, Timestamp},
    orchestrator::{process::Process, repo::Repo, runs},
    storage::{self, Fence, Fenced, ObjectStore},
};

/// How long nothing is looked at: orders, the configuration, a clock that was set.
pub(super) const TICK: Duration = Duration::from_secs(2);

/// What all schedules of a daemon share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The configuration in force.
    pub configs: watch::Receiver<Arc<Config>>,
    /// What a leader may write.
    pub fence: Arc<Fence>,
    /// Runs that may go on at once.
    pub permits: Arc<Semaphore>,
    /// This installation.
    pub identity: String,
    /// Clock and cancellation.
    pub ctx: Context,
    /// Who is told.
    pub log: Log,
}

/// The ledger of one schedule.
#[derive(Debug)]
pub struct Book {
    /// What it shares with others.
    pub shared: Shared,
    /// Who is told.
    pub log: Log,
    /// Whose ledger.
    pub lineage: Lineage,
    /// Where the ledger lies.
    pub control: Arc<dyn ObjectStore>,
    ledger: Ledger,
    /// Whether something happened that the record of a policy is owed.
    pub owes: bool,
}

/// What is to be done.
#[derive(Debug)]
pub enum Next {
    /// Wait for the run that is under way, or find out what became of it.
    Settle,
    /// Begin a run for this slot, which stands for others too.
    Begin(Slot, Option<Span>),
    /// Nothing, for so long.
    Rest(Duration),
    /// It is told to stop, or has no schedule any more, and no run is under way.
    Over,
}

impl Book {
    /// Opens a ledger. `None` when it belongs to another installation.
    ///
    /// # Errors
    /// The control store does not answer; another daemon leads.
    pub async fn open(shared: Shared, name: &PolicyName, lineage: Lineage, repo: &Repo) -> Result<Option<Book>, DaemonError> {
        let log = shared.log.of(name);
        let store = storage::open(&repo.config.control).await?;
        let control: Arc<dyn ObjectStore> = Arc::new(Fenced::new(store, Arc::clone(&shared.fence)));
        let place = ledger::Place::of(&control, &repo.capture_file()?, &lineage);
        let ledger = Ledger::open(place).await?;
        if ledger.strange() > 0 {
            log.say(json!({"event": "strange-entries", "count": ledger.strange(), "what": "entries of the ledger that nobody who may has written are passed over"}));
        }
        if let Some(of) = ledger.balance().identity.as_ref().filter(|of| **of != shared.identity) {
            log.say(json!({"event": "reports-only", "what": "the ledger belongs to another installation", "ledger": of, "own": shared.identity}));
            return Ok(None);
        }
        Ok(Some(Book { shared, log, lineage, control, ledger, owes: true }))
    }

    /// Takes it over: whoever led before writes no more to it.
    ///
    /// # Errors
    /// The control store does not answer; another daemon leads.
    pub async fn take(mut self) -> Result<Book, DaemonError> {
        let (led, now) = (Happened::Led { process: Process::current(), identity: self.shared.identity.clone() }, self.now());
        self.ledger.enter(led, now).await?;
        Ok(self)
    }

    /// The configuration in force. [`rest`](Book::rest) ends when it changes after this.
    pub fn config(&mut self) -> Arc<Config> {
        self.shared.configs.borrow_and_update().clone()
    }

    /// Whether it is told to stop.
    pub fn is_draining(&self) -> bool {
        self.shared.ctx.cancel.is_draining()
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.shared.ctx.clock.now()
    }

    /// What is to be done by a timing, or once it has none; enters orders and whatever else follows by itself. `repo` knows who may give orders.
    ///
    /// # Errors
    /// The control store does not answer; another daemon leads.
    pub async fn next(&mut self, timing: Option<&Timing>, repo: &Repo) -> Result<Next, DaemonError> {
        let rules = match timing {
            Some(timing) => Rules::new(self.lineage.clone(), timing),
            None => Rules { lineage: self.lineage.clone(), timetable: None, catch_up: SignedDuration::ZERO, retries: 0 },
        };
        loop {
            while let Some(event) = order::next(self.control.as_ref(), &repo.trusts, &self.lineage, self.ledger.balance().orders + 1).await? {
                self.enter(event).await?;
            }
            let balance = self.ledger.balance();
            let retired = timing.is_none() && balance.watched.as_ref().is_none_or(|watched| watched.schedule.is_none());
            if (self.is_draining() || retired) && balance.open.as_ref().is_none_or(|open| open.run.is_none()) {
                return Ok(Next::Over);
            }
            return Ok(match decide(&rules, balance, self.now()) {
                Decision::Enter(event) => {
                    self.enter(event).await?;
                    continue;
                }
                Decision::Settle => Next::Settle,
                Decision::Begin(slot, caught_up) => Next::Begin(slot, caught_up),
                Decision::Sleep(until) => {
                    Next::Rest(until.map_or(TICK, |until| Duration::try_from(until.duration_since(self.now())).unwrap_or_default().min(TICK)))
                }
            });
        }
    }

    /// Enters an event.
    ///
    /// # Errors
    /// The control store does not answer; another daemon leads.
    async fn enter(&mut self, event: Happened) -> Result<(), DaemonError> {
        let now = self.now();
        self.ledger.enter(event.clone(), now).await?;
        self.owes |= matches!(event, Happened::Missed { .. } | Happened::Ended { .. });
        self.log.entered(self.ledger.number(), &event);
        Ok(())
    }

    /// The right to one more run; `None` when as many go on already as may.
    pub fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.shared.permits).try_acquire_owned().ok()
    }

    /// Enters that a run begins for a slot.
    ///
    /// # Errors
    /// The control store does not answer; another daemon leads.
    pub async fn begun(&mut self, slot: Slot, caught_up: Option<Span>) -> Result<RunId, DaemonError> {
        let run = RunId::new(self.now(), runs::random());
        self.enter(Happened::Begun { slot, run: run.clone(), caught_up }).await?;
        Ok(run)
    }

    /// The run that is under way, and its slot.
    pub fn underway(&self) -> (Open, RunId) {
        let open = self.ledger.balance().open.clone().expect("a run is under way");
        let run = open.run.clone().expect("a run is under way");
        (open, run)
    }

    /// Enters what became of the run that is under way.
    ///
    /// # Errors
    /// The control store does not answer; another daemon leads.
    pub async fn over(&mut self, fate: Fate) -> Result<(), DaemonError> {
        let (open, run) = self.underway();
        self.enter(judge(&open, &run, fate, self.now())).await
    }

    /// Waits for so long, or until the configuration changes, or it is told to stop. False when nobody holds a configuration any more.
    pub async fn rest(&mut self, rest: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(rest) => true,
            changed = self.shared.configs.changed() => changed.is_ok(),
            () = self.shared.ctx.cancel.draining() => true,
        }
    }
}
