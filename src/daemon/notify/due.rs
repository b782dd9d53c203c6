//! Who is to be told what: a pure function of what was told, what is found, and the present instant.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{
    book::{Lasting, Notice, Page, What},
    digest,
};
use crate::{
    config::{Channel, NotifyConfig},
    daemon::{
        condition::{Condition, Kind},
        status::Status,
        timetable::Timetable,
    },
    model::{Lineage, Timestamp},
};

/// How long a notice is owed.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// Notices that are owed at most.
const MOST: usize = 200;

/// The page after a look; the same when there is nothing new to say.
pub fn due(page: &Page, status: &Status, config: &NotifyConfig) -> Page {
    let now = status.now;
    let mut next = page.clone();
    let unknown = |condition: &Condition| {
        let is_blind = |found: &Condition| found.kind == Kind::RecordUnreadable && found.subject == condition.subject;
        condition.kind.is_of_record() && status.conditions.iter().any(is_blind)
    };
    let lasts = |open: &Lasting| unknown(&open.condition) || status.conditions.iter().any(|found| found.is_same(&open.condition));
    for over in page.open.iter().filter(|open| !lasts(open)) {
        next.say(What::Over, Some(over.condition.clone()), over.since, None, now, config);
    }
    next.open.retain(lasts);
    for found in &status.conditions {
        if !next.open.iter().any(|open| open.condition.is_same(found)) {
            next.say(What::Began, Some(found.clone()), now, None, now, config);
            next.open.push(Lasting { condition: found.clone(), since: now });
        }
    }
    next.give_up(config, now);
    if let Some(slot) = newest_digest(page, status, config) {
        next.say(What::Digest, None, slot, Some(digest::text(status, &next)), now, config);
        (next.digested, next.dropped) = (slot, 0);
    }
    next
}

/// The newest time of a digest since the last, if there was one. Those that nobody was there for are passed by.
fn newest_digest(page: &Page, status: &Status, config: &NotifyConfig) -> Option<Timestamp> {
    // Nothing delays a digest, so whose it is does not matter.
    let lineage = Lineage { policy: "digest".parse().ok()?, site: status.site.clone(), generation: 1 };
    let table = Timetable::plain(lineage, config.digest.clone(), config.time_zone.clone());
    let after = page.digested.max(status.now.checked_sub(LONGEST).unwrap_or(Timestamp::MIN));
    table.slots(after).take_while(|slot| *slot <= status.now).last()
}

impl Page {
    fn say(&mut self, what: What, condition: Option<Condition>, since: Timestamp, text: Option<String>, at: Timestamp, config: &NotifyConfig) {
        let wants = |channel: &Channel| condition.as_ref().map_or(channel.digest, |condition| condition.severity >= channel.least);
        let owed: BTreeSet<String> = config.channels.iter().filter(|(_, channel)| wants(channel)).map(|(name, _)| name.clone()).collect();
        if owed.is_empty() {
            return;
        }
        self.outbox.push(Notice { id: self.next, at, what, condition, since, text, owed });
        self.next += 1;
    }

    /// Nothing is owed for ever, to nobody, or without bound.
    fn give_up(&mut self, config: &NotifyConfig, now: Timestamp) {
        for notice in &mut self.outbox {
            notice.owed.retain(|channel| config.channels.contains_key(channel));
        }
        self.outbox.retain(|notice| !notice.owed.is_empty());
        let before = self.outbox.len();
        self.outbox.retain(|notice| now.duration_since(notice.at) <= LONGEST);
        self.outbox.drain(..self.outbox.len().saturating_sub(MOST));
        self.dropped += (before - self.outbox.len()) as u64;
    }

    /// A channel has taken these.
    pub fn taken(mut self, channel: &str, ids: &BTreeSet<u64>) -> Page {
        for notice in self.outbox.iter_mut().filter(|notice| ids.contains(&notice.id)) {
            notice.owed.remove(channel);
        }
        self.outbox.retain(|notice| !notice.owed.is_empty());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Severity,
        notify::{Address, Way, WebhookConfig},
    };

