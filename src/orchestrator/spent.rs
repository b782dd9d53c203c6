//! Which runs nothing needs any more, so that systems can remove what they keep for them.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;

use crate::{
    model::{Context, Event, RunId, Timestamp},
    repository::record::Record,
    sources::{Owner, Source},
};

/// A run without a point may go on for as long. Beyond that it is over, and what it left is nobody's.
const STALE: SignedDuration = SignedDuration::from_hours(48);

/// Has every source remove what its system keeps for points of `record` that were pruned, and for runs that ended without one. What is said of it
/// is told and changes nothing: the point of this run is written.
pub async fn release(owners: Vec<(Owner, Arc<dyn Source>)>, record: &Record, ctx: &Context) {
    let pruned = Arc::new(pruned(record));
    for (owner, source) in owners {
        let (pruned, ctx) = (Arc::clone(&pruned), ctx.clone());
        let releasing = move || {
            let now = ctx.clock.now();
            for said in source.release(&owner, &|run| is_spent(run, &pruned, now), &ctx) {
                ctx.observer.event(&Event::Note { text: format!("{}: {}: {}", owner.member, said.subject, said.what) });
            }
        };
        if let Err(error) = tokio::task::spawn_blocking(releasing).await {
            tracing::warn!(%error, "what a source keeps for points that are gone was not looked for");
        }
    }
}

/// The runs that made points, and whether these are gone.
fn pruned(record: &Record) -> BTreeMap<RunId, bool> {
    let state = record.state();
    let of = |number| {
        let (_, point) = record.point(number)?;
        Some((point.run.clone(), state.epochs.get(&point.epoch).is_some_and(|epoch| epoch.pruned.is_some())))
    };
    state.points.keys().filter_map(|number| of(*number)).collect()
}

fn is_spent(run: &RunId, pruned: &BTreeMap<RunId, bool>, now: Timestamp) -> bool {
    let is_stale = || run.start().is_some_and(|start| now.duration_since(start) > STALE);
    pruned.get(run).copied().unwrap_or_else(is_stale)
}
