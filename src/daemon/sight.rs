//! What the daemon sees, for all who ask: read at most every few seconds, however many ask.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex, watch};

use super::{
    DaemonError,
    facts::Reader,
    picture::{self, Picture},
    status::Status,
};
use crate::{
    config::Config,
    model::{Seconds, Timestamp},
    repository::keys::{CaptureFile, IdentityFile},
    storage::Fence,
};

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(5);
/// How old what the page shows besides may be.
const FRESH_PICTURE: Duration = Duration::from_secs(20);

/// What the daemon sees.
#[derive(Debug)]
pub struct Sight {
    configs: watch::Receiver<Arc<Config>>,
    /// This installation.
    identity: String,
    read: Mutex<(Reader, Option<(Duration, Status)>)>,
    drawn: Mutex<Option<(Duration, Arc<Picture>)>>,
    /// When the oldest notice was made that is owed, in seconds since 1970; zero when none is.
    owed: AtomicI64,
}

impl Sight {
    /// Nothing seen yet.
    pub fn new(configs: watch::Receiver<Arc<Config>>, identity: String) -> Sight {
        Sight { configs, read: Mutex::new((Reader::of(&identity), None)), identity, drawn: Mutex::default(), owed: AtomicI64::new(0) }
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.configs.borrow().clone()
    }

    /// This installation.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The cluster's file of secrets.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn keys(&self) -> Result<CaptureFile, DaemonError> {
        Ok(IdentityFile::open_capture(&self.config().capture_key_file).map_err(crate::orchestrator::repo::RepoError::from)?)
    }

    /// The status of the site, a few seconds old at most.
    ///
    /// # Errors
    /// The repository or the control store does not answer.
    pub async fn status(&self) -> Result<Status, DaemonError> {
        let mut read = self.read.lock().await;
        if let Some((at, status)) = &read.1
            && Fence::uptime() - *at < FRESH
        {
            return Ok(status.clone());
        }
        let status = read.0.read(&self.config()).await?;
        read.1 = Some((Fence::uptime(), status.clone()));
        Ok(status)
    }

    /// What the page shows, half a minute old at most.
    ///
    /// # Errors
    /// The repository or the control store does not answer.
    pub async fn picture(&self) -> Result<Arc<Picture>, DaemonError> {
        let mut drawn = self.drawn.lock().await;
        if let Some((at, picture)) = &*drawn
            && Fence::uptime() - *at < FRESH_PICTURE
        {
            return Ok(Arc::clone(picture));
        }
        let picture = Arc::new(picture::draw(&self.config(), self.status().await?).await?);
        *drawn = Some((Fence::uptime(), Arc::clone(&picture)));
        Ok(picture)
    }

    /// Since when people are owed a notice, if they are.
    pub fn owe(&self, since: Option<Timestamp>) {
        self.owed.store(since.map_or(0, Timestamp::as_second), Ordering::Relaxed);
    }

    /// How long people have waited for the oldest notice that they are owed.
    pub fn waits(&self) -> Seconds {
        match self.owed.load(Ordering::Relaxed) {
            0 => Seconds(0),
            since => Seconds::between(Timestamp::from_second(since).unwrap_or_default(), Timestamp::now()),
        }
    }
}
