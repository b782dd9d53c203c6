//! A restore into a cluster: what holds for all its components, and the gates between tiers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use http::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{
    api::{Api, Ask, METADATA_LIST},
    convert::counterpart,
    discovery::{Discovered, Resource, discover, text},
    inventory::identity,
    listing::Pages,
    locked,
    object::{CLUSTER, path_of},
    plan::Planner,
    pull_secret,
    ready::{is_awaited, waits_for},
    residue::{Learned, NOTHING},
    rights::{Right, check},
    write::{REMADE, change},
};
use crate::{
    config::{Existing, KubernetesConfig},
    model::{Activity, Context, Problem},
    sources::{Component, Loading, Overwrite, SourceError, SourceErrorKind, SystemTarget},
};

/// Says which restore has applied an object, as `RUN/STEP`.
pub const RUN: &str = "hourglass/run";
/// The owners that an object gets at the end, when they have identities.
pub const OWNERS: &str = "hourglass/owners";
/// Says that an object is suspended or scaled until it is activated.
pub const QUIET: &str = "hourglass/quiet";
/// Wait between two looks at what becomes ready.
const LOOK: Duration = Duration::from_millis(500);
/// Longest wait until the server knows a kind whose definition it has taken.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);
/// Objects that are not ready and are named; more are counted.
const NAMED: usize = 5;
/// Different things that may become of objects; more are counted together.
const REASONS: usize = 16;
/// KiB of objects that are held at a time, by all components together.
pub const HELD: usize = 32 << 10;
/// Objects asked for at a time.
pub const AT_ONCE: usize = 32;

/// A restore that goes on.
#[derive(Debug)]
pub struct Restore {
    /// The cluster.
    pub api: Api,
    /// Decides what becomes of objects.
    pub planner: Planner,
    /// What becomes of what is there.
    pub existing: Existing,
    /// On every object that it applies: the run, and the step of it. The same for every process of this restore.
    pub mark: String,
    /// A permit for each KiB of objects that are held.
    pub held: Arc<Semaphore>,
    /// Objects that the server did not take, and why.
    pub lost: Mutex<BTreeMap<String, String>>,
    /// What a person should know.
    pub notes: Mutex<Vec<Problem>>,
    /// How many objects became what, and why, as the comparison found it.
    pub tally: Mutex<BTreeMap<String, u64>>,
    discovered: tokio::sync::Mutex<Arc<Discovered>>,
    /// The tier that was let in last.
    gate: tokio::sync::Mutex<u8>,
    awaited: Mutex<BTreeSet<Awaited>>,
    owned: Mutex<Vec<Owned>>,
}

/// An object that is there.
#[derive(Debug, Clone, Copy)]
pub struct Present {
    /// Whether this run has applied it, in whichever step.
    pub is_ours: bool,
    /// Whether it waits for being activated.
    pub is_quiet: bool,
}

/// An object that was applied and not yet seen to be ready: what it is called, and where it is.
type Awaited = (String, String);

/// An object whose owners get identities at the end.
#[derive(Debug, Clone)]
struct Owned {
    subject: String,
    /// Where it is.
    at: String,
    namespace: Option<String>,
    owners: Vec<Value>,
}

/// `<namespace>/<name>`, taken apart.
pub fn place(path: &str) -> (Option<&str>, &str) {
    let (namespace, name) = path.split_once('/').unwrap_or((CLUSTER, path));
    (Some(namespace).filter(|namespace| *namespace != CLUSTER), name)
}

/// What has to be allowed for a kind.
fn verbs(resource: &Resource, existing: Existing, activity: &Activity) -> Vec<&'static str> {
    let replaces = existing == Existing::Replace;
    // The server gives nobody a role with more rights than he has.
    let is_role = resource.group == "rbac.authorization.k8s.io" && resource.kind.ends_with("Role");
    let all = [
        ("get", true),
        ("list", true),
        ("create", true),
        ("patch", true),
        ("update", replaces || *activity == Activity::Activate),
        ("delete", replaces && REMADE.contains(&&*resource.kind)),
        ("escalate", is_role),
        ("bind", is_role),
    ];
    all.into_iter().filter_map(|(verb, is_needed)| is_needed.then_some(verb)).collect()
}

