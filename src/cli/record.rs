//! `hourglass record`

use clap::{Args, Subcommand};
use serde_json::json;

use super::{CliError, ExitCode, Globals, Report, output::table, repo::Repo};
use crate::{
    config::{Config, PRIMARY},
    model::{Accepted, EntryNumber, Problem, Seconds},
    repository::{
        record::{Body, Entry, Heads, Proven, Record, Standing},
        repo::RepoFile,
    },
    storage,
};

/// Read the signed record of a policy
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass record show production")]
pub struct RecordArgs {
    /// What to do
    #[command(subcommand)]
    pub command: RecordCommand,
}

/// Which record.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// The policy, or a lineage such as production@we/1
    #[arg(value_name = "POLICY")]
    pub policy: String,
    /// The location to read
    #[arg(long, default_value = PRIMARY)]
    pub location: String,
}

/// What to do with a record.
#[derive(Debug, Clone, Subcommand)]
pub enum RecordCommand {
    /// List the entries, oldest first
    #[command(after_long_help = "Example:\n  hourglass record show production\n  hourglass record show production --number 7")]
    Show {
        /// Which record
        #[command(flatten)]
        which: Which,
        /// Show one entry in full
        #[arg(long, value_name = "N")]
        number: Option<u64>,
    },
    /// Print number and digest of the newest valid entry: keep it somewhere else to notice a rollback
    #[command(after_long_help = "Example:\n  hourglass record head production")]
    Head {
        /// Which record
        #[command(flatten)]
        which: Which,
    },
    /// Check signatures, chain and trust of all entries, in every location
    #[command(after_long_help = "Exit status 6: damage or forgery was found.\n\nExample:\n  hourglass record check production")]
    Check {
        /// The policy, or a lineage; without it, all policies
        #[arg(value_name = "POLICY")]
        policy: Option<String>,
    },
}

/// Runs it.
///
/// # Errors
/// Those of opening the repository and of reading its records.
pub async fn run(args: RecordArgs, globals: &Globals) -> Result<Report, CliError> {
    match args.command {
        RecordCommand::Show { which, number } => show(which, number.map(EntryNumber), globals).await,
        RecordCommand::Head { which } => head(which, globals).await,
        RecordCommand::Check { policy } => check(policy, globals).await,
    }
}

async fn show(which: Which, number: Option<EntryNumber>, globals: &Globals) -> Result<Report, CliError> {
    let repo = Repo::open(globals, &which.location).await?;
    let (record, _) = repo.record_as_stored(&repo.lineage(&which.policy)?).await?;
    if let Some(number) = number {
        let missing = || CliError::new(ExitCode::Failed, "not-found", format!("there is no valid entry {} of {}", number.0, record.lineage()));
        let valid = record.entry(number).ok_or_else(missing)?;
        let text = serde_json::to_string_pretty(&*valid.entry).expect("entries have text keys");
        return Ok(Report::new(json!({"sha256": valid.sha256, "entry": *valid.entry}), text));
    }
    let rows = record.entries().iter().map(|valid| {
        let Entry { number, written, signer, body, .. } = &*valid.entry;
        vec![number.0.to_string(), written.strftime("%F %T").to_string(), repo.name_of(signer), body.kind().to_owned(), summary(body)]
    });
    let text = table(&["NUMBER", "WRITTEN (UTC)", "SIGNER", "KIND", "WHAT"], &rows.collect::<Vec<_>>());
    let entries: Vec<_> = record.entries().iter().map(|valid| json!({"sha256": valid.sha256, "entry": *valid.entry})).collect();
    let problems = problems_of(&record, &which.location);
    let exit = if problems.is_empty() { ExitCode::Succeeded } else { ExitCode::Damaged };
    Ok(Report::new(json!({"lineage": record.lineage(), "entries": entries}), text).found(exit, problems))
}

/// An entry's body in a few words.
fn summary(body: &Body) -> String {
    let vault = |proven: &Proven| match proven {
        Proven::Vault { vault, .. } => format!("vault {vault} can be opened"),
        Proven::Point { point, location, depth, outcome, .. } => format!("{} in {location}: {depth:?} {outcome:?}", point.id).to_lowercase(),
    };
    match body {
        Body::EpochOpen(open) => format!("{} to vault {}", open.epoch, open.vault),
        Body::EpochClose(close) => format!("{}: {}", close.epoch, close.reason),
        Body::Point(point) => {
            let state = if point.complete { "complete" } else { "incomplete" };
            format!("{state}, {} members, {} new", point.members.len(), point.stored_bytes)
        }
        Body::Run(run) => format!("{} {:?}: {}", run.run, run.outcome, run.reason).to_lowercase(),
        Body::Expire(expire) => format!("{} points, deleted after {}", expire.points.len(), expire.delete_after),
        Body::Prune(prune) => format!("{}: {} in {} objects", prune.epoch, prune.bytes, prune.objects),
        Body::Hold(mark) | Body::Release(mark) | Body::Suspect(mark) => format!("{} by {}: {}", mark.point.id, mark.by, mark.reason),
        Body::Proof(proof) => vault(&proof.of),
        Body::Recovery(recovery) => {
            let service = recovery.service_green.map_or("never".to_owned(), |green| Seconds::between(recovery.declared, green).to_string());
            format!("{} {:?}, service after {service}, {} deviations", recovery.runbook, recovery.outcome, recovery.deviations).to_lowercase()
        }
        Body::Promotion(promotion) => {
            format!("continues {} after {}, by {}: {}", promotion.parent.lineage, promotion.parent.number.0, promotion.by, promotion.reason)
        }
        Body::Restore(restore) => {
            let names = |accepted: &Accepted| accepted.missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let accepted = restore.accepted.as_ref().map(|accepted| format!("; {} accepts that {} may be missing", accepted.by, names(accepted)));
            format!("{}, {} members{}", restore.point.id, restore.members.len(), accepted.unwrap_or_default())
        }
    }
}

