//! What the record is owed: runs that the ledger knows and that made no point.

use super::ledger::{
    Entry,
    event::{End, Happened, Span},
};
use crate::{
    model::{Lineage, RunId, Timestamp},
    pipeline::sha256,
    repository::record::{Outline, Record, RunEnd, RunWithoutPoint},
};

/// Entries of the record for slots that failed or were missed, as far as it lacks them. Slots that were missed one after the other on one day (UTC) for
/// one reason are one entry, once the day is over or something else happened.
pub fn owed(history: &[Entry], record: &Record<Outline>, lineage: &Lineage, now: Timestamp) -> Vec<RunWithoutPoint> {
    let mut found: Vec<RunWithoutPoint> = Vec::new();
    let mut group: Option<(Span, String)> = None;
    for entry in history {
        match &entry.event {
            Happened::Missed { slots, why } => {
                let same = group.as_ref().is_some_and(|(span, reason)| reason == why && day(span.first) == day(slots.last));
                if !same {
                    found.extend(group.take().map(|(span, why)| missed(lineage, span, &why)));
                }
                let span = group.map_or(*slots, |(span, _)| Span { last: slots.last, count: span.count + slots.count, ..span });
                group = Some((span, why.clone()));
            }
            Happened::Ended { run: Some(run), end: End::Failed, why, .. } => {
                found.extend(group.take().map(|(span, why)| missed(lineage, span, &why)));
                let reason = why.clone().unwrap_or_else(|| "nobody knows why".to_owned());
                found.push(RunWithoutPoint { run: run.clone(), outcome: RunEnd::Failed, reason });
            }
            _ => found.extend(group.take().map(|(span, why)| missed(lineage, span, &why))),
        }
    }
    let is_over = group.as_ref().is_some_and(|(span, _)| day(span.last) != day(now));
    found.extend(group.filter(|_| is_over).map(|(span, why)| missed(lineage, span, &why)));
    found.retain(|run| !record.is_without_point(&run.run));
    found
}

fn day(at: Timestamp) -> String {
    at.strftime("%F").to_string()
}

/// No run began, so the entry has a name that follows from the first slot.
fn missed(lineage: &Lineage, slots: Span, why: &str) -> RunWithoutPoint {
    let digest = sha256(format!("missed {lineage} {}", slots.first).as_bytes()).0;
    let number = digest.iter().take(4).fold(0, |number: u32, byte| number << 8 | u32::from(*byte));
    let reason = match slots.count {
        1 => format!("slot {}: {why}", slots.first),
        count => format!("{count} slots from {} to {}: {why}", slots.first, slots.last),
    };
    RunWithoutPoint { run: RunId::new(slots.first, number), outcome: RunEnd::Missed, reason }
}