impl Restore {
    /// Connects, and checks all that can be checked before anything is written.
    ///
    /// # Errors
    /// When the cluster cannot be reached, or a right lacks.
    pub fn begin(
        config: &KubernetesConfig,
        learned: &Learned,
        loading: &Loading,
        target: &SystemTarget,
        ctx: &Context,
    ) -> Result<Restore, SourceError> {
        let api = Api::connect(&config.access)?.within(ctx.cancel.clone());
        let discovered = api.block(discover(&api))?;
        let wanted = loading.components.iter().filter_map(Resource::of).filter_map(|of| counterpart(&of, &discovered));
        let existing = if target.overwrite == Overwrite::InPlace { Existing::Replace } else { Existing::Refuse };
        let existing = config.restore.existing.unwrap_or(existing);
        let wanted: Vec<Right> =
            wanted.flat_map(|resource| verbs(&resource, existing, &target.activity).into_iter().map(move |verb| (verb, resource.clone()))).collect();
        if !wanted.is_empty() {
            api.block(check(&api, wanted, "a restore"))?;
        }
        // In the cluster that it came from nothing of it is residue.
        let is_home = !learned.texts.is_empty() && api.block(identity(&api))?["uid"] == learned.cluster["uid"];
        let mut planner = Planner::new(config, target, if is_home { &NOTHING } else { learned });
        let mut notes = Vec::new();
        if loading.components.iter().any(|component| component.name == "secrets") {
            let minted = api.block(pull_secret::logins(&config.restore.registries_of))?;
            (planner.logins, notes) = minted;
        }
        let restore = Restore {
            api,
            planner,
            existing,
            mark: loading.run.clone(),
            held: Arc::new(Semaphore::new(HELD)),
            lost: Mutex::default(),
            notes: Mutex::new(notes),
            tally: Mutex::default(),
            discovered: tokio::sync::Mutex::new(Arc::new(discovered)),
            gate: tokio::sync::Mutex::default(),
            awaited: Mutex::default(),
            owned: Mutex::default(),
        };
        // What an earlier process applied is waited for and gets its owners like all else.
        for component in loading.components.iter().filter(|component| loading.done.contains(&component.name)) {
            if let Some(resource) = restore.api.block(restore.target(component))? {
                restore.api.block(restore.present(&resource))?;
            }
        }
        Ok(restore)
    }

    /// The kind of the target that takes a component's objects.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn target(&self, component: &Component) -> Result<Option<Resource>, SourceError> {
        let Some(of) = Resource::of(component) else { return Ok(None) };
        let began = Instant::now();
        loop {
            let mut discovered = self.discovered.lock().await;
            if let Some(found) = counterpart(&of, &discovered) {
                return Ok(Some(found));
            }
            *discovered = Arc::new(discover(&self.api).await?);
            if let Some(found) = counterpart(&of, &discovered) {
                return Ok(Some(found));
            }
            let defined = match discovered.find("apiextensions.k8s.io", "CustomResourceDefinition").filter(|_| of.custom) {
                Some(definitions) => self.api.find(&Ask::path(definitions.path(None, &of.name()))).await?.is_some(),
                None => false,
            };
            if !defined || began.elapsed() > KNOWN_WITHIN {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Objects of a kind that are there, as far as this restore may touch them: a cluster may have many others.
    pub fn pages(&self, resource: &Resource, accept: Option<&'static str>) -> Pages {
        Pages::within(self.planner.namespace().filter(|_| resource.namespaced), resource, accept)
    }

    /// Objects of a kind that are there. Takes note of what those wait for that this restore has applied.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn present(&self, resource: &Resource) -> Result<BTreeMap<String, Present>, SourceError> {
        let (mut pages, mut present) = (self.pages(resource, Some(METADATA_LIST)), BTreeMap::new());
        loop {
            let page = match pages.next(&self.api).await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(present),
                // Its definition went after it was discovered: nothing is there.
                Err(error) if error.kind() == SourceErrorKind::Vanished => return Ok(present),
                Err(error) => return Err(error),
            };
            for item in page.items.unwrap_or_default() {
                let Ok(object) = serde_json::from_str::<Value>(item.get()) else { continue };
                let (path, annotations) = (path_of(&object), &object["metadata"]["annotations"]);
                let there = Present { is_ours: self.is_of_this_run(&object), is_quiet: annotations[QUIET].is_string() };
                if self.has_applied(&object) {
                    let owners = annotations[OWNERS].as_str().and_then(|owners| serde_json::from_str(owners).ok()).unwrap_or_default();
                    self.applied(resource, &path, owners);
                }
                present.insert(path, there);
            }
        }
    }

