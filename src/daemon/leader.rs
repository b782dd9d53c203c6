//! The daemon as a whole: stands for the lease, keeps all schedules while it has it, follows the configuration.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    sync::{Semaphore, oneshot, watch},
    task::JoinHandle,
};

use super::{
    DaemonError,
    book::Shared,
    identity,
    keeper::Keeper,
    lease::Lease,
    log::Log,
    notify::Notifier,
    serve::{self, Health, Seen},
    sight::Sight,
    tender::Tender,
};
use crate::{
    config::{self, Config, PRIMARY},
    model::{Context, PolicyName, outcome::advise},
    orchestrator::repo::Repo,
    storage::{self, Fence},
};

/// How often it is looked whether the configuration has changed.
const CONFIG_EVERY: Duration = Duration::from_secs(2);
/// The wait after a keeper failed.
const AGAIN: Duration = Duration::from_secs(5);
/// The wait of a keeper that only reports.
const FOREIGN: Duration = Duration::from_secs(15);

/// What the daemon begins with.
#[derive(Debug)]
pub struct Daemon {
    /// The configuration, whose file is followed.
    pub config: Config,
    /// Where state lies when the configuration does not say.
    pub state_dir: PathBuf,
    /// Clock and cancellation.
    pub ctx: Context,
    /// Who is told.
    pub log: Log,
}

/// Keeps the schedules of a site until it is told to stop.
///
/// # Errors
/// What it needs at its beginning is not there: the repository, the control store, the capture file. Later it goes on trying.
pub async fn run(daemon: Daemon) -> Result<(), DaemonError> {
    let Daemon { config, state_dir, ctx, log } = daemon;
    let repo = Repo::connect(config.clone(), PRIMARY).await?;
    let control = storage::open(&config.control).await?;
    let keys = repo.capture_file()?;
    let identity = identity::of(&config).await?;
    log.say(json!({"event": "daemon-started", "site": config.site, "identity": identity, "policies": config.policies.len()}));
    let permits = Arc::new(Semaphore::new(config.daemon.runs_at_once as usize));
    let settings = config.daemon.clone();
    let (tell, configs) = watch::channel(Arc::new(config));
    let following = tokio::spawn(follow(tell, state_dir, log.clone()));
    let (leads, mut terms) = watch::channel(None::<Arc<Fence>>);
    let (over, released) = oneshot::channel::<()>();
    let health = Arc::new(Health::default());
    let sight = Arc::new(Sight::new(configs.clone(), identity.clone()));
    let serving = match settings.listen {
        Some(address) => {
            let seen = Seen::new(&settings, Arc::clone(&sight), terms.clone(), Arc::clone(&health))?;
            let listener = serve::listen(address).await?;
            log.say(json!({"event": "listens", "address": listener.local_addr().map_or(address, |bound| bound)}));
            Some(tokio::spawn(serve::serve(listener, Arc::new(seen))))
        }
        None => None,
    };
    let config = configs.borrow().clone();
    let lease = Lease::new(&config, control, &keys, health).await?;
    let standing = tokio::spawn(lease.stand(leads, ctx.cancel.clone(), async { drop(released.await) }));
    loop {
        let fence = terms.borrow_and_update().clone();
        if let Some(fence) = fence {
            log.say(json!({"event": "leads", "what": "this daemon leads"}));
            let shared = Shared {
                configs: configs.clone(),
                fence,
                permits: Arc::clone(&permits),
                identity: identity.clone(),
                ctx: ctx.clone(),
                log: log.clone(),
            };
            let notifier = Notifier::new(Arc::clone(&sight), Arc::clone(&shared.fence), log.clone());
            let _telling = Aborting(tokio::spawn(notifier.tell()));
            lead(shared).await;
            log.say(json!({"event": "follows", "what": "this daemon leads no more"}));
        }
        if ctx.cancel.is_draining() {
            break;
        }
        tokio::select! {
            changed = terms.changed() => if changed.is_err() { break },
            () = ctx.cancel.draining() => break,
        }
    }
    following.abort();
    drop(over);
    // The next one need not wait.
    let _ended = standing.await;
    serving.iter().for_each(JoinHandle::abort);
    log.say(json!({"event": "daemon-stopped"}));
    Ok(())
}

/// Keeps all schedules until the lease is lost or the daemon is to stop and every run is at a safe point.
async fn lead(shared: Shared) {
    // Policies and tasks have names that differ.
    let mut keepers: BTreeMap<PolicyName, Aborting> = BTreeMap::new();
    let mut configs = shared.configs.clone();
    loop {
        let config = configs.borrow_and_update().clone();
        keepers.retain(|_, keeper| !keeper.0.is_finished());
        if shared.ctx.cancel.is_draining() && keepers.is_empty() {
            return;
        }
        for policy in config.policies.keys().chain(config.tasks.keys()) {
            if !shared.ctx.cancel.is_draining() && !keepers.contains_key(policy) {
                keepers.insert(policy.clone(), Aborting(tokio::spawn(keep(shared.clone(), policy.clone()))));
            }
        }
        tokio::select! {
            () = shared.fence.lost() => return,
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
            _ = configs.changed() => {}
        }
    }
}

/// A task that ends with what holds it.
#[derive(Debug)]
struct Aborting(JoinHandle<()>);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps one schedule, again and again where something fails.
async fn keep(shared: Shared, policy: PolicyName) {
    let log = shared.log.of(&policy);
    let cancel = shared.ctx.cancel.clone();
    let kept = async {
        if shared.configs.borrow().tasks.contains_key(&policy) {
            return match Tender::take(shared, policy).await? {
                Some(tender) => tender.tend().await.map(|()| Duration::ZERO),
                None => Ok(FOREIGN),
            };
        }
        match Keeper::take(shared, policy).await? {
            Some(keeper) => keeper.keep().await.map(|()| Duration::ZERO),
            None => Ok(FOREIGN),
        }
    };
    let rest = match kept.await {
        Ok(rest) => rest,
        Err(error) => {
            log.say(json!({"event": "problem", "what": advise(&error, error.hint())}));
            AGAIN
        }
    };
    tokio::select! {
        () = tokio::time::sleep(rest) => {}
        () = cancel.draining() => {}
    }
}

/// Reads the configuration again whenever its file has other bytes, and the same twice: somebody may be writing it. One that is wrong is
/// told once, and the old one stays in force.
async fn follow(tell: watch::Sender<Arc<Config>>, state_dir: PathBuf, log: Log) {
    let path = tell.borrow().path.clone();
    let mut seen = tokio::fs::read(&path).await.ok();
    let mut last = seen.clone();
    loop {
        tokio::time::sleep(CONFIG_EVERY).await;
        let now = tokio::fs::read(&path).await.ok();
        if now == seen || now != last {
            last = now;
            continue;
        }
        seen = now;
        match config::load(&path, state_dir.clone()) {
            Ok(config) if config.site != tell.borrow().site || config.control != tell.borrow().control || config.daemon != tell.borrow().daemon => {
                log.say(json!({"event": "config-refused", "what": "site, control and daemon cannot change while it runs; start it again"}));
            }
            Ok(config) => {
                log.say(json!({"event": "config-changed"}));
                tell.send_replace(Arc::new(config));
            }
            Err(error) => log.say(json!({"event": "config-refused", "what": advise(&error, error.hint())})),
        }
    }
}
