//! Progress, as people and programs see it. All of it goes to standard error.

use std::{
    collections::HashMap,
    io::IsTerminal,
    sync::{Arc, Mutex},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output::to_stderr;
use crate::model::{ByteCount, Event, Observer, Outcome, Seconds, StepId};

/// One JSON object per event and line.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonLines;

impl Observer for JsonLines {
    fn event(&self, event: &Event) {
        let line = serde_json::to_string(event).expect("events have text keys");
        to_stderr(&format!("{line}\n"));
    }
}

/// Bars on a terminal, lines elsewhere.
pub(super) fn for_people() -> Arc<dyn Observer> {
    if std::io::stderr().is_terminal() { Arc::new(Terminal::default()) } else { Arc::new(Lines) }
}

/// What an event says to a person; progress says nothing.
fn line(event: &Event) -> Option<String> {
    let how = |outcome: &Outcome| match outcome {
        Outcome::Succeeded => "done".to_owned(),
        Outcome::Incomplete { missing } => format!("incomplete: {} missing", missing.len()),
        Outcome::Failed { problem } => format!("failed: {}: {}", problem.subject, problem.what),
        Outcome::Cancelled { reason } => format!("cancelled: {reason}"),
        Outcome::Stuck { problem } => format!("stuck, a person is needed: {}: {}", problem.subject, problem.what),
    };
    match event {
        Event::RunStarted { run, what, steps } => Some(format!("{what} (run {run}, {steps} steps)")),
        Event::StepStarted { .. } | Event::Progress { .. } | Event::Clock { .. } => None,
        Event::Problem(problem) => Some(format!("problem: {}: {}", problem.subject, problem.what)),
        Event::Note { text } => Some(text.clone()),
        Event::StepEnded { step, outcome } => Some(format!("  {step}: {}", how(outcome))),
        Event::RunEnded { run, outcome } => Some(format!("run {run} {}", how(outcome))),
    }
}

#[derive(Debug)]
struct Lines;

impl Observer for Lines {
    fn event(&self, event: &Event) {
        if let Some(text) = line(event) {
            to_stderr(&format!("{text}\n"));
        }
    }
}

/// A bar per running step with bytes, rate and time left; what has ended stays as a line above.
#[derive(Debug, Default)]
struct Terminal {
    all: MultiProgress,
    bars: Mutex<HashMap<StepId, ProgressBar>>,
    /// Burns down while a recovery runs.
    clock: Mutex<Option<ProgressBar>>,
}

impl Terminal {
    fn start(&self, what: &str) -> ProgressBar {
        let style = ProgressStyle::with_template("{spinner} {msg:40!} {elapsed}").expect("a constant template");
        let bar = self.all.add(ProgressBar::new_spinner().with_style(style).with_message(what.to_owned()));
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    fn advance(bar: &ProgressBar, bytes: ByteCount, total: Option<ByteCount>) {
        let style = |template| ProgressStyle::with_template(template).expect("a constant template").progress_chars("=> ");
        match total {
            Some(ByteCount(total)) if bar.length() != Some(total) => {
                bar.set_style(style("{spinner} {msg:40!} [{bar:20}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left"));
                bar.set_length(total);
            }
            None if bar.position() == 0 => bar.set_style(style("{spinner} {msg:40!} {binary_bytes} {binary_bytes_per_sec} {elapsed}")),
            _ => {}
        }
        bar.set_position(bytes.0);
    }
}

/// What the clock of a recovery says.
fn burn_down(event: &Event) -> Option<(u64, u64, String)> {
    let Event::Clock { elapsed, objective, forecast, done, steps, stuck, .. } = event else { return None };
    let left = if elapsed <= objective {
        format!("{} left", Seconds(objective.0 - elapsed.0))
    } else {
        format!("{} LATE", Seconds(elapsed.0 - objective.0))
    };
    let wait = if *stuck > 0 { format!(", {stuck} WAIT FOR A PERSON") } else { String::new() };
    Some((elapsed.0.min(objective.0), objective.0, format!("{elapsed} of {objective}, {left}; forecast {forecast}; {done} of {steps} steps{wait}")))
}

impl Terminal {
    fn tick(&self, event: &Event) {
        let mut clock = self.clock.lock().expect("no holder of this lock panics");
        if let Some((position, length, message)) = burn_down(event) {
            let bar = clock.get_or_insert_with(|| {
                let style = ProgressStyle::with_template("[{bar:30}] {msg}").expect("a constant template").progress_chars("##.");
                self.all.add(ProgressBar::new(length).with_style(style))
            });
            bar.set_position(position);
            bar.set_message(message);
        } else if matches!(event, Event::RunEnded { .. })
            && let Some(bar) = clock.take()
        {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Terminal {
    fn event(&self, event: &Event) {
        self.tick(event);
        let mut bars = self.bars.lock().expect("no holder of this lock panics");
        match event {
            Event::StepStarted { step, what } => {
                bars.insert(step.clone(), self.start(what));
            }
            Event::Progress { step, bytes, total, .. } => {
                if let Some(bar) = bars.get(step) {
                    Terminal::advance(bar, *bytes, *total);
                }
            }
            Event::StepEnded { step, .. } => {
                if let Some(bar) = bars.remove(step) {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
        if let Some(text) = line(event) {
            self.all.suspend(|| to_stderr(&format!("{text}\n")));
        }
    }
}
