//! `hourglass verify`

pub(super) mod restored;
mod sampled;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{
    CliError, ExitCode, Globals, Report,
    output::table,
    points,
    record::{COVERED, problems_of},
    repo::Repo,
};
use crate::{
    config::{PRIMARY, parse_duration},
    model::{
        Context, EntryNumber, Event, Lineage, MemberName, ObjectKey, Outcome, Problem, RecoveryPointId, StepId, VaultId, outcome::explain, step_id,
    },
    pipeline::VaultIdentity,
    repository::{
        catalog::{Catalog, Selector},
        keys::{OperatorFile, vault},
        layout,
        needs::Part,
        record::{Body, Depth, Proof, ProofOutcome, Proven, Record, Standing},
        repo::RepoFile,
        trust::Role,
        verify::{CheckedPoint, Look, check_points},
        version_named,
    },
    restore::{RestoreError, fetch::Location, opened::OpenedPoint, verify::check_restorable},
    storage::list_all,
};

/// Damaged objects of which older versions are read: an attacker may have hidden all of them, and a report need not name a million.
const MOST_VERSIONS_NAMED: usize = 100;

/// Check recovery points: their objects, digests, or a whole trial restore
#[derive(Debug, Clone, Args)]
#[command(
    after_long_help = "Trust, record and signatures are checked at every depth. With an operator key what was found is written into the record.\n\n\
    Exit status 6: damage or forgery was found. 3: this location has not caught up.\n\n\
    Example:\n  hourglass verify --depth intact\n  hourglass verify --depth intact --within 30d\n  hourglass verify production@we/1:42 --depth restorable --location other\n  \
    hourglass verify production@we/1:42 --depth restored --member events --to /srv/restored"
)]
pub struct VerifyArgs {
    /// The point; without it, all of this site's that are not given up
    pub point: Option<RecoveryPointId>,
    /// How deep to look
    #[arg(long, value_enum, default_value_t)]
    pub depth: DepthArg,
    /// Where to look
    #[arg(long, default_value = PRIMARY)]
    pub location: String,
    /// With --depth intact: list everything and read a part, so that everything is read within this time, for example 30d, however often this runs
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with_all = ["point", "member", "to"])]
    pub within: Option<Duration>,
    /// With --depth restored: the member that a target is compared with
    #[arg(long, value_name = "NAME")]
    pub member: Option<MemberName>,
    /// With --depth restored: the source whose system holds it
    #[arg(long, value_name = "SOURCE", conflicts_with = "to")]
    pub into: Option<MemberName>,
    /// With --depth restored: the folder that holds it
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

/// How deep a check goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DepthArg {
    /// Every object is there with its size; needs no key.
    Present,
    /// Every object has its digest; needs no key.
    #[default]
    Intact,
    /// Everything decrypts and decodes to its digest.
    Restorable,
    /// A target holds it: it was restored there, and is compared with what the target holds now.
    Restored,
}

/// One point, checked.
struct Verified {
    checked: CheckedPoint,
    problems: Vec<Problem>,
    good: bool,
}

