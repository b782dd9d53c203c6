//! `hourglass expire`

use clap::Args;
use jiff::SignedDuration;
use serde_json::json;

use super::{CliError, Globals, Report, output::table, points, repo::Repo};
use crate::{
    config::PRIMARY,
    model::{Clock, EntryNumber, Lineage, PolicyName, RecoveryPointId, SystemClock},
    repository::{
        catalog::Catalog,
        record::{Body, Expire, ExpiredPoint},
        retention::{Verdict, decide},
        trust::Role,
    },
};

/// Nothing that was given up is deleted before: longer than the longest run or restore.
const WAIT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Give up the points that the policy's retention does not keep, with a reason for each
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Nothing is deleted: `hourglass prune` does that, when the waiting time is over.\n\n\
    Example:\n  hourglass expire production --dry-run\n  hourglass expire production")]
pub struct ExpireArgs {
    /// The policy
    pub policy: PolicyName,
    /// Print the plan and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs it.
///
/// # Errors
/// There is no such policy; those of opening the repository and of writing to its record.
pub async fn run(args: ExpireArgs, globals: &Globals) -> Result<Report, CliError> {
    let repo = Repo::open(globals, PRIMARY).await?;
    let lineage = repo.lineage(args.policy.as_str())?;
    let Some(keep) = repo.config.policies.get(&args.policy).and_then(|policy| policy.keep) else {
        return Ok(Report::new(json!({"expired": []}), format!("policy {} has no `keep`: everything is kept", args.policy)));
    };
    let records = points::records(&repo, None).await?;
    let (own, others) = points::split(&records, &lineage).expect("the lineage is one of this site's");
    let seen = SystemClock.now();
    let verdicts: Vec<(EntryNumber, Verdict)> = decide(&Catalog::new(own, &others).candidates(), &keep, seen).into_iter().collect();
    let gone = |(number, verdict): &(EntryNumber, Verdict)| match verdict {
        Verdict::Expired { reason } => Some(ExpiredPoint { number: *number, reason: (*reason).to_owned() }),
        Verdict::Kept { .. } => None,
    };
    let expired: Vec<ExpiredPoint> = verdicts.iter().filter_map(gone).collect();
    let mut text = shown(&lineage, &verdicts);
    let mut entry = None;
    if !expired.is_empty() && !args.dry_run {
        let delete_after = seen + WAIT;
        let mut record = repo.record_to_write(&lineage).await?;
        let body = Body::Expire(Expire { points: expired.clone(), seen, delete_after });
        entry = Some(repo.decide(&mut record, &repo.decider(Role::Expire)?, body).await?.number);
        text += &format!("{} points are given up; `hourglass prune` may delete them after {delete_after}\n", expired.len());
    }
    Ok(Report::new(json!({"lineage": lineage, "verdicts": verdicts, "expired": expired, "entry": entry, "dry_run": args.dry_run}), text))
}

/// A reason for each point, newest first.
fn shown(lineage: &Lineage, verdicts: &[(EntryNumber, Verdict)]) -> String {
    if verdicts.is_empty() {
        return format!("{lineage} has no recovery points to decide about\n");
    }
    let row = |(number, verdict): &(EntryNumber, Verdict)| {
        let id = RecoveryPointId { lineage: lineage.clone(), number: *number }.to_string();
        match verdict {
            Verdict::Expired { reason } => vec![id, "expire".to_owned(), (*reason).to_owned()],
            Verdict::Kept { reasons } => {
                let words: Vec<String> = reasons.iter().map(|reason| format!("{reason:?}").to_lowercase()).collect();
                vec![id, "keep".to_owned(), words.join(", ")]
            }
        }
    };
    table(&["POINT", "VERDICT", "WHY"], &verdicts.iter().rev().map(row).collect::<Vec<_>>())
}
