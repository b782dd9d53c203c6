//! The one `match` from a step to the function that does it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    execute::{Run, failed},
    output::{Output, StepEnd},
};
use crate::{
    backup::{self, commit::commit, job::BackupJob},
    model::{Action, Context, MemberName, Outcome, Overwrite, Problem, Step, StepId},
    restore::{self, opened::OpenedPoint, steps::To},
    sources::Source,
};

/// What the steps of a run work with.
#[derive(Debug)]
pub enum Equipment {
    /// For a backup.
    Backup(Box<BackupJob>),
    /// For a restore: the point, and the sources that know how to load.
    Restore(Box<OpenedPoint>, BTreeMap<MemberName, Arc<dyn Source>>),
}

/// Does one step.
pub async fn perform(run: Arc<Run>, step: Step, equipment: Arc<Equipment>, ctx: Context) -> StepEnd {
    match (step.action, equipment.as_ref()) {
        (Action::OpenEpoch { new, .. }, Equipment::Backup(job)) => match backup::steps::open_epoch(job, &new, &ctx).await {
            Ok(number) => (Outcome::Succeeded, Output::Entry { number }),
            Err(error) => failed(&step.id, &error),
        },
        (Action::Capture { member, epoch, .. }, Equipment::Backup(job)) => {
            match backup::steps::capture_member(job, &member, &epoch, step.id.clone(), &ctx).await {
                Ok(end) => (end.outcome, Output::Content { bytes: end.bytes, items: end.items, transferred: end.stored }),
                Err(backup::BackupError::Cancelled) => cancelled(),
                Err(error) => failed(&step.id, &error),
            }
        }
        (Action::Commit { epoch, .. }, Equipment::Backup(job)) => match commit(job, &epoch, &ctx).await {
            Ok(done) => (done.outcome, Output::Entry { number: done.number }),
            Err(error) => failed(&step.id, &error),
        },
        (Action::Restore { member, component, select, directory, overwrite, .. }, Equipment::Restore(point, sources)) => {
            // What a step of this run has begun to write is its own.
            let overwrite = if run.was_begun(&step.id) { Overwrite::InPlace } else { overwrite };
            let to = match directory {
                Some(path) => To::Directory(path, overwrite),
                None => match sources.get(&member) {
                    Some(source) => To::Source(Arc::clone(source), overwrite),
                    None => return no_source(step.id, &member),
                },
            };
            match restore::steps::restore_component(point, &member, &component, &select, to, step.id.clone(), &ctx).await {
                Ok(end) => {
                    end.notes.into_iter().for_each(|note| tell(&ctx, note));
                    (end.outcome, Output::Content { bytes: end.bytes, items: end.items, transferred: end.fetched })
                }
                Err(restore::RestoreError::Cancelled) => cancelled(),
                Err(error) if error.is_damage() => (failed(&step.id, &error).0, Output::Damaged),
                Err(error) => failed(&step.id, &error),
            }
        }
        (action, _) => {
            let what = format!("a run of this kind cannot do {action:?}");
            (Outcome::Failed { problem: Problem { subject: step.id.to_string(), what } }, Output::Nothing)
        }
    }
}

fn cancelled() -> StepEnd {
    (Outcome::Cancelled { reason: "stopped by a signal".to_owned() }, Output::Nothing)
}

fn no_source(step: StepId, member: &MemberName) -> StepEnd {
    let what = format!("the configuration has no source {member} that could load it; restore it to a directory");
    (Outcome::Failed { problem: Problem { subject: step.to_string(), what } }, Output::Nothing)
}

fn tell(ctx: &Context, note: Problem) {
    ctx.observer.event(&crate::model::Event::Note { text: format!("{}: {}", note.subject, note.what) });
}
