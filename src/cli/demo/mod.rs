//! `hourglass demo`: the whole product once, on a small platform that it makes itself. Every phase calls what the commands call; nothing is
//! simulated. Here is the story; `platform` makes the data, `witness` judges independently, `facts` and `report` tell.

mod chart;
mod content;
mod facts;
mod platform;
mod regions;
mod report;
mod story;
mod timeline;
mod witness;

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;
use tempfile::{NamedTempFile, TempDir};

use super::{CliError, Globals, Report};
use crate::model::ByteCount;
use story::Story;

/// Where the report goes when nothing is said.
const REPORT: &str = "hourglass-demo.html";

/// See it all once: protect a small platform, destroy it, recover it in another region, prove it
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Needs no service, no network and no rights. What is printed was measured; the report is one HTML file.\n\n\
    Example:\n  hourglass demo\n  hourglass demo --dir /tmp/demo")]
pub struct DemoArgs {
    /// Where to work, kept afterwards: an empty or new folder; a temporary one without it
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Keep the temporary folder
    #[arg(long, conflicts_with = "dir")]
    pub keep: bool,
    /// Where to write the report; default: hourglass-demo.html in DIR or in the current folder
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// How large the platform is, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 192, hide = true, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub size: u64,
}

/// Where the demonstration works.
enum Place {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Place::Temporary(folder) => folder.path(),
            Place::Kept(path) => path,
        }
    }
}

/// Runs it.
///
/// # Errors
/// The folder is not empty or cannot be written; a phase did not end as it should: then its error and exit status are those of the command.
pub async fn run(args: DemoArgs, globals: &Globals) -> Result<Report, CliError> {
    let place = place(&args)?;
    let path = args.report.clone().unwrap_or_else(|| args.dir.as_deref().unwrap_or(Path::new("")).join(REPORT));
    let path = std::path::absolute(&path).map_err(|error| CliError::file("finding", &path, &error))?;
    let page = page(&path)?;
    let story = Story::new(place.path(), ByteCount(args.size << 20), globals)?;
    let facts = story.tell().await?;
    write(page, &path, &report::page(&facts)).map_err(|error| CliError::file("writing", &path, &error))?;
    let kept = match &place {
        Place::Kept(path) => Some(path.clone()),
        Place::Temporary(_) => None,
    };
    let text = facts.text(&path, kept.as_deref());
    if let Place::Temporary(folder) = place {
        let path = folder.path().to_owned();
        folder.close().map_err(|error| CliError::file("removing", &path, &error))?;
    }
    Ok(Report::new(json!({"facts": facts, "report": path, "kept": kept}), text))
}

fn place(args: &DemoArgs) -> Result<Place, CliError> {
    let Some(dir) = &args.dir else {
        let folder = tempfile::Builder::new().prefix("hourglass-demo-").tempdir();
        let folder = folder.map_err(|error| CliError::file("making a folder in", &std::env::temp_dir(), &error))?;
        return Ok(if args.keep { Place::Kept(folder.keep()) } else { Place::Temporary(folder) });
    };
    let dir = std::path::absolute(dir).map_err(|error| CliError::file("finding", dir, &error))?;
    std::fs::create_dir_all(&dir).map_err(|error| CliError::file("making", &dir, &error))?;
    let mut inside = std::fs::read_dir(&dir).map_err(|error| CliError::file("reading", &dir, &error))?;
    match inside.next() {
        None => Ok(Place::Kept(dir)),
        Some(_) => Err(CliError::usage(format!("{} is not empty", dir.display())).hint("the demonstration destroys data: give it a new folder")),
    }
}

/// A file that will become the report: that it cannot be written is known before anything else is done.
fn page(path: &Path) -> Result<NamedTempFile, CliError> {
    if let Ok(mut old) = std::fs::File::open(path) {
        let mut begin = [0; report::BEGIN.len()];
        // What is too short is not a report either.
        if old.read_exact(&mut begin).is_err() || begin != report::BEGIN.as_bytes() {
            let foreign = CliError::usage(format!("{} is there and is not a report of a demonstration", path.display()));
            return Err(foreign.hint("choose another place with --report"));
        }
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    NamedTempFile::new_in(folder).map_err(|error| CliError::file("writing in", folder, &error))
}

fn write(mut page: NamedTempFile, path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    page.write_all(text.as_bytes())?;
    page.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    page.persist(path).map(drop).map_err(|error| error.error)
}
