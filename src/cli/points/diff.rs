//! `hourglass points diff`

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{
    listing::{Listing, open},
    live::{self, Live},
    objects::{self, Side, holds_objects},
};
use crate::{
    cli::{CliError, Globals, OutputFormat, Report, output},
    config::Config,
    model::{ByteCount, Context, InvalidId, MemberName, RecoveryPointId},
    repository::sealed::{SealedComponent, SealedMember},
    restore::opened::OpenedPoint,
    sources::{Component, EntryKind, Shape, TreeEntry},
};

/// Say what differs between two points, or between a point and a cluster as it is now
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "`+` was added, `-` was removed, `~` was changed, and in what. Streams are compared by their digests, and objects of \
    Kubernetes field by field. `live` is read through the source of the same name as the member. Needs an operator key.\n\n\
    Example:\n  hourglass points diff production@we/1:41 production@we/1:42\n  \
    hourglass points diff production@we/1:41 production@we/1:42 --member events\n  \
    hourglass points diff production@we/1:42 live --member cluster")]
pub struct DiffArgs {
    /// The earlier point
    pub one: RecoveryPointId,
    /// The later point, or `live`: members of kind kubernetes as they are now
    pub other: Later,
    /// Only this member
    #[arg(long, value_name = "NAME")]
    pub member: Option<MemberName>,
}

/// What a point is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Later {
    /// Another point.
    Point(RecoveryPointId),
    /// What is there now.
    Live,
}

impl FromStr for Later {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Later, InvalidId> {
        if text == LIVE { Ok(Later::Live) } else { text.parse().map(Later::Point) }
    }
}

impl fmt::Display for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Later::Point(point) => point.fmt(f),
            Later::Live => f.write_str(LIVE),
        }
    }
}

/// The word for what is there now.
const LIVE: &str = "live";

/// What became of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Change {
    Added,
    Removed,
    Changed,
}

/// A difference.
#[derive(Debug, Serialize)]
struct Difference {
    change: Change,
    member: MemberName,
    component: String,
    /// Absent for a whole component.
    #[serde(flatten)]
    path: Option<EntryPath>,
    /// In what it changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    what: Vec<String>,
    size: [Option<ByteCount>; 2],
}

/// A path as the stored format has it: base64 where it is not UTF-8.
#[derive(Debug, Serialize)]
struct EntryPath {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    #[serde(skip)]
    display: String,
}

impl EntryPath {
    fn of_object(component: &str, path: String) -> EntryPath {
        EntryPath { display: format!("{component} {path}"), path: Some(path), path_base64: None }
    }

    fn of(entry: &TreeEntry) -> EntryPath {
        let path = String::from_utf8(entry.path.clone()).ok();
        let path_base64 = path.is_none().then(|| BASE64_STANDARD.encode(&entry.path));
        EntryPath { path, path_base64, display: entry.display_path() }
    }
}

/// What was found: printed at once, or kept for the envelope.
struct Found {
    format: OutputFormat,
    differences: Vec<Difference>,
    counts: [u64; 3],
    same: u64,
}

/// Runs it.
///
/// # Errors
/// There is no such point or member; no operator key; a part of a list is at no location as it should be.
pub(super) async fn run(args: DiffArgs, globals: &Globals) -> Result<Report, CliError> {
    let (config, ctx) = (globals.load_config()?, globals.context());
    let one = open(&args.one, &config, &ctx).await?;
    let mut found = Found { format: globals.output, differences: Vec::new(), counts: [0; 3], same: 0 };
    match &args.other {
        Later::Point(other) => {
            let other = open(other, &config, &ctx).await?;
            for name in members(&one, Some(&other), args.member.as_ref())? {
                let components = |point: &'_ OpenedPoint| point.member(&name).map(component_names).unwrap_or_default();
                for component in components(&one).union(&components(&other)) {
                    let sides = (one.component(&name, component).ok(), other.component(&name, component).ok());
                    compare(&name, (&one, &other), sides, &mut found, &ctx).await?;
                }
            }
        }
        Later::Live => {
            for name in members(&one, None, args.member.as_ref())? {
                if args.member.is_some() || live::is_comparable(&name, &config) {
                    compare_live(&name, &one, &config, &mut found, &ctx).await?;
                }
            }
        }
    }
    let [added, removed, changed] = found.counts;
    let text = match globals.output {
        OutputFormat::Text => format!("{added} added, {removed} removed, {changed} changed, {} the same", found.same),
        OutputFormat::Json => String::new(),
    };
    let data = json!({"one": args.one, "other": args.other.to_string(), "added": added, "removed": removed, "changed": changed, "same": found.same,
        "differences": found.differences});
    Ok(Report::new(data, text))
}

