//! Restores a member by workers, one per component, or compares it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, stream};

use super::{
    PartEnd, PartId, Work,
    capture::claim_of,
    send::{Mounted, NoEnd, Sender},
};
use crate::{
    config::VolumesConfig,
    model::{ByteCount, Context, Event, MemberName, Outcome, Problem, Progress, StepId, outcome::advise},
    orchestrator::{
        execute::Run,
        output::{Output, StepEnd},
        perform::{Wanted, cancelled},
    },
    repository::sealed::SealedComponent,
    restore::opened::OpenedPoint,
    sources::{Shape, volumes::fits_path},
};

/// A component, its position in the point, and the claim that it goes to, as `NAMESPACE/CLAIM`.
#[derive(Debug)]
struct Target<'a> {
    number: u32,
    component: &'a SealedComponent,
    claim: String,
}

/// Restores what is selected of a member into claims of the cluster that a source describes.
pub async fn restore_by_workers(
    run: &Arc<Run>,
    step: &StepId,
    wanted: &Wanted<'_>,
    rename: &BTreeMap<String, String>,
    config: &VolumesConfig,
    ctx: &Context,
) -> StepEnd {
    let (point, overwrite) = (&wanted.point.point.id, wanted.overwrite);
    let work = |component: String| Work::Restore { point: point.clone(), component, overwrite };
    match targets((wanted.point, wanted.member), &wanted.select, rename) {
        Ok(targets) => by_workers(run, step, wanted.member, targets, work, config, ctx).await,
        Err(what) => failed(step, what),
    }
}

/// Compares what the claims of a cluster hold with a member. Nothing is written.
pub async fn compare_by_workers(
    run: &Arc<Run>,
    step: &StepId,
    (point, member): (&OpenedPoint, &MemberName),
    config: &VolumesConfig,
    ctx: &Context,
) -> StepEnd {
    let work = |component: String| Work::Compare { point: point.point.id.clone(), component };
    match targets((point, member), &[], &BTreeMap::new()) {
        Ok(targets) => by_workers(run, step, member, targets, work, config, ctx).await,
        Err(what) => failed(step, what),
    }
}

fn failed(step: &StepId, what: String) -> StepEnd {
    (Outcome::Failed { problem: Problem { subject: step.to_string(), what } }, Output::Nothing)
}

async fn by_workers(
    run: &Arc<Run>,
    step: &StepId,
    member: &MemberName,
    targets: Vec<Target<'_>>,
    work: impl Fn(String) -> Work,
    config: &VolumesConfig,
    ctx: &Context,
) -> StepEnd {
    let sender = match ready(run, &targets, config, ctx).await {
        Ok(sender) => sender,
        Err(what) => return failed(step, what),
    };
    let run_id = run.snapshot().plan.run;
    let total = targets.iter().map(|target| target.component.bytes).sum();
    let progress = Progress::new(Arc::clone(&ctx.observer), step.clone(), Some(ByteCount(total)));
    let parts = stream::iter(&targets).map(|target| {
        let part = PartId { run: run_id.clone(), member: member.clone(), number: target.number };
        let (sender, work, mut progress) = (&sender, work(target.component.name.clone()), progress.clone());
        async move {
            let (namespace, claim) = claim_of(&target.claim);
            let read_only = matches!(work, Work::Compare { .. });
            let end = sender.done(&part, work, Mounted { namespace, claim, read_only }).await;
            if let Ok(PartEnd::Restored { bytes, items, .. }) = &end {
                progress.add(bytes.0, *items);
                progress.flush();
            }
            end
        }
    });
    let ends: Vec<_> = parts.buffered(sender.at_once).collect().await;
    together(step, &targets, ends, ctx)
}

/// What is selected, and where it goes.
fn targets<'a>(
    (point, member): (&'a OpenedPoint, &MemberName),
    select: &[String],
    rename: &BTreeMap<String, String>,
) -> Result<Vec<Target<'a>>, String> {
    let member = point.member(member).map_err(|error| advise(&error, error.hint()))?;
    let is_claim = |component: &SealedComponent| component.shape == Shape::Tree && component.name.split('/').count() == 2;
    if !member.components.iter().all(is_claim) {
        return Err(format!(
            "the member {} does not hold the files of claims, so they cannot go into claims; restore it to a directory",
            member.name
        ));
    }
    let chosen = |component: &SealedComponent| select.is_empty() || select.iter().any(|pattern| fits_path(pattern, &component.name));
    let numbered = (0..).zip(&member.components).filter(|(_, component)| chosen(component));
    let targets: Vec<Target<'a>> =
        numbered.map(|(number, component)| Target { number, component, claim: renamed(&component.name, rename) }).collect();
    let claims: BTreeSet<&str> = targets.iter().map(|target| target.claim.as_str()).collect();
    match (targets.is_empty(), claims.len() == targets.len()) {
        (true, _) => Err(format!("the member {} has no claim {}", member.name, select.join(", "))),
        (_, false) => Err("two claims would go into one; give each a name of its own".to_owned()),
        _ => Ok(targets),
    }
}