async fn head(which: Which, globals: &Globals) -> Result<Report, CliError> {
    let repo = Repo::open(globals, &which.location).await?;
    let lineage = repo.lineage(&which.policy)?;
    let (record, _) = repo.record(&lineage).await?;
    let none = || CliError::new(ExitCode::Failed, "not-found", format!("the record of {lineage} is empty"));
    let head = record.head().ok_or_else(none)?;
    Ok(Report::new(json!({"lineage": lineage, "number": head.number, "sha256": head.sha256}), format!("{lineage} {} {}", head.number.0, head.sha256)))
}

/// What is wrong with an object in a versioned store that is there and not shown.
pub(super) const COVERED: &str = "it, or its signature, is deleted or covered by something else, and was read from an older version";

/// What is wrong with a record as `location` shows it.
pub(super) fn problems_of(record: &Record, location: &str) -> Vec<Problem> {
    let subject = |number: EntryNumber| format!("{location} {} entry {}", record.lineage(), number.0);
    let voids = record.voids().iter().map(|void| Problem { subject: subject(void.number), what: format!("void: {}", void.reason) });
    let strays = record.strays().iter().map(|number| Problem { subject: subject(*number), what: "nobody who may has signed it".to_owned() });
    let gap = record.gap().map(|gap| Problem { subject: subject(gap.number), what: format!("missing, below {} others", gap.above) });
    let covered = record.covered().iter().map(|number| Problem { subject: subject(*number), what: COVERED.to_owned() });
    let trust = record.trusts().covered().iter();
    let trust = trust.map(|number| Problem { subject: format!("{location} trust object {number}"), what: COVERED.to_owned() });
    voids.chain(strays).chain(gap).chain(covered).chain(trust).collect()
}

/// Whether a location holds no repository, and never did as far as this machine has seen. Of primary that is an error: what is there to check?
async fn is_still_empty(config: &Config, location: &str) -> Result<bool, CliError> {
    let place = &config.locations[location];
    let seen = Heads::open(&config.state_dir.join("heads.json"))?.knows(&place.url.to_string());
    Ok(location != PRIMARY && !seen && RepoFile::load(&*storage::open(place).await?).await?.is_none())
}

async fn check(policy: Option<String>, globals: &Globals) -> Result<Report, CliError> {
    let config = globals.load_config()?;
    let (mut problems, mut rows, mut data, mut behind) = (Vec::new(), Vec::new(), Vec::new(), false);
    for location in config.locations.keys() {
        let repo = match Repo::at(config.clone(), location).await {
            Err(_) if is_still_empty(&config, location).await? => {
                data.push(json!({"location": location, "lineage": null, "entries": 0, "head": 0, "state": "empty"}));
                rows.push(vec![location.clone(), "-".to_owned(), "0".to_owned(), "0".to_owned(), "empty: nothing was copied to it yet".to_owned()]);
                continue;
            }
            opened => opened?,
        };
        let lineages = policy.as_deref().map_or(Ok(repo.lineages()), |policy| repo.lineage(policy).map(|lineage| vec![lineage]))?;
        for lineage in lineages {
            let (record, standing) = repo.record_as_stored(&lineage).await?;
            let found = problems_of(&record, location);
            let number = record.head().map_or(0, |head| head.number.0);
            let state = match standing {
                Standing::Behind { remembered } => {
                    behind = true;
                    format!("behind: {} was seen here", remembered.0)
                }
                Standing::Current if found.is_empty() => "good".to_owned(),
                Standing::Current => format!("{} problems", found.len()),
            };
            data.push(json!({"location": location, "lineage": lineage, "entries": record.entries().len(), "head": number, "state": state}));
            rows.push(vec![location.clone(), lineage.to_string(), record.entries().len().to_string(), number.to_string(), state]);
            problems.extend(found);
        }
    }
    let text = table(&["LOCATION", "RECORD", "ENTRIES", "HEAD", "STATE"], &rows);
    let exit = match (problems.is_empty(), behind) {
        (false, _) => ExitCode::Damaged,
        (true, true) => ExitCode::Incomplete,
        (true, false) => ExitCode::Succeeded,
    };
    Ok(Report::new(data, text).found(exit, problems))
}
