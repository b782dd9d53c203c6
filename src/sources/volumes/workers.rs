//! Starts workers, waits for them, and removes what belongs to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use futures::future::join_all;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    claims::{Claim, User, user},
    job::{job, secret},
    state::{Patience, State, state},
};
use crate::{
    config::{Portable, VolumesConfig},
    model::{Context, Problem},
    sources::{
        SourceError, SourceErrorKind,
        kubernetes::{
            WORKER,
            api::{Api, Ask, JSON, refusal},
            fits_path, text,
        },
    },
};

/// Wait between two looks at a worker.
const LOOK: Duration = Duration::from_secs(1);
/// Longest time until a Job that was removed is gone.
const GONE_WITHIN: Duration = Duration::from_secs(60);
/// What has to be allowed in the namespace of a claim: verbs, group, kind.
const RIGHTS: [(&str, &str, &str); 8] = [
    ("get", "", "persistentvolumeclaims"),
    ("list", "", "pods"),
    ("create", "batch", "jobs"),
    ("get", "batch", "jobs"),
    ("list", "batch", "jobs"),
    ("delete", "batch", "jobs"),
    ("create", "", "secrets"),
    ("delete", "", "secrets"),
];

/// Who starts workers in a cluster.
#[derive(Debug, Clone)]
pub struct Workers {
    api: Api,
    config: VolumesConfig,
}

/// What one worker is sent to do.
#[derive(Debug, Clone)]
pub struct Errand<'a> {
    /// Name of its Job and its Secret: the same whoever sends it, as long as it is the same errand.
    pub name: String,
    /// The run.
    pub run: &'a str,
    /// Namespace of the claim.
    pub namespace: &'a str,
    /// The claim.
    pub claim: &'a str,
    /// Whether it only reads.
    pub read_only: bool,
    /// Pods that do a share each; 1 for one that does all.
    pub shares: usize,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its configuration.
    pub portable: &'a Portable,
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It succeeded.
    Well,
    /// It did not.
    Badly {
        /// With what its last pod exited.
        code: Option<i64>,
        /// What is known of the cause.
        why: String,
    },
}

/// An error of which nothing but this is to be said.
pub fn unfit(subject: &str, why: String, hint: Option<&'static str>) -> SourceError {
    SourceError::Unfit { subject: subject.to_owned(), why, kind: SourceErrorKind::Failed, hint }
}

fn in_namespace(namespace: &str, group: &str, kind: &str, name: &str) -> String {
    let root = if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/v1") };
    let name = if name.is_empty() { String::new() } else { format!("/{name}") };
    format!("{root}/namespaces/{namespace}/{kind}{name}")
}

impl Workers {
    /// The workers of a source. Nothing is asked yet. Blocks.
    ///
    /// # Errors
    /// When the credentials cannot be read or used, or a worker could not reach a store.
    pub fn connect(config: &VolumesConfig) -> Result<Workers, SourceError> {
        if let Some(folder) = config.site.unreachable() {
            let hint = Some("give locations and the control store as s3:// or azure://");
            return Err(unfit(&folder.to_string(), "is a folder of this machine, which a worker in a cluster does not reach".to_owned(), hint));
        }
        Ok(Workers { api: Api::connect(&config.access)?, config: config.clone() })
    }

    /// Runs something on the runtime, and waits for it: for threads that may block.
    pub fn block<T>(&self, work: impl Future<Output = T>) -> T {
        self.api.block(work)
    }

    /// The claims that the configuration means and that have a volume; and what is wrong with others.
    pub(super) async fn find_claims(&self) -> Result<(Vec<Claim>, Vec<Problem>), SourceError> {
        let is_named = |pattern: &String| !pattern.contains('*');
        let namespaces: BTreeSet<&str> = self.config.claims.iter().filter_map(|pattern| Some(pattern.split_once('/')?.0)).collect();
        let paths: Vec<String> = match namespaces.iter().any(|namespace| namespace.contains('*')) {
            true => vec!["/api/v1/persistentvolumeclaims".to_owned()],
            false => namespaces.iter().map(|namespace| in_namespace(namespace, "", "persistentvolumeclaims", "")).collect(),
        };
        let mut claims = Vec::new();
        for path in paths {
            claims.extend(self.api.all(&path, None).await?.iter().map(Claim::of));
        }
        claims.retain(|claim: &Claim| self.config.claims.iter().any(|pattern| fits_path(pattern, &claim.path())));
        claims.sort_by_key(Claim::path);
        let problem = |path: String, what: &str| Problem { subject: format!("claim {path}"), what: what.to_owned() };
        let missing = self.config.claims.iter().filter(|pattern| is_named(pattern) && !claims.iter().any(|claim| claim.path() == **pattern));
        let mut problems: Vec<Problem> = missing.map(|path| problem(path.clone(), "it does not exist")).collect();
        let (bound, unbound): (Vec<Claim>, Vec<Claim>) = claims.into_iter().partition(|claim| claim.is_bound);
        problems.extend(unbound.iter().map(|claim| problem(claim.path(), "it has no volume")));
        Ok((bound, problems))
    }