/// Runs it.
///
/// # Errors
/// There is no such location or point; the repository cannot be opened; a store failed; the operator key is missing where it is needed.
pub async fn run(args: VerifyArgs, globals: &Globals) -> Result<Report, CliError> {
    let depth = match args.depth {
        DepthArg::Present => Depth::Present,
        DepthArg::Intact => Depth::Intact,
        DepthArg::Restorable => Depth::Restorable,
        DepthArg::Restored => return restored::run(args, globals).await,
    };
    match args.within {
        Some(within) if depth == Depth::Intact => return sampled::run(&args, within, globals).await,
        Some(_) => return Err(CliError::usage("only checks of depth intact read a part at a time")),
        None => {}
    }
    let repo = Repo::open(globals, &args.location).await.map_err(found)?;
    let operator = match (&repo.config.operator_key_file, depth) {
        (None, Depth::Restorable) | (Some(_), _) => Some(repo.decider(Role::Verify)?),
        (None, _) => None,
    };
    if depth == Depth::Restorable && operator.as_ref().is_some_and(|operator| operator.identities.is_empty()) {
        return Err(CliError::usage("the depth `restorable` decrypts, and the key file of this machine has no identity that opens a vault"));
    }
    let ctx = globals.context();
    let (wanted, mut problems, mut exit) = wanted(&repo, args.point.as_ref(), None).await?;
    if !RepoFile::is_shown(&*repo.store).await? {
        problems.push(Problem { subject: format!("{} {}", args.location, layout::repo()), what: COVERED.to_owned() });
        exit = ExitCode::Damaged;
    }
    let (mut rows, mut data) = (Vec::new(), Vec::new());
    let mut vaults = BTreeMap::new();
    for (record, points) in &wanted {
        let step = step_id(&["verify", &record.lineage().to_string()]);
        let what = format!("verify {} points of {} at {}", points.len(), record.lineage(), args.location);
        ctx.observer.event(&Event::StepStarted { step: step.clone(), what });
        let look = if depth == Depth::Present { Look::Present } else { Look::Intact };
        let stopped = || CliError::new(ExitCode::Cancelled, "cancelled", "the check was stopped; what was not looked at is not called good");
        let checked = check_points(&*repo.store, record, points, look, &step, &ctx).await?.ok_or_else(stopped)?;
        let mut all: Vec<Verified> = checked.into_iter().map(|checked| Verified::from_faults(checked, &args.location)).collect();
        name_whole_versions(&repo, &mut all).await?;
        if let (Depth::Restorable, Some(operator)) = (depth, &operator) {
            for verified in &mut all {
                open(&repo, record, verified, (operator, &mut vaults), &step, &ctx).await?;
            }
        }
        let recorded = record_proofs(&repo, operator.as_ref(), record.lineage(), &all, depth).await;
        let mut missing = Vec::new();
        for (verified, recorded) in all.into_iter().zip(recorded) {
            rows.push(verified.row(depth, &recorded));
            data.push(json!({"point": verified.checked.point.id, "outcome": verified.outcome(), "objects": verified.checked.objects,
                "bytes": verified.checked.bytes, "problems": verified.problems, "recorded": recorded.as_ref().ok()}));
            missing.extend(verified.problems);
        }
        let outcome = if missing.is_empty() { Outcome::Succeeded } else { Outcome::Incomplete { missing: missing.clone() } };
        ctx.observer.event(&Event::StepEnded { step, outcome });
        if !missing.is_empty() {
            exit = ExitCode::Damaged;
        }
        problems.extend(missing);
    }
    let text = match rows.is_empty() {
        true => "there are no recovery points to check".to_owned(),
        false => table(&["POINT", "DEPTH", "OUTCOME", "OBJECTS", "SIZE", "RECORDED"], &rows),
    };
    Ok(Report::new(json!({"location": args.location, "depth": depth, "points": data}), text).found(exit, problems))
}

/// Whoever asks for a check expects a repository, and what it showed before: else it is damage.
fn found(error: CliError) -> CliError {
    if matches!(error.kind, "not-found" | "fork") { CliError { exit: ExitCode::Damaged, ..error } } else { error }
}

/// Of what is hidden by a delete marker or covered by something else, says which version is whole.
async fn name_whole_versions(repo: &Repo, all: &mut [Verified]) -> Result<(), CliError> {
    let mut known: BTreeMap<ObjectKey, Option<String>> = BTreeMap::new();
    for verified in all {
        for (fault, problem) in verified.checked.faults.iter().zip(&mut verified.problems) {
            if !known.contains_key(&fault.key) && known.len() < MOST_VERSIONS_NAMED {
                let version = match layout::digest(&fault.key) {
                    Some(digest) => version_named(&*repo.store, &fault.key, digest).await?,
                    None => None,
                };
                known.insert(fault.key.clone(), version.map(|(version, _)| version));
            }
            if let Some(Some(version)) = known.get(&fault.key) {
                problem.what += &format!("; its version {version} is whole: remove what lies over it");
            }
        }
    }
    Ok(())
}

type Wanted = Vec<(Record, Vec<EntryNumber>)>;