/// The members that are compared.
fn members(one: &OpenedPoint, other: Option<&OpenedPoint>, named: Option<&MemberName>) -> Result<BTreeSet<MemberName>, CliError> {
    let Some(name) = named else {
        let all = std::iter::once(one).chain(other).flat_map(|point| &point.sealed.members);
        return Ok(all.map(|member| member.name.clone()).collect());
    };
    // It is an error only if neither has it.
    one.member(name).or_else(|error| other.map_or(Err(error), |other| other.member(name)))?;
    Ok(BTreeSet::from([name.clone()]))
}

/// Compares a member with its source as it is now.
async fn compare_live(name: &MemberName, one: &OpenedPoint, config: &Config, found: &mut Found, ctx: &Context) -> Result<(), CliError> {
    let live = Live::open(name, config, ctx).await?;
    let is: BTreeMap<&str, &Component> = live.components.iter().map(|component| (&*component.name, component)).collect();
    let was: BTreeMap<&str, &SealedComponent> = one.member(name)?.components.iter().map(|component| (&*component.name, component)).collect();
    for component in was.keys().chain(is.keys()).copied().collect::<BTreeSet<_>>() {
        let stored = was.get(component).map(|component| Side::Stored(one, component));
        objects_of(name, stored, is.get(component).map(|component| Side::Live(&live, component)), found, ctx).await?;
    }
    Ok(())
}

/// Compares two components that hold objects.
async fn objects_of(member: &MemberName, one: Option<Side<'_>>, other: Option<Side<'_>>, found: &mut Found, ctx: &Context) -> Result<(), CliError> {
    let named = one.or(other).map_or("", Side::name).to_owned();
    let compared = objects::compare(one, other, ctx).await?;
    found.same += compared.same;
    for (path, (change, what)) in compared.differing {
        let path = Some(EntryPath::of_object(&named, path));
        found.add(Difference { change, member: member.clone(), component: named.clone(), path, what, size: [None, None] });
    }
    Ok(())
}

fn component_names(member: &SealedMember) -> BTreeSet<String> {
    member.components.iter().map(|component| component.name.clone()).collect()
}

type Sides<'a> = (Option<&'a SealedComponent>, Option<&'a SealedComponent>);

async fn compare(
    member: &MemberName,
    points: (&OpenedPoint, &OpenedPoint),
    sides: Sides<'_>,
    found: &mut Found,
    ctx: &Context,
) -> Result<(), CliError> {
    let whole = |change, component: &SealedComponent, what, size| Difference {
        change,
        member: member.clone(),
        component: component.name.clone(),
        path: None,
        what,
        size,
    };
    match sides {
        (Some(one), Some(other)) if one.digest == other.digest && one.shape == other.shape => found.same += other.items,
        (one, other) if [one, other].into_iter().flatten().all(holds_objects) => {
            let (one, other) = (one.map(|one| Side::Stored(points.0, one)), other.map(|other| Side::Stored(points.1, other)));
            objects_of(member, one, other, found, ctx).await?;
        }
        (Some(one), Some(other)) if one.shape == Shape::Tree && other.shape == Shape::Tree => {
            merge(member, &one.name, Listing::new(points.0, one), Listing::new(points.1, other), found).await?;
        }
        (Some(one), Some(other)) => {
            let what = vec![if one.shape == other.shape { "content" } else { "shape" }.to_owned()];
            found.add(whole(Change::Changed, other, what, [Some(ByteCount(one.bytes)), Some(ByteCount(other.bytes))]));
        }
        (Some(one), None) => found.add(whole(Change::Removed, one, Vec::new(), [Some(ByteCount(one.bytes)), None])),
        (None, Some(other)) => found.add(whole(Change::Added, other, Vec::new(), [None, Some(ByteCount(other.bytes))])),
        (None, None) => {}
    }
    Ok(())
}

