//! Looks, stores what is to be told, and tells it, while this daemon leads.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::json;

use super::{
    book::{Book, Notice, Page},
    due::due,
    letter::Letter,
    send,
};
use crate::{
    config::Config,
    daemon::{DaemonError, log::Log, sight::Sight},
    model::{Timestamp, outcome::advise},
    storage::{self, Fence, Fenced, ObjectStore},
};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(10);
/// The wait after a channel did not take a message for the first time; each next one is twice as long.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(10);
/// No wait is longer.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(15);
/// Notices in one message.
const MOST_AT_ONCE: usize = 50;

/// Tells people what is wrong, while this daemon leads.
#[derive(Debug)]
pub struct Notifier {
    sight: Arc<Sight>,
    fence: Arc<Fence>,
    log: Log,
    /// Channels that failed: how often, and when they are tried again.
    resting: BTreeMap<String, (u32, Timestamp)>,
}

impl Notifier {
    /// One for a term of this daemon.
    pub fn new(sight: Arc<Sight>, fence: Arc<Fence>, log: Log) -> Notifier {
        Notifier { sight, fence, log, resting: BTreeMap::new() }
    }

    /// Tells people until it is dropped. What fails is tried again.
    pub async fn tell(mut self) {
        loop {
            if let Err(error) = self.term().await {
                self.log.say(json!({"event": "problem", "what": advise(&error, error.hint())}));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn term(&mut self) -> Result<(), DaemonError> {
        let config = self.sight.config();
        let store = storage::open(&config.control).await?;
        let control: Arc<dyn ObjectStore> = Arc::new(Fenced::new(store, Arc::clone(&self.fence)));
        let mut book = Book::open(control, &self.sight.keys()?, Timestamp::now()).await?;
        loop {
            self.look(&mut book).await?;
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look(&mut self, book: &mut Book) -> Result<(), DaemonError> {
        let config = self.sight.config();
        let status = self.sight.status().await?;
        let page = due(book.page(), &status, &config.notify);
        for notice in page.outbox.iter().filter(|notice| notice.id >= book.page().next) {
            self.log.say(json!({"event": "notice", "notice": notice}));
        }
        if page != *book.page() {
            book.turn(page, status.now).await?;
        }
        let taken = self.send(book.page(), &config).await;
        if !taken.is_empty() {
            let page = taken.iter().fold(book.page().clone(), |page, (channel, ids)| page.taken(channel, ids));
            book.turn(page, Timestamp::now()).await?;
        }
        self.sight.owe(book.page().outbox.first().map(|notice| notice.at));
        Ok(())
    }

    /// Sends to each channel all that it is owed; gives what was taken.
    async fn send(&mut self, page: &Page, config: &Config) -> Vec<(String, BTreeSet<u64>)> {
        let now = Timestamp::now();
        let owed =
            |name: &String| -> Vec<Notice> { page.outbox.iter().filter(|notice| notice.owed.contains(name)).take(MOST_AT_ONCE).cloned().collect() };
        let ready = config.notify.channels.iter().filter(|(name, _)| self.resting.get(*name).is_none_or(|(_, until)| *until <= now));
        let letters = ready.map(|(name, channel)| (name, channel, owed(name))).filter(|(.., owed)| !owed.is_empty());
        let sent = join_all(letters.map(|(name, channel, owed)| async move {
            let ids: BTreeSet<u64> = owed.iter().map(|notice| notice.id).collect();
            (name, ids, send(name, channel, &config.site, &Letter::new(&config.site, owed)).await)
        }))
        .await;
        let mut taken = Vec::new();
        for (name, ids, result) in sent {
            match result {
                Ok(()) => {
                    self.resting.remove(name);
                    self.log.say(json!({"event": "notified", "channel": name, "notices": ids}));
                    taken.push((name.clone(), ids));
                }
                Err(error) => {
                    let failed = self.resting.get(name).map_or(0, |(failed, _)| *failed);
                    let wait = FIRST_WAIT.saturating_mul(1 << failed.min(10)).min(LONGEST_WAIT);
                    self.resting.insert(name.clone(), (failed + 1, Timestamp::now() + wait));
                    self.log.say(json!({"event": "not-notified", "channel": name, "what": advise(&error, error.hint())}));
                }
            }
        }
        taken
    }
}
