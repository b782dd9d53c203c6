//! `hourglass points tree`

use std::{os::unix::ffi::OsStrExt, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{
    listing::{Listing, open},
    objects::{self, Side, holds_objects},
};
use crate::{
    cli::{CliError, ExitCode, Globals, OutputFormat, Report, output},
    model::{ByteCount, Context, MemberName, RecoveryPointId, Timestamp},
    repository::sealed::SealedComponent,
    restore::opened::OpenedPoint,
    sources::{EntryKind, FileTime, Shape, TreeEntry, display_path, kubernetes::Line},
};

/// Text is printed when this much of it has come together.
const PRINT_AT: usize = 64 << 10;

/// List the files or objects of a member, without restoring it
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Mode, size, time of the last change (UTC), path. Needs an operator key.\n\nExample:\n  \
    hourglass points tree production@we/1:42 events\n  hourglass points tree production@we/1:42 events 2026/11 --output json")]
pub struct TreeArgs {
    /// The point
    pub point: RecoveryPointId,
    /// The member
    pub member: MemberName,
    /// Only this path and what lies below it
    pub path: Option<PathBuf>,
}

/// Where the list goes: on and on to standard output, or into the envelope.
struct List {
    format: OutputFormat,
    text: String,
    entries: Vec<Value>,
    count: u64,
}

/// Runs it.
///
/// # Errors
/// There is no such point, member or path; no operator key; a part of the list is at no location as it should be.
pub(super) async fn run(args: TreeArgs, globals: &Globals) -> Result<Report, CliError> {
    let (config, ctx) = (globals.load_config()?, globals.context());
    let point = open(&args.point, &config, &ctx).await?;
    let member = point.member(&args.member)?;
    let path = args.path.as_ref().map(|path| path.as_os_str().as_bytes().to_vec()).map(|path| path.trim_ascii_end().to_vec());
    let path: Vec<u8> = path.map(|path| trim_slashes(&path).to_vec()).unwrap_or_default();
    let several = member.components.len() > 1;
    let (mut components, mut found) = (Vec::new(), 0);
    for component in &member.components {
        let mut list = List { format: globals.output, text: String::new(), entries: Vec::new(), count: 0 };
        if several && list.format == OutputFormat::Text {
            list.text = format!("{}:\n", component.name);
        }
        match component.shape {
            Shape::Stream if holds_objects(component) => object_lines(&point, component, &path, &mut list, &ctx).await?,
            Shape::Stream if path.is_empty() => list.stream(component),
            Shape::Stream => {}
            Shape::Tree => tree(&point, component, &path, &mut list).await?,
        }
        // Most kinds of objects have none.
        if list.count > 0 || !holds_objects(component) {
            output::to_stdout(&list.text);
        }
        found += list.count;
        components.push(json!({"name": component.name, "shape": component.shape, "bytes": component.bytes, "items": component.items,
            "digest": component.digest, "entries": list.entries}));
    }
    if found == 0 && !path.is_empty() {
        let missing = format!("{} of {} has no path {}", args.member, args.point, display_path(&path));
        return Err(CliError::new(ExitCode::Failed, "not-found", missing).hint("list the member without a path"));
    }
    Ok(Report::new(json!({"point": args.point, "member": args.member, "components": components}), ""))
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let from = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    let to = path.iter().rposition(|byte| *byte != b'/').map_or(from, |last| last + 1);
    &path[from..to]
}

async fn tree(point: &OpenedPoint, component: &SealedComponent, path: &[u8], list: &mut List) -> Result<(), CliError> {
    let mut listing = Listing::new(point, component);
    // Below a path everything sorts before the path and the byte after '/'.
    let mut end = path.to_vec();
    end.push(b'/' + 1);
    while let Some(entry) = listing.next().await? {
        let rest = entry.path.strip_prefix(path);
        if path.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/') {
            list.entry(&entry);
        } else if entry.path > end {
            break;
        }
    }
    Ok(())
}