/// Walks both lists, which are in the same order, side by side.
async fn merge(member: &MemberName, component: &str, mut one: Listing<'_>, mut other: Listing<'_>, found: &mut Found) -> Result<(), CliError> {
    loop {
        found.same += one.pass_equal(&mut other);
        let order = match (one.peek().await?, other.peek().await?) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(was), Some(is)) => was.path.cmp(&is.path),
        };
        let was = if order == Ordering::Greater { None } else { one.next().await? };
        let is = if order == Ordering::Less { None } else { other.next().await? };
        let Some(named) = is.as_ref().or(was.as_ref()) else { return Ok(()) };
        let (change, what) = match (&was, &is) {
            (None, _) => (Change::Added, Vec::new()),
            (_, None) => (Change::Removed, Vec::new()),
            (Some(was), Some(is)) => (Change::Changed, changes(was, is).into_iter().map(str::to_owned).collect()),
        };
        if change == Change::Changed && what.is_empty() {
            found.same += 1;
            continue;
        }
        let size = [&was, &is].map(|entry| entry.as_ref().map(|entry| ByteCount(entry.size())));
        let path = Some(EntryPath::of(named));
        found.add(Difference { change, member: member.clone(), component: component.to_owned(), path, what, size });
    }
}

/// In what two entries of the same path differ.
fn changes(was: &TreeEntry, is: &TreeEntry) -> Vec<&'static str> {
    let same_kind = std::mem::discriminant(&was.kind) == std::mem::discriminant(&is.kind);
    let same_link = match (&was.kind, &is.kind) {
        (EntryKind::Symlink { target: was }, EntryKind::Symlink { target: is }) => was == is,
        (EntryKind::HardLink { first: was }, EntryKind::HardLink { first: is }) => was == is,
        (EntryKind::Special(was), EntryKind::Special(is)) => was == is,
        _ => true,
    };
    let all = [
        (!same_kind, "type"),
        (same_kind && (was.sha256 != is.sha256 || was.size() != is.size()), "content"),
        (!same_link, "target"),
        (was.mode != is.mode, "mode"),
        ((was.uid, was.gid) != (is.uid, is.gid), "owner"),
        (was.mtime != is.mtime, "time"),
        (was.xattrs != is.xattrs, "attributes"),
    ];
    all.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what).collect()
}

impl Found {
    fn add(&mut self, difference: Difference) {
        self.counts[difference.change as usize] += 1;
        match self.format {
            OutputFormat::Json => self.differences.push(difference),
            OutputFormat::Text => output::to_stdout(&line(&difference)),
        }
    }
}

fn line(difference: &Difference) -> String {
    let sign = ["+", "-", "~"][difference.change as usize];
    let place = match &difference.path {
        Some(EntryPath { display, .. }) => format!("{}/{display}", difference.member),
        None => format!("{} ({})", difference.member, difference.component),
    };
    let size = match difference.size {
        [Some(was), Some(is)] if was != is => format!(", {was} -> {is}"),
        _ => String::new(),
    };
    match difference.what.is_empty() {
        true => format!("{sign} {place}\n"),
        false => format!("{sign} {place}: {}{size}\n", difference.what.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::FileTime;

    #[test]
    fn each_kind_of_change_has_its_word() {
        let file = |size| EntryKind::File { size, data: None };
        let was = TreeEntry {
            path: b"p".to_vec(),
            kind: file(1),
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: FileTime::default(),
            xattrs: BTreeMap::new(),
            sha256: None,
        };
        let changed = |change: &dyn Fn(&mut TreeEntry)| {
            let mut is = was.clone();
            change(&mut is);
            changes(&was, &is)
        };
        assert!(changed(&|_| {}).is_empty());
        assert_eq!(changed(&|is| is.kind = file(2)), ["content"]);
        assert_eq!(changed(&|is| is.kind = EntryKind::Directory), ["type"]);
        assert_eq!(changed(&|is| (is.mode, is.gid) = (0o600, 5)), ["mode", "owner"]);
        assert_eq!(changed(&|is| is.mtime.nanos = 1), ["time"]);
        assert_eq!(changed(&|is| drop(is.xattrs.insert(b"user.a".to_vec(), vec![]))), ["attributes"]);
        // Where holes are is no matter of content.
        assert!(changed(&|is| is.kind = EntryKind::File { size: 1, data: Some(Vec::new()) }).is_empty());
    }
}
