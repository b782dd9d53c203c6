//! The one `match` from a step to the function that does it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    OrchestratorError,
    execute::{Run, failed},
    output::{Output, StepEnd},
    part::{capture_by_workers, compare_by_workers, restore_by_workers},
    recovery::{Tools, act::act},
};
use crate::{
    backup::{self, commit::commit, job::BackupJob},
    model::{Action, Context, Destination, MemberName, Outcome, Overwrite, Problem, Step, StepId},
    restore::{
        RestoreError,
        member::{Earlier, Report, To, compare_member, restore_member},
        opened::OpenedPoint,
    },
    sources::{Source, SystemTarget},
};

/// How often a restore journals which components are written: what a crash makes it write again.
const WRITTEN_EVERY: Duration = Duration::from_secs(2);

/// What the steps of a run work with.
#[derive(Debug)]
pub enum Equipment {
    /// For a backup.
    Backup(Box<BackupJob>),
    /// For a restore: the point, and the sources that know how to load.
    Restore(Box<OpenedPoint>, BTreeMap<MemberName, Arc<dyn Source>>),
    /// For a recovery.
    Recovery(Box<Tools>),
}

/// Does one step.
pub async fn perform(run: Arc<Run>, step: Step, equipment: Arc<Equipment>, ctx: Context) -> StepEnd {
    if let Equipment::Recovery(tools) = equipment.as_ref() {
        return act(run, step, tools, &ctx).await;
    }
    match (step.action, equipment.as_ref()) {
        (Action::OpenEpoch { new, .. }, Equipment::Backup(job)) => match backup::steps::open_epoch(job, &new, &ctx).await {
            Ok(number) => (Outcome::Succeeded, Output::Entry { number }),
            Err(error) => failed(&step.id, &error, error.hint()),
        },
        (Action::Open { members }, Equipment::Backup(job)) => match backup::open::open_members(job, &members, &ctx).await {
            Ok(outcome) => (outcome, Output::Nothing),
            Err(error) => failed(&step.id, &error, error.hint()),
        },
        (Action::ResumeWriters, Equipment::Backup(job)) => {
            if let Some(writers) = &job.writers {
                writers.resume(&ctx).await;
            }
            (Outcome::Succeeded, Output::Nothing)
        }
        (Action::Capture { member, epoch, .. }, Equipment::Backup(job)) => {
            let captured = match job.member(&member).and_then(|member| member.source.by_workers()) {
                Some(workers) => {
                    let captured = capture_by_workers(&run, job, &member, &epoch, workers, &step.id, &ctx).await;
                    backup::steps::conclude(job, &member, captured)
                }
                None => backup::steps::capture_member(job, &member, &epoch, step.id.clone(), &ctx).await,
            };
            match captured {
                Ok(end) => (end.outcome, Output::Content { bytes: end.bytes, items: end.items, transferred: end.stored }),
                Err(backup::BackupError::Cancelled) => cancelled(),
                Err(error) => failed(&step.id, &error, error.hint()),
            }
        }
        (Action::Commit { epoch, .. }, Equipment::Backup(job)) => match commit(job, &epoch, &ctx).await {
            Ok(done) => (done.outcome, Output::Entry { number: done.number }),
            Err(error) => failed(&step.id, &error, error.hint()),
        },
        (Action::Restore { member, select, to, overwrite, .. }, Equipment::Restore(point, sources)) => {
            restore(run, &step.id, Wanted { point, sources, member: &member, select, to, overwrite }, &ctx).await
        }
        (Action::Compare { member, to, .. }, Equipment::Restore(point, sources)) => {
            compare(&run, &step.id, point, sources, (&member, &to), &ctx).await
        }
        (action, _) => {
            let what = format!("a run of this kind cannot do {action:?}");
            (Outcome::Failed { problem: Problem { subject: step.id.to_string(), what } }, Output::Nothing)
        }
    }
}

pub(super) fn cancelled() -> StepEnd {
    (Outcome::Cancelled { reason: "stopped by a signal".to_owned() }, Output::Nothing)
}

/// What a restore step is about.
pub(super) struct Wanted<'a> {
    pub point: &'a OpenedPoint,
    pub sources: &'a BTreeMap<MemberName, Arc<dyn Source>>,
    pub member: &'a MemberName,
    pub select: Vec<String>,
    pub to: Destination,
    pub overwrite: Overwrite,
}

