//! `hourglass copy`

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::{Value, json};

use super::{
    CliError, ExitCode, Globals, Report,
    mirrors::{Mirrors, fill_mirrors},
    output::table,
    points,
    repo::Repo,
};
use crate::{
    config::PRIMARY,
    model::{EntryNumber, Event, Lineage, Outcome, Problem, RecoveryPointId, step_id},
    repository::{
        catalog::{Catalog, Selector},
        copy::{CopiedPoint, CopyOptions, CopyReport, Side, copy_points},
        needs::Wrong,
        record::{Copies, Record},
    },
    storage,
};

/// Copy recovery points to another location, and verify what arrived
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Needs no key. What is there already is skipped; every object is hashed on its way.\n\n\
    Snapshot repositories of search clusters that have a mirror there are brought before the points; that needs their clusters.\n\n\
    Exit status 3: something is missing at the source, or a mirror could not be filled. 6: damage was found.\n\n\
    Example:\n  hourglass copy --to other\n  hourglass copy production@we/1:42 --to other")]
pub struct CopyArgs {
    /// The points; without any, all that are not there yet
    #[arg(value_name = "POINT")]
    pub points: Vec<RecoveryPointId>,
    /// The location to copy to
    #[arg(long, value_name = "LOCATION")]
    pub to: String,
    /// The location to copy from
    #[arg(long, value_name = "LOCATION", default_value = PRIMARY)]
    pub from: String,
}

/// Runs it.
///
/// # Errors
/// There is no such location or point; those of opening the repository; a store failed; the destination holds something else.
pub async fn run(args: CopyArgs, globals: &Globals) -> Result<Report, CliError> {
    let repo = Repo::open(globals, &args.from).await?;
    let Some(place) = repo.config.locations.get(&args.to).filter(|_| args.to != args.from) else {
        let names: Vec<&str> = repo.config.locations.keys().map(String::as_str).filter(|name| *name != args.from).collect();
        let unknown = CliError::usage(format!("there is no other location {:?} to copy to", args.to));
        return Err(unknown.hint(format!("the configuration has: {}", names.join(", "))));
    };
    let to = storage::open(place).await?;
    let ctx = globals.context();
    let wanted = wanted(&repo, &args.points).await?;
    // What points lead to goes before them.
    let lineages: Vec<&Lineage> = wanted.iter().map(|(record, _)| record.lineage()).collect();
    let Mirrors { mut text, data: mirrors, mut problems } = fill_mirrors(&repo.config, &lineages, &args.to, &ctx).await?;
    let mut exit = if problems.is_empty() { ExitCode::Succeeded } else { ExitCode::Incomplete };
    let (mut rows, mut data) = (Vec::new(), Vec::new());
    for (record, points) in wanted {
        let step = step_id(&["copy", &record.lineage().to_string()]);
        let what = format!("copy {} points of {} to {}", points.len(), record.lineage(), args.to);
        ctx.observer.event(&Event::StepStarted { step: step.clone(), what });
        let read_before = Copies::of(&repo.config.state_dir, &place.url.to_string(), record.lineage());
        let options = CopyOptions { lock: place.lock.is_some(), step: step.clone(), read_before };
        let copied = copy_points(&*repo.store, &*to, &record, &points, &options, &ctx).await;
        let outcome = match &copied {
            Ok(report) => outcome(report, &args),
            Err(error) => Outcome::Failed { problem: Problem { subject: record.lineage().to_string(), what: error.to_string() } },
        };
        ctx.observer.event(&Event::StepEnded { step, outcome });
        let report = copied?;
        if report.cancelled {
            return Err(stopped());
        }
        let (worst, found) = judge(&record, &report, &args);
        exit = if exit == ExitCode::Damaged { exit } else { worst.unwrap_or(exit) };
        problems.extend(found);
        rows.extend(report.points.iter().map(row));
        data.push(shown(record.lineage(), &report));
    }
    text += &match rows.is_empty() {
        true => format!("there are no points to copy; the records are at {}", args.to),
        false => table(&["POINT", "COPIED", "SIZE", "THERE ALREADY", "SIZE", "STATE"], &rows),
    };
    Ok(Report::new(json!({"from": args.from, "to": args.to, "lineages": data, "mirrors": mirrors}), text).found(exit, problems))
}