/// The records to check with their points, and what is wrong with the records themselves. Of entries that were read before only those in the buckets
/// `due` are read, where a part is read at a time.
async fn wanted(repo: &Repo, point: Option<&RecoveryPointId>, due: Option<&BTreeSet<u16>>) -> Result<(Wanted, Vec<Problem>, ExitCode), CliError> {
    let lineages = point.map_or_else(|| repo.lineages(), |point| vec![point.lineage.clone()]);
    let (mut wanted, mut problems, mut exit) = (Vec::new(), Vec::new(), ExitCode::Succeeded);
    for lineage in lineages {
        let read = match due {
            None => repo.record_as_stored(&lineage).await,
            Some(due) => repo.record_as_listed(&lineage, due.clone()).await,
        };
        let (record, standing) = read.map_err(|error| self::found(error.into()))?;
        let found = problems_of(&record, &repo.location);
        if let Standing::Behind { remembered } = standing {
            let number = record.head().map_or(0, |head| head.number.0);
            let what = format!("the record ends at {number}, and it went on to {} when it was read last", remembered.0);
            problems.push(Problem { subject: format!("{} {lineage}", repo.location), what });
            // Nothing arrives late where it is written.
            exit = if repo.location == PRIMARY { ExitCode::Damaged } else { ExitCode::Incomplete };
        }
        exit = if found.is_empty() { exit } else { ExitCode::Damaged };
        problems.extend(found);
        let catalog = Catalog::new(&record, &[]);
        let numbers = match point {
            None => catalog.points().iter().filter(|point| point.expired.is_none() && !point.pruned).map(|point| point.name.id.number).collect(),
            Some(point) => match catalog.resolve(&Selector::Number(point.number)) {
                Ok(found) => vec![found.name.id.number],
                // What is wrong with the record says why the point is not there.
                Err(error) if !problems.is_empty() => {
                    problems.push(Problem { subject: point.to_string(), what: explain(&error) });
                    Vec::new()
                }
                Err(error) => return Err(error.into()),
            },
        };
        wanted.push((record, numbers));
    }
    Ok((wanted, problems, exit))
}

impl Verified {
    fn from_faults(checked: CheckedPoint, location: &str) -> Verified {
        let id = &checked.point.id;
        let problem = |fault: &crate::repository::needs::Fault| {
            let concern = match fault.part {
                Part::Index | Part::Hints => "restores do not need it, the next run reads more",
                Part::EpochKey => "restores do not need it",
                Part::Pack | Part::PackList | Part::Sealed | Part::Vault => "a restore does",
            };
            Problem { subject: format!("{location} {}", fault.key), what: format!("{} (named by {id}; {concern})", fault.wrong) }
        };
        Verified { problems: checked.faults.iter().map(problem).collect(), good: checked.is_good(), checked }
    }

    fn outcome(&self) -> ProofOutcome {
        if self.good { ProofOutcome::Passed } else { ProofOutcome::Failed }
    }

    fn row(&self, depth: Depth, recorded: &Result<(Lineage, EntryNumber), String>) -> Vec<String> {
        let outcome = match (self.good, self.problems.len()) {
            (true, 0) => "passed".to_owned(),
            (true, notes) => format!("passed, {notes} problems"),
            (false, problems) => format!("failed, {problems} problems"),
        };
        let recorded = recorded.as_ref().map_or_else(|why| format!("no: {why}"), |(lineage, number)| format!("{lineage} entry {}", number.0));
        let depth = format!("{depth:?}").to_lowercase();
        vec![self.checked.point.id.to_string(), depth, outcome, self.checked.objects.to_string(), self.checked.bytes.to_string(), recorded]
    }

    fn fail(&mut self, subject: String, what: String) {
        self.good = false;
        self.problems.push(Problem { subject, what });
    }
}

type Vaults<'a> = (&'a OperatorFile, &'a mut BTreeMap<VaultId, Opened>);

