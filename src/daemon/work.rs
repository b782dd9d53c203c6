//! One run of the daemon: from the configuration to a point in the record, and what became of it. Only the record is believed.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{DaemonError, fate::Fate, heap};
use crate::{
    model::{Cancel, Context, Lineage, Outcome, Problem, RecoveryPointId, RunId, outcome::advise},
    orchestrator::{
        backup::{BackupEnd, back_up},
        point::{closed, prepare},
        repo::Repo,
        runs,
    },
    repository::record::{Outline, Record},
    storage::{Fence, Fenced, ObjectStore},
};

/// How long a run that is asked to end may take to reach a safe point.
const GRACE: Duration = Duration::from_secs(60);

/// A run that goes on in the background. Dropped, it ends.
#[derive(Debug)]
pub struct Underway {
    task: JoinHandle<Result<Fate, DaemonError>>,
    cancel: Cancel,
    /// Ends it at once.
    ended: CancellationToken,
    deadline: Instant,
    /// Why it was asked to end, and when it is ended at last.
    asked: Option<(&'static str, Instant)>,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.cancel.raise();
        self.cancel.raise();
        self.ended.cancel();
    }
}

impl Underway {
    /// Begins a run that was announced.
    pub fn begin(repo: Repo, lineage: Lineage, run: RunId, fence: Arc<Fence>, deadline: Duration, ctx: &Context) -> Underway {
        let ctx = Context { cancel: Cancel::default(), ..ctx.clone() };
        let cancel = ctx.cancel.clone();
        let ended = CancellationToken::new();
        let (end, here) = (ended.clone(), Handle::current());
        // What a run does cannot change threads, so it has one.
        let task = tokio::task::spawn_blocking(move || {
            let fate = here.block_on(async {
                tokio::select! {
                    fate = make(&repo, &lineage, run, &fence, &ctx) => fate,
                    () = end.cancelled() => Ok(Fate::Lost),
                }
            });
            heap::give_back();
            fate
        });
        Underway { task, cancel, ended, deadline: Instant::now() + deadline, asked: None }
    }

    /// Asks it to reach a safe point.
    pub fn stop(&mut self, why: &'static str) {
        if self.asked.is_none() {
            self.asked = Some((why, Instant::now() + GRACE));
            self.cancel.raise();
        }
    }

    /// Waits for its end, a while; `None` when it goes on.
    pub async fn wait(&mut self, most: Duration) -> Option<Result<Fate, DaemonError>> {
        const LATE: &str = "it did not end before its deadline";
        if self.asked.is_none() && Instant::now() >= self.deadline {
            self.stop(LATE);
        }
        if self.asked.is_some_and(|(_, last)| Instant::now() >= last) {
            self.cancel.raise();
            self.ended.cancel();
        }
        let ended = tokio::time::timeout(most, &mut self.task).await.ok()?;
        let late = self.asked.is_some_and(|(why, _)| why == LATE);
        Some(match ended {
            Ok(Ok(Fate::Stopped(_))) if late => Ok(Fate::Nothing(LATE.to_owned())),
            // Whoever asked it to end did not wait longer, and that is not the run's fault.
            Ok(Ok(Fate::Lost)) if !late && self.asked.is_some() => Ok(Fate::Stopped(self.asked.map_or(String::new(), |(why, _)| why.to_owned()))),
            Ok(Ok(Fate::Lost)) if late => Ok(Fate::Nothing(LATE.to_owned())),
            Ok(fate) => fate,
            // Its journal is ended by whoever settles the slot.
            Err(_) => Ok(Fate::Lost),
        })
    }
}

async fn make(repo: &Repo, lineage: &Lineage, run: RunId, fence: &Arc<Fence>, ctx: &Context) -> Result<Fate, DaemonError> {
    let made = async {
        let mut request = prepare(repo, lineage, Vec::new(), Some(run.clone())).await.map_err(|error| advise(&error, error.hint()))?;
        request.control = Arc::new(Fenced::new(request.control, Arc::clone(fence)));
        back_up(request, ctx).await.map_err(|error| advise(&error, error.hint()))
    };
    match made.await {
        Ok(end) => {
            if let Err(error) = repo.remember(&end.record) {
                tracing::warn!(%error, "the head of the record is not remembered");
            }
            fate(repo, end).await
        }
        // Whatever went wrong, the point may have been written.
        Err(why) => Ok(recorded(repo, lineage, &run).await?.unwrap_or(Fate::Nothing(why))),
    }
}

async fn fate(repo: &Repo, end: BackupEnd) -> Result<Fate, DaemonError> {
    let why = match &end.outcome {
        Outcome::Succeeded => String::new(),
        Outcome::Incomplete { missing } => sentence(missing),
        Outcome::Failed { problem } | Outcome::Stuck { problem } => sentence(std::slice::from_ref(problem)),
        Outcome::Cancelled { reason } => reason.clone(),
    };
    match end.entry.map(|_| end.record.lineage().clone()) {
        Some(lineage) => Ok(of_run(repo, &end.record, &lineage, &end.run, &why).await.unwrap_or(Fate::Nothing(why))),
        None if matches!(end.outcome, Outcome::Cancelled { .. }) => Ok(Fate::Stopped(why)),
        None => Ok(Fate::Nothing(why)),
    }
}

fn sentence(problems: &[Problem]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = problems.iter().take(SHOWN).map(|problem| format!("{}: {}", problem.subject, problem.what)).collect();
    let more = if problems.len() > SHOWN { format!("; and {} more", problems.len() - SHOWN) } else { String::new() };
    shown.join("; ") + &more
}

/// What the record says became of a run; none when it has no point of it.
///
/// # Errors
/// When the record cannot be read.
pub async fn recorded(repo: &Repo, lineage: &Lineage, run: &RunId) -> Result<Option<Fate>, DaemonError> {
    let record = repo.outline_to_write(lineage).await?;
    Ok(of_run(repo, &record, lineage, run, "a required member is missing, or the members lie too far apart").await)
}

async fn of_run(repo: &Repo, record: &Record<Outline>, lineage: &Lineage, run: &RunId, missing: &str) -> Option<Fate> {
    let points = record.state().points.keys().rev();
    let (number, is_complete) = points
        .filter_map(|number| record.point(*number).map(|(_, point)| (*number, point)))
        .find_map(|(number, point)| (point.run == *run).then_some((number, point.complete)))?;
    let id = RecoveryPointId { lineage: lineage.clone(), number };
    Some(match is_complete {
        false => Fate::Incomplete(id, missing.to_owned()),
        true => match closed(repo, record, number).await {
            None => Fate::Complete(id),
            Some(closed) => Fate::Closed(id, format!("{}: {}", closed.problem.subject, closed.problem.what)),
        },
    })
}

/// Finds out what became of a run of a process that leads no more, and sees to it that nothing more comes of it.
///
/// # Errors
/// When the control store or the record does not answer.
pub async fn settle(repo: &Repo, control: &Arc<dyn ObjectStore>, lineage: &Lineage, run: &RunId, ctx: &Context) -> Result<Fate, DaemonError> {
    let key = runs::capture_key(&repo.capture_file()?, lineage);
    runs::fence(control, run, &key, "its daemon was lost", ctx).await?;
    Ok(recorded(repo, lineage, run).await?.unwrap_or(Fate::Lost))
}
