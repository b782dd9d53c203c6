//! Keeps the schedule of one policy while this daemon leads: decides, enters, begins runs, and settles what became of them.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{
    DaemonError,
    decide::{Decision, Rules, decide},
    fate::{Fate, judge},
    ledger::{self, Ledger, event::Happened, event::Slot, event::Span},
    log::Log,
    order,
    report::owed,
    work::{self, Underway},
};
use crate::{
    config::{Config, PRIMARY, Policy},
    model::{Context, Lineage, PolicyName, RunId, Timestamp, outcome::advise},
    orchestrator::{process::Process, repo::Repo, runs, successor::successor},
    repository::record::{Body, Writer, append},
    storage::{self, Fence, Fenced, ObjectStore},
};

/// How long nothing is looked at: orders, the configuration, a clock that was set.
pub(super) const TICK: Duration = Duration::from_secs(2);
/// Entries that are compared with the record.
const REPORTED: usize = 200;

/// What all keepers of a daemon share.
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

/// Keeps the schedule of one policy.
#[derive(Debug)]
pub struct Keeper {
    shared: Shared,
    log: Log,
    lineage: Lineage,
    /// What `repo` was opened with.
    config: Arc<Config>,
    repo: Repo,
    control: Arc<dyn ObjectStore>,
    ledger: Ledger,
    underway: Option<(Underway, OwnedSemaphorePermit)>,
    /// Whether something happened that the record is owed.
    owes: bool,
}

impl Keeper {
    /// Takes a ledger over: whoever led before writes no more to it. `None` when this daemon only reports: the ledger belongs to another installation, or
    /// another site has promoted.
    ///
    /// # Errors
    /// The repository or the control store does not answer; another daemon leads.
    pub async fn take(shared: Shared, policy: PolicyName) -> Result<Option<Keeper>, DaemonError> {
        let log = shared.log.of(&policy);
        let config = shared.configs.borrow().clone();
        let repo = open(&config, &shared.fence).await?;
        // Since a promotion it is another generation than the configuration says.
        let Some(lineage) = repo.config.lineage(&policy) else { return Ok(None) };
        let store = storage::open(&config.control).await?;
        let control: Arc<dyn ObjectStore> = Arc::new(Fenced::new(store, Arc::clone(&shared.fence)));
        let key = ledger::key(&repo.capture_file()?, &lineage);
        let place = ledger::Place { store: Arc::clone(&control), key, lineage: lineage.clone() };
        let mut ledger = Ledger::open(place).await?;
        if ledger.strange() > 0 {
            log.say(json!({"event": "strange-entries", "count": ledger.strange(), "what": "entries of the ledger that nobody who may has written are passed over"}));
        }
        if let Some(of) = ledger.balance().identity.as_ref().filter(|of| **of != shared.identity) {
            log.say(json!({"event": "reports-only", "what": "the ledger belongs to another installation", "ledger": of, "own": shared.identity}));
            return Ok(None);
        }
        if is_left_behind(&config, &lineage, &log).await {
            return Ok(None);
        }
        let led = Happened::Led { process: Process::current(), identity: shared.identity.clone() };
        ledger.enter(led, shared.ctx.clock.now()).await?;
        Ok(Some(Keeper { shared, log, lineage, config, repo, control, ledger, underway: None, owes: true }))
    }

