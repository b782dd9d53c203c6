//! Restores a component that is a tree: all of it, or the paths that were asked for.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{
    RestoreError,
    fetch::PackReader,
    maps::MapReader,
    window::{self, write_window},
};
use crate::{
    model::{Context, Outcome, Overwrite, Problem, Progress},
    pipeline::{Sha256Hasher, sha256},
    repository::{map::TreeLine, sealed::SealedComponent},
    sources::{
        EntryKind, TreeEntry, TreeWriter,
        files::{Extras, compare},
    },
};

/// Problems that are named; more are counted.
const PROBLEMS_MAX: usize = 1000;

/// What came back.
#[derive(Debug)]
pub struct TreeRestored {
    /// How it went, comparison included.
    pub outcome: Outcome,
    /// Entries written.
    pub items: u64,
    /// Bytes of content written.
    pub bytes: u64,
    /// What a person may want to know.
    pub notes: Vec<Problem>,
}

/// Which paths of a tree are wanted.
#[derive(Debug)]
pub struct Selection(Vec<Vec<u8>>);

impl Selection {
    /// These paths and what lies below them; all when there is none. Slashes at the ends do not count.
    pub fn new(paths: &[String]) -> Selection {
        Selection(paths.iter().map(|path| path.trim_matches('/').as_bytes().to_vec()).collect())
    }

    fn wants(&self, path: &[u8]) -> bool {
        let below = |root: &Vec<u8>| root.is_empty() || path == root || (path.starts_with(root) && path.get(root.len()) == Some(&b'/'));
        self.0.is_empty() || self.0.iter().any(below)
    }

