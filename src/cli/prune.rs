//! `hourglass prune`

use clap::Args;
use serde_json::json;

use super::{CliError, ExitCode, Globals, Report, output::table, points, repo::Repo};
use crate::{
    config::PRIMARY,
    model::{Clock, Context, EntryNumber, Lineage, PolicyName, Problem, SystemClock},
    repository::{
        keys::OperatorFile,
        prune::{Deleted, PrunePlan, delete_epoch, leftovers, plan},
        record::{Body, EpochClose, Prune, Record},
        trust::Role,
    },
};

/// Delete closed epochs none of whose points is live or held
#[derive(Debug, Clone, Args)]
#[command(
    after_long_help = "Needs the key of an operator or an expire delegate, and the right to delete. What `hourglass expire` gave up is deleted when its waiting time is over \
    and no point of the same epoch is kept.\n\nAt another location than primary it deletes what is left of epochs that the record there calls \
    pruned: copy the record first.\n\nExit status 3: the store refused to delete objects, for example because they are locked; run it again later.\n\n\
    Example:\n  hourglass prune production --dry-run\n  hourglass prune production\n  hourglass prune production --location other"
)]
pub struct PruneArgs {
    /// The policy
    pub policy: PolicyName,
    /// Print the plan and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Where to delete
    #[arg(long, default_value = PRIMARY)]
    pub location: String,
}

/// Runs it.
///
/// # Errors
/// There is no such policy; those of opening the repository; a record of this site has a gap or is behind; there is no operator key.
pub async fn run(args: PruneArgs, globals: &Globals) -> Result<Report, CliError> {
    let repo = Repo::open(globals, &args.location).await?;
    let lineage = repo.lineage(args.policy.as_str())?;
    let ctx = globals.context();
    if args.location != PRIMARY {
        return sweep(&repo, &lineage, args.dry_run, &ctx).await;
    }
    let decided = decide(&repo, &lineage).await?.1;
    if args.dry_run {
        return Ok(Report::new(json!({"plan": decided, "dry_run": true}), shown(&lineage, &decided)));
    }
    let text = shown(&lineage, &decided);
    if decided.close.is_empty() && decided.delete.is_empty() {
        return Ok(Report::new(json!({"plan": decided, "deleted": []}), text));
    }
    let operator = repo.decider(Role::Expire)?;
    close(&repo, &lineage, &operator, &decided).await?;
    // Between reading and closing a run may have ended in an epoch: only what is closed now is judged.
    let (mut record, again) = decide(&repo, &lineage).await?;
    let mut done = Done::default();
    for deletion in &again.delete {
        let deleted = delete_epoch(&*repo.store, &record, deletion, &ctx).await?;
        if deleted.is_finished() {
            let (objects, bytes) = (deleted.objects, deleted.bytes);
            let body = Body::Prune(Prune { epoch: deletion.epoch.clone(), expire: deletion.expire, objects, bytes });
            repo.decide(&mut record, &operator, body).await?;
        }
        done.add(deletion.epoch.to_string(), deleted)?;
    }
    Ok(done.report(json!({"plan": again, "closed": decided.close, "deleted": done.data}), text))
}

/// The record as it is now, and what is to be done.
async fn decide(repo: &Repo, lineage: &Lineage) -> Result<(Record, PrunePlan), CliError> {
    // A record that is behind may lack a hold.
    for lineage in repo.lineages() {
        let _current = repo.record_to_write(&lineage).await?;
    }
    let records = points::records(repo, Some(lineage)).await?;
    let (own, others) = points::split(&records, lineage).expect("the lineage is among those that were read");
    let plan = plan(own, &others, SystemClock.now())?;
    Ok((own.clone(), plan))
}

async fn close(repo: &Repo, lineage: &Lineage, operator: &OperatorFile, plan: &PrunePlan) -> Result<(), CliError> {
    if plan.close.is_empty() {
        return Ok(());
    }
    let mut record = repo.record_to_write(lineage).await?;
    for reason in &plan.close {
        let body = Body::EpochClose(EpochClose { epoch: reason.epoch.clone(), reason: reason.why.clone() });
        repo.decide(&mut record, operator, body).await?;
    }
    Ok(())
}

/// Deletes at another location what is left of pruned epochs.
async fn sweep(repo: &Repo, lineage: &Lineage, dry_run: bool, ctx: &Context) -> Result<Report, CliError> {
    let record = repo.record_to_write(lineage).await?;
    record.without_gap()?;
    let left = leftovers(&record);
    let names: Vec<String> = left.iter().map(|deletion| deletion.epoch.to_string()).collect();
    let text = format!("{} epochs of {lineage} are pruned in the record at {}\n", left.len(), repo.location);
    if dry_run {
        return Ok(Report::new(json!({"pruned": names, "dry_run": true}), text));
    }
    let mut done = Done::default();
    for deletion in &left {
        let deleted = delete_epoch(&*repo.store, &record, deletion, ctx).await?;
        done.add(deletion.epoch.to_string(), deleted)?;
    }
    Ok(done.report(json!({"pruned": names, "deleted": done.data}), text))
}

/// What was deleted so far.
#[derive(Default)]
struct Done {
    text: String,
    data: Vec<serde_json::Value>,
    problems: Vec<Problem>,
}

impl Done {
    fn add(&mut self, epoch: String, deleted: Deleted) -> Result<(), CliError> {
        if deleted.cancelled {
            let stopped = CliError::new(ExitCode::Cancelled, "cancelled", format!("stopped while deleting epoch {epoch}"));
            return Err(stopped.hint("run it again: it goes on"));
        }
        let left = if deleted.refused.is_empty() { String::new() } else { format!(", {} objects stay", deleted.refused.len()) };
        self.text += &format!("{epoch}: deleted {} in {} objects{left}\n", deleted.bytes, deleted.objects);
        self.data.push(json!({"epoch": epoch, "objects": deleted.objects, "bytes": deleted.bytes, "refused": deleted.refused.len()}));
        self.problems.extend(deleted.refused);
        Ok(())
    }

    fn report(&self, data: serde_json::Value, before: String) -> Report {
        let exit = if self.problems.is_empty() { ExitCode::Succeeded } else { ExitCode::Incomplete };
        Report::new(data, before + &self.text).found(exit, self.problems.clone())
    }
}

/// A line for each epoch.
fn shown(lineage: &Lineage, plan: &PrunePlan) -> String {
    let points = |numbers: &[EntryNumber]| format!("its {} points are given up and waited for", numbers.len());
    let close = plan.close.iter().map(|reason| vec![reason.epoch.to_string(), "close".to_owned(), reason.why.clone()]);
    let delete = plan.delete.iter().map(|deletion| vec![deletion.epoch.to_string(), "delete".to_owned(), points(&deletion.points)]);
    let keep = plan.keep.iter().map(|reason| vec![reason.epoch.to_string(), "keep".to_owned(), reason.why.clone()]);
    let rows: Vec<_> = close.chain(delete).chain(keep).collect();
    match rows.is_empty() {
        true => format!("{lineage} has no epochs\n"),
        false => table(&["EPOCH", "WHAT", "WHY"], &rows),
    }
}
