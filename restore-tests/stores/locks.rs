//! Objects under retention, and what versions show after somebody tried to remove or replace them.

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use hourglass::{
    config::{LockMode, StoreUrl},
    model::{ByteCount, Timestamp},
    storage::{ErrorKind, ObjectStore, Put, PutOptions},
};

use super::places::{S3, azure, bucket, container, directory, key, s3, s3_client};

const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_version_outlives_deletes_and_what_is_put_over_them() {
    for service in [S3::SeaweedFs, S3::VersityGw] {
        let config = bucket(service, Some(LockMode::Compliance)).await;
        let StoreUrl::S3 { bucket, .. } = &config.url else { unreachable!() };
        let store = s3(&config).await;
        let (key, body) = (key("packs/1"), Bytes::from_static(b"locked"));
        let until = Timestamp::from_second((Timestamp::now() + HOUR).as_second()).unwrap();
        let options = PutOptions { retain_until: Some(until), ..PutOptions::of(&body) };
        assert_eq!(store.put_new(&key, body.clone(), &options).await.unwrap(), Put::Created);
        let info = store.head(&key).await.unwrap().unwrap();
        assert_eq!((info.retain_until, info.sha256), (Some(until), Some(options.sha256)), "{service:?}");
        let first = info.version.unwrap();
        let error = store.delete_version(&key, &first).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AccessDenied, "{service:?}: {error}");

        store.delete(&key).await.unwrap();
        assert_eq!(store.head(&key).await.unwrap(), None, "a marker hides it");
        let intruder = s3_client(service).put_object().bucket(bucket).key(key.as_str());
        intruder.body(ByteStream::from_static(b"an intruder's")).send().await.unwrap();
        let versions = store.versions(&key).await.unwrap();
        let shape: Vec<_> = versions.iter().map(|v| (v.is_latest, v.is_delete_marker, v.size)).collect();
        assert_eq!(shape[0], (true, false, ByteCount(13)), "{service:?}");
        assert_eq!(versions.iter().filter(|v| v.is_delete_marker).count(), 1, "{service:?}");
        assert!(versions.iter().any(|v| v.version == first && !v.is_latest && !v.is_delete_marker), "{service:?}");
        assert_eq!(versions.len(), 3, "{service:?}");
        assert_eq!(store.get_version(&key, &first).await.unwrap(), body);
        assert_eq!(store.get(&key, None).await.unwrap(), "an intruder's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_is_refused_where_it_would_mean_nothing() {
    let (_root, plain) = directory();
    let (_folder, config) = container(None).await;
    let unconfigured = s3(&bucket(S3::VersityGw, None).await).await;
    let stores: [&dyn ObjectStore; 3] = [&*plain, &*azure(&config), &*unconfigured];
    for store in stores {
        let body = Bytes::from_static(b"x");
        let options = PutOptions { retain_until: Some(Timestamp::now() + HOUR), ..PutOptions::of(&body) };
        let error = store.put_new(&key("a"), body, &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert_eq!(store.head(&key("a")).await.unwrap(), None);
    }
}