    /// Whether this restore has applied an object that is there.
    pub fn has_applied(&self, object: &Value) -> bool {
        object["metadata"]["annotations"][RUN] == *self.mark
    }

    /// Whether this restore has, or another step of the same run.
    pub fn is_of_this_run(&self, object: &Value) -> bool {
        let run = |mark: &str| mark.split_once('/').map_or_else(|| mark.to_owned(), |(run, _)| run.to_owned());
        object["metadata"]["annotations"][RUN].as_str().is_some_and(|mark| run(mark) == run(&self.mark))
    }

    /// Counts what became of an object.
    pub fn count(&self, what: &str) {
        let mut tally = locked(&self.tally);
        let what = if tally.len() < REASONS || tally.contains_key(what) { what } else { "left out for further reasons" };
        *tally.entry(what.to_owned()).or_default() += 1;
    }

    /// Takes note of an object that was applied.
    pub fn applied(&self, resource: &Resource, path: &str, owners: Vec<Value>) {
        let (namespace, name) = place(path);
        let (subject, at) = (format!("{} {path}", resource.name()), resource.path(namespace, name));
        if is_awaited(&resource.kind) && !self.planner.config.dry_run {
            locked(&self.awaited).insert((subject.clone(), at.clone()));
        }
        if !owners.is_empty() && !self.planner.config.dry_run {
            locked(&self.owned).push(Owned { subject, at, namespace: namespace.map(str::to_owned), owners });
        }
    }

    /// Lets a tier in once all before it are ready.
    ///
    /// # Errors
    /// When they are not in time; what keeps them is named.
    pub async fn enter(&self, stage: u8, ctx: &Context) -> Result<(), SourceError> {
        let mut gate = self.gate.lock().await;
        if *gate < stage {
            self.ready(ctx).await?;
            *gate = stage;
        }
        Ok(())
    }

