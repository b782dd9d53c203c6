//! Fresh, empty stores in each of the services.

use std::{fs, path::Path, sync::Arc};

use aws_lc_rs::hmac;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use azure_storage_blob::BlobContainerClient;
use base64::{Engine, engine::general_purpose::STANDARD};
use hourglass::{
    config::{LockMode, StoreConfig, StoreUrl},
    model::{ObjectKey, Secret},
    storage::{AccessKey, AzureStore, DirectoryStore, S3Store},
};
use tempfile::TempDir;

use crate::lab::require;

/// An S3 service of the lab.
#[derive(Debug, Clone, Copy)]
pub enum S3 {
    SeaweedFs,
    VersityGw,
}

impl S3 {
    pub fn endpoint(self) -> String {
        require(match self {
            S3::SeaweedFs => "HOURGLASS_LAB_S3_SEAWEEDFS",
            S3::VersityGw => "HOURGLASS_LAB_S3_VERSITYGW",
        })
    }
}

pub fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

/// A name that no other test uses.
pub fn fresh_name() -> String {
    format!("t{:016x}", getrandom::u64().unwrap())
}

pub fn directory() -> (TempDir, Arc<DirectoryStore>) {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(DirectoryStore::open(root.path()).unwrap());
    (root, store)
}

pub fn directory_at(root: &Path) -> Arc<DirectoryStore> {
    Arc::new(DirectoryStore::open(root).unwrap())
}

pub fn access_key() -> AccessKey {
    AccessKey { id: require("HOURGLASS_LAB_S3_KEY"), secret: Secret::new(require("HOURGLASS_LAB_S3_SECRET")) }
}

pub fn s3_client(service: S3) -> aws_sdk_s3::Client {
    let AccessKey { id, secret } = access_key();
    let settings = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .endpoint_url(service.endpoint())
        .credentials_provider(Credentials::new(id, secret.expose(), None, None, "lab"))
        .force_path_style(true);
    aws_sdk_s3::Client::from_conf(settings.build())
}

/// The configuration of a new bucket, made with object lock where `lock` says so.
pub async fn bucket(service: S3, lock: Option<LockMode>) -> StoreConfig {
    let name = fresh_name();
    s3_client(service).create_bucket().bucket(&name).object_lock_enabled_for_bucket(lock.is_some()).send().await.unwrap();
    StoreConfig {
        endpoint: Some(service.endpoint().parse().unwrap()),
        path_style: true,
        lock,
        ..StoreConfig::at(format!("s3://{name}").parse().unwrap())
    }
}

pub async fn s3(config: &StoreConfig) -> Arc<S3Store> {
    Arc::new(S3Store::open(config, Some(&access_key())).await.unwrap())
}

/// The configuration of a new container, and the folder of its key and SAS files.
pub async fn container(lock: Option<LockMode>) -> (TempDir, StoreConfig) {
    let (endpoint, account, name) = (require("HOURGLASS_LAB_AZURITE"), require("HOURGLASS_LAB_AZURITE_ACCOUNT"), fresh_name());
    let sas = account_sas(&account, &require("HOURGLASS_LAB_AZURITE_KEY"));
    let url = format!("{endpoint}/{name}?{sas}").parse().unwrap();
    BlobContainerClient::new(url, None, None).unwrap().create(None).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("key"), format!("{}\n", require("HOURGLASS_LAB_AZURITE_KEY"))).unwrap();
    fs::write(folder.path().join("sas"), format!("?{sas}\n")).unwrap();
    let config = StoreConfig {
        endpoint: Some(endpoint.parse().unwrap()),
        account_key_file: Some(folder.path().join("key")),
        lock,
        ..StoreConfig::at(format!("azure://{account}/{name}").parse().unwrap())
    };
    (folder, config)
}

pub fn azure(config: &StoreConfig) -> Arc<AzureStore> {
    Arc::new(AzureStore::open(config).unwrap())
}

/// A token for the whole Blob service of an account.
fn account_sas(account: &str, key: &str) -> String {
    let (rights, services, kinds, end, protocols, version) = ("rwdlacx", "b", "sco", "2099-01-01T00:00:00Z", "https,http", "2021-08-06");
    let signed = format!("{account}\n{rights}\n{services}\n{kinds}\n\n{end}\n\n{protocols}\n{version}\n\n");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key).unwrap());
    let signature = STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let parts = [("sv", version), ("ss", services), ("srt", kinds), ("sp", rights), ("se", end), ("spr", protocols), ("sig", &signature)];
    query.extend_pairs(parts);
    query.finish()
}

/// The same store below a prefix.
pub fn below(config: &StoreConfig, prefix: &str) -> StoreConfig {
    let text = format!("{}/{prefix}", config.url);
    StoreConfig { url: text.parse::<StoreUrl>().unwrap(), ..config.clone() }
}