    /// That workers may be sent to these namespaces.
    ///
    /// # Errors
    /// When a right lacks; all that lack are named.
    pub async fn check_rights(&self, namespaces: impl Iterator<Item = &str>) -> Result<(), SourceError> {
        let namespaces: BTreeSet<&str> = namespaces.collect();
        let wanted: Vec<_> = namespaces.iter().flat_map(|namespace| RIGHTS.map(|right| (*namespace, right))).collect();
        let mut lacking = Vec::new();
        for ((namespace, (verb, _, kind)), allowed) in wanted.iter().zip(join_all(wanted.iter().map(|wanted| self.is_allowed(wanted))).await) {
            if !allowed? {
                lacking.push(format!("{verb} {kind} in {namespace}"));
            }
        }
        match lacking.is_empty() {
            true => Ok(()),
            false => Err(SourceError::Unfit {
                subject: format!("the account at {}", self.api.server),
                why: format!("may not {}, which workers need", lacking.join(", ")),
                kind: SourceErrorKind::Denied,
                hint: Some("give it the rights that the guide on volumes names"),
            }),
        }
    }

    async fn is_allowed(&self, (namespace, (verb, group, kind)): &(&str, (&str, &str, &str))) -> Result<bool, SourceError> {
        let attributes = json!({"namespace": namespace, "verb": verb, "group": group, "resource": kind});
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}});
        let ask = Ask::path("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").sending(JSON, &review);
        let answer = self.api.json(&Method::POST, &ask).await?;
        Ok(answer["status"]["allowed"] == true)
    }

    /// `NAMESPACE/CLAIM` of all claims of the cluster.
    pub(super) async fn all_claims(&self) -> Result<Vec<String>, SourceError> {
        Ok(self.api.all("/api/v1/persistentvolumeclaims", None).await?.iter().map(|claim| Claim::of(claim).path()).collect())
    }

    /// Which of these claims (namespace, name) do not exist.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn missing_claims<'c>(&self, claims: &[(&'c str, &'c str)]) -> Result<Vec<(&'c str, &'c str)>, SourceError> {
        let mut missing = Vec::new();
        for (namespace, name) in claims {
            if self.api.find(&Ask::path(in_namespace(namespace, "", "persistentvolumeclaims", name))).await?.is_none() {
                missing.push((*namespace, *name));
            }
        }
        Ok(missing)
    }

    /// Sends a worker, or finds the one that was sent by an earlier process, and waits until it has ended.
    ///
    /// # Errors
    /// When it cannot be sent, or the run is stopped: then the worker is, too.
    pub async fn run(&self, errand: &Errand<'_>, ctx: &Context) -> Result<Ended, SourceError> {
        let claim = match self.api.find(&Ask::path(in_namespace(errand.namespace, "", "persistentvolumeclaims", errand.claim))).await? {
            Some(claim) => Claim::of(&claim),
            None => return Ok(Ended::Badly { code: None, why: "the claim does not exist".to_owned() }),
        };
        let known = self.api.find(&self.job_of(errand)).await?;
        let known = match known.as_ref().map(|job| state(job, &[])) {
            // Whoever asks again wants another.
            Some(State::Failed { .. } | State::Done) => {
                self.remove(errand).await?;
                None
            }
            _ => known,
        };
        let job = match known {
            Some(job) => job,
            None => {
                let beside = user(&self.api.all(&in_namespace(errand.namespace, "", "pods", ""), None).await?, errand.claim);
                if let Some(user) = beside.as_ref().filter(|_| claim.is_exclusive) {
                    let why = format!("the pod {} alone may use it: its access mode is ReadWriteOncePod", user.name);
                    return Ok(Ended::Badly { code: None, why });
                }
                self.send(errand, &claim, beside.as_ref()).await?
            }
        };
        self.equip(errand, &job).await?;
        self.wait(errand, ctx).await
    }

    fn job_of(&self, errand: &Errand<'_>) -> Ask {
        Ask::path(in_namespace(errand.namespace, "batch", "jobs", &errand.name))
    }

    async fn send(&self, errand: &Errand<'_>, claim: &Claim, beside: Option<&User>) -> Result<Value, SourceError> {
        let job = job(errand, claim, beside, &self.config.worker);
        self.api.json(&Method::POST, &Ask::path(in_namespace(errand.namespace, "batch", "jobs", "")).sending(JSON, &job)).await
    }

    /// Gives it its Secret. The Job comes first, so that the Secret never outlives it; until then its pods wait.
    async fn equip(&self, errand: &Errand<'_>, job: &Value) -> Result<(), SourceError> {
        let mut files = BTreeMap::from([("hourglass.yaml".to_owned(), errand.portable.text.clone().into_bytes())]);
        for (name, path) in &errand.portable.files {
            let unreadable = |source| SourceError::Io { doing: "read", path: path.display().to_string(), source };
            files.insert(name.clone(), fs::read(path).map_err(unreadable)?);
        }
        let secret = secret(errand, errand.namespace, job, &files);
        let made = self.api.send(&Method::POST, &Ask::path(in_namespace(errand.namespace, "", "secrets", "")).sending(JSON, &secret)).await;
        match made {
            Err(error) if refusal(&error).is_some_and(|refused| refused.status == StatusCode::CONFLICT) => Ok(()),
            made => made,
        }
    }

    async fn wait(&self, errand: &Errand<'_>, ctx: &Context) -> Result<Ended, SourceError> {
        let worker = &self.config.worker;
        let (began, mut idle) = (Instant::now(), Instant::now());
        let limit = worker.within + worker.starts_within + GONE_WITHIN;
        loop {
            if ctx.cancel.is_draining() {
                self.remove(errand).await?;
                return Err(SourceError::Cancelled { program: format!("the worker of {}/{}", errand.namespace, errand.claim) });
            }
            let Some(job) = self.api.find(&self.job_of(errand)).await? else {
                return Ok(Ended::Badly { code: None, why: "somebody has removed its Job".to_owned() });
            };
            let pods = self.api.all(&in_namespace(errand.namespace, "", "pods", ""), Some(&format!("job-name={}", errand.name))).await?;
            let now = state(&job, &pods);
            if !matches!(now, State::Waiting { .. }) {
                idle = Instant::now();
            }
            let why = match &now {
                State::Done => return Ok(Ended::Well),
                State::Failed { code, why } => return Ok(Ended::Badly { code: *code, why: why.clone() }),
                _ if began.elapsed() > limit => Some("it did not end in time".to_owned()),
                now => Patience { limit: worker.starts_within, waited: idle.elapsed() }.verdict(now),
            };
            if let Some(why) = why {
                return Ok(Ended::Badly { code: None, why });
            }
            tokio::select! { () = tokio::time::sleep(LOOK) => {}, () = ctx.cancel.draining() => {} }
        }
    }

    /// Removes the Job of an errand, and with it its pods and its Secret; returns when the Job is gone.
    ///
    /// # Errors
    /// When the cluster refuses, or takes too long.
    pub async fn remove(&self, errand: &Errand<'_>) -> Result<(), SourceError> {
        let until = Instant::now() + GONE_WITHIN;
        self.delete(&in_namespace(errand.namespace, "batch", "jobs", &errand.name)).await?;
        // It would go with its Job, later.
        self.delete(&in_namespace(errand.namespace, "", "secrets", &errand.name)).await?;
        while self.api.find(&self.job_of(errand)).await?.is_some() {
            if Instant::now() > until {
                return Err(unfit(&format!("the Job {}/{}", errand.namespace, errand.name), "cannot be removed".to_owned(), None));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Removes all Jobs of a run in these namespaces, without waiting until they are gone.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub async fn remove_of(&self, run: &str, namespaces: &BTreeSet<&str>) -> Result<(), SourceError> {
        for namespace in namespaces {
            for job in self.api.all(&in_namespace(namespace, "batch", "jobs", ""), Some(&format!("{WORKER}={run}"))).await? {
                self.delete(&in_namespace(namespace, "batch", "jobs", &text(&job["metadata"]["name"]))).await?;
            }
        }
        Ok(())
    }

    async fn delete(&self, path: &str) -> Result<(), SourceError> {
        match self.api.send(&Method::DELETE, &Ask::path(path).with("propagationPolicy", "Background")).await {
            Err(error) if error.kind() == SourceErrorKind::Vanished => Ok(()),
            done => done,
        }
    }
}

impl Ended {
    /// What a person should be told of it.
    pub fn explain(&self) -> String {
        match self {
            Ended::Well => "its worker ended without a result".to_owned(),
            Ended::Badly { code: None, why } => why.clone(),
            Ended::Badly { code: Some(code), why } => format!("its worker ended with exit code {code}: {why}"),
        }
    }
}