    async fn ready(&self, ctx: &Context) -> Result<(), SourceError> {
        let (began, within) = (Instant::now(), self.planner.config.ready_within);
        let mut awaited = std::mem::take(&mut *locked(&self.awaited));
        if within.is_zero() && !awaited.is_empty() {
            let what = format!("{} objects were not waited for", awaited.len());
            locked(&self.notes).push(Problem { subject: "readiness".to_owned(), what });
            return Ok(());
        }
        loop {
            let looks = stream::iter(awaited).map(|(subject, at)| async move { Ok((waits_for(&self.api, &at).await?, (subject, at))) });
            let looks: Vec<(Option<String>, Awaited)> = looks.buffer_unordered(AT_ONCE).try_collect().await.map_err(|error: SourceError| error)?;
            let lacking: Vec<(String, Awaited)> = looks.into_iter().filter_map(|(lacking, object)| Some((lacking?, object))).collect();
            if lacking.is_empty() {
                return Ok(());
            }
            if ctx.cancel.is_draining() {
                return Err(SourceError::Cancelled { program: "the wait for objects to be ready".to_owned() });
            }
            if began.elapsed() > within {
                let more = lacking.len().saturating_sub(NAMED);
                let named: Vec<String> = lacking.iter().take(NAMED).map(|(why, (subject, _))| format!("{subject}: {why}")).collect();
                let more = if more == 0 { String::new() } else { format!("; and {more} more") };
                return Err(SourceError::Unfit {
                    subject: "the restore".to_owned(),
                    why: format!("does not go on, because objects are not ready after {} s: {}{more}", within.as_secs(), named.join("; ")),
                    kind: SourceErrorKind::TimedOut,
                    hint: Some("mend what keeps them, then resume; restore.ready_within of the target sets how long to wait"),
                });
            }
            awaited = lacking.into_iter().map(|(_, object)| object).collect();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Gives owners back to objects, and waits for the last tier.
    ///
    /// # Errors
    /// When the cluster cannot be asked, or objects are not ready in time.
    pub async fn end(&self, ctx: &Context) -> Result<Vec<Problem>, SourceError> {
        let owned = std::mem::take(&mut *locked(&self.owned));
        let relinked = stream::iter(owned).map(|owned| self.relink(owned)).buffer_unordered(AT_ONCE);
        let unowned: Vec<Option<Problem>> = relinked.try_collect().await?;
        self.ready(ctx).await?;
        if self.planner.config.dry_run {
            let lost: Vec<Problem> =
                locked(&self.lost).iter().map(|(subject, what)| Problem { subject: subject.clone(), what: what.clone() }).collect();
            if !lost.is_empty() {
                let why = format!("would not take {} objects: {}", lost.len(), in_one_line(&lost));
                return Err(SourceError::Unfit { subject: self.api.server.clone(), why, kind: SourceErrorKind::Failed, hint: None });
            }
            locked(&self.notes)
                .push(Problem { subject: self.api.server.clone(), what: "checked every object and stored none: dry_run is set".to_owned() });
        }
        let mut notes = std::mem::take(&mut *locked(&self.notes));
        notes.extend(unowned.into_iter().flatten());
        Ok(notes)
    }

    /// Names the owners of an object by the identities that they have here. An object whose owner is not there would be collected as garbage.
    async fn relink(&self, Owned { subject, at, namespace, owners }: Owned) -> Result<Option<Problem>, SourceError> {
        let discovered = Arc::clone(&*self.discovered.lock().await);
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for owner in owners {
            let (version, kind, name) = (text(&owner["apiVersion"]), text(&owner["kind"]), text(&owner["name"]));
            let group = version.split_once('/').map_or("", |(group, _)| group);
            let uid = match discovered.find(group, &kind) {
                Some(resource) => {
                    let namespace = namespace.as_deref().filter(|_| resource.namespaced);
                    self.api.find(&Ask::path(resource.path(namespace, &name))).await?.map(|owner| owner["metadata"]["uid"].clone())
                }
                None => None,
            };
            match uid {
                Some(uid) => {
                    let mut owner = owner;
                    owner["uid"] = uid;
                    found.push(owner);
                }
                None => missing.push(format!("{kind} {name}")),
            }
        }
        let relinked = |object: &Value| {
            let version = &object["metadata"]["resourceVersion"];
            let patch = json!({"metadata": {"resourceVersion": version, "annotations": {OWNERS: null}, "ownerReferences": found}});
            Some((Method::PATCH, Ask::path(&*at).sending("application/merge-patch+json", &patch)))
        };
        if !change(&self.api, &at, relinked).await? {
            return Ok(None);
        }
        let what = || format!("has no owner any more: {} is not there", missing.join(", "));
        Ok((!missing.is_empty()).then(|| Problem { subject, what: what() }))
    }
}

/// The elements of a list of problems in one line, as many as are named.
pub fn in_one_line(problems: &[Problem]) -> String {
    let more = problems.len().saturating_sub(NAMED * 4);
    let named: Vec<String> = problems.iter().take(NAMED * 4).map(|problem| format!("{} {}", problem.subject, problem.what)).collect();
    if more == 0 { named.join("; ") } else { format!("{}; and {more} more", named.join("; ")) }
}
