//! Captures a member by workers, one per component.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, stream};

use super::{
    PartEnd, PartId, ShareId, Work,
    send::{Mounted, NoEnd, Sender},
};
use crate::{
    backup::{
        BackupError,
        captured::{CapturedPart, MemberCapture},
        job::BackupJob,
    },
    config::VolumesConfig,
    model::{Context, EpochId, MemberName, Problem, Progress, StepId},
    orchestrator::execute::Run,
    sources::{Component, volumes::unfit},
};

/// Captures a member.
///
/// # Errors
/// When nothing of it could be captured, or the run is stopped.
pub async fn capture_by_workers(
    run: &Arc<Run>,
    job: &BackupJob,
    name: &MemberName,
    epoch: &EpochId,
    config: &VolumesConfig,
    step: &StepId,
    ctx: &Context,
) -> Result<MemberCapture, BackupError> {
    let opened = job.take_opened(name)?;
    let member = job.member(name).ok_or_else(|| BackupError::NoMember(name.clone()))?.clone();
    let sender = Sender::connect(config, run.place(), config.site.for_capture(), ctx).await?;
    let namespaces: BTreeSet<&str> = opened.components.iter().map(|component| claim_of(&component.name).0).collect();
    for old in &job.heir_of {
        sender.workers.remove_of(&old.to_string(), &namespaces).await?;
    }
    let progress = Progress::new(Arc::clone(&ctx.observer), step.clone(), None);
    let of = u32::try_from(config.worker.shares).unwrap_or(u32::MAX);
    let work = |component: &Component, number: u32| Work::Capture {
        lineage: job.lineage.clone(),
        epoch: epoch.clone(),
        component: component.clone(),
        exclude: config.exclude.clone(),
        adopted: job.adopted.iter().filter(|checkpoint| checkpoint.epoch == *epoch).cloned().collect(),
        share: (of > 1).then_some(ShareId { number, of }),
    };
    let parts = stream::iter((0..).zip(&opened.components)).map(|(number, component): (u32, _)| {
        let part = PartId { run: job.run.clone(), member: name.clone(), number: number * of };
        let works = (0..of).map(|share| work(component, share)).collect();
        let (sender, mut progress) = (&sender, progress.clone());
        async move {
            let (namespace, claim) = claim_of(&component.name);
            let captured = joined(sender.all_done(&part, works, Mounted { namespace, claim, read_only: true }).await?);
            if let Ok(captured) = &captured {
                progress.add(captured.component.bytes, captured.component.items);
                progress.flush();
            }
            captured
        }
    });
    // Each claim has its shares at work side by side.
    let ends: Vec<_> = parts.buffered((sender.at_once / config.worker.shares).max(1)).collect().await;
    let (source, closing) = (Arc::clone(&member.source), ctx.clone());
    let closed = tokio::task::spawn_blocking(move || source.close(&closing)).await.map_err(|_| BackupError::TornDown)??;
    let mut capture = MemberCapture::begin(name, member.source.kind(), member.description, &opened);
    let (mut whole, mut first) = (0, None);
    for (component, end) in opened.components.into_iter().zip(ends) {
        let what = match end {
            Ok(part) => {
                whole += 1;
                capture.take(part);
                continue;
            }
            Err(NoEnd::Cancelled) => return Err(BackupError::Cancelled),
            Err(NoEnd::Damaged(what) | NoEnd::Failed(what)) => what,
        };
        first.get_or_insert_with(|| format!("was not captured: {}: {what}", component.name));
        capture.missing(Problem { subject: component.name, what });
    }
    match first {
        Some(what) if whole == 0 => Err(BackupError::Source(unfit(name.as_str(), what, None))),
        _ => Ok(capture.conclude(closed)),
    }
}

/// The component that these ends are the shares of.
fn joined(ends: Vec<PartEnd>) -> Result<CapturedPart, NoEnd> {
    let captured = |end| if let PartEnd::Captured(part) = end { Some(*part) } else { None };
    let shares: Option<Vec<CapturedPart>> = ends.into_iter().map(captured).collect();
    shares.and_then(CapturedPart::join).ok_or_else(|| NoEnd::Failed("its worker did something else".to_owned()))
}

/// Namespace and name of the claim that a component is.
pub(super) fn claim_of(component: &str) -> (&str, &str) {
    component.split_once('/').unwrap_or(("", component))
}