    fn is_all(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes the tree into `target`, and compares what is there then with the manifest.
///
/// # Errors
/// When it cannot be read from the repository or not be written. What differs is in the outcome.
pub async fn restore_tree(
    component: &SealedComponent,
    select: &Selection,
    target: &Path,
    overwrite: Overwrite,
    packs: &PackReader,
    mut progress: Progress,
    ctx: &Context,
) -> Result<TreeRestored, RestoreError> {
    let extras = if overwrite == Overwrite::InPlace { Extras::Allowed } else { Extras::Problem };
    let (path, pool) = (target.to_owned(), packs.pool.clone());
    let writer = Arc::new(pool.run(move || TreeWriter::create(&path, overwrite)).await??);
    let mut restored = TreeRestored { outcome: Outcome::Succeeded, items: 0, bytes: 0, notes: Vec::new() };
    let mut problems = Vec::new();
    let mut digest = Sha256Hasher::new();
    let mut waiting: Vec<TreeLine> = Vec::new();
    let renamed = renamed(component, select, packs).await?;
    let last = component.segments.len().saturating_sub(1);
    let mut map = MapReader::new(packs, component);
    for i in 0..component.segments.len() {
        if ctx.cancel.is_draining() {
            return Err(RestoreError::Cancelled);
        }
        let lines: Vec<TreeLine> = map.lines().await?;
        digest.update(format!("{}\n", listing(&lines)).as_bytes());
        waiting.extend(choose(lines, select, &renamed));
        let bytes: u64 = waiting.iter().flat_map(|line| &line.runs).map(|run| run.size).sum();
        if bytes < window::BYTES_MAX && waiting.len() < window::LINES_MAX && i != last {
            continue;
        }
        let end = write_window(std::mem::take(&mut waiting), packs, &writer).await?;
        progress.add(end.bytes, end.items);
        restored.bytes += end.bytes;
        restored.items += end.items;
        problems.extend(end.problems);
    }
    progress.flush();
    if digest.finish() != component.digest {
        return Err(RestoreError::Different { what: format!("the listing of {}", component.name) });
    }
    let writer = Arc::into_inner(writer).expect("every window has ended");
    let written = packs.pool.run(move || writer.finish()).await??;
    problems.extend(written.problems);
    restored.notes = written.notes;
    let compared = compare_with(component, (select, &renamed), (target, extras, Contents::Known), packs).await?;
    problems.extend(compared);
    restored.conclude(problems);
    Ok(restored)
}

impl TreeRestored {
    fn conclude(&mut self, mut problems: Vec<Problem>) {
        if problems.is_empty() {
            return;
        }
        let unnamed = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        if unnamed > 0 {
            problems.push(Problem { subject: "the tree".to_owned(), what: format!("{unnamed} further problems") });
        }
        self.outcome = Outcome::Incomplete { missing: problems };
    }
}

pub(super) fn listing(lines: &[TreeLine]) -> crate::model::Sha256 {
    let text: Vec<u8> = lines.iter().flat_map(|line| line.entry.canonical_line()).collect();
    sha256(&text)
}

/// Wanted names of files whose first name is not wanted: the first of them takes its place. From first name to new first name.
type Renamed = BTreeMap<Vec<u8>, Vec<u8>>;

async fn renamed(component: &SealedComponent, select: &Selection, packs: &PackReader) -> Result<Renamed, RestoreError> {
    let mut renamed = Renamed::new();
    if select.is_all() {
        return Ok(renamed);
    }
    let mut map = MapReader::new(packs, component);
    for _ in &component.segments {
        let lines: Vec<TreeLine> = map.lines().await?;
        for TreeLine { entry, .. } in lines {
            if let EntryKind::HardLink { first } = entry.kind
                && select.wants(&entry.path)
                && !select.wants(&first)
            {
                renamed.entry(first).or_insert(entry.path);
            }
        }
    }
    Ok(renamed)
}

/// The wanted lines, with links to what is not wanted mended.
fn choose(lines: Vec<TreeLine>, select: &Selection, renamed: &Renamed) -> Vec<TreeLine> {
    if select.is_all() {
        return lines;
    }
    let mut chosen = Vec::new();
    for TreeLine { mut entry, runs } in lines {
        let taken = renamed.get(&entry.path).cloned();
        if let EntryKind::HardLink { first } = &mut entry.kind
            && let Some(path) = renamed.get(first)
        {
            if *path == entry.path {
                continue;
            }
            first.clone_from(path);
        }
        if taken.is_some() || select.wants(&entry.path) {
            entry.path = taken.unwrap_or(entry.path);
            chosen.push(TreeLine { entry, runs });
        }
    }
    chosen
}

/// Whether contents of files are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contents {
    /// They are read, and compared by their digests.
    Read,
    /// They were read back when they were written.
    Known,
}

/// Compares a folder with the tree, contents included. Nothing is written. What differs is the result.
///
/// # Errors
/// When one of them cannot be read.
pub async fn compare_tree(component: &SealedComponent, target: &Path, packs: &PackReader) -> Result<Vec<Problem>, RestoreError> {
    let (select, renamed) = (Selection::new(&[]), Renamed::new());
    compare_with(component, (&select, &renamed), (target, Extras::Problem, Contents::Read), packs).await
}

/// Compares names, types and attributes of the target with the map, line by line.
async fn compare_with(
    component: &SealedComponent,
    (select, renamed): (&Selection, &Renamed),
    (target, extras, contents): (&Path, Extras, Contents),
    packs: &PackReader,
) -> Result<Vec<Problem>, RestoreError> {
    let (send, mut expected) = tokio::sync::mpsc::channel::<Vec<TreeEntry>>(2);
    let target = target.to_owned();
    let received = move || compare(std::iter::from_fn(|| expected.blocking_recv()).flatten(), &target, extras);
    let comparing = tokio::task::spawn_blocking(received);
    let mut moved = Vec::new();
    let mut map = MapReader::new(packs, component);
    for _ in &component.segments {
        let lines: Vec<TreeLine> = map.lines().await?;
        let entries = choose(lines, select, renamed).into_iter().map(|line| match contents {
            Contents::Read => line.entry,
            Contents::Known => TreeEntry { sha256: None, ..line.entry },
        });
        // Renamed entries are out of order, so a selection is compared at the end, as a whole.
        if select.is_all() {
            // The receiver has gone only if the comparison failed; that error comes below.
            let _ended = send.send(entries.collect()).await;
        } else {
            moved.extend(entries);
        }
    }
    moved.sort_by(|a, b| a.path.cmp(&b.path));
    let _ended = send.send(moved).await;
    drop(send);
    Ok(comparing.await.map_err(|_| RestoreError::TornDown)??.problems)
}
