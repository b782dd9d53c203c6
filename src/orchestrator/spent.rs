//! Which runs nothing needs any more, so that systems can remove what they keep for them.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;

use crate::{
    model::{Context, EntryNumber, EpochId, Event, RunId, Timestamp},
    repository::record::{Outline, Record},
    sources::{Owner, Source},
};

/// A run without a point may go on for as long. Beyond that it is over, and what it left is nobody's.
const STALE: SignedDuration = SignedDuration::from_hours(48);

/// Has every source remove what its system keeps for points of `record` that were pruned, and for runs that ended without one. What is said of it
/// is told and changes nothing: the point of this run is written.
pub async fn release(owners: Vec<(Owner, Arc<dyn Source>)>, record: &Record<Outline>, ctx: &Context) {
    let runs = Arc::new(Runs::of(record));
    for (owner, source) in owners {
        let (runs, ctx) = (Arc::clone(&runs), ctx.clone());
        let releasing = move || {
            let now = ctx.clock.now();
            for said in source.release(&owner, &|run| runs.is_spent(run, now), &ctx) {
                ctx.observer.event(&Event::Note { text: format!("{}: {}: {}", owner.member, said.subject, said.what) });
            }
        };
        if let Err(error) = tokio::task::spawn_blocking(releasing).await {
            tracing::warn!(%error, "what a source keeps for points that are gone was not looked for");
        }
    }
}

/// What a record says of runs.
#[derive(Debug)]
struct Runs {
    /// Those that made points, and whether these are gone.
    pruned: BTreeMap<RunId, bool>,
    /// Whether there are void numbers: what lies there may have been a point, of which another location has a good copy.
    has_voids: bool,
}

impl Runs {
    fn of(record: &Record<Outline>) -> Runs {
        let state = record.state();
        let of = |(number, (_, epoch)): (&EntryNumber, &(_, EpochId))| {
            let (_, point) = record.point(*number)?;
            Some((point.run.clone(), state.epochs.get(epoch).is_some_and(|epoch| epoch.pruned.is_some())))
        };
        Runs { pruned: state.points.iter().filter_map(of).collect(), has_voids: !record.voids().is_empty() }
    }

    fn is_spent(&self, run: &RunId, now: Timestamp) -> bool {
        let is_stale = || run.start().is_some_and(|start| now.duration_since(start) > STALE);
        self.pruned.get(run).copied().unwrap_or_else(|| !self.has_voids && is_stale())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_spent_when_its_point_is_pruned_or_it_made_none_long_ago_and_nothing_is_void() {
        let run = |name: &str| -> RunId { name.parse().unwrap() };
        let (kept, gone, old, new) =
            (run("20261101T120000Z-00000001"), run("20261102T120000Z-00000002"), run("20261103T120000Z-00000003"), run("20261121T120000Z-00000004"));
        let mut runs = Runs { pruned: [(kept.clone(), false), (gone.clone(), true)].into(), has_voids: false };
        let spent = |runs: &Runs| [&kept, &gone, &old, &new].map(|run| runs.is_spent(run, "2026-11-22T12:00:00Z".parse().unwrap()));
        assert_eq!(spent(&runs), [false, true, true, false]);
        runs.has_voids = true;
        assert_eq!(spent(&runs), [false, true, false, false]);
    }
}
