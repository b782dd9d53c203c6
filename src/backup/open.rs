//! The moment of a point: every source gets ready, writers are paused where the policy says how, and all snapshots open together.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::future::join_all;

use super::{BackupError, capture::blocking, job::BackupJob};
use crate::{
    config::{Pause, PauseUntil},
    model::{
        Context, MemberName, Outcome, Problem, RunId, Timestamp,
        outcome::{advise, explain},
    },
    sources::{Component, Opening, Owner, RowKey, Source, SourceError, command},
};

/// A source whose snapshot is open.
#[derive(Debug, Clone)]
pub struct Opened {
    /// What there is to capture.
    pub components: Vec<Component>,
    /// Names rows in the digests of this capture.
    pub row_key: RowKey,
    /// When it was opened.
    pub at: Timestamp,
}

/// Opens all members together. One that cannot be opened fails when its capture's turn comes.
///
/// # Errors
/// When writers cannot be paused: then the point would not be what the policy promises.
pub async fn open_members(job: &BackupJob, members: &[MemberName], ctx: &Context) -> Result<Outcome, BackupError> {
    let found = |name: &MemberName| job.member(name).cloned().ok_or_else(|| BackupError::NoMember(name.clone()));
    let members = members.iter().map(found).collect::<Result<Vec<_>, _>>()?;
    let prepared = join_all(members.iter().map(|member| prepare(Arc::clone(&member.source), ctx))).await;
    if let Some(writers) = &job.writers
        && let Err(error) = writers.pause(ctx).await
    {
        let why = explain(&error);
        members.iter().for_each(|member| job.opened(&member.name, Err(BackupError::NotOpened(why.clone()))));
        return Err(error);
    }
    let open = members.iter().zip(prepared).map(|(member, prepared)| async move {
        prepared?;
        open(Arc::clone(&member.source), (job.owner(&member.name), job.run.clone()), ctx).await
    });
    let opened = join_all(open).await;
    if let Some(writers) = job.writers.as_ref().filter(|writers| writers.pause.until == PauseUntil::Opened) {
        writers.resume(ctx).await;
    }
    let mut missing = Vec::new();
    for (member, opened) in members.iter().zip(opened) {
        if let Err(error) = &opened {
            missing.push(Problem { subject: member.name.to_string(), what: advise(error, error.hint()) });
        }
        job.opened(&member.name, opened);
    }
    Ok(if missing.is_empty() { Outcome::Succeeded } else { Outcome::Incomplete { missing } })
}

async fn prepare(source: Arc<dyn Source>, ctx: &Context) -> Result<(), BackupError> {
    let ctx = ctx.clone();
    Ok(blocking(move || source.prepare(&ctx)).await??)
}

async fn open(source: Arc<dyn Source>, of: (Owner, RunId), ctx: &Context) -> Result<Opened, BackupError> {
    let (row_key, at, ctx) = (RowKey::generate(), ctx.clock.now(), ctx.clone());
    blocking(move || {
        let components = source.open(&Opening { row_key, of: Some(of) }, &ctx)?;
        if components.is_empty() {
            return Err(SourceError::Nothing { kind: source.kind() }.into());
        }
        Ok(Opened { components, row_key, at })
    })
    .await?
}

/// Writers that are paused while a point is made, by the policy's commands.
#[derive(Debug)]
pub struct Writers {
    /// How.
    pub pause: Pause,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    paused: Option<Instant>,
    problem: Option<String>,
}

impl Writers {
    /// Writers that run.
    pub fn new(pause: Pause) -> Writers {
        Writers { pause, state: Arc::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops them.
    ///
    /// # Errors
    /// When the command fails; the one that lets them go on was run then.
    async fn pause(&self, ctx: &Context) -> Result<(), BackupError> {
        // Whether or not the command succeeds: it may have paused some of them.
        self.state().paused = Some(Instant::now());
        if let Err(error) = run(&self.pause.command, self.pause.timeout, ctx).await {
            self.resume(ctx).await;
            return Err(BackupError::Pause(error));
        }
        Ok(())
    }

    /// Lets them go on, if they are paused. What goes wrong is kept for the point's outcome.
    pub async fn resume(&self, ctx: &Context) {
        let Some(since) = self.state().paused.take() else { return };
        // A stopped run has to let writers go on all the same.
        let ctx = Context { cancel: crate::model::Cancel::default(), ..ctx.clone() };
        let resumed = run(&self.pause.resume, self.pause.timeout, &ctx).await;
        let paused = since.elapsed();
        let problem = match resumed {
            Err(error) => Some(format!("writers may still be paused: {}", explain(&error))),
            Ok(()) if paused > self.pause.timeout => {
                Some(format!("writers were paused for {} s, longer than {} s", paused.as_secs(), self.pause.timeout.as_secs()))
            }
            Ok(()) => None,
        };
        let mut state = self.state();
        state.problem = state.problem.take().or(problem);
    }

    /// Waits until the policy's longest pause is over, then lets writers go on whatever the captures are at.
    pub async fn limit(&self, ctx: &Context) {
        loop {
            let left = self.state().paused.map(|since| self.pause.timeout.saturating_sub(since.elapsed()));
            match left {
                Some(Duration::ZERO) => {
                    self.state().problem = Some(format!("writers went on after {} s, before everything was captured", self.pause.timeout.as_secs()));
                    self.resume(ctx).await;
                }
                Some(left) => tokio::time::sleep(left).await,
                None => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// What was wrong with the pause.
    pub fn problem(&self) -> Option<String> {
        self.state().problem.clone()
    }
}

/// Runs the command that lets writers go on: an earlier run may have been killed while they were paused.
///
/// # Errors
/// When it fails.
pub async fn resume_after_crash(pause: &Pause, ctx: &Context) -> Result<(), BackupError> {
    run(&pause.resume, pause.timeout, ctx).await.map_err(BackupError::Pause)
}

async fn run(argv: &[String], timeout: Duration, ctx: &Context) -> Result<(), SourceError> {
    let (argv, ctx) = (argv.to_vec(), ctx.clone());
    let torn = |_| SourceError::Cancelled { program: "the pause of writers".to_owned() };
    tokio::task::spawn_blocking(move || command::run(&argv, timeout, &ctx)).await.map_err(torn)?
}
