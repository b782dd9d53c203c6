//! `hourglass promote`, and what it means for the writer of the lineage that was left behind.

use clap::Args;
use serde_json::json;

use super::{CliError, ExitCode, Globals, Report, keys, repo::Repo};
use crate::{
    config::PRIMARY,
    model::{EntryNumber, Lineage, PolicyName, RunId, Sha256},
    orchestrator::{
        order::words,
        successor::{Successor, successor},
    },
    repository::{
        RepositoryError,
        keys::OperatorFile,
        record::{Body, HeadRef, Promotion, Record, VoidReason},
    },
};

/// Let this site write a policy from here on, and the site that wrote it no more
#[derive(Debug, Clone, Args)]
#[command(
    after_long_help = "Opens the next generation of the policy's lineage at this site, which names the head of the one that it continues. The step `protect` of a \
    runbook does the same. The writer of the other lineage refuses as soon as it sees this in one of its locations.\n\n\
    Example:\n  hourglass promote production --from production@we/1 --who Berta --reason \"the region is lost\""
)]
pub struct PromoteArgs {
    /// The policy
    pub policy: PolicyName,
    /// The lineage that this site continues
    #[arg(long, value_name = "LINEAGE")]
    pub from: Lineage,
    /// The location that shows it
    #[arg(long, default_value = PRIMARY)]
    pub location: String,
    /// Who decides
    #[arg(long, value_name = "NAME", value_parser = words)]
    pub who: String,
    /// Why, for those who read the record
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
}

/// What somebody decides.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    /// The policy.
    pub policy: PolicyName,
    /// Where the record that is continued ends.
    pub parent: HeadRef,
    /// The recovery that does it.
    pub run: Option<RunId>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Runs it.
///
/// # Errors
/// Another site has promoted already; those of opening the repository and of writing the record.
pub async fn run(args: PromoteArgs, globals: &Globals) -> Result<Report, CliError> {
    let config = globals.load_config()?;
    let parent = head(&Repo::at(config.clone(), &args.location).await?, &args.from).await?;
    let repo = Repo::at(config, PRIMARY).await?;
    let operator = repo.operator()?;
    let decision = Decision { policy: args.policy, parent, run: None, by: args.who, reason: args.reason };
    let (lineage, number) = promote(&repo, &operator, &decision).await?;
    let parent = &decision.parent;
    let text = format!(
        "{lineage} continues {} after entry {}: `hourglass backup {}` at this site makes its points\n",
        parent.lineage, parent.number.0, decision.policy
    );
    Ok(Report::new(json!({"lineage": lineage, "parent": parent, "entry": number}), text))
}

/// Where a record ends.
pub(super) async fn head(repo: &Repo, lineage: &Lineage) -> Result<HeadRef, CliError> {
    let (record, _) = repo.record(lineage).await?;
    let (number, sha256) = record.head().map_or((EntryNumber(0), Sha256::ZERO), |head| (head.number, head.sha256));
    Ok(HeadRef { lineage: lineage.clone(), number, sha256 })
}

/// Opens the next generation at this site, or finds the one that this recovery has opened; and proves its vault.
pub(super) async fn promote(repo: &Repo, operator: &OperatorFile, decision: &Decision) -> Result<(Lineage, EntryNumber), CliError> {
    let current = repo.lineage(decision.policy.as_str())?;
    let opened = Record::opening(&*repo.store, &repo.trusts, &current).await?;
    let (lineage, number) = match opened.filter(|promotion| decision.run.is_some() && promotion.run == decision.run) {
        Some(_) => (current, EntryNumber(0)),
        None => {
            // What is written to is chosen before others are looked for: whoever promotes this site meanwhile is found, or has its first entry.
            let mut record = next(repo, current).await?;
            if let Some(successor) = successor(&repo.config, &decision.parent.lineage).await {
                return Err(promoted(&successor));
            }
            let lineage = record.lineage().clone();
            let Decision { parent, run, by, reason, .. } = decision.clone();
            let body = Body::Promotion(Promotion { parent, run, by, reason });
            match repo.decide_as(&mut record, operator, body).await {
                Ok(appended) => (lineage, appended.number),
                // Somebody was faster.
                Err(RepositoryError::Refused { reason: VoidReason::NotFirst, .. }) => match record.promotion() {
                    Some(other) => return Err(promoted(&Successor { lineage, promotion: other.clone() })),
                    None => return Err(CliError::new(ExitCode::Failed, "conflict", format!("somebody else writes to {lineage} at this moment"))),
                },
                Err(error) => return Err(error.into()),
            }
        }
    };
    // The generation that was just opened is seen by whoever opens the repository now.
    keys::prove(&Repo::at(repo.config.clone(), PRIMARY).await?).await?;
    Ok((lineage, number))
}

/// The first generation of this site that nobody has written to.
async fn next(repo: &Repo, current: Lineage) -> Result<Record, CliError> {
    let record = repo.record_to_write(&current).await?;
    if record.head().is_none() {
        return Ok(record);
    }
    let generation = current.generation.checked_add(1).ok_or_else(|| CliError::usage("there is no higher generation"))?;
    let lineage = Lineage { generation, ..current };
    let record = repo.record_to_write(&lineage).await?;
    match record.head() {
        None => Ok(record),
        Some(_) => Err(CliError::new(ExitCode::Failed, "conflict", format!("{lineage} holds a record that no promotion began"))
            .hint(format!("set generation: {generation} of this policy in the configuration"))),
    }
}

/// That a lineage is not continued by its own writer any more.
pub(super) fn promoted(by: &Successor) -> CliError {
    CliError::new(ExitCode::Stuck, "promoted", by.sentence()).hint(by.hint())
}
