//! The newest entries of a ledger, for whoever looks again and again: only what is new is read.

use std::time::Duration;

use super::{DaemonError, Entry, Ledger, Place, state::Balance};
use crate::storage::Fence;

/// Entries that are kept.
const KEPT: usize = 200;
/// How often newer numbers are listed. In between the next one is asked for; that does not show what lies above a number that somebody took away.
const LISTED_EVERY: Duration = Duration::from_secs(600);

/// What is known of a ledger.
#[derive(Debug, Default)]
pub struct Tail {
    entries: Vec<Entry>,
    /// The highest number that was looked at.
    number: u64,
    /// When the numbers were listed last, by [`Fence::uptime`].
    listed: Option<Duration>,
}

impl Tail {
    /// Reads what is new.
    ///
    /// # Errors
    /// The store's.
    pub async fn look(&mut self, place: &Place) -> Result<(), DaemonError> {
        let now = Fence::uptime();
        if self.listed.is_none_or(|at| now.saturating_sub(at) >= LISTED_EVERY) {
            if self.number > 0 && place.entry(self.number).await?.is_none() {
                // Another control store has taken the place of the one that was known.
                *self = Tail::default();
            }
            let newer = place.numbers_after(self.number).await?;
            for number in newer.iter().skip(newer.len().saturating_sub(KEPT)) {
                self.entries.extend(place.entry(*number).await?.and_then(Result::ok));
                self.number = *number;
            }
            self.listed = Some(now);
        }
        while let Some(entry) = place.entry(self.number + 1).await? {
            self.entries.extend(entry.ok());
            self.number += 1;
        }
        self.entries.drain(..self.entries.len().saturating_sub(KEPT));
        Ok(())
    }

    /// The newest entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What all entries add up to.
    ///
    /// # Errors
    /// The store's.
    pub async fn balance(&self, place: Place) -> Result<Balance, DaemonError> {
        match self.entries.last() {
            Some(newest) => Ok(newest.state.clone()),
            // Nothing is there, or nothing among the newest that somebody wrote who may.
            None => Ok(Ledger::open(place).await?.balance().clone()),
        }
    }
}
