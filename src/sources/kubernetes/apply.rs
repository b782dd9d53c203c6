//! The objects of one component, as their lines come: planned, and applied many at a time.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use http::Method;
use serde_json::{Value, json};
use tokio::{
    sync::OwnedSemaphorePermit,
    task::{JoinError, JoinSet},
};

use super::{
    api::{Api, Ask, refusal},
    compare::differences,
    discovery::Resource,
    locked,
    object::Line,
    plan::{Apply, Fate},
    restore::{AT_ONCE, HELD, OWNERS, RUN, Restore, in_one_line, place},
    strip::strip,
};
use crate::{
    config::Existing,
    model::{Context, Problem},
    sources::{Component, SourceError, SourceErrorKind, StreamSink},
};

/// Longest line of a component.
const LINE_MAX: usize = 16 << 20;
/// Who applies, for the server.
const MANAGER: &str = "hourglass";
/// Kinds that may be deleted and made again where a field of theirs cannot be changed: they hold nothing that would be lost.
const REMADE: [&str; 9] =
    ["Job", "Service", "ConfigMap", "Secret", "RoleBinding", "ClusterRoleBinding", "StorageClass", "PriorityClass", "PodDisruptionBudget"];
/// Longest wait until a deleted object is gone.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// Bytes of objects that are compared together.
const COMPARED: usize = 4 << 20;

/// A component that is being applied.
#[derive(Debug)]
struct Batch {
    restore: Arc<Restore>,
    of: Resource,
    /// Absent when the target has no such kind.
    target: Option<Resource>,
    /// Objects that are there, with whether this restore has applied them.
    present: BTreeMap<String, bool>,
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

