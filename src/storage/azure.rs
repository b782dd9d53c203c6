//! An Azure Blob container, or a part of one, as a store.
//!
//! Each object goes up in one request with `If-None-Match: *` and its MD5, the checksum that the service checks. Its SHA-256 is checked here before it
//! leaves and travels as metadata `sha256`, a claim that the service does not check and [`ObjectInfo`] therefore does not show.

mod connect;
mod credential;
mod policy;
mod rules;

use std::{collections::HashMap, num::NonZero, ops::Range};

use async_trait::async_trait;
use azure_core::{
    error::ErrorKind as SdkKind,
    http::{ClientMethodOptions, Context, Etag, headers::HeaderName},
    time::OffsetDateTime,
};
use azure_storage_blob::{
    BlobClient, BlobContainerClient,
    models::{
        BlobClientDeleteOptions, BlobClientDownloadOptions, BlobClientDownloadResult, BlobClientGetPropertiesResultHeaders, BlobClientUploadOptions,
        BlobContainerClientListBlobsOptions, BlobItem, ImmutabilityPolicyMode, ListBlobsIncludeItem, ListBlobsResponse,
    },
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use super::{
    ErrorKind, LARGEST_OBJECT, ListPage, Listed, ObjectInfo, ObjectStore, ObjectVersion, PageToken, Put, PutOptions, StoreError,
    object::sha256,
    range::{check_asked, check_came, size_in},
};
use crate::{
    config::LockMode,
    model::{ByteCount, ObjectKey, Timestamp},
};
use policy::ContentMd5;

/// The version that a container without versions shows.
const ONLY_VERSION: &str = "null";

/// Objects on a page of a listing, as in S3.
const PAGE: i32 = 1000;

/// Objects in an Azure Blob container, below a prefix.
pub struct AzureStore {
    container: BlobContainerClient,
    /// Empty, or ends with a slash.
    prefix: String,
    lock: Option<LockMode>,
    shown: String,
}

impl std::fmt::Debug for AzureStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AzureStore({})", self.shown)
    }
}

impl AzureStore {
    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn blob(&self, key: &ObjectKey) -> BlobClient {
        self.container.blob_client(&self.full(key.as_str()))
    }

    fn fail(&self, kind: ErrorKind, action: &'static str, key: &str) -> StoreError {
        StoreError::new(kind, action, key, &self.shown)
    }

    fn error(&self, error: &azure_core::Error, action: &'static str, key: &str) -> StoreError {
        let kind = match error.kind() {
            SdkKind::HttpResponse { status, error_code, raw_response } => {
                let told = StoreError::answer((u16::from(*status), error_code.as_deref().unwrap_or_default(), ""), action, key, &self.shown);
                let header = HeaderName::from_static("retry-after");
                return told.pause_for(raw_response.as_ref().and_then(|response| response.headers().get_optional_str(&header)));
            }
            SdkKind::Credential => ErrorKind::AccessDenied,
            SdkKind::Connection | SdkKind::Io => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        };
        StoreError::silence(error, kind, action, key, &self.shown)
    }

    /// Collects the body of an answer and checks its length.
    async fn body(&self, answer: BlobClientDownloadResult, range: Option<&Range<u64>>, action: &'static str, key: &str) -> Result<Bytes, StoreError> {
        let length = answer.properties.content_length.unwrap_or_default();
        let whole = answer.headers.get_optional_str(&HeaderName::from_static("content-range")).and_then(size_in);
        let size = whole.unwrap_or(length);
        let mut body = BytesMut::with_capacity(length as usize);
        let mut parts = answer.body;
        while let Some(part) = parts.next().await {
            body.extend_from_slice(&part.map_err(|error| self.error(&error, action, key))?);
        }
        check_came(range, size, body.len() as u64).map_err(|(kind, note)| self.fail(kind, action, key).note(note))?;
        Ok(body.freeze())
    }

