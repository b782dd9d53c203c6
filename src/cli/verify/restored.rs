//! `hourglass verify --depth restored`: what a target holds now, compared with a point; nothing is written to it.

use std::path::PathBuf;

use serde_json::json;

use super::VerifyArgs;
use crate::{
    cli::{
        CliError, ExitCode, Globals, Report, points,
        repo::Repo,
        restore::{self, Choice, Wanted, find, own_target},
    },
    config::{Config, PRIMARY},
    model::{Action, Destination, EntryNumber, Lineage, MemberName, Outcome, Plan, RunId, Step, step_id},
    orchestrator::{output::Output, restore::run_restore, runs},
    repository::{
        keys::OperatorFile,
        record::{Body, Depth, PointRef, Proof, ProofOutcome, Proven},
    },
    storage,
};

/// Runs it.
///
/// # Errors
/// It is not said what to compare with what; there is no such point, member or source; the vault cannot be opened; the run cannot begin.
pub async fn run(args: VerifyArgs, globals: &Globals) -> Result<Report, CliError> {
    let (config, ctx) = (globals.load_config()?, globals.context());
    let (Some(id), Some(member)) = (args.point, args.member) else {
        return Err(CliError::usage("the depth `restored` compares one member of one point with a target").hint("name the point, and give --member"));
    };
    let to = target(&config, args.into.as_ref(), args.to)?;
    let (repo, point, manifest) = find(&config, &Wanted { from: Some(&args.location), ..Wanted::new(&Choice::Point(id)) }).await?;
    let operator = repo.operator()?;
    let opened = restore::open(&repo, point.clone(), manifest, &operator, &ctx).await?;
    opened.member(&member)?;
    let members = opened.sealed.members.len();
    let what = format!("compare {member} of {} with what its target holds", point.id);
    let action = Action::Compare { point: point.id.clone(), member: member.clone(), to };
    let step = Step { id: step_id(&["compare", member.as_str()]), needs: Vec::new(), after: Vec::new(), what: what.clone(), action };
    let plan = Plan { run: RunId::new(ctx.clock.now(), runs::random()), what, steps: vec![step], accepted: None, recovery: None };
    let tools = restore::tools(&config, opened, &operator, storage::open(&config.control).await?);
    let end = run_restore(plan, tools, &ctx).await?;
    let verdict = match &end.outcome {
        Outcome::Succeeded => "is what the target holds",
        Outcome::Incomplete { .. } => "DIFFERS from what the target holds",
        _ => "was NOT compared",
    };
    let mut text = format!("{member} of {} {verdict}\n", point.id);
    // A target that differs says nothing against the point, and one member says little for it.
    let recorded = if end.outcome.is_success() && members == 1 { Some(record(&repo, &operator, point.clone()).await) } else { None };
    match &recorded {
        Some(Ok((lineage, number))) => text += &format!("recorded as entry {} of {lineage}\n", number.0),
        Some(Err(why)) => text += &format!("this was not entered in the record: {}\n", why.message),
        None if end.outcome.is_success() => {
            text += &format!("not entered in the record: the point has {members} members, and `hourglass restore-test` can test all of them\n");
        }
        None => {}
    }
    let damaged = end.steps.iter().any(|(_, _, output)| *output == Output::Damaged);
    let entry = recorded.and_then(Result::ok).map(|(_, number)| number);
    let report =
        Report::new(json!({"point": point.id, "member": member, "depth": Depth::Restored, "run": end.run, "entry": entry}), text).ended(end.outcome);
    Ok(if damaged { report.found(ExitCode::Damaged, Vec::new()) } else { report })
}

fn target(config: &Config, into: Option<&MemberName>, to: Option<PathBuf>) -> Result<Destination, CliError> {
    match (into, to) {
        (Some(source), _) => own_target(config, source),
        (None, Some(folder)) => Ok(Destination::Directory(std::path::absolute(&folder).map_err(|error| CliError::file("finding", &folder, &error))?)),
        (None, None) => Err(CliError::usage("the depth `restored` needs a target").hint("give --into SOURCE, or --to DIR")),
    }
}

/// Enters in the record of this site that is nearest that a target held the point, which is all of its members.
pub async fn record(repo: &Repo, operator: &OperatorFile, point: PointRef) -> Result<(Lineage, EntryNumber), CliError> {
    let lineage = points::nearest(repo, &point.id.lineage).ok_or_else(|| CliError::new(ExitCode::Failed, "not-found", "this site has no record"))?;
    let home = Repo::at(repo.config.clone(), PRIMARY).await?;
    let mut record = home.record_to_write(&lineage).await?;
    let of = Proven::Point { point, location: repo.location.clone(), depth: Depth::Restored, outcome: ProofOutcome::Passed, problems: 0 };
    Ok((lineage, home.decide(&mut record, operator, Body::Proof(Proof { of })).await?.number))
}
