//! An S3 bucket, or a part of one, as a store: of Amazon or of anybody who speaks its protocol.
//!
//! Each object goes up in one request with `If-None-Match: *` and its SHA-256, which the service checks, keeps and shows.
//! Whether this service honours the condition is for [`super::probe`] to find out.

mod connect;
mod rules;

use std::{collections::BTreeSet, ops::Range};

use async_trait::async_trait;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::get_object::GetObjectOutput,
    primitives::{ByteStream, DateTime},
    types::{ChecksumMode, ChecksumType, ObjectLockMode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};

use super::{
    ErrorKind, LARGEST_OBJECT, ListPage, Listed, ObjectInfo, ObjectStore, ObjectVersion, PageToken, Put, PutOptions, StoreError,
    range::{check_asked, check_came, size_in},
};
use crate::{
    config::LockMode,
    model::{ByteCount, ObjectKey, Sha256, Timestamp},
};
pub use connect::AccessKey;

type HttpResponse = aws_sdk_s3::config::http::HttpResponse;

/// Objects in an S3 bucket, below a prefix.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    /// Empty, or ends with a slash.
    prefix: String,
    lock: Option<LockMode>,
    shown: String,
}

impl std::fmt::Debug for S3Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3Store({})", self.shown)
    }
}

impl S3Store {
    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn fail(&self, kind: ErrorKind, action: &'static str, key: &str) -> StoreError {
        StoreError::new(kind, action, key, &self.shown)
    }

