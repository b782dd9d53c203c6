//! Registries: manifests and blobs, read and written. Every wait is bounded; what changes nothing is tried again.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::stream::BoxStream;
use oci_client::{
    Client, Reference,
    client::{BlobResponse, Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    secrets::RegistryAuth,
};
use reqwest::header::HeaderValue;
use tokio::{runtime::Handle, time::timeout};

use super::{
    ecr::Ecr,
    error::{failed, refused},
    login::{Login, login, read},
    manifest::{ACCEPTED, Manifest},
};
use crate::{
    config::{ImagesConfig, RegistryConfig},
    model::{Context, Timestamp},
    sources::{SourceError, SourceErrorKind, command},
};

/// How often something is asked for that changes nothing.
const ATTEMPTS: u32 = 4;
/// Wait after the first attempt; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(300);
/// Longest time until a connection is there.
const CONNECT: Duration = Duration::from_secs(10);
/// Parts of an upload on their way.
const PARTS_AHEAD: usize = 4;

/// The registries of a source. Its methods block: they are for threads that may.
pub struct Registries {
    config: ImagesConfig,
    clients: Mutex<HashMap<String, Door>>,
    /// Repositories that are known to be there.
    prepared: Mutex<HashSet<String>>,
    /// The APIs that make them: each has to find its credentials once.
    apis: Mutex<HashMap<String, Ecr>>,
    handle: Handle,
}

/// A client that has logged in.
struct Door {
    client: Client,
    /// When it has to log in anew, if its password ends.
    renew: Option<Timestamp>,
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registries(…)")
    }
}

/// The bytes of a blob, from some offset on.
pub type Parts = BoxStream<'static, std::io::Result<Bytes>>;
/// An upload that goes on.
pub type Uploading = tokio::task::JoinHandle<Result<String, OciDistributionError>>;

impl Registries {
    /// Registries as a configuration knows them. Nothing is asked yet.
    pub fn new(config: &ImagesConfig) -> Registries {
        let (clients, prepared, apis) = (Mutex::default(), Mutex::default(), Mutex::default());
        Registries { config: config.clone(), clients, prepared, apis, handle: Handle::current() }
    }

    /// What an image's name stands for, by its digest if it has one, else by its tag.
    ///
    /// # Errors
    /// When the registry cannot be reached, refuses, does not have it, or it is none that we can read.
    pub fn manifest(&self, image: &Reference) -> Result<Manifest, SourceError> {
        let client = self.client(image.registry())?;
        let auth = RegistryAuth::Anonymous; // The client has ours since it was made, and does not look at this.
        let (bytes, _) = self.again(|| format!("read {image}"), || client.pull_manifest_raw(image, &auth, ACCEPTED))?;
        let manifest = Manifest::parse(image, bytes)?;
        match image.digest() {
            Some(digest) if digest != manifest.digest => Err(refused(image, format!("is {} in the registry", manifest.digest))),
            _ => Ok(manifest),
        }
    }

    /// As [`Registries::manifest`], but `None` when the registry has no such thing.
    ///
    /// # Errors
    /// As there.
    pub fn find_manifest(&self, image: &Reference) -> Result<Option<Manifest>, SourceError> {
        found(self.manifest(image))
    }

    /// Has a repository made, where the registry wants that before anything is put into it; once for each.
    ///
    /// # Errors
    /// When Amazon's API refuses; when the command fails or takes too long.
    pub fn prepare(&self, repository: &Reference, ctx: &Context) -> Result<(), SourceError> {
        let Some(known) = self.config.registries.get(repository.registry()) else { return Ok(()) };
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if prepared.contains(&name(repository)) {
            return Ok(());
        }
        if let Some(ecr) = &known.ecr {
            let mut apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
            let api = apis.entry(repository.registry().to_owned()).or_insert_with(|| self.handle.block_on(Ecr::open(ecr)));
            self.handle.block_on(api.create(repository.repository()))?;
        } else if !known.create.is_empty() {
            let argv: Vec<String> = known.create.iter().map(|word| word.replace("{repository}", repository.repository())).collect();
            command::run(&argv, self.config.timeout, ctx)?;
        }
        prepared.insert(name(repository));
        Ok(())
    }

    /// Whether a repository has a blob.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses.
    pub fn has_blob(&self, repository: &Reference, digest: &str) -> Result<bool, SourceError> {
        let client = self.client(repository.registry())?;
        self.again(|| format!("look for {digest} in {}", name(repository)), || client.blob_exists(repository, digest))
    }

    /// The bytes of a blob, and the offset at which they begin, which is the wanted one or 0.
    ///
    /// # Errors
    /// When the registry cannot be reached, refuses or does not have it.
    pub fn blob(&self, repository: &Reference, digest: &str, offset: u64) -> Result<(u64, Parts), SourceError> {
        let client = self.client(repository.registry())?;
        let doing = || format!("read {digest} of {}", name(repository));
        if offset == 0 {
            return Ok((0, self.again(doing, || client.pull_blob_stream(repository, digest))?.stream));
        }
        Ok(match self.again(doing, || client.pull_blob_stream_partial(repository, digest, offset, None))? {
            BlobResponse::Full(all) => (0, all.stream),
            BlobResponse::Partial(rest) => (offset, rest.stream),
        })
    }