/// Decrypts and decodes everything that the point has at this location.
async fn open(
    repo: &Repo,
    record: &Record,
    verified: &mut Verified,
    (operator, vaults): Vaults<'_>,
    step: &StepId,
    ctx: &Context,
) -> Result<(), CliError> {
    let name = verified.checked.point.clone();
    let (_, point) = record.point(name.id.number).expect("the point was checked");
    let id = &point.vault;
    if !vaults.contains_key(id) {
        vaults.insert(id.clone(), unlock(repo, operator, id).await?);
    }
    let identity = match &vaults[id] {
        Ok((identity, covered)) => {
            let problem = |wrapping| Problem { subject: format!("{} {}", repo.location, layout::vault(id, wrapping)), what: COVERED.to_owned() };
            verified.problems.extend(covered.map(problem));
            verified.good = verified.checked.faults.iter().all(|fault| fault.part.is_for_writer() || fault.part == Part::Vault);
            Arc::clone(identity)
        }
        Err(why) => {
            verified.fail(format!("{} {}", repo.location, layout::vault_prefix(id)), format!("{why} (the vault of {})", name.id));
            return Ok(());
        }
    };
    let here = Location { name: repo.location.clone(), store: Arc::clone(&repo.store) };
    let found = match OpenedPoint::open(name.clone(), point.clone(), identity, vec![here], ctx).await {
        Ok(opened) => check_restorable(&opened, step, ctx).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(problems) => problems.into_iter().for_each(|problem| verified.fail(format!("{} {}", name.id, problem.subject), problem.what)),
        Err(RestoreError::Cancelled) => return Err(CliError::new(ExitCode::Cancelled, "cancelled", "the check was stopped")),
        Err(error) => verified.fail(name.id.to_string(), format!("it cannot be opened: {}", explain(&error))),
    }
    Ok(())
}

/// The vault's key with the wrapping that only an older version shows; or why this operator cannot have it.
type Opened = Result<(Arc<VaultIdentity>, Option<u64>), String>;

async fn unlock(repo: &Repo, operator: &OperatorFile, id: &VaultId) -> Result<Opened, CliError> {
    match vault::unlock(&*repo.store, &repo.trusts, id, &operator.identities).await {
        Ok(unlocked) => Ok(Ok((Arc::new(unlocked.identity), unlocked.covered.then_some(unlocked.wrapping.number)))),
        Err(crate::repository::RepositoryError::Store(error)) => Err(error.into()),
        Err(error) => {
            let there = list_all(&*repo.store, &layout::vault_prefix(id)).await?;
            let names: Vec<&str> = there.iter().map(|object| object.key.as_str()).collect();
            let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            Ok(Err(format!("{}; {names} is there: damaged, or wrapped to other operators", explain(&error))))
        }
    }
}

/// For each point the entry that tells of it, or why there is none.
async fn record_proofs(
    repo: &Repo,
    operator: Option<&OperatorFile>,
    of: &Lineage,
    all: &[Verified],
    depth: Depth,
) -> Vec<Result<(Lineage, EntryNumber), String>> {
    let mut told = Vec::new();
    let why = try_record(repo, operator, of, all, depth, &mut told).await.err().unwrap_or_default();
    let left = all.len() - told.len();
    told.into_iter().map(Ok).chain(std::iter::repeat_n(Err(why), left)).collect()
}

/// Writes what was found into the record of this site that is nearest to the points, at the location where this site writes.
async fn try_record(
    repo: &Repo,
    operator: Option<&OperatorFile>,
    of: &Lineage,
    all: &[Verified],
    depth: Depth,
    told: &mut Vec<(Lineage, EntryNumber)>,
) -> Result<(), String> {
    let operator = operator.ok_or("no operator key is configured")?;
    let lineage = points::nearest(repo, of).ok_or("this site has no record")?;
    let primary;
    let home = if repo.location == PRIMARY {
        repo
    } else {
        primary = Repo::at(repo.config.clone(), PRIMARY).await.map_err(|error| error.message)?;
        &primary
    };
    let mut record = home.record_to_write(&lineage).await.map_err(|error| error.to_string())?;
    let head = record.head().map_or(EntryNumber(0), |head| head.number);
    if record.voids().iter().any(|void| void.number > head) {
        // What cannot be read now may be mended; an entry above it would make that void for good.
        return Err("the end of the record is void; look at that first".to_owned());
    }
    for verified in all {
        let (point, outcome, problems) = (verified.checked.point.clone(), verified.outcome(), verified.problems.len() as u64);
        let body = Body::Proof(Proof { of: Proven::Point { point, location: repo.location.clone(), depth, outcome, problems } });
        let appended = home.decide(&mut record, operator, body).await.map_err(|error| error.message)?;
        told.push((lineage.clone(), appended.number));
    }
    Ok(())
}