    fn error<E>(&self, error: SdkError<E, HttpResponse>, action: &'static str, key: &str) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        if let (Some(response), Some(service)) = (error.raw_response(), error.as_service_error()) {
            let answer = (response.status().as_u16(), service.code().unwrap_or_default(), service.message().unwrap_or_default());
            return StoreError::answer(answer, action, key, &self.shown).pause_for(response.headers().get("retry-after"));
        }
        // That there are no credentials shows up here, too, before anything is sent. Providers have tried again for themselves.
        let provider = std::iter::successors(Some(&error as &(dyn std::error::Error + 'static)), |error| error.source())
            .find_map(|cause| cause.downcast_ref::<CredentialsError>());
        let kind = match (provider, &error) {
            (Some(CredentialsError::ProviderTimedOut(_)), _) => ErrorKind::Unavailable,
            (Some(_), _) => {
                let denied = StoreError::silence(&error, ErrorKind::AccessDenied, action, key, &self.shown).note("no credentials");
                return denied.advise("give this machine or pod an identity, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
            }
            (None, SdkError::ConstructionFailure(_)) => ErrorKind::Invalid,
            (None, _) => ErrorKind::Unavailable,
        };
        StoreError::silence(&error, kind, action, key, &self.shown)
    }

    /// Collects the body of an answer and checks its length.
    async fn body(&self, mut answer: GetObjectOutput, range: Option<&Range<u64>>, action: &'static str, key: &str) -> Result<Bytes, StoreError> {
        let length = answer.content_length.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
        let size = match range {
            None => length,
            Some(_) => answer.content_range.as_deref().and_then(size_in).ok_or_else(|| {
                self.fail(ErrorKind::Unsupported, action, key).note("the answer to a ranged request does not say which range it is")
            })?,
        };
        let mut body = BytesMut::with_capacity(length as usize);
        while let Some(part) = answer.body.next().await {
            let part = part.map_err(|error| {
                // The checksum error of the SDK is of a crate of its own; its text is what can be seen of it.
                let damaged = format!("{error:?}").contains("ChecksumMismatch");
                StoreError::silence(&error, if damaged { ErrorKind::ChecksumMismatch } else { ErrorKind::Unavailable }, action, key, &self.shown)
            })?;
            body.extend_from_slice(&part);
        }
        check_came(range, size, body.len() as u64).map_err(|(kind, note)| self.fail(kind, action, key).note(note))?;
        Ok(body.freeze())
    }

    fn retention(&self, options: &PutOptions) -> Result<Option<(ObjectLockMode, DateTime)>, StoreError> {
        let Some(until) = options.retain_until else { return Ok(None) };
        let mode = match self.lock {
            Some(LockMode::Compliance) => ObjectLockMode::Compliance,
            Some(LockMode::Governance) => ObjectLockMode::Governance,
            None => return Err(self.fail(ErrorKind::Unsupported, "put", "").note("retention is asked for and no lock mode is configured")),
        };
        Ok(Some((mode, DateTime::from_secs(until.as_second()))))
    }

    fn listed(&self, object: aws_sdk_s3::types::Object) -> Option<Listed> {
        let key = object.key?.strip_prefix(&self.prefix)?.parse().ok()?;
        Some(Listed { key, size: byte_count(object.size), modified: timestamp(object.last_modified) })
    }
}

fn byte_count(size: Option<i64>) -> ByteCount {
    ByteCount(size.and_then(|n| u64::try_from(n).ok()).unwrap_or_default())
}

fn timestamp(time: Option<DateTime>) -> Timestamp {
    time.and_then(|t| Timestamp::new(t.secs(), t.subsec_nanos() as i32).ok()).unwrap_or_default()
}

/// The SHA-256 of the whole object; that of an object in parts is something else.
fn kept_sha256(text: Option<&str>, kind: Option<&ChecksumType>) -> Option<Sha256> {
    let bytes = STANDARD.decode(text.filter(|_| kind != Some(&ChecksumType::Composite))?).ok()?;
    Some(Sha256(bytes.try_into().ok()?))
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put_new(&self, key: &ObjectKey, body: Bytes, options: &PutOptions) -> Result<Put, StoreError> {
        let name = key.as_str();
        if body.len() > LARGEST_OBJECT {
            return Err(self.fail(ErrorKind::Invalid, "put", name).note(format!("{} is more than an object may have", ByteCount(body.len() as u64))));
        }
        let retention = self.retention(options)?;
        let request = self.client.put_object().bucket(&self.bucket).key(self.full(name)).if_none_match("*");
        let request = request.checksum_sha256(STANDARD.encode(options.sha256.0)).content_length(body.len() as i64).body(ByteStream::from(body));
        let (mode, until) = retention.unzip();
        let request = request.set_object_lock_mode(mode).set_object_lock_retain_until_date(until);
        // The signature covers the checksum's header, and the checksum covers the body: hashing it once more would tell nothing new.
        match request.customize().disable_payload_signing().send().await {
            Ok(_) => Ok(Put::Created),
            Err(error) if error.raw_response().is_some_and(|response| response.status().as_u16() == 412) => Ok(Put::AlreadyThere),
            Err(error) => Err(self.error(error, "put", name)),
        }
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        let name = key.as_str();
        check_asked(range.as_ref()).map_err(|(kind, note)| self.fail(kind, "get", name).note(note))?;
        let request = self.client.get_object().bucket(&self.bucket).key(self.full(name));
        let request = match &range {
            None => request.checksum_mode(ChecksumMode::Enabled),
            Some(range) => request.range(format!("bytes={}-{}", range.start, range.end - 1)),
        };
        let answer = request.send().await.map_err(|error| self.error(error, "get", name))?;
        self.body(answer, range.as_ref(), "get", name).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        let request = self.client.head_object().bucket(&self.bucket).key(self.full(key.as_str())).checksum_mode(ChecksumMode::Enabled);
        let found = match request.send().await {
            Ok(found) => found,
            Err(error) => {
                let error = self.error(error, "head", key.as_str());
                return if error.kind() == ErrorKind::NotFound { Ok(None) } else { Err(error) };
            }
        };
        Ok(Some(ObjectInfo {
            key: key.clone(),
            size: byte_count(found.content_length),
            sha256: kept_sha256(found.checksum_sha256(), found.checksum_type()),
            modified: timestamp(found.last_modified),
            version: found.version_id.filter(|version| version != "null"),
            retain_until: found.object_lock_retain_until_date.map(|date| timestamp(Some(date))),
        }))
    }

    async fn list(&self, prefix: &str, page: Option<PageToken>) -> Result<ListPage, StoreError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.full(prefix));
        let request = match page {
            None => request,
            Some(PageToken::Next(token)) => request.continuation_token(token),
            Some(PageToken::After(key)) => request.start_after(self.full(key.as_str())),
        };
        let found = request.send().await.map_err(|error| self.error(error, "list", prefix))?;
        let next = found.next_continuation_token.filter(|_| found.is_truncated == Some(true)).map(PageToken::Next);
        let mut objects: Vec<_> = found.contents.unwrap_or_default().into_iter().filter_map(|object| self.listed(object)).collect();
        objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(ListPage { objects, next })
    }

    async fn folders(&self, prefix: &str) -> Result<BTreeSet<String>, StoreError> {
        let (full, mut found, mut token) = (self.full(prefix), BTreeSet::new(), None);
        for _ in 0..super::MOST_PAGES {
            let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&full).delimiter("/").set_continuation_token(token);
            let page = request.send().await.map_err(|error| self.error(error, "list", prefix))?;
            let names = page.common_prefixes().iter().filter_map(|common| common.prefix()?.strip_prefix(&full)?.strip_suffix('/'));
            found.extend(names.map(str::to_owned));
            token = page.next_continuation_token.filter(|_| page.is_truncated == Some(true));
            if token.is_none() {
                return Ok(found);
            }
        }
        Err(super::endless(prefix, &self.describe()))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        match self.client.delete_object().bucket(&self.bucket).key(self.full(key.as_str())).send().await {
            Ok(_) => Ok(()),
            Err(error) => match self.error(error, "delete", key.as_str()) {
                error if error.kind() == ErrorKind::NotFound => Ok(()),
                error => Err(error),
            },
        }
    }

