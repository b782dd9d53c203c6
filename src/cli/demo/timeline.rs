//! What happened when: phases in order, and the steps of runs within them, as an observer of the commands sees them.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use serde::{Serialize, Serializer};

use crate::{
    cli::{CliError, ExitCode},
    model::{ByteCount, Cancel, Event, Observer},
};

/// A stretch of time, from the beginning of everything.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Span {
    #[serde(serialize_with = "seconds")]
    pub from: Duration,
    #[serde(serialize_with = "seconds")]
    pub to: Duration,
}

fn seconds<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(duration.as_secs_f64())
}

impl Span {
    /// Its length in seconds.
    pub(super) fn seconds(self) -> f64 {
        self.to.saturating_sub(self.from).as_secs_f64()
    }
}

/// A step of a run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Bar {
    pub step: String,
    pub what: String,
    #[serde(flatten)]
    pub span: Span,
}

/// A phase of the story.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Phase {
    pub name: &'static str,
    #[serde(flatten)]
    pub span: Span,
    /// What it worked on, where that is a matter of bytes.
    pub bytes: Option<ByteCount>,
    pub result: String,
    pub steps: Vec<Bar>,
}

/// What a phase came to.
#[derive(Debug)]
pub(super) struct Said {
    pub bytes: Option<ByteCount>,
    pub result: String,
}

/// Measures phases and steps, and passes on what people should see.
#[derive(Debug)]
pub(super) struct Timeline {
    began: Instant,
    cancel: Cancel,
    inner: Arc<dyn Observer>,
    /// Steps are passed on too: programs want them, people have the phases.
    verbose: bool,
    phases: Mutex<Vec<Phase>>,
}

impl Timeline {
    /// Begins now.
    pub(super) fn new(inner: Arc<dyn Observer>, cancel: Cancel, verbose: bool) -> Timeline {
        Timeline { began: Instant::now(), cancel, inner, verbose, phases: Mutex::default() }
    }

    fn phases(&self) -> MutexGuard<'_, Vec<Phase>> {
        self.phases.lock().expect("no holder of this lock panics")
    }

    /// Everything so far.
    pub(super) fn story(&self) -> Vec<Phase> {
        self.phases().clone()
    }

    /// Where the newest phase lies.
    pub(super) fn last(&self) -> Span {
        self.phases().last().map_or(Span { from: Duration::ZERO, to: Duration::ZERO }, |phase| phase.span)
    }

    /// Measures `work` as a phase of its own.
    pub(super) async fn phase<T>(&self, name: &'static str, work: impl Future<Output = Result<(T, Said), CliError>>) -> Result<T, CliError> {
        if self.cancel.is_draining() {
            return Err(CliError::new(ExitCode::Cancelled, "cancelled", "the demonstration was stopped").hint("run it again"));
        }
        let from = self.began.elapsed();
        let number = {
            let mut phases = self.phases();
            phases.push(Phase { name, span: Span { from, to: from }, bytes: None, result: String::new(), steps: Vec::new() });
            phases.len()
        };
        self.inner.event(&Event::Note { text: format!("{number:>2}  {name}") });
        let (done, said) = work.await?;
        let to = self.began.elapsed();
        self.inner.event(&Event::Note { text: format!("    {} ({:.2} s)", said.result, to.saturating_sub(from).as_secs_f64()) });
        if let Some(phase) = self.phases().last_mut() {
            (phase.span.to, phase.bytes, phase.result) = (to, said.bytes, said.result);
        }
        Ok(done)
    }
}

impl Observer for Timeline {
    fn event(&self, event: &Event) {
        let now = self.began.elapsed();
        if let Some(phase) = self.phases().last_mut() {
            match event {
                Event::StepStarted { step, what } => {
                    phase.steps.push(Bar { step: step.to_string(), what: what.clone(), span: Span { from: now, to: now } });
                }
                Event::StepEnded { step, .. } => {
                    if let Some(bar) = phase.steps.iter_mut().rev().find(|bar| bar.step == step.as_str()) {
                        bar.span.to = now;
                    }
                }
                _ => {}
            }
        }
        if self.verbose || matches!(event, Event::Problem(_) | Event::Note { .. }) {
            self.inner.event(event);
        }
    }
}