/// That the copy was asked to stop.
pub(super) fn stopped() -> CliError {
    CliError::new(ExitCode::Cancelled, "cancelled", "the copy was stopped; what arrived is kept").hint("run it again: it goes on")
}

/// The records to copy and the points of each: those that were asked for, or all of this site's that are complete and not given up.
async fn wanted(repo: &Repo, asked: &[RecoveryPointId]) -> Result<Vec<(Record, Vec<EntryNumber>)>, CliError> {
    let mut by_lineage: BTreeMap<Lineage, BTreeSet<EntryNumber>> = BTreeMap::new();
    for id in asked {
        by_lineage.entry(id.lineage.clone()).or_default().insert(id.number);
    }
    let mut wanted = Vec::new();
    if asked.is_empty() {
        for record in points::records(repo, None).await? {
            let catalog = Catalog::new(&record, &[]);
            let live = catalog.points().iter().filter(|point| point.point.complete && point.expired.is_none() && !point.pruned);
            let numbers = live.map(|point| point.name.id.number).collect();
            wanted.push((record, numbers));
        }
    }
    for (lineage, numbers) in by_lineage {
        let (record, _) = repo.record(&lineage).await?;
        let catalog = Catalog::new(&record, &[]);
        for number in &numbers {
            catalog.resolve(&Selector::Number(*number))?;
        }
        wanted.push((record, numbers.into_iter().collect()));
    }
    Ok(wanted)
}

fn outcome(report: &CopyReport, args: &CopyArgs) -> Outcome {
    let missing: Vec<Problem> = report.points.iter().flat_map(|point| faults(point, args)).collect();
    match (report.cancelled, missing.is_empty()) {
        (true, _) => Outcome::Cancelled { reason: "asked to stop".to_owned() },
        (false, true) => Outcome::Succeeded,
        (false, false) => Outcome::Incomplete { missing },
    }
}

fn faults(point: &CopiedPoint, args: &CopyArgs) -> impl Iterator<Item = Problem> {
    point.faults.iter().map(|fault| {
        let location = if fault.side == Side::From { &args.from } else { &args.to };
        Problem { subject: format!("{location} {}", fault.key), what: format!("{} (needed by {})", fault.wrong, point.point.id) }
    })
}

/// What a person must know, and how bad it is.
fn judge(record: &Record, report: &CopyReport, args: &CopyArgs) -> (Option<ExitCode>, Vec<Problem>) {
    let mut problems: Vec<Problem> = report.points.iter().flat_map(|point| faults(point, args)).collect();
    let lineage = record.lineage();
    if let Some(gap) = record.gap() {
        let what = format!("missing, below {} others, which were not copied", gap.above);
        problems.push(Problem { subject: format!("{} {lineage} entry {}", args.from, gap.number.0), what });
    }
    // Entries come into being at the primary location: there, and only there, having fewer means loss.
    let lost = report.ahead > 0 && args.from == PRIMARY;
    if lost {
        let what = format!("{} has {} entries above the last one here: this location has lost them", args.to, report.ahead);
        problems.push(Problem { subject: format!("{} {lineage}", args.from), what });
    }
    let damaged = report.points.iter().flat_map(|point| &point.faults).any(|fault| fault.wrong != Wrong::Missing);
    let exit = match problems.is_empty() {
        true => None,
        false if damaged || record.gap().is_some() || lost => Some(ExitCode::Damaged),
        false => Some(ExitCode::Incomplete),
    };
    (exit, problems)
}

fn row(point: &CopiedPoint) -> Vec<String> {
    let state = if point.is_complete() { "complete".to_owned() } else { format!("incomplete: {} objects", point.faults.len()) };
    let (copied, skipped) = (point.copied, point.skipped);
    vec![
        point.point.id.to_string(),
        copied.objects.to_string(),
        copied.bytes.to_string(),
        skipped.objects.to_string(),
        skipped.bytes.to_string(),
        state,
    ]
}

fn shown(lineage: &Lineage, report: &CopyReport) -> Value {
    let one =
        |point: &CopiedPoint| json!({"point": point.point.id, "copied": point.copied, "skipped": point.skipped, "complete": point.is_complete()});
    json!({"lineage": lineage, "entries": report.entries, "ahead": report.ahead, "points": report.points.iter().map(one).collect::<Vec<_>>()})
}