    async fn versions(&self, key: &ObjectKey) -> Result<Vec<ObjectVersion>, StoreError> {
        let name = self.full(key.as_str());
        let mut found = Vec::new();
        let (mut key_marker, mut version_marker) = (None, None);
        for _ in 0..super::MOST_PAGES {
            let request = self.client.list_object_versions().bucket(&self.bucket).prefix(&name);
            let request = request.set_key_marker(key_marker).set_version_id_marker(version_marker);
            let page = request.send().await.map_err(|error| self.error(error, "list the versions of", key.as_str()))?;
            let is_ours = |other: Option<&str>| other == Some(name.as_str());
            found.extend(page.versions().iter().filter(|v| is_ours(v.key())).map(|v| ObjectVersion {
                version: v.version_id().unwrap_or("null").to_owned(),
                is_delete_marker: false,
                is_latest: v.is_latest() == Some(true),
                size: byte_count(v.size()),
                modified: timestamp(v.last_modified),
            }));
            found.extend(page.delete_markers().iter().filter(|v| is_ours(v.key())).map(|v| ObjectVersion {
                version: v.version_id().unwrap_or("null").to_owned(),
                is_delete_marker: true,
                is_latest: v.is_latest() == Some(true),
                size: ByteCount(0),
                modified: timestamp(v.last_modified),
            }));
            // Keys that merely begin alike come after all versions of ours.
            (key_marker, version_marker) = (page.next_key_marker, page.next_version_id_marker);
            if page.is_truncated != Some(true) || key_marker.as_ref().is_none_or(|next| *next > name) {
                break;
            }
        }
        found.sort_by_key(|version| std::cmp::Reverse((version.is_latest, version.modified)));
        Ok(found)
    }

    async fn get_version(&self, key: &ObjectKey, version: &str) -> Result<Bytes, StoreError> {
        const ACTION: &str = "get a version of";
        let request = self.client.get_object().bucket(&self.bucket).key(self.full(key.as_str())).version_id(version);
        let answer = request.checksum_mode(ChecksumMode::Enabled).send().await.map_err(|error| self.error(error, ACTION, key.as_str()))?;
        self.body(answer, None, ACTION, key.as_str()).await
    }

    async fn delete_version(&self, key: &ObjectKey, version: &str) -> Result<(), StoreError> {
        let request = self.client.delete_object().bucket(&self.bucket).key(self.full(key.as_str())).version_id(version);
        request.send().await.map(drop).map_err(|error| self.error(error, "delete a version of", key.as_str()))
    }

    fn describe(&self) -> String {
        self.shown.clone()
    }
}