    async fn apply(&self, target: &Resource, apply: Apply) -> Result<(), SourceError> {
        let restore = &self.restore;
        let subject = format!("{} {}", target.name(), apply.path);
        let replaces = match (self.present.get(&apply.path), restore.existing) {
            // An earlier process of this restore did it, and `present` took note.
            (Some(true), _) => return Ok(()),
            (None, _) => false,
            // Every namespace has it; what it is given is added.
            (Some(false), Existing::Refuse | Existing::Replace) if self.of.kind == "ServiceAccount" && apply.path.ends_with("/default") => true,
            (Some(false), Existing::Refuse) if !self.is_everywhere(&apply.path) => {
                locked(&self.refused).push(Problem { subject, what: "is there already".to_owned() });
                return Ok(());
            }
            (Some(false), Existing::Replace) if !self.is_everywhere(&apply.path) && self.of.kind != "PersistentVolumeClaim" => true,
            (Some(false), _) => {
                *locked(&self.kept) += 1;
                return Ok(());
            }
        };
        let Err(error) = self.write(target, &apply, replaces).await else {
            restore.applied(target, &apply.path, apply.owners);
            return Ok(());
        };
        match refusal(&error).map(|refused| (refused.status.as_u16(), refused)) {
            Some((404, _)) if restore.planner.config.dry_run => self.unchecked(subject),
            Some((400 | 403..=499, refused)) => drop(locked(&restore.lost).insert(subject, format!("was not taken: {refused}"))),
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

    async fn write(&self, target: &Resource, apply: &Apply, replaces: bool) -> Result<(), SourceError> {
        let restore = &self.restore;
        let (api, (namespace, name)) = (&restore.api, place(&apply.path));
        let mut object = apply.object.clone();
        object["metadata"]["annotations"][RUN] = restore.run.clone().into();
        if !apply.owners.is_empty() {
            object["metadata"]["annotations"][OWNERS] = Value::from(apply.owners.clone()).to_string().into();
        }
        let ask = |path: String, kind: &'static str| {
            let ask = Ask { body: Some((kind, object.clone())), ..Ask::path(path) }.with("fieldManager", MANAGER);
            if restore.planner.config.dry_run { ask.with("dryRun", "All") } else { ask }
        };
        let at = target.path(namespace, name);
        let patch = ask(at.clone(), "application/apply-patch+yaml").with("force", "true");
        let Err(error) = api.send(&Method::PATCH, &patch).await else { return Ok(()) };
        let Some(refused) = refusal(&error) else { return Err(error) };
        // It merges lists by keys, and old objects may have one twice.
        if refused.reason.contains("duplicate entries for key") && !replaces {
            return api.send(&Method::POST, &ask(target.path(namespace, ""), "application/json")).await;
        }
        if refused.status.as_u16() == 422 && replaces && REMADE.contains(&&*target.kind) && !restore.planner.config.dry_run {
            remove(api, &at).await?;
            return api.send(&Method::PATCH, &patch).await;
        }
        Err(error)
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

/// Deletes the object that is there now, and waits until it is gone.
async fn remove(api: &Api, at: &str) -> Result<(), SourceError> {
    let Some(found) = api.find(&Ask::path(at)).await? else { return Ok(()) };
    let options = json!({"preconditions": {"uid": found["metadata"]["uid"]}, "propagationPolicy": "Background"});
    api.send(&Method::DELETE, &Ask { body: Some(("application/json", options)), ..Ask::path(at) }).await?;
    let began = Instant::now();
    while let Some(left) = api.find(&Ask::path(at)).await? {
        if left["metadata"]["uid"] != found["metadata"]["uid"] || began.elapsed() > GONE_WITHIN {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Reads a component's lines once more, and the objects that became of them.
///
/// # Errors
/// When either cannot be read.
pub fn compare(restore: &Restore, component: &Component, saved: &mut (dyn Read + Send)) -> Result<Vec<Problem>, SourceError> {
    let Some(of) = Resource::of(component) else { return Ok(Vec::new()) };
    let target = restore.api.block(restore.target(component))?;
    let (mut saved, mut found) = (BufReader::new(saved), Vec::new());
    let unreadable = |source: io::Error| SourceError::Io { doing: "read", path: component.name.clone(), source };
    let (mut text, mut is_read) = (Vec::new(), false);
    while !is_read {
        let (mut expected, mut held) = (Vec::new(), 0);
        while held < COMPARED {
            text.clear();
            is_read = saved.read_until(b'\n', &mut text).map_err(unreadable)? == 0;
            if is_read {
                break;
            }
            // Small objects count too.
            held += text.len() + 8192;
            match restore.planner.fate(&of, target.as_ref(), serde_json::from_slice(&text).map_err(|error| unreadable(error.into()))?) {
                Fate::Apply(apply) => expected.push(apply),
                Fate::Refuse(problem) | Fate::Lose(problem) => found.push(problem),
                Fate::Skip(_) => {}
            }
        }
        let Some(target) = &target else { continue };
        let looks = stream::iter(expected).map(|apply| look(restore, target, *apply)).buffer_unordered(AT_ONCE);
        for differing in restore.api.block(looks.collect::<Vec<_>>()) {
            found.extend(differing?);
        }
    }
    Ok(found)
}

/// What differs of one object.
async fn look(restore: &Restore, target: &Resource, apply: Apply) -> Result<Option<Problem>, SourceError> {
    let (namespace, name) = place(&apply.path);
    let subject = format!("{} {}", target.name(), apply.path);
    let lost = locked(&restore.lost).get(&subject).cloned();
    let what = match restore.api.find(&Ask::path(target.path(namespace, name))).await? {
        None => Some(lost.unwrap_or_else(|| "is not there".to_owned())),
        // It was there before, and stays.
        Some(live) if live["metadata"]["annotations"][RUN] != *restore.run => lost,
        // What the new cluster has given it is no difference.
        Some(live) => Some(differences(&apply.object, &strip(live).0).join("; ")).filter(|what| !what.is_empty()),
    };
    Ok(what.map(|what| Problem { subject, what }))
}