    async fn download(&self, blob: &BlobClient, range: Option<Range<u64>>, action: &'static str, key: &str) -> Result<Bytes, StoreError> {
        check_asked(range.as_ref()).map_err(|(kind, note)| self.fail(kind, action, key).note(note))?;
        let options = BlobClientDownloadOptions {
            parallel: NonZero::new(1),
            partition_size: NonZero::new(LARGEST_OBJECT),
            range: range.clone().map(Into::into),
            ..Default::default()
        };
        let answer = match blob.download(Some(options)).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.download_error(&error, blob, range, action, key).await),
        };
        self.body(answer, range.as_ref(), action, key).await
    }

    /// The SDK has no kind of its own for a range of an empty blob, so it is looked up.
    async fn download_error(
        &self,
        error: &azure_core::Error,
        blob: &BlobClient,
        range: Option<Range<u64>>,
        action: &'static str,
        key: &str,
    ) -> StoreError {
        let told = self.error(error, action, key);
        if range.is_none() || told.kind() != ErrorKind::Other {
            return told;
        }
        match blob.get_properties(None).await.and_then(|found| found.content_length()) {
            Ok(Some(0)) => self.fail(ErrorKind::Invalid, action, key).note("the object is empty"),
            _ => told,
        }
    }

    async fn page(&self, prefix: &str, marker: Option<String>, versions: bool) -> azure_core::Result<ListBlobsResponse> {
        let include = versions.then(|| vec![ListBlobsIncludeItem::Versions]);
        // An empty parameter is not signed alike by everybody.
        let prefix = Some(self.full(prefix)).filter(|prefix| !prefix.is_empty());
        let options = BlobContainerClientListBlobsOptions { prefix, marker, include, maxresults: Some(PAGE), ..Default::default() };
        let mut pages = self.container.list_blobs(Some(options))?.into_pages();
        match pages.next().await {
            Some(page) => page?.into_model(),
            None => Ok(ListBlobsResponse::default()),
        }
    }

    fn listed(&self, item: BlobItem) -> Option<Listed> {
        let key = item.name?.strip_prefix(&self.prefix)?.parse().ok()?;
        let properties = item.properties?;
        Some(Listed { key, size: ByteCount(properties.content_length.unwrap_or_default()), modified: timestamp(properties.last_modified) })
    }

    fn retention(&self, options: &PutOptions) -> Result<Option<(OffsetDateTime, ImmutabilityPolicyMode)>, StoreError> {
        let Some(until) = options.retain_until else { return Ok(None) };
        let mode = match self.lock {
            Some(LockMode::Compliance) => ImmutabilityPolicyMode::Locked,
            Some(LockMode::Governance) => ImmutabilityPolicyMode::Unlocked,
            None => return Err(self.fail(ErrorKind::Unsupported, "put", "").note("retention is asked for and no lock mode is configured")),
        };
        let until = OffsetDateTime::from_unix_timestamp(until.as_second());
        Ok(Some((until.map_err(|error| self.fail(ErrorKind::Invalid, "put", "").because(error))?, mode)))
    }
}

fn timestamp(time: Option<OffsetDateTime>) -> Timestamp {
    time.and_then(|t| Timestamp::from_second(t.unix_timestamp()).ok()).unwrap_or_default()
}

/// Checks the SHA-256 of `body` and computes its MD5, on a thread that may block.
async fn digest(body: Bytes, options: PutOptions) -> Result<ContentMd5, String> {
    let work = move || match sha256(&body) {
        found if found == options.sha256 => Ok(ContentMd5::of(&body)),
        found => Err(format!("the body has {found}, not {}", options.sha256)),
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
    }
}

#[async_trait]
impl ObjectStore for AzureStore {
    async fn put_new(&self, key: &ObjectKey, body: Bytes, options: &PutOptions) -> Result<Put, StoreError> {
        let name = key.as_str();
        if body.len() > LARGEST_OBJECT {
            return Err(self.fail(ErrorKind::Invalid, "put", name).note(format!("{} is more than an object may have", ByteCount(body.len() as u64))));
        }
        let (expiry, mode) = self.retention(options)?.unzip();
        let md5 = digest(body.clone(), *options).await.map_err(|note| self.fail(ErrorKind::ChecksumMismatch, "put", name).note(note))?;
        let request = BlobClientUploadOptions {
            if_none_match: Some(Etag::from("*")),
            immutability_policy_expiry: expiry,
            immutability_policy_mode: mode,
            metadata: Some(HashMap::from([("sha256".to_owned(), options.sha256.to_string())])),
            method_options: ClientMethodOptions { context: Context::new().with_value(md5) },
            partition_size: NonZero::new(LARGEST_OBJECT as u64),
            ..Default::default()
        };
        match self.blob(key).upload(body.into(), Some(request)).await {
            Ok(_) => Ok(Put::Created),
            Err(error) => match error.kind() {
                SdkKind::HttpResponse { error_code: Some(code), .. } if matches!(code.as_str(), "BlobAlreadyExists" | "ConditionNotMet") => {
                    Ok(Put::AlreadyThere)
                }
                _ => Err(self.error(&error, "put", name)),
            },
        }
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        self.download(&self.blob(key), range, "get", key.as_str()).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        let wrap = |error: azure_core::Error| self.error(&error, "head", key.as_str());
        let found = match self.blob(key).get_properties(None).await {
            Ok(found) => found,
            Err(error) => {
                let error = wrap(error);
                return if error.kind() == ErrorKind::NotFound && error.has_key() { Ok(None) } else { Err(error) };
            }
        };
        Ok(Some(ObjectInfo {
            key: key.clone(),
            size: ByteCount(found.content_length().map_err(wrap)?.unwrap_or_default()),
            sha256: None,
            modified: timestamp(found.last_modified().map_err(wrap)?),
            version: found.version_id().map_err(wrap)?,
            retain_until: found.immutability_policy_expires_on().map_err(wrap)?.map(|date| timestamp(Some(date))),
        }))
    }

