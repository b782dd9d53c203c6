//! The objects of one component, as their lines come: planned, and applied many at a time.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex},
};

use tokio::{
    sync::OwnedSemaphorePermit,
    task::{JoinError, JoinSet},
};

use super::{
    api::refusal,
    discovery::Resource,
    locked,
    object::Line,
    plan::{Apply, Fate},
    restore::{HELD, Present, Restore, in_one_line, place},
    tiers::can_be_quiet,
    write::{Way, write},
};
use crate::{
    config::Existing,
    model::{Activity, Context, Problem},
    sources::{Component, SourceError, SourceErrorKind, StreamSink},
};

/// Longest line of a component.
const LINE_MAX: usize = 16 << 20;

/// A component that is being applied.
#[derive(Debug)]
struct Batch {
    restore: Arc<Restore>,
    of: Resource,
    /// Absent when the target has no such kind.
    target: Option<Resource>,
    /// Objects that are there, by their paths.
    present: BTreeMap<String, Present>,
    /// What a person has to decide before the restore goes on.
    refused: Mutex<Vec<Problem>>,
    /// Why nothing more can be applied.
    failed: Mutex<Option<SourceError>>,
    kept: Mutex<u64>,
}

/// Takes lines.
#[derive(Debug)]
struct Lines {
    batch: Arc<Batch>,
    text: Vec<u8>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

/// Begins to apply a component, once the tiers before it are ready.
///
/// # Errors
/// When they are not, or the cluster cannot be asked.
pub fn sink(restore: &Arc<Restore>, component: &Component, ctx: &Context) -> Result<StreamSink, SourceError> {
    let api = &restore.api;
    api.block(restore.enter(component.stage, ctx))?;
    let of = Resource::of(component).ok_or_else(|| usage(format!("the component {}", component.name), "holds no objects"))?;
    let target = api.block(restore.target(component))?;
    let present = match &target {
        Some(target) => api.block(restore.present(target))?,
        None => BTreeMap::new(),
    };
    let (restore, refused, failed, kept) = (Arc::clone(restore), Mutex::default(), Mutex::default(), Mutex::default());
    let batch = Arc::new(Batch { restore, of, target, present, refused, failed, kept });
    let tasks = Arc::new(Mutex::new(JoinSet::new()));
    let lines = Lines { batch: Arc::clone(&batch), text: Vec::new(), tasks: Arc::clone(&tasks) };
    Ok(StreamSink::new(lines, move || {
        let mut tasks = std::mem::take(&mut *locked(&tasks));
        batch.restore.api.block(async {
            while let Some(done) = tasks.join_next().await {
                batch.joined(done);
            }
        });
        batch.end()
    }))
}

fn usage(subject: String, why: &str) -> SourceError {
    SourceError::Unfit { subject, why: why.to_owned(), kind: SourceErrorKind::Usage, hint: None }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.text.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.line()?;
            } else if self.text.len() > LINE_MAX {
                return Err(io::Error::other("a line of objects is too long"));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn line(&mut self) -> io::Result<()> {
        let line: Line = serde_json::from_slice(&self.text)?;
        // As fields it takes some times its text, and a small one takes its task.
        let weight = (3 * self.text.len() / 1024 + 16).min(HELD);
        let weight = u32::try_from(weight).expect("it is no more than is held");
        self.text.clear();
        let restore = &self.batch.restore;
        let permit = restore.api.block(Arc::clone(&restore.held).acquire_many_owned(weight)).expect("it is never closed");
        // Why is told at the end.
        if locked(&self.batch.failed).is_some() {
            return Err(io::Error::other("the cluster takes no more objects"));
        }
        let mut tasks = locked(&self.tasks);
        while let Some(done) = tasks.try_join_next() {
            self.batch.joined(done);
        }
        tasks.spawn_on(Arc::clone(&self.batch).take(line, permit), restore.api.handle());
        Ok(())
    }
}

impl Batch {
    async fn take(self: Arc<Self>, line: Line, _held: OwnedSemaphorePermit) {
        match self.restore.planner.fate(&self.of, self.target.as_ref(), line) {
            Fate::Skip(None) => {}
            Fate::Skip(Some(note)) => locked(&self.restore.notes).push(note),
            Fate::Refuse(problem) => locked(&self.refused).push(problem),
            Fate::Lose(problem) if self.of.custom && self.restore.planner.config.dry_run => self.unchecked(problem.subject),
            Fate::Lose(problem) => drop(locked(&self.restore.lost).insert(problem.subject, problem.what)),
            Fate::Apply(apply) => {
                let target = self.target.as_ref().expect("without a kind nothing is applied");
                if let Err(error) = self.apply(target, *apply).await {
                    locked(&self.failed).get_or_insert(error);
                }
            }
        }
    }

