//! All objects of one kind, page by page, as the lines of a component. Two pages are in memory at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    sync::{Arc, Mutex},
};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    ahead::Ahead,
    api::{Api, Ask, Page, refusal},
    discovery::Resource,
    locked,
    object::{dropped, line, path_of},
    select::{fits_any, means},
};
use crate::{
    config::KubernetesConfig,
    model::{ByteCount, Clock, Context, Timestamp},
    sources::{RowDigester, SourceError, SourceErrorKind, StreamEnd},
};

/// Objects in a page; fewer where they are large.
const PAGE: usize = 500;

/// How often a list whose version is gone is begun anew, from servers that do not say how to go on.
const BEGUN_ANEW: u32 = 5;

/// Pages of a list, each asked for when it is needed.
#[derive(Debug)]
pub struct Pages {
    path: String,
    accept: Option<&'static str>,
    labels: Option<&'static str>,
    limit: usize,
    /// Absent before the first page; empty after the last.
    more: Option<String>,
    /// What the list is a snapshot of, once it is known.
    pub version: String,
    /// Whether later pages are newer than the first.
    pub is_torn: bool,
    /// The last object that was given.
    last: Option<String>,
    /// Up to where a list that was begun anew has been given already.
    passed: Option<String>,
    begun_anew: u32,
}

/// The part of an object that says where it is.
#[derive(Deserialize)]
struct Placed {
    metadata: Value,
}

/// The path of an object that is not looked into otherwise.
fn path_in(item: &RawValue) -> String {
    serde_json::from_str(item.get()).map_or_else(|_| String::new(), |placed: Placed| path_of(&json!({"metadata": placed.metadata})))
}

impl Pages {
    /// Before the first page; of metadata alone or of whole objects.
    pub fn new(resource: &Resource, accept: Option<&'static str>) -> Pages {
        Pages::within(None, resource, accept)
    }

    /// Of one namespace, if one is named.
    pub fn within(namespace: Option<&str>, resource: &Resource, accept: Option<&'static str>) -> Pages {
        Pages {
            path: resource.path(namespace, ""),
            accept,
            labels: None,
            limit: PAGE,
            more: None,
            version: String::new(),
            is_torn: false,
            last: None,
            passed: None,
            begun_anew: 0,
        }
    }

    /// Only of objects with this label.
    pub fn labelled(self, label: &'static str) -> Pages {
        Pages { labels: Some(label), ..self }
    }

    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or has an object that is too large.
    pub async fn next(&mut self, api: &Api) -> Result<Option<Page>, SourceError> {
        while self.more.as_deref() != Some("") {
            let mut ask = Ask::path(&*self.path).with("limit", self.limit.to_string());
            ask.accept = self.accept;
            if let Some(labels) = self.labels {
                ask = ask.with("labelSelector", labels);
            }
            if let Some(more) = &self.more {
                ask = ask.with("continue", more);
            }
            match api.page(&ask).await {
                Ok(mut page) => {
                    if let (Some(items), Some(passed)) = (&mut page.items, &self.passed) {
                        items.retain(|item| path_in(item) > *passed);
                    }
                    self.last = page.items.iter().flatten().next_back().map(|item| path_in(item)).or_else(|| self.last.take());
                    self.more = Some(page.metadata.more.clone());
                    self.version.clone_from(&page.metadata.resource_version);
                    return Ok(Some(page));
                }
                // Its objects are large: fewer at a time.
                Err(error) if error.kind() == SourceErrorKind::Changed && self.limit > 1 => self.limit = (self.limit / 4).max(1),
                Err(error) => {
                    // The version is gone.
                    let Some(refused) = refusal(&error).filter(|refused| refused.status.as_u16() == 410) else { return Err(error) };
                    self.is_torn = true;
                    match &refused.resume {
                        // The server says how to go on with what is there now.
                        Some(resume) => self.more = Some(resume.clone()),
                        None if self.begun_anew == BEGUN_ANEW => return Err(error),
                        None => (self.more, self.passed, self.begun_anew) = (None, self.last.clone(), self.begun_anew + 1),
                    }
                }
            }
        }
        Ok(None)
    }
}

/// What is captured of a kind.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Patterns of namespaces and of objects that are left out.
    pub config: KubernetesConfig,
    /// Kinds that are captured, as `group/Kind`.
    pub kinds: Arc<BTreeSet<String>>,
}