/// Objects whose path is this one, or begins with it.
async fn object_lines(point: &OpenedPoint, component: &SealedComponent, path: &[u8], list: &mut List, ctx: &Context) -> Result<(), CliError> {
    let prefix = path.to_vec();
    let found = Vec::new();
    let take = move |found: &mut Vec<Value>, line: Line, _: usize| {
        let rest = line.path.as_bytes().strip_prefix(&*prefix);
        if prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/') {
            found.push(json!({"path": line.path, "sha256": line.sha256}));
        }
    };
    for entry in objects::each(Side::Stored(point, component), found, take, ctx).await? {
        list.count += 1;
        match list.format {
            OutputFormat::Text => {
                let text = |key: &str| entry[key].as_str().unwrap_or_default();
                list.line(&format!("{:.12} {}", text("sha256"), text("path")));
            }
            OutputFormat::Json => list.entries.push(entry),
        }
    }
    Ok(())
}

impl List {
    fn entry(&mut self, entry: &TreeEntry) {
        self.count += 1;
        match self.format {
            OutputFormat::Json => self.entries.push(serde_json::to_value(entry).expect("an entry has a JSON form")),
            OutputFormat::Text => self.line(&line(entry)),
        }
    }

    fn stream(&mut self, component: &SealedComponent) {
        self.count += 1;
        if self.format == OutputFormat::Text {
            self.line(&format!("stream {} {} sha256 {}", component.name, ByteCount(component.bytes), component.digest));
        }
    }

    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
        if self.text.len() >= PRINT_AT {
            output::to_stdout(&self.text);
            self.text.clear();
        }
    }
}

/// An entry, as `ls -l` would show it.
fn line(entry: &TreeEntry) -> String {
    let to = match &entry.kind {
        EntryKind::Symlink { target } => format!(" -> {}", display_path(target)),
        EntryKind::HardLink { first } => format!(" = {}", display_path(first)),
        _ => String::new(),
    };
    format!("{} {:>12} {} {}{to}", mode(entry), entry.size(), time(entry.mtime), entry.display_path())
}

fn time(time: FileTime) -> String {
    let nanos = i32::try_from(time.nanos).unwrap_or(0);
    // A file system may hold times that no calendar has.
    Timestamp::new(time.seconds, nanos).map_or_else(|_| format!("{:>19}", time.seconds), |at| at.strftime("%F %T").to_string())
}

fn mode(entry: &TreeEntry) -> String {
    use crate::sources::SpecialKind as Special;
    let kind = match &entry.kind {
        EntryKind::File { .. } | EntryKind::HardLink { .. } => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink { .. } => 'l',
        EntryKind::Special(Special::Fifo) => 'p',
        EntryKind::Special(Special::Socket) => 's',
        EntryKind::Special(Special::CharDevice { .. }) => 'c',
        EntryKind::Special(Special::BlockDevice { .. }) => 'b',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = entry.mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (entry.mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn entries_read_as_they_do_in_ls() {
        let mtime = FileTime { seconds: 0, nanos: 5 };
        let entry =
            |path: &[u8], kind, mode| TreeEntry { path: path.to_vec(), kind, mode, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new(), sha256: None };
        let shown = [
            entry(b"", EntryKind::Directory, 0o1777),
            entry(b"a\xff", EntryKind::File { size: 7, data: None }, 0o4640),
            entry(b"l", EntryKind::Symlink { target: b"a".to_vec() }, 0o777),
            entry("e\u{1b}[2J\n\u{9b}".as_bytes(), EntryKind::HardLink { first: b"\t".to_vec() }, 0o700),
        ];
        assert_eq!(
            shown.map(|entry| line(&entry)),
            [
                "drwxrwxrwt            0 1970-01-01 00:00:00 .",
                "-rwSr-----            7 1970-01-01 00:00:00 a\\xff",
                "lrwxrwxrwx            0 1970-01-01 00:00:00 l -> a",
                "-rwx------            0 1970-01-01 00:00:00 e\\u{1b}[2J\\n\\u{9b} = \\t"
            ]
        );
    }

    #[test]
    fn slashes_around_a_path_do_not_count() {
        assert_eq!(trim_slashes(b"/a/b//"), b"a/b");
        assert_eq!(trim_slashes(b"//"), b"");
    }
}
