//! The points of a lineage, with everything that all records say about them.

use std::{fmt, str::FromStr};

use super::{
    RepositoryError,
    record::{Complete, Depth, Expiry, Keep, MemberOutcome, Point, PointRef, Record},
    retention::Candidate,
};
use crate::model::{EntryNumber, InvalidId, Lineage, MemberName, RecoveryPointId, Timestamp};

/// One point.
#[derive(Debug, Clone)]
pub struct CatalogPoint<'a, P = Point> {
    /// Its name and the digest of its entry.
    pub name: PointRef,
    /// Its manifest, or what is known of it.
    pub point: &'a P,
    /// Nobody has opened its vault yet, so it is never green.
    pub unproven: bool,
    /// A record, of any lineage, holds it.
    pub held: bool,
    /// A record, of any lineage, calls it suspect.
    pub suspect: bool,
    /// The deepest proof with a private key that it passed, in any record.
    pub verified: Option<Depth>,
    /// The decision that gave it up.
    pub expired: Option<&'a Expiry>,
    /// Its objects were deleted.
    pub pruned: bool,
}

impl<'a, P: Complete> CatalogPoint<'a, P> {
    /// The point `number` of `record`; holds, marks and proofs of all `others` count too.
    pub fn of<K: Keep<Point = P>>(record: &'a Record<K>, others: &[&Record<K>], number: EntryNumber) -> Option<CatalogPoint<'a, P>> {
        let (name, point) = record.point(number)?;
        let state = record.state();
        let states = || others.iter().map(|other| other.state()).chain([state]);
        let (_, epoch) = state.points.get(&number)?;
        Some(CatalogPoint {
            unproven: state.vault(number).is_none_or(|vault| !state.proven_vaults.contains_key(vault)),
            held: states().any(|state| state.holds.contains_key(&name)),
            suspect: states().any(|state| state.suspects.contains_key(&name)),
            verified: states().filter_map(|state| state.verified.get(&name)).max().copied(),
            expired: state.expired.get(&number),
            pruned: state.epochs.get(epoch).is_some_and(|epoch| epoch.pruned.is_some()),
            name,
            point,
        })
    }

    /// All points of `record`, newest first, each made when it is asked for.
    pub fn newest_first<K: Keep<Point = P>>(record: &'a Record<K>, others: &[&Record<K>]) -> impl Iterator<Item = CatalogPoint<'a, P>> {
        record.state().points.keys().rev().filter_map(|number| CatalogPoint::of(record, others, *number))
    }

    /// Whether it may be chosen by itself: complete, proven, not suspect, not given up.
    pub fn is_good(&self) -> bool {
        self.point.is_complete() && self.is_sound()
    }

    /// Proven, not suspect, not given up.
    fn is_sound(&self) -> bool {
        !self.unproven && !self.suspect && self.expired.is_none() && !self.pruned
    }
}

impl CatalogPoint<'_> {
    /// As [`CatalogPoint::is_good`], but required members of these names may be missing or incomplete.
    pub fn is_good_without(&self, accepted: &[MemberName]) -> bool {
        let members = || self.point.members.iter().filter(|member| member.required && member.outcome != MemberOutcome::Succeeded);
        // Without such a member it is incomplete for another reason: its members are too far apart in time.
        let complete = self.point.complete || (members().next().is_some() && members().all(|member| accepted.contains(&member.name)));
        complete && self.is_sound()
    }

    /// What retention looks at.
    pub fn candidate(&self) -> Candidate {
        Candidate {
            number: self.name.id.number,
            ended: self.point.ended,
            complete: self.point.complete,
            proven: !self.unproven,
            suspect: self.suspect,
            verified: self.verified.is_some(),
            held: self.held,
        }
    }
}

/// Which point a person wants. Text forms: `latest`, `42`, `production@we/1:42`, `before 2026-11-21T12:00:00Z`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The newest good one.
    Latest,
    /// This one, good or not.
    Number(EntryNumber),
    /// This one, good or not.
    Id(RecoveryPointId),
    /// The newest good one that ended at this instant or earlier.
    Before(Timestamp),
}

impl FromStr for Selector {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parsed = match text.strip_prefix("before ") {
            Some(time) => time.parse().ok().map(Selector::Before),
            None if text == "latest" => Some(Selector::Latest),
            None => match text.parse::<u64>() {
                Ok(number) => Some(number).filter(|number| *number > 0).map(|number| Selector::Number(EntryNumber(number))),
                Err(_) => text.parse().ok().map(Selector::Id),
            },
        };
        parsed.ok_or(InvalidId { kind: "selection of a point", text: text.to_owned(), rule: "use latest, a number, policy@site/1:42, or a time" })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Latest => f.write_str("latest"),
            Selector::Number(number) => write!(f, "{}", number.0),
            Selector::Id(id) => write!(f, "{id}"),
            Selector::Before(time) => write!(f, "before {time}"),
        }
    }
}

/// The points of one lineage, oldest first.
#[derive(Debug, Clone)]
pub struct Catalog<'a> {
    lineage: &'a Lineage,
    points: Vec<CatalogPoint<'a>>,
}

impl<'a> Catalog<'a> {
    /// The points of `record`; holds, marks and proofs of all `others` count too.
    pub fn new(record: &'a Record, others: &[&Record]) -> Catalog<'a> {
        let points = record.state().points.keys().filter_map(|number| CatalogPoint::of(record, others, *number)).collect();
        Catalog { lineage: record.lineage(), points }
    }

    /// All points, oldest first.
    pub fn points(&self) -> &[CatalogPoint<'a>] {
        &self.points
    }

    /// The newest good point.
    pub fn latest(&self) -> Option<&CatalogPoint<'a>> {
        self.points.iter().rev().find(|point| point.is_good())
    }

    /// What retention decides about: every point that is not given up.
    pub fn candidates(&self) -> Vec<Candidate> {
        self.points.iter().filter(|point| point.expired.is_none() && !point.pruned).map(CatalogPoint::candidate).collect()
    }

    /// The point that a selector means. Errors: `NoPoint`, `Pruned`.
    pub fn resolve(&self, selector: &Selector) -> Result<&CatalogPoint<'a>, RepositoryError> {
        let by_number = |number: &EntryNumber| self.points.iter().find(|point| point.name.id.number == *number);
        let (found, why) = match selector {
            Selector::Latest => (self.latest(), "none is complete, proven, unsuspected and unexpired"),
            Selector::Number(number) => (by_number(number), "no valid entry of this number is a point"),
            Selector::Id(id) if id.lineage != *self.lineage => (None, "it is of another lineage"),
            Selector::Id(id) => (by_number(&id.number), "no valid entry of this number is a point"),
            Selector::Before(time) => {
                let found = self.points.iter().rev().find(|point| point.is_good() && point.point.ended <= *time);
                (found, "none that ended by then is complete, proven, unsuspected and unexpired")
            }
        };
        match found {
            None => Err(RepositoryError::NoPoint { lineage: self.lineage.clone(), selector: selector.to_string(), why }),
            Some(point) if point.pruned => Err(RepositoryError::Pruned { point: point.name.id.clone() }),
            Some(point) => Ok(point),
        }
    }
}
