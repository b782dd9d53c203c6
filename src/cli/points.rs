//! `hourglass points`

mod components;
mod diff;
mod listing;
mod live;
mod objects;
mod tree;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{CliError, ExitCode, Globals, Report, output::table, repo::Repo, restore::Choice};
use crate::{
    config::PRIMARY,
    model::{Lineage, PolicyName, Problem, RecoveryPointId},
    repository::{
        catalog::{Catalog, CatalogPoint, Selector},
        presence::{Inventory, Presence},
        record::{Body, Mark, PointRef, Record},
    },
};

/// List recovery points, look into them, hold them
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass points list")]
pub struct PointsArgs {
    /// What to do
    #[command(subcommand)]
    pub command: PointsCommand,
}

/// A decision about a point.
#[derive(Debug, Clone, Args)]
pub struct Decision {
    /// The point
    pub point: RecoveryPointId,
    /// Who decides
    #[arg(long, value_name = "NAME")]
    pub by: String,
    /// Why
    #[arg(long)]
    pub reason: String,
}

/// What to do with points.
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "those of tree and diff have their help in their own files")]
pub enum PointsCommand {
    /// List points, newest first, of every site, with what is known about each in each location
    #[command(after_long_help = "Example:\n  hourglass points list\n  hourglass points list production --location other")]
    List {
        /// The policy; without it, all
        policy: Option<PolicyName>,
        /// Only this location; without it, all
        #[arg(long)]
        location: Option<String>,
    },
    /// Show a point: members, sizes, times, vault, retention, holds; with the operator key, components and digests
    #[command(after_long_help = "Example:\n  hourglass points show production@we/1:42\n  hourglass points show production")]
    Show {
        /// The point (production@we/1:42), or a policy or a lineage (production@we/1) for its newest good point
        point: Choice,
        /// The location to read
        #[arg(long, default_value = PRIMARY)]
        location: String,
    },
    Tree(tree::TreeArgs),
    Diff(diff::DiffArgs),
    /// Keep a point whatever retention says, until it is released
    #[command(after_long_help = "Example:\n  hourglass points hold production@we/1:42 --by \"A. Person\" --reason \"audit 2026\"")]
    Hold(Decision),
    /// End all holds on a point that this site has placed
    #[command(after_long_help = "Example:\n  hourglass points release production@we/1:42 --by \"A. Person\" --reason \"audit is over\"")]
    Release(Decision),
    /// Mark a point as suspect: it is not chosen by itself any more
    #[command(after_long_help = "Example:\n  hourglass points suspect production@we/1:42 --by \"A. Person\" --reason \"taken after the intrusion\"")]
    Suspect(Decision),
}

/// Runs it.
///
/// # Errors
/// Those of opening the repository and of reading its records.
pub async fn run(args: PointsArgs, globals: &Globals) -> Result<Report, CliError> {
    match args.command {
        PointsCommand::List { policy, location } => list(policy, location, globals).await,
        PointsCommand::Show { point, location } => show(&point, &location, globals).await,
        PointsCommand::Tree(args) => tree::run(args, globals).await,
        PointsCommand::Diff(args) => diff::run(args, globals).await,
        PointsCommand::Hold(decision) => decide(decision, "held", Body::Hold, globals).await,
        PointsCommand::Release(decision) => decide(decision, "released", Body::Release, globals).await,
        PointsCommand::Suspect(decision) => decide(decision, "marked as suspect", Body::Suspect, globals).await,
    }
}

/// All records of this site as a location shows them: holds and marks in any of them count.
pub(super) async fn records(repo: &Repo, also: Option<&Lineage>) -> Result<Vec<Record>, CliError> {
    let mut lineages = repo.lineages();
    let missing = also.filter(|lineage| !lineages.contains(lineage)).cloned();
    lineages.extend(missing);
    let mut records = Vec::new();
    for lineage in lineages {
        records.push(repo.record(&lineage).await?.0);
    }
    Ok(records)
}

/// The record of `lineage` among `records`, and the others.
pub(super) fn split<'a>(records: &'a [Record], lineage: &Lineage) -> Option<(&'a Record, Vec<&'a Record>)> {
    let own = records.iter().find(|record| record.lineage() == lineage)?;
    Some((own, records.iter().filter(|record| record.lineage() != lineage).collect()))
}

/// The record of this site that is nearest to a point of `of`: its own, or that of the policy of the same name, or any.
pub(super) fn nearest(repo: &Repo, of: &Lineage) -> Option<Lineage> {
    repo.lineages().into_iter().min_by_key(|lineage| (lineage != of, lineage.policy != of.policy))
}

