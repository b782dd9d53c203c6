//! A store that cannot be trusted with a repository is refused, with one reason and one thing to do.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use aws_sdk_s3::types::{DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule};
use bytes::Bytes;
use hourglass::{
    config::{LockMode, StoreUrl},
    model::{ObjectKey, Timestamp},
    storage::{
        ErrorKind, ListPage, ObjectInfo, ObjectStore, ObjectVersion, PageToken, ProbeReport, Put, PutOptions, Role, StoreError, list_all, probe,
    },
};

use super::places::{S3, azure, bucket, container, directory, s3, s3_client};

const DATA: Role = Role::Data { lock: false };
const LOCKED: Role = Role::Data { lock: true };

async fn refusal(store: &dyn ObjectStore, role: Role) -> String {
    let error = probe(store, role, Timestamp::now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    format!("{error}; {}", error.hint().unwrap())
}

/// A store that ignores the condition of a put, as some that speak S3 do.
#[derive(Debug)]
struct Careless(Arc<dyn ObjectStore>);

#[async_trait]
impl ObjectStore for Careless {
    async fn put_new(&self, key: &ObjectKey, body: Bytes, options: &PutOptions) -> Result<Put, StoreError> {
        self.0.delete(key).await?;
        self.0.put_new(key, body, options).await
    }
    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        self.0.get(key, range).await
    }
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.0.head(key).await
    }
    async fn list(&self, prefix: &str, page: Option<PageToken>) -> Result<ListPage, StoreError> {
        self.0.list(prefix, page).await
    }
    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.0.delete(key).await
    }
    async fn versions(&self, key: &ObjectKey) -> Result<Vec<ObjectVersion>, StoreError> {
        self.0.versions(key).await
    }
    async fn get_version(&self, key: &ObjectKey, version: &str) -> Result<Bytes, StoreError> {
        self.0.get_version(key, version).await
    }
    async fn delete_version(&self, key: &ObjectKey, version: &str) -> Result<(), StoreError> {
        self.0.delete_version(key, version).await
    }
    fn describe(&self) -> String {
        format!("careless({})", self.0.describe())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_overwrites_is_refused() {
    let (_root, store) = directory();
    let text = refusal(&Careless(store), DATA).await;
    assert!(text.contains("it let an object be put over another") && text.contains("honours If-None-Match"), "{text}");
    let overwriting = s3(&bucket(S3::VersityGw, None).await).await;
    assert!(refusal(&Careless(overwriting), Role::Control).await.contains("put over another"));
}

#[tokio::test(flavor = "multi_thread")]
async fn good_stores_pass_for_data_and_control_and_keep_nothing_of_it() {
    let (_root, directory) = directory();
    let (_folder, config) = container(None).await;
    let stores: [(Arc<dyn ObjectStore>, bool); 4] = [
        (directory, false),
        (azure(&config), false),
        (s3(&bucket(S3::SeaweedFs, None).await).await, true),
        (s3(&bucket(S3::VersityGw, None).await).await, true),
    ];
    for (store, keeps_sha256) in stores {
        for role in [DATA, Role::Control] {
            let report = probe(&*store, role, Timestamp::now()).await.unwrap();
            assert_eq!(report, ProbeReport { keeps_sha256, is_versioned: false, enforces_retention: None, left_behind: None }, "{store:?}");
        }
        assert_eq!(list_all(&*store, "").await.unwrap(), [], "{store:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_enforces_retention_passes_and_keeps_the_probe() {
    for service in [S3::SeaweedFs, S3::VersityGw] {
        for mode in [LockMode::Compliance, LockMode::Governance] {
            let store = s3(&bucket(service, Some(mode)).await).await;
            let report = probe(&*store, LOCKED, Timestamp::now()).await.unwrap();
            assert_eq!((report.enforces_retention, report.is_versioned), (Some(true), true), "{service:?} {mode:?}");
            assert!(store.head(&report.left_behind.unwrap()).await.unwrap().unwrap().retain_until.is_some());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_enforce_retention_is_refused() {
    let (_root, plain) = directory();
    let text = refusal(&*plain, LOCKED).await;
    assert!(text.contains("a directory cannot keep anybody from removing a file"), "{text}");
    let (_folder, config) = container(Some(LockMode::Compliance)).await;
    let text = refusal(&*azure(&config), LOCKED).await;
    assert!(text.contains("retention") && text.contains("immutability") || text.contains("object lock"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_object_lock_is_refused_for_locked_data() {
    for service in [S3::SeaweedFs, S3::VersityGw] {
        let mut config = bucket(service, None).await;
        config.lock = Some(LockMode::Compliance);
        let error = probe(&*s3(&config).await, LOCKED, Timestamp::now()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Invalid), "{service:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_store_with_default_retention_is_refused() {
    let config = bucket(S3::SeaweedFs, Some(LockMode::Governance)).await;
    let StoreUrl::S3 { bucket: name, .. } = &config.url else { unreachable!() };
    let default = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(1).build();
    let rule = ObjectLockRule::builder().default_retention(default).build();
    let lock = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule).build();
    s3_client(S3::SeaweedFs).put_object_lock_configuration().bucket(name).object_lock_configuration(lock).send().await.unwrap();
    let text = refusal(&*s3(&config).await, Role::Control).await;
    assert!(text.contains("every object under retention") && text.contains("of its own"), "{text}");
}
