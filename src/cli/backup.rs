//! `hourglass backup`

use clap::Args;
use serde_json::{Value, json};

use super::{CliError, ExitCode, Globals, Report, output::table, promote, repo::Repo};
use crate::{
    config::PRIMARY,
    daemon::push,
    model::{Context, MemberName, Outcome, Plan, PolicyName, Problem, RecoveryPointId, Timestamp, outcome::explain},
    orchestrator::{
        backup::{BackupEnd, BackupRequest, back_up, plan_backup},
        output::Output,
        point::{self, prepare},
        successor::successor,
    },
};

/// Make a recovery point of a policy: all members captured together
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Run it again after an interruption: it goes on with what was stored.\n\n\
    Example:\n  hourglass backup production\n  hourglass backup production --dry-run\n  hourglass backup production --member portal")]
pub struct BackupArgs {
    /// The policy
    pub policy: PolicyName,
    /// Only this member, may be repeated; the point is then incomplete if a required one is left out
    #[arg(long = "member", value_name = "NAME")]
    pub members: Vec<MemberName>,
    /// Print the plan and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs it.
///
/// # Errors
/// There is no such policy or member; those of opening the repository; the run cannot begin. What members came to is in the report.
pub async fn run(args: BackupArgs, globals: &Globals) -> Result<Report, CliError> {
    let repo = Repo::open(globals, PRIMARY).await?;
    let ctx = globals.context();
    let request = request(&repo, &args).await?;
    if args.dry_run {
        let (plan, _) = plan_backup(&request, &ctx).await?;
        return Ok(Report::new(json!({"plan": plan, "dry_run": true}), print_plan(&plan)));
    }
    let made = make(&repo, request, &ctx).await;
    let Some(gateway) = &repo.config.pushgateway else { return made };
    let succeeded = made.as_ref().is_ok_and(|report| report.exit == ExitCode::Succeeded);
    let pushed = push::push(&repo.config, gateway, &args.policy, succeeded).await;
    made.map(|mut report| {
        // What was made was made, whoever hears of it.
        report.problems.extend(pushed.err().map(|error| Problem { subject: "pushgateway".to_owned(), what: explain(&error) }));
        report
    })
}

async fn make(repo: &Repo, request: BackupRequest, ctx: &Context) -> Result<Report, CliError> {
    let lineage = request.lineage.clone();
    let end = back_up(request, ctx).await?;
    repo.remember(&end.record)?;
    let closed = closed(repo, &end).await;
    Ok(report(&lineage, end, closed))
}

/// Makes a complete point of a policy, or finds the one that was begun after `since` by an earlier process of the same recovery. Where another
/// site's lineage is continued, this site is promoted first.
///
/// # Errors
/// Those of [`run`] and of a promotion, in one line. What members came to is in the outcome.
pub(super) async fn protect(
    policy: PolicyName,
    since: Timestamp,
    promotion: Option<promote::Decision>,
    globals: &Globals,
) -> Result<(Option<RecoveryPointId>, Outcome), Problem> {
    let (subject, ctx) = (policy.to_string(), globals.context());
    let made = async {
        if let Some(decision) = promotion {
            let repo = Repo::open(globals, PRIMARY).await?;
            promote::promote(&repo, &repo.operator()?, &decision).await?;
        }
        let repo = Repo::open(globals, PRIMARY).await?;
        let request = request(&repo, &BackupArgs { policy, members: Vec::new(), dry_run: false }).await?;
        let lineage = request.lineage.clone();
        let found = request
            .record
            .state()
            .points
            .keys()
            .rev()
            .find(|number| request.record.point(**number).is_some_and(|(_, point)| point.complete && point.started >= since));
        if let Some(number) = found {
            return Ok((Some(RecoveryPointId { lineage, number: *number }), Outcome::Succeeded));
        }
        let end = back_up(request, &ctx).await?;
        repo.remember(&end.record)?;
        let point = end.entry.filter(|number| end.record.point(*number).is_some()).map(|number| RecoveryPointId { lineage, number });
        match closed(&repo, &end).await {
            Some((_, problem)) if end.outcome.is_success() => Ok((point, Outcome::Failed { problem })),
            _ => Ok((point, end.outcome)),
        }
    };
    made.await.map_err(|error: CliError| Problem { subject, what: [vec![error.message], error.causes].concat().join(": ") })
}

async fn request(repo: &Repo, args: &BackupArgs) -> Result<BackupRequest, CliError> {
    let lineage = repo.lineage(args.policy.as_str())?;
    if let Some(successor) = successor(&repo.config, &lineage).await {
        return Err(promote::promoted(&successor));
    }
    let policy = repo.config.policies.get(&args.policy).expect("the lineage is that of a policy");
    if let Some(stranger) = args.members.iter().find(|name| !policy.members.contains_key(*name)) {
        let known: Vec<String> = policy.members.keys().map(ToString::to_string).collect();
        return Err(
            CliError::usage(format!("policy {} has no member {stranger}", args.policy)).hint(format!("its members are: {}", known.join(", ")))
        );
    }
    Ok(prepare(repo, &lineage, args.members.clone(), None).await?)
}

/// The steps of a plan, for people.
pub(super) fn print_plan(plan: &Plan) -> String {
    plan.steps.iter().fold(format!("{}\n", plan.what), |text, step| text + &format!("  {}: {}\n", step.id, step.what))
}

fn report(lineage: &crate::model::Lineage, end: BackupEnd, closed: Option<(ExitCode, Problem)>) -> Report {
    let point = end.entry.filter(|number| end.record.point(*number).is_some()).map(|number| RecoveryPointId { lineage: lineage.clone(), number });
    let rows: Vec<Vec<String>> = end.members.iter().filter_map(|(step, output)| row(step.as_str(), output)).collect();
    let complete = point.as_ref().and_then(|id| end.record.point(id.number)).is_some_and(|(_, point)| point.complete);
    let mut text = match &point {
        Some(id) if complete && closed.is_some() => format!("recovery point {id} is complete and UNPROVEN\n"),
        Some(id) if complete => format!("recovery point {id} is complete\n"),
        Some(id) => format!("recovery point {id} is INCOMPLETE\n"),
        None => "no recovery point was made\n".to_owned(),
    };
    if !rows.is_empty() {
        text += &table(&["member", "content", "items", "stored"], &rows);
    }
    let members: Value = end.members.iter().map(|(step, output)| (step.to_string(), json!(output))).collect::<serde_json::Map<_, _>>().into();
    let data = json!({"run": end.run, "point": point, "complete": complete, "members": members, "took_over": end.adopted});
    let report = Report::new(data, text).ended(end.outcome);
    match closed {
        Some((exit, problem)) if report.exit == ExitCode::Succeeded => report.found(exit, vec![problem]),
        _ => report,
    }
}

/// How a run ends whose point nobody is known to be able to open.
async fn closed(repo: &Repo, end: &BackupEnd) -> Option<(ExitCode, Problem)> {
    let closed = point::closed(repo, &end.record, end.entry?).await?;
    Some((if closed.is_damage { ExitCode::Damaged } else { ExitCode::Incomplete }, closed.problem))
}

fn row(step: &str, output: &Output) -> Option<Vec<String>> {
    let Output::Content { bytes, items, transferred } = output else { return None };
    let name = step.rsplit('/').next().unwrap_or(step);
    Some(vec![name.to_owned(), bytes.to_string(), items.to_string(), transferred.to_string()])
}