/// What a person calls the state of a point.
fn state(point: &CatalogPoint<'_>) -> String {
    let words = [
        (point.pruned, "pruned"),
        (point.expired.is_some() && !point.pruned, "expired"),
        (!point.point.complete, "incomplete"),
        (point.unproven, "unproven"),
        (point.suspect, "suspect"),
        (point.held, "held"),
        (point.verified.is_some(), "verified"),
    ];
    let said: Vec<&str> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    let good = if point.is_good() { vec!["good"] } else { vec![] };
    good.into_iter().chain(said).collect::<Vec<_>>().join(", ")
}

fn data(point: &CatalogPoint<'_>, locations: &[String]) -> Value {
    json!({"point": point.name.id, "sha256": point.name.sha256, "manifest": point.point, "good": point.is_good(), "complete": point.point.complete,
        "unproven": point.unproven, "held": point.held, "suspect": point.suspect, "verified": point.verified, "pruned": point.pruned,
        "expired": point.expired.map(|expiry| &expiry.reason), "recorded_in": locations})
}

/// One point in a list, over all locations.
struct Listed {
    row: Vec<String>,
    /// What each location that records it has of it; of a pruned point nothing is said.
    locations: BTreeMap<String, Option<Presence>>,
    data: Value,
}

impl Listed {
    fn new(point: &CatalogPoint<'_>) -> Listed {
        let members: Vec<_> = point.point.members.iter().map(|member| member.name.to_string()).collect();
        let ended = point.point.ended.strftime("%F %T").to_string();
        let row = vec![point.name.id.to_string(), ended, state(point), members.join(", "), point.point.live_bytes.to_string()];
        Listed { row, locations: BTreeMap::new(), data: data(point, &[]) }
    }
}