/// The claim that takes the place of one: renamed itself, or in a renamed namespace.
fn renamed(claim: &str, rename: &BTreeMap<String, String>) -> String {
    let (namespace, name) = claim_of(claim);
    let in_namespace = || format!("{}/{name}", rename.get(namespace).map_or(namespace, String::as_str));
    rename.get(claim).cloned().unwrap_or_else(in_namespace)
}

/// A sender, once all that is needed is there.
async fn ready(run: &Arc<Run>, targets: &[Target<'_>], config: &VolumesConfig, ctx: &Context) -> Result<Arc<Sender>, String> {
    if config.site.operator_key_file.is_none() {
        return Err("workers of a restore need an operator's key; set operator_key_file, on an operator's machine".to_owned());
    }
    let words = |error: crate::sources::SourceError| advise(&error, error.hint());
    let sender = Sender::connect(config, run.place(), config.site.for_restore(), ctx).await.map_err(words)?;
    let claims: Vec<_> = targets.iter().map(|target| claim_of(&target.claim)).collect();
    sender.workers.check_rights(claims.iter().map(|(namespace, _)| *namespace)).await.map_err(words)?;
    let missing = sender.workers.missing_claims(&claims).await.map_err(words)?;
    if missing.is_empty() {
        return Ok(sender);
    }
    let names: Vec<String> = missing.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
    Err(format!("the cluster has no claim {}; restore the claims first, from the member that holds the objects", names.join(", ")))
}

/// What all parts come to.
fn together(step: &StepId, targets: &[Target<'_>], ends: Vec<Result<PartEnd, NoEnd>>, ctx: &Context) -> StepEnd {
    let (mut missing, mut failed, mut damaged) = (Vec::new(), Vec::new(), false);
    let mut sum = (ByteCount(0), 0, ByteCount(0));
    for (target, end) in targets.iter().zip(ends) {
        let of_claim = |problem: Problem| Problem { subject: format!("{}: {}", target.claim, problem.subject), what: problem.what };
        match end {
            Ok(PartEnd::Restored { outcome, bytes, items, fetched, notes }) => {
                sum = (ByteCount(sum.0.0 + bytes.0), sum.1 + items, ByteCount(sum.2.0 + fetched.0));
                for note in notes.into_iter().map(of_claim) {
                    ctx.observer.event(&Event::Note { text: format!("{}: {}", note.subject, note.what) });
                }
                if let Outcome::Incomplete { missing: parts } = outcome {
                    missing.extend(parts.into_iter().map(of_claim));
                }
            }
            Ok(PartEnd::Captured(_)) => failed.push(format!("{}: its worker did something else", target.claim)),
            Err(NoEnd::Cancelled) => return cancelled(),
            Err(NoEnd::Damaged(what)) => {
                damaged = true;
                failed.push(format!("{}: {what}", target.claim));
            }
            Err(NoEnd::Failed(what)) => failed.push(format!("{}: {what}", target.claim)),
        }
    }
    let (bytes, items, fetched) = sum;
    let outcome = match (failed.is_empty(), missing.is_empty()) {
        (false, _) => Outcome::Failed { problem: Problem { subject: step.to_string(), what: failed.join("; ") } },
        (true, false) => Outcome::Incomplete { missing },
        (true, true) => Outcome::Succeeded,
    };
    match damaged {
        true => (outcome, Output::Damaged),
        false if failed.is_empty() => (outcome, Output::Restored { bytes, items, fetched, compared: true, tally: BTreeMap::new() }),
        false => (outcome, Output::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_follows_its_namespace_unless_it_has_a_new_name_itself() {
        let rename = BTreeMap::from([("a", "b"), ("a/data-0", "c/other")].map(|(old, new)| (old.to_owned(), new.to_owned())));
        assert_eq!(["a/data-0", "a/data-1", "x/data-0"].map(|claim| renamed(claim, &rename)), ["c/other", "b/data-1", "x/data-0"]);
    }
}
