//! `hourglass status`

use clap::Args;

use super::{CliError, ExitCode, Globals, Report, output::table};
use crate::{
    daemon::{
        facts,
        status::{Objective, PolicyStatus, Status},
        tasks::TaskStatus,
    },
    model::{Problem, Timestamp},
};

/// Show whether every policy keeps its objective, and what the daemon does
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Exit status 3 when the newest good point of a policy is older than its rpo, or there is none.\n\n\
    Example:\n  hourglass status\n  hourglass status --output json")]
pub struct StatusArgs {}

/// Runs it.
///
/// # Errors
/// The repository or the control store does not answer.
pub async fn run(_args: StatusArgs, globals: &Globals) -> Result<Report, CliError> {
    let status = facts::now(&globals.load_config()?).await?;
    let leader = match &status.leader {
        Some(leader) => format!("process {} of {} leads; it said so at {}\n", leader.pid, leader.machine, leader.renewed.strftime("%F %TZ")),
        None => "no daemon leads, as far as the lease is seen from here\n".to_owned(),
    };
    let rows: Vec<Vec<String>> = status.policies.iter().map(row).collect();
    let text = leader + &table(&["policy", "objective", "age", "newest good point", "phase", "next", "slots"], &rows);
    let text = text + &care(&status);
    let broken = status.policies.iter().filter(|policy| matches!(policy.objective, Objective::Broken | Objective::Unknown));
    let problems: Vec<Problem> = broken.map(|policy| Problem { subject: policy.policy.to_string(), what: why(policy) }).collect();
    let exit = if problems.is_empty() { ExitCode::Succeeded } else { ExitCode::Incomplete };
    Ok(Report::new(&status, text).found(exit, problems))
}

fn why(policy: &PolicyStatus) -> String {
    let rpo = policy.rpo.map_or(String::new(), |rpo| rpo.to_string());
    match policy.age {
        _ if policy.objective == Objective::Unknown => "its record cannot be read; `hourglass points list` says why".to_owned(),
        Some(age) => format!("its newest good point is {age} old, and {rpo} is allowed"),
        None => format!("it has no good point, and one of at most {rpo} is wanted"),
    }
}

fn row(policy: &PolicyStatus) -> Vec<String> {
    let objective = match policy.objective {
        Objective::Met => "met",
        Objective::Broken => "BROKEN",
        Objective::None => "none",
        Objective::Unknown => "UNKNOWN",
    };
    let point = policy.good.as_ref().map_or("none".to_owned(), |point| point.id.to_string());
    let slots = &policy.slots;
    vec![
        policy.policy.to_string(),
        objective.to_owned(),
        policy.age.map_or("-".to_owned(), |age| age.to_string()),
        point,
        policy.phase.as_str().to_owned(),
        policy.next.map_or("never".to_owned(), |next| next.strftime("%F %TZ").to_string()),
        format!(
            "{} done, {} incomplete, {} failed, {} missed, {} caught up",
            slots.done, slots.incomplete, slots.failed, slots.missed, slots.caught_up
        ),
    ]
}

/// Tasks, coverage, and what was read; nothing where there is nothing.
fn care(status: &Status) -> String {
    let shown = |at: Timestamp| at.strftime("%F %TZ").to_string();
    let of_task = |task: &TaskStatus| {
        let last = task.last.as_ref().map_or("never ended".to_owned(), |last| {
            let why = last.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
            format!("{} at {}{why}", last.end.as_str(), shown(last.at))
        });
        let next = task.next.map_or("never".to_owned(), shown);
        vec![task.task.to_string(), task.does.to_owned(), task.phase.as_str().to_owned(), next, last]
    };
    let mut text = String::new();
    if !status.tasks.is_empty() {
        text += &table(&["task", "does", "phase", "next", "last"], &status.tasks.iter().map(of_task).collect::<Vec<_>>());
    }
    if let Some(coverage) = &status.coverage {
        text += &format!("asked at {}: {}; see `hourglass coverage`\n", shown(coverage.asked), coverage.sentence());
    }
    if let Some(ready) = &status.ready {
        let state = if ready.ready { "ready" } else { "NOT ready" };
        text += &format!("asked at {}: this site is {state}, {} questions met, {} not\n", shown(ready.asked), ready.met, ready.lacking.len());
    }
    for read in &status.reads {
        text += &match read.all_read_since {
            Some(since) => format!("{}: all that was there at {} has been read since\n", read.location, shown(since)),
            None => format!("{}: {} of 256 parts were never read by checks that read a part at a time\n", read.location, read.never_read),
        };
    }
    text
}
