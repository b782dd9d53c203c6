//! Credentials: too weak, wrong, of another form; and the messages of stores that are not there.

use std::{error::Error, fs};

use bytes::Bytes;
use hourglass::{
    config::StoreConfig,
    model::Secret,
    storage::{AccessKey, AzureStore, ErrorKind, ObjectStore, Put, PutOptions, S3Store, open, open_with},
};

use super::{
    conformance::put,
    places::{S3, access_key, azure, bucket, container, fresh_name, key, s3},
};
use crate::lab::require;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_reads_and_is_told_why_it_may_not_write() {
    let config = bucket(S3::SeaweedFs, None).await;
    assert_eq!(put(&*s3(&config).await, &key("a"), "x").await, Put::Created);
    let reader = AccessKey { id: require("HOURGLASS_LAB_S3_READONLY_KEY"), secret: Secret::new(require("HOURGLASS_LAB_S3_READONLY_SECRET")) };
    let store = S3Store::open(&config, Some(&reader)).await.unwrap();
    assert_eq!(store.get(&key("a"), None).await.unwrap(), "x");
    let body = Bytes::from_static(b"y");
    let refused = store.put_new(&key("b"), body.clone(), &PutOptions::of(&body)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AccessDenied, "{refused}");
    assert!(refused.hint().unwrap().contains("credentials"));
    assert_eq!(store.delete(&key("a")).await.unwrap_err().kind(), ErrorKind::AccessDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_denied_and_do_not_show_up_in_messages() {
    for service in [S3::SeaweedFs, S3::VersityGw] {
        let config = bucket(service, None).await;
        let wrong = AccessKey { secret: Secret::new("a-wrong-secret".to_owned()), ..access_key() };
        let error = open_with(&config, Some(&wrong)).await.unwrap().get(&key("a"), None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AccessDenied, "{service:?}: {error}");
        assert!(!format!("{error:?} {wrong:?}").contains("a-wrong-secret"));
    }
    let (folder, mut config) = container(None).await;
    fs::write(folder.path().join("key"), "d3Jvbmc=").unwrap();
    let error = azure(&config).get(&key("a"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");
    fs::write(folder.path().join("key"), "not base64!").unwrap();
    assert_eq!(AzureStore::open(&config).unwrap_err().kind(), ErrorKind::Invalid);
    config.account_key_file = Some(folder.path().join("missing"));
    assert_eq!(AzureStore::open(&config).unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sas_token_opens_a_container_and_stays_out_of_messages() {
    let (folder, mut config) = container(None).await;
    config.account_key_file = None;
    config.sas_file = Some(folder.path().join("sas"));
    let store = open(&config).await.unwrap();
    assert_eq!(put(&*store, &key("a"), "x").await, Put::Created);
    assert_eq!(put(&*store, &key("a"), "y").await, Put::AlreadyThere);
    assert_eq!(store.get(&key("a"), None).await.unwrap(), "x");
    config.endpoint = Some("http://127.0.0.1:9/devstoreaccount1".parse().unwrap());
    let error = azure(&config).get(&key("a"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("refused") && !format!("{error:?}{store:?}").contains("sig="), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_or_container_that_is_not_there_is_said_to_be_missing() {
    let (_folder, mut azure_config) = container(None).await;
    azure_config.url = format!("azure://{}/{}", require("HOURGLASS_LAB_AZURITE_ACCOUNT"), fresh_name()).parse().unwrap();
    let mut s3_config = bucket(S3::VersityGw, None).await;
    s3_config.url = format!("s3://{}", fresh_name()).parse().unwrap();
    let stores: [&dyn ObjectStore; 2] = [&*azure(&azure_config), &*s3(&s3_config).await];
    for store in stores {
        let body = Bytes::from_static(b"x");
        let error = store.put_new(&key("a"), body.clone(), &PutOptions::of(&body)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.hint().unwrap().contains("create the bucket"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there_is_unavailable_at_once() {
    let endpoint = Some("http://127.0.0.1:9".parse().unwrap());
    let config = StoreConfig { endpoint, path_style: true, ..StoreConfig::at("s3://bucket".parse().unwrap()) };
    let error = s3(&config).await.get(&key("a"), None).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.source().unwrap().to_string().contains("refused"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credentials_at_all_are_said_to_be_missing_and_not_waited_for() {
    let profile = ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    assert!(profile.iter().all(|name| std::env::var_os(name).is_none()), "this machine has credentials of its own");
    let endpoint = Some("http://127.0.0.1:9".parse().unwrap());
    let config = StoreConfig { endpoint, path_style: true, ..StoreConfig::at("s3://bucket".parse().unwrap()) };
    let error = open(&config).await.unwrap().get(&key("a"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}: {:?}", error.source());
    assert!(error.hint().unwrap().contains("AWS_ACCESS_KEY_ID"));
}
