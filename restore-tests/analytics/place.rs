//! Where a snapshot repository can lie, as a store and as a search cluster registers it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use hourglass::{
    config::StoreConfig,
    storage::{ObjectStore, list_all},
};

use crate::{
    lab::Region,
    stores::places::{S3, azure, below, bucket, container, directory_at, fresh_name, s3},
};

/// A store, and how a search cluster registers it.
pub struct Place {
    pub config: StoreConfig,
    pub kind: &'static str,
    pub settings: String,
}

impl Place {
    /// Below a bucket of this server, which the clusters know as this client.
    pub async fn s3(server: S3, client: &str) -> Place {
        let config = bucket(server, None).await;
        let bucket = config.url.to_string().rsplit('/').next().unwrap().to_owned();
        let settings = format!("bucket: {bucket}, base_path: live, client: {client}, buffer_size: 5mb, server_side_encryption_type: bucket_default");
        Place { config: below(&config, "live"), kind: "s3", settings }
    }

    pub async fn azure() -> (tempfile::TempDir, Place) {
        let (folder, config) = container(None).await;
        let container = config.url.to_string().rsplit('/').next().unwrap().to_owned();
        (folder, Place { config: below(&config, "live"), kind: "azure", settings: format!("container: {container}, base_path: live") })
    }

    pub fn directory() -> Place {
        let root = Region::A.search().repositories.join(fresh_name());
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
        let config = StoreConfig::at(root.to_str().unwrap().parse().unwrap());
        Place { config, kind: "fs", settings: format!("location: {root:?}") }
    }

    pub fn root(&self) -> PathBuf {
        self.config.url.to_string().strip_prefix("file://").unwrap().into()
    }

    pub async fn store(&self) -> Arc<dyn ObjectStore> {
        match self.kind {
            "s3" => s3(&self.config).await,
            "azure" => azure(&self.config),
            _ => directory_at(&self.root()),
        }
    }

    /// Every object with its content.
    pub async fn objects(&self) -> Vec<(String, Vec<u8>)> {
        let store = self.store().await;
        let mut objects = Vec::new();
        for object in list_all(store.as_ref(), "").await.unwrap() {
            objects.push((object.key.to_string(), store.get(&object.key, None).await.unwrap().to_vec()));
        }
        objects
    }

    /// The keys of a registration, with chunks of this size.
    pub fn repository(&self, chunk: &str) -> String {
        format!("name: REPOSITORY, type: {}, settings: {{ {}, compress: \"true\", chunk_size: {chunk} }}", self.kind, self.settings)
    }

    /// Lets the search clusters, which run as somebody else, read what was brought to a folder.
    pub fn open(&self) {
        if self.kind == "fs" {
            open(&self.root());
        }
    }
}

fn open(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        fs::set_permissions(&path, fs::Permissions::from_mode(if path.is_dir() { 0o755 } else { 0o644 })).unwrap();
        if path.is_dir() {
            open(&path);
        }
    }
}
