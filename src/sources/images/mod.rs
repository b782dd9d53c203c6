//! Container images and charts in registries. Format: docs/format/source-images.md.
//!
//! `catalog` finds out what images are made of, by `manifest`s. An archive keeps that as the parts of an OCI layout; a mirror copies it to another
//! registry and keeps what is there. `target` is where a restore or a mirror writes, `blob` moves bytes, `registry` speaks to registries, `login` says with which account, and `ecr` is what Amazon's want besides.

mod blob;
mod catalog;
mod ecr;
mod error;
mod held;
mod login;
mod manifest;
mod registry;
mod target;

use std::{
    collections::BTreeMap,
    io::{self, Cursor, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use oci_client::Reference;
use serde_json::json;

use self::{
    blob::{BlobReader, BlobStream, Upload},
    catalog::{Catalog, digest_of},
    manifest::Manifest,
    registry::Registries,
    target::{TargetRegistry, not_whole, repository},
};
use super::{
    Capture, CaptureEnd, Component, Existing, Loading, Opening, Overwrite, RowDigest, Sink, Source, SourceError, SourceErrorKind, StreamCapture,
    StreamEnd, StreamSink, SystemTarget, Target, existing::ThingKind, rows::RowSum,
};
use crate::{
    config::{ImagesConfig, ImagesMode},
    model::{ByteCount, Context, Problem, Timestamp},
};

pub use held::at_registry;
pub(super) use login::login;

/// Largest manifest that is written.
const MANIFEST_MAX: usize = 8 << 20;

/// Images and charts.
#[derive(Debug)]
pub struct ImagesSource {
    config: ImagesConfig,
    prepared: Mutex<Option<Prepared>>,
    target: Mutex<Option<TargetRegistry>>,
    /// How many images were verified.
    tally: Mutex<BTreeMap<String, u64>>,
}

#[derive(Debug, Clone)]
struct Prepared {
    registries: Arc<Registries>,
    catalog: Arc<Catalog>,
    at: Timestamp,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_open(what: &str) -> SourceError {
    SourceError::Unfit { subject: what.to_owned(), why: "is not open".to_owned(), kind: SourceErrorKind::Failed, hint: None }
}

/// Words of what is known about a component, as repositories or tags.
fn words(component: &Component, key: &str) -> Result<Vec<Reference>, SourceError> {
    component.about.get(key).into_iter().flat_map(|words| words.split(' ')).filter(|word| !word.is_empty()).map(repository).collect()
}

fn size(component: &Component) -> Option<u64> {
    component.about.get("size")?.parse().ok()
}

impl ImagesSource {
    /// The images that a configuration names. Nothing is read yet.
    pub fn new(config: ImagesConfig) -> ImagesSource {
        ImagesSource { config, prepared: Mutex::default(), target: Mutex::default(), tally: Mutex::default() }
    }

    fn prepared(&self) -> Result<Prepared, SourceError> {
        locked(&self.prepared).clone().ok_or_else(|| not_open("the list of images"))
    }

    fn target(&self) -> Result<TargetRegistry, SourceError> {
        locked(&self.target).clone().ok_or_else(|| not_open("the restore"))
    }

    fn new_target(&self, registries: Arc<Registries>) -> Result<TargetRegistry, SourceError> {
        let destination = self.config.registry.clone().ok_or_else(|| SourceError::Unfit {
            subject: "the source".to_owned(),
            why: "names no registry to write to".to_owned(),
            kind: SourceErrorKind::Usage,
            hint: Some("give the source a registry, or restore it to a directory: that becomes an OCI layout"),
        })?;
        Ok(TargetRegistry { registries, destination })
    }

    /// Copies an image to the target and looks whether all of it is there; says what it is.
    fn mirror(&self, prepared: &Prepared, component: &Component, ctx: &Context) -> Result<Vec<u8>, SourceError> {
        let target = self.new_target(Arc::clone(&prepared.registries))?;
        let (image, top) = mirrored(component)?;
        target.prepare(&image, ctx)?;
        let (mut order, mut open) = (Vec::new(), vec![top.clone()]);
        while let Some(digest) = open.pop() {
            let held = prepared.catalog.manifests.get(&digest).ok_or_else(|| not_open(&digest))?;
            open.extend(held.manifest.manifests.iter().map(|child| child.digest.clone()));
            order.push(held);
        }
        order.sort_by_key(|held| held.level);
        let mut blobs = BTreeMap::new();
        for held in &order {
            for blob in &held.manifest.blobs {
                let shared = prepared.catalog.blobs.get(&blob.digest).map(|blob| &blob.repositories);
                let others: Vec<Reference> = shared.into_iter().flatten().map(|name| repository(name)).collect::<Result<_, _>>()?;
                target.bring(&image, &others, &blob.digest, blob.size, ctx)?;
                blobs.insert(&blob.digest, blob.size);
            }
            let tag = Some(&image).filter(|image| image.tag().is_some() && held.manifest.digest == top);
            let tag = tag.map(|image| {
                Reference::with_tag(image.registry().to_owned(), image.repository().to_owned(), image.tag().unwrap_or_default().to_owned())
            });
            target.manifest(&held.manifest, std::slice::from_ref(&image), tag.as_slice())?;
        }
        let missing = target.missing(&image, &top)?;
        if !missing.is_empty() {
            return Err(not_whole(&image, &missing));
        }
        let manifests: Vec<&str> = order.iter().map(|held| held.manifest.digest.as_str()).collect();
        let text =
            json!({"reference": image.to_string(), "digest": top, "place": target.place(&image).to_string(), "manifests": manifests, "blobs": blobs});
        Ok(format!("{text}\n").into_bytes())
    }

    fn blob(&self, prepared: &Prepared, component: &Component, ctx: &Context) -> Result<StreamCapture, SourceError> {
        let digest = digest_of(&component.name).ok_or_else(|| not_open(&component.name))?;
        let from = words(component, "repositories")?.into_iter().next().ok_or_else(|| not_open(&component.name))?;
        let (bytes, at, clock) = (size(component).unwrap_or_default(), prepared.at, Arc::clone(&ctx.clock));
        let ended = Arc::new(Mutex::new(None));
        let reader = BlobReader::new(Arc::clone(&prepared.registries), from, digest, bytes, ctx.clone());
        let stream = BlobStream { reader, part: Bytes::new(), ended: Arc::clone(&ended) };
        Ok(StreamCapture::new(stream, move || {
            locked(&ended).take().unwrap_or_else(|| Err(not_open("the blob")))?;
            Ok(end(at, clock.now(), bytes, None))
        }))
    }

    /// A sink for a blob, which every repository that needs it gets.
    fn blob_sink(&self, component: &Component, digest: String, bytes: u64, ctx: &Context) -> Result<StreamSink, SourceError> {
        let target = self.target()?;
        let places: Vec<Reference> = words(component, "repositories")?.iter().map(|repository| target.place(repository)).collect();
        let first = places.first().cloned().ok_or_else(|| not_open(&component.name))?;
        let upload: Arc<Mutex<Option<Upload>>> = Arc::new(Mutex::new(target.blob(&first, &digest, bytes)?));
        let (writer, ctx) = (SharedUpload(Arc::clone(&upload)), ctx.clone());
        Ok(StreamSink::new(writer, move || {
            let upload = locked(&upload).take();
            upload.map_or(Ok(()), Upload::end)?;
            places.iter().skip(1).try_for_each(|place| target.share(place, &first, &digest, bytes, &ctx))
        }))
    }

    /// A sink for a manifest, which gets its tags once the registry has it.
    fn manifest_sink(&self, component: &Component) -> Result<StreamSink, SourceError> {
        let (target, repositories, tags) = (self.target()?, words(component, "repositories")?, words(component, "references")?);
        let media_type = component.about.get("media_type").cloned().unwrap_or_default();
        let gathered = Gathered::default();
        let taken = gathered.clone();
        Ok(StreamSink::new(gathered, move || {
            let bytes = Bytes::from(std::mem::take(&mut *locked(&taken.0)));
            let image = repositories.first().cloned().ok_or_else(|| not_open("the manifest"))?;
            let manifest = Manifest { media_type, ..Manifest::parse(&image, bytes)? };
            target.manifest(&manifest, &repositories, &tags)
        }))
    }

    /// What is missing in the target of an image that a component is.
    fn missing(&self, component: &Component) -> Result<Option<Vec<Problem>>, SourceError> {
        let target = self.target()?;
        if component.about.contains_key("reference") {
            let (image, digest) = mirrored(component)?;
            return target.missing(&image, &digest).map(Some);
        }
        let Some(digest) = digest_of(&component.name).filter(|_| component.about.contains_key("media_type")) else { return Ok(None) };
        let mut missing = Vec::new();
        for image in
            words(component, "repositories")?.iter().map(|place| place.clone_with_digest(digest.clone())).chain(words(component, "references")?)
        {
            missing.extend(target.missing(&image, &digest)?);
        }
        Ok(Some(missing))
    }
}

/// The image that a component of a mirror is, and its digest.
fn mirrored(component: &Component) -> Result<(Reference, String), SourceError> {
    let about = |key: &str| component.about.get(key).ok_or_else(|| not_open(&component.name));
    Ok((repository(about("reference")?)?, about("digest")?.clone()))
}

fn end(from: Timestamp, to: Timestamp, bytes: u64, rows: Option<RowDigest>) -> StreamEnd {
    StreamEnd { consistent_from: from, consistent_to: to, versions: BTreeMap::new(), bytes: ByteCount(bytes), rows, problems: Vec::new() }
}

/// One image: there is no digest of rows, its own digest is its name.
fn one() -> RowDigest {
    RowDigest { rows: 1, sum: RowSum::default() }
}

impl Source for ImagesSource {
    fn kind(&self) -> &'static str {
        "images"
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn lanes(&self) -> usize {
        self.config.lanes
    }

    fn existing(&self, _ctx: &Context) -> Result<Existing, SourceError> {
        let names = self.config.references.iter().map(ToString::to_string);
        let told = Existing::of(ThingKind::Image, names, |_| true, "");
        Ok(Existing { untold: vec!["a registry is not asked what else it holds; a source of Kubernetes says which images run".to_owned()], ..told })
    }

    fn prepare(&self, ctx: &Context) -> Result<(), SourceError> {
        let registries = Arc::new(Registries::new(&self.config));
        let at = ctx.clock.now();
        let catalog = Arc::new(Catalog::read(&registries, &self.config, ctx)?);
        *locked(&self.prepared) = Some(Prepared { registries, catalog, at });
        Ok(())
    }

    fn open(&self, _opening: &Opening, _ctx: &Context) -> Result<Vec<Component>, SourceError> {
        Ok(self.prepared()?.catalog.components(self.config.mode))
    }

    fn capture(&self, component: &Component, ctx: &Context) -> Result<Capture, SourceError> {
        let prepared = self.prepared()?;
        let (text, rows) = match (self.config.mode, prepared.catalog.text(&component.name)) {
            (ImagesMode::Mirror, _) => (self.mirror(&prepared, component, ctx)?, Some(one())),
            (ImagesMode::Archive, Some(text)) => (text, component.about.contains_key("media_type").then(one)),
            (ImagesMode::Archive, None) => return self.blob(&prepared, component, ctx).map(Capture::Stream),
        };
        let end = end(prepared.at, ctx.clock.now(), text.len() as u64, rows);
        Ok(Capture::Stream(StreamCapture::new(Cursor::new(text), || Ok(end))))
    }

    fn close(&self, _ctx: &Context) -> Result<CaptureEnd, SourceError> {
        let Ok(Prepared { catalog, .. }) = self.prepared() else { return Ok(CaptureEnd::default()) };
        Ok(CaptureEnd { problems: catalog.problems.clone(), notes: catalog.notes.clone(), ..CaptureEnd::default() })
    }

    fn begin(&self, loading: &Loading, target: &SystemTarget, ctx: &Context) -> Result<(), SourceError> {
        if let Some(name) = target.rename.keys().next() {
            return Err(SourceError::Unfit {
                subject: format!("the image {name}"),
                why: "cannot be renamed".to_owned(),
                kind: SourceErrorKind::Usage,
                hint: Some("name a registry with first words of its own in the source's configuration"),
            });
        }
        let registry = self.new_target(Arc::new(Registries::new(&self.config)))?;
        for component in &loading.components {
            let Some(digest) = digest_of(&component.name) else { continue };
            for tag in words(component, "references")?.iter().filter(|tag| tag.digest().is_none()) {
                if target.overwrite == Overwrite::Refuse && !loading.resumed && !registry.is_free(tag, &digest)? {
                    return Err(SourceError::Unfit {
                        subject: format!("the tag {}", registry.place(tag)),
                        why: "means another image".to_owned(),
                        kind: SourceErrorKind::Occupied,
                        hint: Some("restore to another registry, or first words of repositories; or ask for a restore in place by name"),
                    });
                }
            }
        }
        // Nothing is in the way.
        for component in &loading.components {
            words(component, "repositories")?.iter().try_for_each(|repository| registry.prepare(repository, ctx))?;
        }
        *locked(&self.target) = Some(registry);
        Ok(())
    }

    fn is_selected(&self, component: &Component, target: &SystemTarget) -> bool {
        let about = |key: &str| component.about.get(key).into_iter().flat_map(|words| words.split(' '));
        target.select.is_empty() || about("repositories").chain(about("reference")).any(|name| target.select.iter().any(|selected| selected == name))
    }

    fn sink(&self, component: &Component, target: &Target, ctx: &Context) -> Result<Sink, SourceError> {
        let sink = match (target, digest_of(&component.name), size(component)) {
            (Target::Directory { path, overwrite }, _, _) => StreamSink::file(path, &component.name, *overwrite)?,
            (Target::System(_), Some(digest), Some(bytes)) => self.blob_sink(component, digest, bytes, ctx)?,
            (Target::System(_), Some(_), None) => self.manifest_sink(component)?,
            // What makes a directory an OCI layout, or says what a mirror has: a registry has no place for it.
            (Target::System(_), None, _) => StreamSink::new(io::sink(), || Ok(())),
        };
        Ok(Sink::Stream(sink))
    }

    fn read_back(&self, component: &Component, _ctx: &Context) -> Result<Option<RowDigest>, SourceError> {
        let Some(missing) = self.missing(component)? else { return Ok(None) };
        // What has a tag, or is one of a mirror, is an image that somebody asks for.
        let images = words(component, "references")?.len().max(usize::from(component.about.contains_key("reference")));
        if images > 0 {
            let what = if missing.is_empty() { "images verified by their digests" } else { "images not whole, or others" };
            *locked(&self.tally).entry(what.to_owned()).or_default() += images as u64;
        }
        Ok(Some(if missing.is_empty() { one() } else { RowDigest { rows: 0, ..one() } }))
    }

    fn tally(&self) -> BTreeMap<String, u64> {
        locked(&self.tally).clone()
    }

    fn differences(&self, component: &Component, _saved: &mut (dyn io::Read + Send), _ctx: &Context) -> Result<Vec<Problem>, SourceError> {
        Ok(self.missing(component)?.unwrap_or_default())
    }
}

/// The writing end of an upload, of a blob that may be there already.
struct SharedUpload(Arc<Mutex<Option<Upload>>>);

impl Write for SharedUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked(&self.0).as_mut().map_or(Ok(bytes.len()), |upload| upload.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        locked(&self.0).as_mut().map_or(Ok(()), Upload::flush)
    }
}

/// A manifest's bytes, gathered.
#[derive(Debug, Clone, Default)]
struct Gathered(Arc<Mutex<Vec<u8>>>);

impl Write for Gathered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut gathered = locked(&self.0);
        if gathered.len() + bytes.len() > MANIFEST_MAX {
            return Err(io::Error::other(format!("the manifest is larger than {} MiB", MANIFEST_MAX >> 20)));
        }
        gathered.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
