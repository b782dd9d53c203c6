//! Which point a restore is from, and which location has it.

use std::{str::FromStr, time::Duration};

use crate::{
    cli::{CliError, ExitCode, points, repo::Repo},
    config::{Config, PRIMARY},
    model::{InvalidId, Lineage, MemberName, PolicyName, RecoveryPointId, Timestamp},
    repository::{
        catalog::{Catalog, CatalogPoint, Selector},
        record::{Point, PointRef},
        repo::RepoFile,
    },
    storage,
};

/// How long a location may say nothing before the next one is asked: it may be gone, and the clock is running.
const LOCATION_PATIENCE: Duration = Duration::from_secs(15);

/// Which point to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Point(RecoveryPointId),
    /// One of this policy's, chosen by time.
    Newest(PolicyName),
    /// One of this lineage's, which may be another site's, chosen by time.
    NewestOf(Lineage),
}

impl FromStr for Choice {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Choice, InvalidId> {
        match (text.contains(':'), text.contains(['@', '/'])) {
            (true, _) => text.parse().map(Choice::Point),
            (false, true) => text.parse().map(Choice::NewestOf),
            (false, false) => text.parse().map(Choice::Newest),
        }
    }
}

impl Choice {
    /// Whose point.
    pub fn lineage(&self, repo: &Repo) -> Result<Lineage, CliError> {
        match self {
            Choice::Point(id) => Ok(id.lineage.clone()),
            Choice::Newest(policy) => repo.lineage(policy.as_str()),
            Choice::NewestOf(lineage) => Ok(lineage.clone()),
        }
    }

    /// Which of that lineage, as long as no time chooses it.
    pub fn selector(&self) -> Selector {
        match self {
            Choice::Point(id) => Selector::Number(id.number),
            Choice::Newest(_) | Choice::NewestOf(_) => Selector::Latest,
        }
    }
}

/// Which point, and where to look for it.
#[derive(Debug)]
pub struct Wanted<'a> {
    pub point: &'a Choice,
    pub at: Option<Timestamp>,
    pub before: Option<Timestamp>,
    pub from: Option<&'a str>,
    /// Members that the chosen point may lack.
    pub accept_missing: &'a [MemberName],
}

impl<'a> Wanted<'a> {
    /// The point, from wherever it is; the newest good one of a policy.
    pub fn new(point: &'a Choice) -> Wanted<'a> {
        Wanted { point, at: None, before: None, from: None, accept_missing: &[] }
    }
}

/// The point that was asked for, from the first location that has it.
pub async fn find(config: &Config, wanted: &Wanted<'_>) -> Result<(Repo, PointRef, Point), CliError> {
    let places: Vec<&str> = match wanted.from {
        Some(name) => vec![name],
        None => std::iter::once(PRIMARY).chain(config.locations.keys().map(String::as_str).filter(|name| *name != PRIMARY)).collect(),
    };
    let mut first_error = None;
    for (index, place) in places.iter().enumerate() {
        let found = match index + 1 < places.len() {
            true => match answers(config, place).await {
                Ok(()) => find_at(config, place, wanted).await,
                Err(silent) => Err(silent),
            },
            // Nobody else is left to ask.
            false => find_at(config, place, wanted).await,
        };
        match found {
            Ok(found) => return Ok(found),
            Err(error) if error.exit == ExitCode::Usage => return Err(error),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.expect("a configuration has at least one location"))
}

/// Whether a location says anything at all, be it an error.
pub async fn answers(config: &Config, place: &str) -> Result<(), CliError> {
    let store = storage::open(&config.locations[place]).await?;
    let silent = || {
        let message = format!("the location {place} did not answer in {} s", LOCATION_PATIENCE.as_secs());
        CliError::new(ExitCode::Failed, "unavailable", message).hint(format!("`--from {place}` waits longer for it"))
    };
    tokio::time::timeout(LOCATION_PATIENCE, RepoFile::load(&*store)).await.map(drop).map_err(|_| silent())
}

async fn find_at(config: &Config, place: &str, wanted: &Wanted<'_>) -> Result<(Repo, PointRef, Point), CliError> {
    let repo = Repo::at(config.clone(), place).await?;
    let (lineage, is_named) = (wanted.point.lineage(&repo)?, matches!(wanted.point, Choice::Point(_)));
    if is_named && (wanted.at.is_some() || wanted.before.is_some()) {
        return Err(CliError::usage("--at and --before choose a point of a policy, and a point was named"));
    }
    if !is_named {
        // What is missing may be newer than what would be chosen. A point that is named is restored from what there is.
        repo.record_to_write(&lineage).await.map_err(|error| CliError::from(error).hint("to restore one of the points that are here, name it"))?;
    }
    let records = points::records(&repo, Some(&lineage)).await?;
    let (own, others) = points::split(&records, &lineage).expect("it was asked for");
    let catalog = Catalog::new(own, &others);
    let point = match wanted.at.map(|at| (at, true)).or(wanted.before.map(|before| (before, false))) {
        None if wanted.accept_missing.is_empty() => catalog.resolve(&wanted.point.selector())?,
        None => newest(&catalog, &lineage, wanted.accept_missing, "", |_| true)?,
        Some((time, inclusive)) => {
            let fits = |to: Timestamp| to < time || (inclusive && to == time);
            newest(&catalog, &lineage, wanted.accept_missing, &format!(" from before {time}"), fits)?
        }
    };
    let (name, manifest) = (point.name.clone(), point.point.clone());
    Ok((repo, name, manifest))
}

/// The newest good point of which some members may be missing, and all of whose data is from times that fit.
fn newest<'c>(
    catalog: &'c Catalog<'c>,
    lineage: &Lineage,
    accept_missing: &[MemberName],
    when: &str,
    fits: impl Fn(Timestamp) -> bool,
) -> Result<&'c CatalogPoint<'c>, CliError> {
    let chosen = |point: &&CatalogPoint<'_>| {
        let to = point.point.members.iter().map(|member| member.consistent_to).max().unwrap_or(point.point.ended);
        point.is_good_without(accept_missing) && fits(to)
    };
    let missing = || CliError::new(ExitCode::Failed, "not-found", format!("{lineage} has no good recovery point{when}"));
    catalog.points().iter().rev().find(chosen).ok_or_else(|| missing().hint("see `hourglass points list`"))
}
