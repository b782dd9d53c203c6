//! A trial restore that writes nothing: every pack is decrypted, every map segment and every run decoded, every digest compared.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use super::{
    RestoreError,
    content::Content,
    fetch::PackReader,
    maps::segment_lines,
    opened::OpenedPoint,
    tree::listing,
    walk::FrameWalk,
    window::{BYTES_MAX, LINES_MAX},
};
use crate::{
    model::{Context, Problem, Progress, Sha256, StepId, outcome::explain},
    pipeline::Sha256Hasher,
    repository::{
        map::{Run, StreamLine, TreeLine},
        sealed::SealedComponent,
    },
    sources::{EntryKind, Shape, TreeEntry},
};

/// Problems that are named; more are counted.
const PROBLEMS_MAX: usize = 1000;

/// Decodes everything that the point has, and compares it with what was saved. A problem's subject is `member/component` or
/// `member/component: path`.
///
/// # Errors
/// `Cancelled`. Whatever is wrong with the point is a problem.
pub async fn check_restorable(opened: &OpenedPoint, step: &StepId, ctx: &Context) -> Result<Vec<Problem>, RestoreError> {
    let bytes = opened.sealed.members.iter().flat_map(|member| &member.components).map(|component| component.bytes).sum();
    let progress = Progress::new(ctx.observer.clone(), step.clone(), Some(crate::model::ByteCount(bytes)));
    let mut check = Check { packs: &opened.packs, subject: String::new(), problems: Vec::new(), unnamed: 0, progress, ctx };
    for member in &opened.sealed.members {
        for component in &member.components {
            check.subject = format!("{}/{}", member.name, component.name);
            match component.shape {
                Shape::Tree => check.tree(component).await?,
                Shape::Stream => check.stream(component).await?,
            }
        }
    }
    check.progress.flush();
    if check.unnamed > 0 {
        let what = format!("{} further problems", check.unnamed);
        check.problems.push(Problem { subject: opened.point.id.to_string(), what });
    }
    Ok(check.problems)
}

struct Check<'a> {
    packs: &'a PackReader,
    /// The component that is looked at.
    subject: String,
    problems: Vec<Problem>,
    unnamed: usize,
    progress: Progress,
    ctx: &'a Context,
}

/// A file whose content lies in one run, and what its digest must be.
struct Single {
    run: Run,
    entry: TreeEntry,
}