    /// Begins to upload a blob: what is sent into the channel until it is closed.
    ///
    /// # Errors
    /// When there is no client for the registry.
    pub fn upload(&self, repository: &Reference, digest: &str, size: u64) -> Result<(tokio::sync::mpsc::Sender<Bytes>, Uploading), SourceError> {
        let client = self.client(repository.registry())?;
        let (send, receive) = tokio::sync::mpsc::channel(PARTS_AHEAD);
        let parts = futures::stream::unfold(receive, async |mut receive: tokio::sync::mpsc::Receiver<Bytes>| {
            let part = receive.recv().await?;
            Some((Ok(part), receive))
        });
        let (repository, digest) = (repository.clone(), digest.to_owned());
        Ok((send, self.handle.spawn(async move { client.push_blob_stream(&repository, parts, &digest, Some(size)).await })))
    }

    /// Lets a repository have a blob that another one of the same registry has, if the registry can do that without the bytes.
    ///
    /// # Errors
    /// When there is no client for the registry.
    pub fn mount(&self, repository: &Reference, from: &Reference, digest: &str) -> Result<bool, SourceError> {
        let client = self.client(repository.registry())?;
        Ok(self.wait(client.mount_blob(repository, from, digest)).is_ok_and(|mounted| mounted.is_ok()))
    }

    /// Puts a manifest under the image's digest, if it has one, else under its tag.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses: also when it lacks something that the manifest names.
    pub fn put_manifest(&self, image: &Reference, manifest: &Manifest) -> Result<(), SourceError> {
        let client = self.client(image.registry())?;
        let kind = HeaderValue::from_str(&manifest.media_type).map_err(|_| refused(image, "has a media type that no header can carry".to_owned()))?;
        // As a tag in every case: the client cannot cope with a registry that does not say where a digest went.
        let under = image.digest().or(image.tag()).unwrap_or("latest").to_owned();
        let place = Reference::with_tag(image.registry().to_owned(), image.repository().to_owned(), under);
        self.again(|| format!("write {image}"), || client.push_manifest_raw(&place, manifest.bytes.clone(), kind.clone())).map(drop)
    }

    /// The result of something, unless it takes longer than a registry may be silent.
    ///
    /// # Errors
    /// When it does.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, tokio::time::error::Elapsed> {
        self.handle.block_on(async { timeout(self.config.timeout, work).await })
    }

    fn again<T, F>(&self, doing: impl Fn() -> String, mut work: impl FnMut() -> F) -> Result<T, SourceError>
    where
        F: Future<Output = Result<T, OciDistributionError>>,
    {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            let error = match self.wait(work()) {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => failed(doing(), error),
                Err(elapsed) => SourceError::Database { doing: doing(), kind: SourceErrorKind::TimedOut, source: elapsed.into() },
            };
            if attempt == ATTEMPTS || !matches!(error.kind(), SourceErrorKind::Io | SourceErrorKind::TimedOut) {
                return Err(error);
            }
            std::thread::sleep(wait);
            wait *= 2;
        }
        unreachable!("the last attempt returns")
    }

    fn client(&self, host: &str) -> Result<Client, SourceError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = clients.get(host).filter(|door| door.renew.is_none_or(|renew| Timestamp::now() < renew)) {
            return Ok(door.client.clone());
        }
        let known = self.config.registries.get(host).cloned().unwrap_or_default();
        let client = Client::try_from(settings(host, &known)?).map_err(|error| failed(format!("talk to {host}"), error))?;
        let login = self.handle.block_on(login(&known))?;
        if let Some(Login { user, password, .. }) = &login {
            let auth = RegistryAuth::Basic(user.clone(), password.expose().to_owned());
            let any = Reference::with_tag(host.to_owned(), "any".to_owned(), "any".to_owned());
            self.handle.block_on(client.store_auth_if_needed(any.resolve_registry(), &auth));
        }
        // Half of its life is left then to whatever has begun.
        let renew = login.and_then(|login| login.until).map(|until| {
            let now = Timestamp::now();
            now + until.duration_since(now) / 2
        });
        clients.insert(host.to_owned(), Door { client: client.clone(), renew });
        Ok(client)
    }
}

fn settings(host: &str, known: &RegistryConfig) -> Result<ClientConfig, SourceError> {
    let certificate = |file| Ok(Certificate { encoding: CertificateEncoding::Pem, data: read(file)?.into_bytes() });
    Ok(ClientConfig {
        protocol: if known.plain_http { ClientProtocol::HttpsExcept(vec![host.to_owned()]) } else { ClientProtocol::Https },
        // One request: registries differ most in what they make of several.
        use_monolithic_push: true,
        extra_root_certificates: known.ca_file.as_deref().map(certificate).into_iter().collect::<Result<_, SourceError>>()?,
        connect_timeout: Some(CONNECT),
        user_agent: concat!("hourglass/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })
}

/// `None` when there is no such thing.
fn found<T>(result: Result<T, SourceError>) -> Result<Option<T>, SourceError> {
    match result {
        Err(error) if error.kind() == SourceErrorKind::Vanished => Ok(None),
        other => other.map(Some),
    }
}

/// Registry and repository of an image.
pub fn name(image: &Reference) -> String {
    format!("{}/{}", image.registry(), image.repository())
}