impl Filter {
    fn keeps(&self, resource: &Resource, path: &str, object: &Value) -> bool {
        let config = &self.config;
        let namespace =
            object["metadata"]["namespace"].as_str().or((resource.plural == "namespaces").then(|| object["metadata"]["name"].as_str()).flatten());
        let inside = namespace.is_none_or(|namespace| config.namespaces.is_empty() || fits_any(&config.namespaces, namespace));
        let excluded = config.exclude.iter().any(|pattern| means(pattern, &resource.name(), path));
        inside && !excluded && dropped(resource, object, &self.kinds).is_none()
    }
}

/// The lines of a component. Those that follow an error lack: only what `ended` holds says whether all were read.
#[derive(Debug)]
pub struct Lines {
    api: Api,
    resource: Resource,
    filter: Filter,
    pages: Ahead,
    clock: Arc<dyn Clock>,
    digester: RowDigester,
    bytes: u64,
    began: Timestamp,
    to: Option<Timestamp>,
    text: Vec<u8>,
    at: usize,
    ended: Arc<Mutex<Ended>>,
}

fn is_unknown(error: &SourceError) -> bool {
    refusal(error).is_some_and(|refused| refused.status.as_u16() == 404)
}

/// Whether a custom kind has no definition. Its objects alone do not tell: a server that starts does not know yet what it serves.
async fn is_removed(api: &Api, resource: &Resource) -> Result<bool, SourceError> {
    if !resource.custom {
        return Ok(false);
    }
    let definitions = Ask::path("/apis/apiextensions.k8s.io/v1/customresourcedefinitions");
    let found = api.get(&definitions.with("fieldSelector", format!("metadata.name={}", resource.name()))).await?;
    Ok(found["items"].as_array().is_some_and(Vec::is_empty))
}

/// How a listing ended: the version that it is a snapshot of, empty for a kind that was removed before it was read; and the end of its stream.
pub type Ended = Option<Result<(String, StreamEnd), SourceError>>;

impl Lines {
    /// All objects of a kind that the filter keeps. `ended` is filled at the end.
    pub fn new(api: Api, resource: Resource, filter: Filter, digester: RowDigester, ended: Arc<Mutex<Ended>>, ctx: &Context) -> Lines {
        let pages = Ahead::new(api.clone(), Pages::new(&resource, None));
        let (clock, began) = (Arc::clone(&ctx.clock), ctx.clock.now());
        Lines { api, resource, filter, pages, clock, digester, bytes: 0, began, to: None, text: Vec::new(), at: 0, ended }
    }

    /// Reads a page; whether there was one.
    fn fill(&mut self) -> Result<bool, SourceError> {
        let page = match self.api.block(self.pages.next()) {
            Ok(page) => page,
            // A kind that somebody removed after it was discovered has no objects any more.
            Err(error) if self.is_first() && is_unknown(&error) && self.api.block(is_removed(&self.api, &self.resource))? => None,
            Err(error) => return Err(error),
        };
        let Some(page) = page else { return Ok(false) };
        (self.at, self.bytes) = (0, self.bytes + self.text.len() as u64);
        self.text.clear();
        // Later pages are of the first one's version, unless that was gone.
        if self.to.is_none() || self.pages.is_torn {
            self.to = Some(self.clock.now());
        }
        for item in page.items.unwrap_or_default() {
            let understand = |source: serde_json::Error| SourceError::Database {
                doing: format!("understand an object of {}", self.resource.name()),
                kind: SourceErrorKind::Failed,
                source: source.into(),
            };
            let mut object: Value = serde_json::from_str(item.get()).map_err(understand)?;
            // Items of a list do not say what they are.
            object["apiVersion"] = self.resource.api_version().into();
            object["kind"] = self.resource.kind.clone().into();
            let path = path_of(&object);
            if self.filter.keeps(&self.resource, &path, &object) {
                let (line, canonical) = line(&path, object);
                self.digester.row(&canonical);
                self.text.extend(line);
            }
        }
        Ok(true)
    }

    /// Whether no page was read yet.
    fn is_first(&self) -> bool {
        self.to.is_none()
    }

    fn end(&self) -> (String, StreamEnd) {
        let end = StreamEnd {
            consistent_from: self.began,
            consistent_to: self.to.unwrap_or(self.began),
            versions: BTreeMap::new(),
            bytes: ByteCount(self.bytes + self.text.len() as u64),
            rows: Some(self.digester.digest()),
            problems: Vec::new(),
        };
        (self.pages.version.clone(), end)
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => {
                    *locked(&self.ended) = Some(Ok(self.end()));
                    return Ok(0);
                }
                Err(error) => {
                    let said = io::Error::other(error.to_string());
                    *locked(&self.ended) = Some(Err(error));
                    return Err(said);
                }
            }
        }
        let taken = buffer.len().min(self.text.len() - self.at);
        buffer[..taken].copy_from_slice(&self.text[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}