    /// Keeps it until it is told to stop, and its run has reached a safe point.
    ///
    /// # Errors
    /// The control store does not answer; another daemon leads.
    pub async fn keep(mut self) -> Result<(), DaemonError> {
        let mut configs = self.shared.configs.clone();
        loop {
            let draining = self.shared.ctx.cancel.is_draining();
            let config = configs.borrow_and_update().clone();
            self.reopen(&config).await;
            let policies = &self.repo.config.policies;
            let policy = policies.get(&self.lineage.policy).filter(|policy| policy.generation == self.lineage.generation).cloned();
            self.orders().await?;
            let retired = policy.is_none() && self.ledger.balance().watched.as_ref().is_none_or(|watched| watched.schedule.is_none());
            if (draining || retired) && self.ledger.balance().open.as_ref().is_none_or(|open| open.run.is_none()) {
                return Ok(());
            }
            let rules = match &policy {
                Some(policy) => Rules::new(self.lineage.clone(), policy),
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
                Decision::Begin(slot, caught_up) => match self.begin(slot, caught_up, policy.as_ref()).await? {
                    Some(rest) => rest,
                    None => return Ok(()),
                },
                Decision::Sleep(until) => {
                    until.map_or(TICK, |until| Duration::try_from(until.duration_since(self.now())).unwrap_or_default().min(TICK))
                }
            };
            if rest.is_zero() {
                continue;
            }
            if !self.report().await {
                return Ok(());
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
        self.owes |= matches!(event, Happened::Missed { .. } | Happened::Ended { .. });
        self.log.entered(self.ledger.number(), &event);
        Ok(())
    }

    /// A configuration that changed is used from the next run on; one whose repository cannot be opened is not, and is tried again.
    async fn reopen(&mut self, config: &Arc<Config>) {
        if self.underway.is_some() || Arc::ptr_eq(&self.config, config) {
            return;
        }
        match open(config, &self.shared.fence).await {
            Ok(repo) => (self.repo, self.config) = (repo, Arc::clone(config)),
            Err(error) => self.log.say(json!({"event": "problem", "what": advise(&error, error.hint())})),
        }
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

    /// Begins a run, unless as many go on already as may. `None` when this lineage is written here no more.
    async fn begin(&mut self, slot: Slot, caught_up: Option<Span>, policy: Option<&Policy>) -> Result<Option<Duration>, DaemonError> {
        let (Some(policy), Ok(permit)) = (policy, Arc::clone(&self.shared.permits).try_acquire_owned()) else { return Ok(Some(TICK)) };
        if !self.may_write().await? {
            return Ok(None);
        }
        let run = RunId::new(self.now(), runs::random());
        self.enter(Happened::Begun { slot, run: run.clone(), caught_up }).await?;
        let ctx = Context { observer: Arc::new(self.log.about(&run)), ..self.shared.ctx.clone() };
        let fence = Arc::clone(&self.shared.fence);
        self.underway = Some((Underway::begin(self.repo.clone(), self.lineage.clone(), run, fence, policy.deadline, &ctx), permit));
        Ok(Some(Duration::ZERO))
    }

    /// Looks at what others may have changed since the repository was opened, trust and promotions, and whether this lineage is still written here.
    async fn may_write(&mut self) -> Result<bool, DaemonError> {
        self.repo = open(&self.config, &self.shared.fence).await?;
        Ok(self.repo.config.lineage(&self.lineage.policy).as_ref() == Some(&self.lineage)
            && !is_left_behind(&self.config, &self.lineage, &self.log).await)
    }

    /// Waits for the run that is under way, a while; or finds out what became of one that another process began.
    async fn settle(&mut self, draining: bool) -> Result<(), DaemonError> {
        let open = self.ledger.balance().open.clone().expect("there is something to settle");
        let run = open.run.clone().expect("a run is under way");
        let fate = match &mut self.underway {
            Some((underway, _)) => {
                if draining {
                    underway.stop("the daemon stops");
                }
                let Some(fate) = underway.wait(TICK).await else { return Ok(()) };
                self.underway = None;
                fate?
            }
            None => Fate::Lost,
        };
        let fate = match fate {
            made @ (Fate::Complete(_) | Fate::Closed(..) | Fate::Incomplete(..)) => made,
            // Its journal is open, or may be: another run goes on with what it stored once that is ended.
            other => match work::settle(&self.repo, &self.control, &self.lineage, &run, &self.shared.ctx).await? {
                Fate::Lost => other,
                made => made,
            },
        };
        self.enter(judge(&open, &run, fate, self.now())).await
    }

    /// Enters in the record what failed or was missed. What cannot be entered now is entered later. False when this lineage is written here no more.
    async fn report(&mut self) -> bool {
        if self.owes && self.underway.is_none() {
            match self.pay().await {
                Ok(true) => self.owes = false,
                Ok(false) => return false,
                Err(error) => self.log.say(json!({"event": "problem", "what": advise(&error, error.hint())})),
            }
        }
        true
    }

    async fn pay(&mut self) -> Result<bool, DaemonError> {
        let keys = self.repo.capture_file()?;
        let place = ledger::Place { store: Arc::clone(&self.control), key: ledger::key(&keys, &self.lineage), lineage: self.lineage.clone() };
        let history = place.history(REPORTED).await?;
        let mut record = self.repo.record_to_write(&self.lineage).await?;
        let owed = owed(&history, &record, &self.lineage, self.now());
        if !owed.is_empty() && !self.may_write().await? {
            return Ok(false);
        }
        let clock = self.shared.ctx.clock.as_ref();
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