    /// A task that ended as it should not.
    fn joined(&self, done: Result<(), JoinError>) {
        if let Err(error) = done {
            locked(&self.failed).get_or_insert_with(|| usage(format!("an object of {}", self.of.name()), &error.to_string()));
        }
    }

    async fn apply(&self, target: &Resource, mut apply: Apply) -> Result<(), SourceError> {
        let restore = &self.restore;
        let subject = format!("{} {}", target.name(), apply.path);
        let activates = restore.planner.activity == Activity::Activate;
        let way = match (self.present.get(&apply.path), restore.existing) {
            (Some(there), _) if activates && there.is_quiet => Way::Replace,
            // Nothing was done to it that has to be undone.
            (_, _) if activates && can_be_quiet(&self.of) => return Ok(()),
            // An earlier process of this restore did it, and `present` took note; or another step, which looks after it.
            (Some(there), _) if there.is_ours => return Ok(()),
            (None, _) => Way::Make,
            // Every namespace has it; what it is given is added.
            (Some(_), Existing::Refuse | Existing::Replace) if self.of.kind == "ServiceAccount" && apply.path.ends_with("/default") => Way::Merge,
            (Some(_), Existing::Refuse) if !self.is_everywhere(&apply.path) => {
                locked(&self.refused).push(Problem { subject, what: "is there already".to_owned() });
                return Ok(());
            }
            (Some(_), Existing::Replace) if !self.is_everywhere(&apply.path) && self.of.kind != "PersistentVolumeClaim" => Way::Replace,
            (Some(_), _) => {
                *locked(&self.kept) += 1;
                return Ok(());
            }
        };
        let Err(error) = write(restore, target, &mut apply, way).await else {
            restore.applied(target, &apply.path, apply.owners);
            return Ok(());
        };
        match refusal(&error).map(|refused| (refused.status.as_u16(), refused)) {
            Some((404, _)) if restore.planner.config.dry_run => self.unchecked(subject),
            // Too many requests for too long say nothing against the object.
            Some((400 | 403..=428 | 430..=499, refused)) => drop(locked(&restore.lost).insert(subject, format!("was not taken: {refused}"))),
            _ => return Err(error),
        }
        Ok(())
    }

    fn unchecked(&self, subject: String) {
        let what = "cannot be checked before its namespace or its definition is there".to_owned();
        locked(&self.restore.notes).push(Problem { subject, what });
    }

    /// Whether every cluster has it of its own: it stays as it is there.
    fn is_everywhere(&self, path: &str) -> bool {
        let (namespace, name) = place(path);
        matches!(&*self.of.kind, "Namespace" | "Endpoints")
            || namespace.is_some_and(|namespace| namespace.starts_with("kube-"))
            || name.starts_with("system:")
    }

    fn end(&self) -> Result<(), SourceError> {
        if let Some(error) = locked(&self.failed).take() {
            return Err(error);
        }
        let kept = *locked(&self.kept);
        if kept > 0 {
            locked(&self.restore.notes).push(Problem { subject: self.of.name(), what: format!("{kept} objects were there and stay as they were") });
        }
        let refused = std::mem::take(&mut *locked(&self.refused));
        if refused.is_empty() {
            return Ok(());
        }
        Err(SourceError::Unfit {
            subject: format!("{} of {}", refused.len(), self.of.name()),
            why: format!("were not applied: {}", in_one_line(&refused)),
            kind: if refused.iter().all(|problem| problem.what == "is there already") { SourceErrorKind::Occupied } else { SourceErrorKind::Usage },
            hint: Some("decide in restore of the target's source (existing, secrets, residue_allowed, or a change), then resume"),
        })
    }
}