    async fn list(&self, prefix: &str, page: Option<PageToken>) -> Result<ListPage, StoreError> {
        // A listing that begins after a name is not among what this client can ask for.
        let marker = page.and_then(|page| if let PageToken::Next(marker) = page { Some(marker) } else { None });
        let found = self.page(prefix, marker, false).await.map_err(|error| self.error(&error, "list", prefix))?;
        let next = found.next_marker.filter(|marker| !marker.is_empty()).map(PageToken::Next);
        Ok(ListPage { objects: found.blob_items.into_iter().filter_map(|item| self.listed(item)).collect(), next })
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        match self.blob(key).delete(None).await {
            Ok(_) => Ok(()),
            Err(error) => match self.error(&error, "delete", key.as_str()) {
                error if error.kind() == ErrorKind::NotFound && error.has_key() => Ok(()),
                error => Err(error),
            },
        }
    }

    async fn versions(&self, key: &ObjectKey) -> Result<Vec<ObjectVersion>, StoreError> {
        let name = self.full(key.as_str());
        let (mut found, mut marker) = (Vec::new(), None);
        for _ in 0..super::MOST_PAGES {
            let page = self.page(key.as_str(), marker, true).await.map_err(|error| self.error(&error, "list the versions of", key.as_str()))?;
            // Names that merely begin alike come after ours.
            let is_past = page.blob_items.iter().any(|item| item.name.as_ref().is_some_and(|other| *other > name));
            let ours = page.blob_items.into_iter().filter(|item| item.name.as_ref() == Some(&name));
            found.extend(ours.filter_map(|item| {
                let properties = item.properties?;
                Some(ObjectVersion {
                    is_latest: item.is_current_version == Some(true) || item.version_id.is_none(),
                    version: item.version_id.unwrap_or_else(|| ONLY_VERSION.to_owned()),
                    is_delete_marker: false,
                    size: ByteCount(properties.content_length.unwrap_or_default()),
                    modified: timestamp(properties.last_modified),
                })
            }));
            marker = page.next_marker.filter(|marker| !marker.is_empty());
            if is_past || marker.is_none() {
                break;
            }
        }
        // Version ids are instants, finer than the times of modification.
        found.sort_by(|a, b| (b.is_latest, &b.version).cmp(&(a.is_latest, &a.version)));
        Ok(found)
    }

    async fn get_version(&self, key: &ObjectKey, version: &str) -> Result<Bytes, StoreError> {
        const ACTION: &str = "get a version of";
        let wrap = |error: azure_core::Error| self.error(&error, ACTION, key.as_str());
        let blob = self.blob(key);
        let blob = if version == ONLY_VERSION { blob } else { blob.with_version(version).map_err(wrap)? };
        self.download(&blob, None, ACTION, key.as_str()).await
    }

    async fn delete_version(&self, key: &ObjectKey, version: &str) -> Result<(), StoreError> {
        let version_id = (version != ONLY_VERSION).then(|| version.to_owned());
        let options = BlobClientDeleteOptions { version_id, ..Default::default() };
        match self.blob(key).delete(Some(options)).await.map_err(|error| self.error(&error, "delete a version of", key.as_str())) {
            Err(error) if error.kind() == ErrorKind::NotFound && error.has_key() => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    fn describe(&self) -> String {
        self.shown.clone()
    }
}