impl Check<'_> {
    fn problem(&mut self, path: Option<&TreeEntry>, what: String) {
        if self.problems.len() == PROBLEMS_MAX {
            self.unnamed += 1;
            return;
        }
        let subject = path.map_or_else(|| self.subject.clone(), |entry| format!("{}: {}", self.subject, entry.display_path()));
        self.problems.push(Problem { subject, what });
    }

    fn go_on(&self) -> Result<(), RestoreError> {
        if self.ctx.cancel.is_draining() { Err(RestoreError::Cancelled) } else { Ok(()) }
    }

    async fn tree(&mut self, component: &SealedComponent) -> Result<(), RestoreError> {
        let mut digest = Some(Sha256Hasher::new());
        let mut waiting: Vec<TreeLine> = Vec::new();
        for (index, segment) in component.segments.iter().enumerate() {
            self.go_on()?;
            match segment_lines::<TreeLine>(self.packs, segment, &component.name).await {
                Err(error) => {
                    digest = None;
                    let first = segment.entries;
                    self.problem(None, format!("segment {} of its map, with {first} entries, cannot be read: {}", index + 1, explain(&error)));
                }
                Ok(lines) => {
                    let found = listing(&lines);
                    if found != segment.listing {
                        self.problem(None, format!("segment {} of its map lists other entries than the manifest says", index + 1));
                    }
                    if let Some(digest) = &mut digest {
                        digest.update(format!("{found}\n").as_bytes());
                    }
                    waiting.extend(lines);
                }
            }
            let bytes: u64 = waiting.iter().flat_map(|line| &line.runs).map(|run| run.size).sum();
            if bytes >= BYTES_MAX || waiting.len() >= LINES_MAX || index + 1 == component.segments.len() {
                self.window(std::mem::take(&mut waiting)).await?;
            }
        }
        if digest.is_some_and(|digest| digest.finish() != component.digest) {
            self.problem(None, "its listing has another digest than the manifest says".to_owned());
        }
        Ok(())
    }

    /// Files of one run are read pack by pack, so that each pack is read once for all of them; the others run by run.
    async fn window(&mut self, lines: Vec<TreeLine>) -> Result<(), RestoreError> {
        let (mut by_pack, mut long) = (BTreeMap::<Sha256, Vec<Single>>::new(), Vec::new());
        for TreeLine { entry, mut runs } in lines.into_iter().filter(|line| matches!(line.entry.kind, EntryKind::File { .. })) {
            match runs.len() {
                1 => {
                    let run = runs.remove(0);
                    by_pack.entry(run.pack).or_default().push(Single { run, entry });
                }
                _ => long.push((entry, runs)),
            }
        }
        let packs = self.packs;
        let one = |(pack, files): (Sha256, Vec<Single>)| async move {
            let size = packs.sizes.get(&pack).copied().unwrap_or(0);
            let _permit = packs.budget.acquire(size).await;
            singles(packs, pack, files).await
        };
        let found: Vec<_> = stream::iter(by_pack).map(one).buffer_unordered(packs.pool.workers() + 1).collect().await;
        for (entry, bytes, wrong) in found.into_iter().flatten() {
            self.progress.add(bytes, 1);
            if let Some(wrong) = wrong {
                self.problem(Some(&entry), wrong);
            }
        }
        for (entry, runs) in long {
            self.go_on()?;
            let verdict = match self.content(&entry, runs).await {
                Ok(found) => differs(&entry, found),
                Err(error) => Some(explain(&error)),
            };
            self.progress.add(0, 1);
            if let Some(wrong) = verdict {
                self.problem(Some(&entry), wrong);
            }
        }
        Ok(())
    }

    /// The digest of a file of any number of runs, its holes included.
    async fn content(&mut self, entry: &TreeEntry, runs: Vec<Run>) -> Result<Sha256, RestoreError> {
        let mut content = Content::new(entry);
        for run in runs {
            self.progress.add(run.size, 0);
            content = feed(self.packs, run, content, |content, part| content.data(part)).await?;
        }
        content.finish()
    }

    async fn stream(&mut self, component: &SealedComponent) -> Result<(), RestoreError> {
        match self.stream_digest(component).await {
            Ok(found) if found == component.digest => {}
            Ok(_) => self.problem(None, "its bytes have another SHA-256 than the manifest says".to_owned()),
            Err(RestoreError::Cancelled) => return Err(RestoreError::Cancelled),
            Err(error) => self.problem(None, explain(&error)),
        }
        Ok(())
    }

    async fn stream_digest(&mut self, component: &SealedComponent) -> Result<Sha256, RestoreError> {
        let mut hasher = Sha256Hasher::new();
        for segment in &component.segments {
            let lines: Vec<StreamLine> = segment_lines(self.packs, segment, &component.name).await?;
            for run in lines.into_iter().flat_map(|line| line.runs) {
                self.go_on()?;
                self.progress.add(run.size, 0);
                hasher = feed(self.packs, run, hasher, |hasher, part| {
                    hasher.update(part);
                    Ok(())
                })
                .await?;
            }
        }
        Ok(hasher.finish())
    }
}

/// Decodes a run on a blocking thread and hands its bytes to `state`, which it gives back.
pub(super) async fn feed<T: Send + 'static>(
    packs: &PackReader,
    run: Run,
    mut state: T,
    mut take: impl FnMut(&mut T, &[u8]) -> Result<(), RestoreError> + Send + 'static,
) -> Result<T, RestoreError> {
    let frames = packs.frames(run.pack, vec![(run.offset, run.length)]).await?;
    let work = move || FrameWalk::new(&frames)?.run(&run, |part| take(&mut state, part)).map(|()| state);
    packs.pool.run(work).await?
}

/// What is wrong with each file, if anything; all of them lie in one pack.
async fn singles(packs: &PackReader, pack: Sha256, mut files: Vec<Single>) -> Vec<(TreeEntry, u64, Option<String>)> {
    let frames = match packs.frames(pack, files.iter().map(|file| (file.run.offset, file.run.length)).collect()).await {
        Ok(frames) => frames,
        Err(error) => {
            let why = explain(&error);
            return files.into_iter().map(|file| (file.entry, 0, Some(why.clone()))).collect();
        }
    };
    files.sort_by_key(|file| (file.run.offset, file.run.skip));
    let fallback: Vec<TreeEntry> = files.iter().map(|file| file.entry.clone()).collect();
    let work = move || {
        let mut walk = FrameWalk::new(&frames)?;
        let one = |Single { run, entry }: Single| {
            let mut content = Content::new(&entry);
            let digest = walk.run(&run, |part| content.data(part)).and_then(|()| content.finish());
            let wrong = digest.map_or_else(|error| Some(explain(&error)), |found| differs(&entry, found));
            (entry, run.size, wrong)
        };
        Ok::<_, RestoreError>(files.into_iter().map(one).collect())
    };
    let failed = |error: RestoreError| fallback.into_iter().map(|entry| (entry, 0, Some(explain(&error)))).collect();
    packs.pool.run(work).await.map_err(RestoreError::from).flatten().unwrap_or_else(failed)
}

pub(super) fn differs(entry: &TreeEntry, found: Sha256) -> Option<String> {
    let expected = entry.sha256.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string());
    (entry.sha256 != Some(found)).then(|| format!("its content has the SHA-256 {found}, the map says {expected}"))
}