pub(super) async fn restore(run: Arc<Run>, step: &StepId, wanted: Wanted<'_>, ctx: &Context) -> StepEnd {
    if let Destination::System { source, rename, .. } = &wanted.to
        && let Some(workers) = wanted.sources.get(source).and_then(|source| source.by_workers())
    {
        return restore_by_workers(&run, step, &wanted, rename, workers, ctx).await;
    }
    // What a step of this run has begun to write is its own. One that was refused has not.
    let resumed = run.was_admitted(step);
    let to = match wanted.to {
        Destination::Directory(path) => {
            let overwrite = if resumed { Overwrite::InPlace } else { wanted.overwrite };
            To::Directory { path, select: wanted.select, overwrite }
        }
        Destination::System { source, rename, activity } => match wanted.sources.get(&source) {
            Some(system) => {
                let target = SystemTarget { overwrite: wanted.overwrite, select: wanted.select, rename, activity };
                To::System(Arc::clone(system), target)
            }
            None => {
                let what = format!("the configuration has no source {source} to restore into; restore it to a directory");
                return (Outcome::Failed { problem: Problem { subject: step.to_string(), what } }, Output::Nothing);
            }
        },
    };
    let (report, written) = mpsc::unbounded_channel();
    let earlier = Earlier { run: format!("{}/{step}", run.id()), resumed, done: run.written(step), report };
    let journalling = journal_written(&run, step, written);
    let restoring = restore_member(wanted.point, wanted.member, to, earlier, step.clone(), ctx);
    let (journalled, restored) = tokio::join!(journalling, restoring);
    match (restored, journalled) {
        (_, Err(error)) => failed(step, &error, error.hint()),
        (Ok(end), Ok(())) => {
            end.notes.into_iter().for_each(|note| tell(ctx, note));
            (end.outcome, Output::Restored { bytes: end.bytes, items: end.items, fetched: end.fetched, compared: end.compared, tally: end.tally })
        }
        (Err(RestoreError::Cancelled), _) => cancelled(),
        (Err(error), _) if error.is_damage() => (failed(step, &error, error.hint()).0, Output::Damaged),
        (Err(error), _) => failed(step, &error, error.hint()),
    }
}

/// Compares what a target holds with a member.
async fn compare(
    run: &Arc<Run>,
    step: &StepId,
    point: &OpenedPoint,
    sources: &BTreeMap<MemberName, Arc<dyn Source>>,
    (member, to): (&MemberName, &Destination),
    ctx: &Context,
) -> StepEnd {
    let compared = match to {
        Destination::Directory(path) => compare_member(point, member, path).await,
        Destination::System { source, .. } => match sources.get(source).and_then(|source| source.by_workers()) {
            Some(workers) => return compare_by_workers(run, step, (point, member), workers, ctx).await,
            None => Err(RestoreError::Usage(format!("what the system of {source} holds is compared in a restore, and not without one"))),
        },
    };
    match compared {
        Ok(end) => (end.outcome, Output::Restored { bytes: end.bytes, items: end.items, fetched: end.fetched, compared: true, tally: end.tally }),
        Err(error) if error.is_damage() => (failed(step, &error, error.hint()).0, Output::Damaged),
        Err(error) => failed(step, &error, error.hint()),
    }
}

/// Journals that the target may be written to, and then, some at a time, which components it has whole.
async fn journal_written(run: &Arc<Run>, step: &StepId, mut written: mpsc::UnboundedReceiver<Report>) -> Result<(), OrchestratorError> {
    while let Some(first) = written.recv().await {
        let (mut components, mut asked, mut next) = (Vec::new(), None, Some(first));
        let batch = async {
            while let Some(report) = next {
                match report {
                    Report::Written(component) => components.push(component),
                    Report::Admitted(answer) | Report::All(answer) => {
                        asked = Some(answer);
                        return;
                    }
                }
                next = written.recv().await;
            }
        };
        // An error means that the time is over, which is what ends a batch.
        let _over = tokio::time::timeout(WRITTEN_EVERY, batch).await;
        // One without components says that the target was free: what lies there from now on is ours.
        run.checkpoint(step, Output::Written { components }).await?;
        if let Some(answer) = asked {
            // Whoever asked may have been cancelled.
            let _gone = answer.send(());
        }
    }
    Ok(())
}

fn tell(ctx: &Context, note: Problem) {
    ctx.observer.event(&crate::model::Event::Note { text: format!("{}: {}", note.subject, note.what) });
}