    fn config(least: Severity) -> NotifyConfig {
        let way = Way::Webhook(WebhookConfig {
            address: Address::Open("http://127.0.0.1/".parse().unwrap()),
            form: Default::default(),
            token_file: None,
            least_tls: Default::default(),
            ca_file: None,
            timeout: std::time::Duration::from_secs(1),
        });
        let channels = [
            ("all".to_owned(), Channel { way: way.clone(), least: Severity::Note, digest: true }),
            ("few".to_owned(), Channel { way, least, digest: false }),
        ];
        NotifyConfig { channels: channels.into(), digest: "0 7 * * *".parse().unwrap(), time_zone: jiff::tz::TimeZone::UTC }
    }

    fn page(now: Timestamp) -> Page {
        let site = "we".parse().unwrap();
        Page { format: 1, site, number: 0, written: now, open: vec![], outbox: vec![], next: 1, digested: now, dropped: 0 }
    }

    fn look(page: &Page, at: &str, kinds: &[Kind]) -> Page {
        let conditions = kinds.iter().map(|kind| Condition::new(*kind, &"p", "it is so")).collect();
        let status = Status {
            site: "we".parse().unwrap(),
            now: at.parse().unwrap(),
            leader: None,
            policies: vec![],
            conditions,
            tasks: vec![],
            coverage: None,
            ready: None,
            reads: vec![],
            recoveries: vec![],
        };
        due(page, &status, &config(Severity::Critical))
    }

    fn told(page: &Page) -> Vec<(u64, What, Option<Kind>, usize)> {
        page.outbox
            .iter()
            .map(|notice| (notice.id, notice.what, notice.condition.as_ref().map(|condition| condition.kind), notice.owed.len()))
            .collect()
    }

    #[test]
    fn a_condition_is_told_once_when_it_begins_and_once_when_it_is_over() {
        let first = look(&page("2026-11-28T12:00:00Z".parse().unwrap()), "2026-11-28T12:00:00Z", &[Kind::SlotFailed, Kind::Paused]);
        assert_eq!(told(&first), [(1, What::Began, Some(Kind::SlotFailed), 2), (2, What::Began, Some(Kind::Paused), 1)]);
        assert_eq!(look(&first, "2026-11-28T12:00:05Z", &[Kind::SlotFailed, Kind::Paused]), first);
        let sent = first.taken("all", &[1, 2].into());
        assert_eq!(told(&sent), [(1, What::Began, Some(Kind::SlotFailed), 1)]);
        let over = look(&sent, "2026-11-28T13:00:00Z", &[]);
        assert_eq!(told(&over)[1..], [(3, What::Over, Some(Kind::SlotFailed), 2), (4, What::Over, Some(Kind::Paused), 1)]);
        assert_eq!(over.outbox[1].since, "2026-11-28T12:00:00Z".parse().unwrap());
    }

    #[test]
    fn while_a_record_cannot_be_read_nothing_that_it_says_is_over() {
        let start = page("2026-11-28T12:00:00Z".parse().unwrap());
        let broken = look(&start, "2026-11-28T12:00:00Z", &[Kind::ObjectiveBroken, Kind::SlotFailed]);
        let blind = look(&broken, "2026-11-28T12:01:00Z", &[Kind::RecordUnreadable]);
        assert_eq!(told(&blind)[2..], [(3, What::Over, Some(Kind::SlotFailed), 2), (4, What::Began, Some(Kind::RecordUnreadable), 2)]);
        assert_eq!(look(&blind, "2026-11-28T12:02:00Z", &[]).open, []);
    }

    #[test]
    fn nothing_is_owed_for_ever_and_a_digest_says_what_was_given_up() {
        let first = look(&page("2026-11-28T08:00:00Z".parse().unwrap()), "2026-11-28T08:00:00Z", &[Kind::SlotFailed]);
        let next = look(&first, "2026-11-29T06:59:00Z", &[Kind::SlotFailed]);
        assert_eq!(told(&next), told(&first));
        let digest = look(&next, "2026-11-29T09:00:00Z", &[Kind::SlotFailed]);
        assert_eq!(told(&digest), [(2, What::Digest, None, 1)]);
        assert!(digest.outbox[0].text.as_ref().unwrap().contains("1 notice"), "{:?}", digest.outbox[0].text);
        assert_eq!((digest.dropped, digest.digested), (0, "2026-11-29T07:00:00Z".parse().unwrap()));
        // A week without a leader owes one digest.
        assert_eq!(told(&look(&digest, "2026-12-06T12:00:00Z", &[Kind::SlotFailed])), [(3, What::Digest, None, 1)]);
    }
}
