//! `hourglass status`

use clap::Args;

use super::{CliError, ExitCode, Globals, Report, output::table};
use crate::{
    daemon::{
        facts,
        status::{Objective, PolicyStatus},
    },
    model::Problem,
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