async fn list(policy: Option<PolicyName>, location: Option<String>, globals: &Globals) -> Result<Report, CliError> {
    let config = globals.load_config()?;
    let mut locations: Vec<String> = location.map_or_else(|| config.locations.keys().cloned().collect(), |one| vec![one]);
    // Where decisions are written is asked first: it knows most about a point.
    locations.sort_by_key(|location| location != PRIMARY);
    let (mut problems, mut columns) = (Vec::new(), Vec::new());
    let mut points: BTreeMap<PointRef, Listed> = BTreeMap::new();
    for location in locations {
        let found = match Repo::at(config.clone(), &location).await {
            Ok(repo) => add_location(&repo, policy.as_ref(), &mut points).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(()) => columns.push(location),
            Err(error) if location == PRIMARY || error.exit == ExitCode::Usage => return Err(error),
            Err(error) => problems.push(Problem { subject: location, what: error.message }),
        }
    }
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for Listed { mut row, locations, mut data } in points.into_values().rev() {
        row.extend(columns.iter().map(|column| completeness(locations.get(column))));
        data["recorded_in"] = json!(locations.keys().collect::<Vec<_>>());
        let of = |presence: &Presence| json!({"complete": presence.is_complete(), "missing": presence.missing().collect::<Vec<_>>(), "faults": presence.faults.len()});
        data["locations"] = locations.iter().map(|(name, presence)| (name.clone(), json!(presence.as_ref().map(of)))).collect();
        rows.push(row);
        all.push(data);
    }
    let names: Vec<String> = columns.iter().map(|column| format!("IN {}", column.to_uppercase())).collect();
    let head: Vec<&str> = ["POINT", "ENDED (UTC)", "STATE", "MEMBERS", "SIZE"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let text = match rows.is_empty() {
        true => "there are no recovery points yet".to_owned(),
        false => table(&head, &rows),
    };
    let exit = if problems.is_empty() { ExitCode::Succeeded } else { ExitCode::Incomplete };
    Ok(Report::new(json!({ "points": all }), text).found(exit, problems))
}

/// What a location has of a point, in a word: outside `None`, the location's record does not name it; inside, it was pruned.
fn completeness(found: Option<&Option<Presence>>) -> String {
    match found {
        None => "not recorded".to_owned(),
        Some(None) => "-".to_owned(),
        Some(Some(presence)) if presence.is_complete() => "complete".to_owned(),
        Some(Some(presence)) => format!("{} objects missing", presence.faults.iter().filter(|fault| !fault.part.is_for_writer()).count()),
    }
}

/// Adds the points that a location records, and what it has of each: one listing for each epoch's prefix.
async fn add_location(repo: &Repo, policy: Option<&PolicyName>, points: &mut BTreeMap<PointRef, Listed>) -> Result<(), CliError> {
    let lineages = repo.all_lineages().await?;
    if let Some(policy) = policy
        && !lineages.iter().any(|lineage| lineage.policy == *policy)
    {
        repo.lineage(policy.as_str())?;
    }
    let mut records = Vec::new();
    for lineage in lineages {
        records.push(repo.record(&lineage).await?.0);
    }
    let mut inventory = Inventory::new(&*repo.store);
    for record in records.iter().filter(|record| policy.is_none_or(|policy| record.lineage().policy == *policy)) {
        let others: Vec<&Record> = records.iter().filter(|other| other.lineage() != record.lineage()).collect();
        for point in Catalog::new(record, &others).points() {
            let presence = if point.pruned { None } else { Some(inventory.presence(record, point.name.id.number).await?) };
            let entry = points.entry(point.name.clone()).or_insert_with(|| Listed::new(point));
            entry.locations.insert(repo.location.clone(), presence);
        }
    }
    Ok(())
}

async fn show(choice: &Choice, location: &str, globals: &Globals) -> Result<Report, CliError> {
    let repo = Repo::open(globals, location).await?;
    let lineage = choice.lineage(&repo)?;
    let records = records(&repo, Some(&lineage)).await?;
    let (own, others) = split(&records, &lineage).expect("the lineage is among those that were read");
    let catalog = Catalog::new(own, &others);
    // A pruned point can still be looked at.
    let named = catalog.points().iter().find(|point| matches!(choice, Choice::Point(id) if point.name.id == *id));
    let point = match named {
        Some(point) => point,
        None => catalog.resolve(&choice.selector())?,
    };
    let (id, p) = (&point.name.id, point.point);
    let rows: Vec<_> = p
        .members
        .iter()
        .map(|member| {
            let outcome = serde_json::to_value(member.outcome).expect("an outcome is JSON");
            let outcome = outcome["outcome"].as_str().unwrap_or_default().to_owned();
            let need = if member.required { "required" } else { "optional" };
            let from = member.consistent_from.strftime("%F %T").to_string();
            vec![member.name.to_string(), member.source.clone(), need.to_owned(), outcome, member.bytes.to_string(), member.items.to_string(), from]
        })
        .collect();
    let expired = point.expired.map_or(String::new(), |expiry| format!("expired:  {} (deleted after {})\n", expiry.reason, expiry.delete_after));
    let mut text = format!(
        "{}: {}\nended:    {}\nepoch:    {}\nvault:    {}\nskew:     {} ms\nsize:     {} live, {} to fetch, {} new\n{expired}\n{}",
        id,
        state(point),
        p.ended,
        p.epoch,
        p.vault,
        p.skew_ms,
        p.live_bytes,
        p.needed_bytes,
        p.stored_bytes,
        table(&["MEMBER", "SOURCE", "NEED", "OUTCOME", "SIZE", "ITEMS", "CONSISTENT FROM (UTC)"], &rows)
    );
    let mut data = data(point, &[location.to_owned()]);
    let mut found = (ExitCode::Succeeded, Vec::new());
    match components::components(&repo, point, globals).await {
        Ok(None) => {}
        Ok(Some((rows, components))) => {
            text += &format!("\n{rows}");
            data["components"] = components;
        }
        // What is public can be shown all the same.
        Err(error) => found = (error.exit, vec![Problem { subject: format!("the sealed part of {id}"), what: error.message }]),
    }
    Ok(Report::new(data, text).found(found.0, found.1))
}

/// Writes a decision into the record of this site that is nearest to the point.
async fn decide(decision: Decision, done: &str, body: fn(Mark) -> Body, globals: &Globals) -> Result<Report, CliError> {
    let Decision { point: id, by, reason } = decision;
    let repo = Repo::open(globals, PRIMARY).await?;
    let (of_point, _) = repo.record(&id.lineage).await?;
    let catalog = Catalog::new(&of_point, &[]);
    let point = catalog.resolve(&Selector::Id(id.clone()))?.name.clone();
    let none = || CliError::usage("this site has no policy, so it has no record to write a decision into");
    let lineage = nearest(&repo, &id.lineage).ok_or_else(none)?;
    let mut record = repo.record_to_write(&lineage).await?;
    let appended = repo.decide(&mut record, &repo.operator()?, body(Mark { point, by, reason })).await?;
    let text = format!("{id} is {done} (entry {} of {lineage})", appended.number.0);
    Ok(Report::new(json!({"point": id, "lineage": lineage, "number": appended.number}), text))
}
