//! What a command of a lost process has left running: ended before the command is begun again, so that there are never two of it.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getpgrp, kill_process_group};

use crate::model::{RunId, StepId};

/// Names the run in the environment of everything that its steps start.
pub(super) const RUN: &str = "HOURGLASS_RUN";
/// Names the step.
pub(super) const STEP: &str = "HOURGLASS_STEP";
/// How long an end may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The process groups of a step. What has left the session, as services do, is none of them.
fn groups(run: &RunId, step: &StepId) -> BTreeSet<i32> {
    let marks = [format!("{RUN}={run}"), format!("{STEP}={step}")];
    let group = |entry: fs::DirEntry| {
        let folder = entry.path();
        let environment = fs::read(folder.join("environ")).ok()?;
        let has = |mark: &String| environment.split(|byte| *byte == 0).any(|part| part == mark.as_bytes());
        let stat = fs::read_to_string(folder.join("stat")).ok().filter(|_| marks.iter().all(has))?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let (group, session): (i32, i32) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        (fields.first() != Some(&"Z") && group != session && group != getpgrp().as_raw_nonzero().get()).then_some(group)
    };
    fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| group(entry.ok()?)).collect()
}

/// Ends them. Returns whether none is left.
pub(super) fn end(run: &RunId, step: &StepId) -> bool {
    let began = Instant::now();
    loop {
        let left = groups(run, step);
        if left.is_empty() || began.elapsed() > PATIENCE {
            return left.is_empty();
        }
        for group in left.into_iter().filter_map(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
