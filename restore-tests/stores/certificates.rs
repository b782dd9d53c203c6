//! A service whose certificate is signed by an authority of one's own.

use std::{
    error::Error,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use hourglass::{
    config::StoreConfig,
    model::Secret,
    storage::{AccessKey, AzureStore, ObjectStore, S3Store},
};

use super::places::key;

/// A server that shakes hands and answers something.
struct TlsServer(Child, u16);

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn serve(folder: &Path) -> TlsServer {
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(folder, &format!("{new} -subj /CN=authority -keyout ca.key -out ca.pem"));
    let names = "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    openssl(folder, &format!("{new} -subj /CN=server -CA ca.pem -CAkey ca.key {names} -keyout server.key -out server.pem"));
    let mut server = Command::new("openssl");
    server.args(["s_server", "-www", "-accept", "127.0.0.1:0", "-cert", "server.pem", "-key", "server.key"]);
    let mut child = server.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("ACCEPT 127.0.0.1:")?.parse().ok());
    TlsServer(child, port.unwrap())
}

/// The innermost cause of a failed read: about the certificate, or about the answer of a server that is no store.
async fn cause(store: &dyn ObjectStore) -> String {
    let error = store.get(&key("a"), None).await.unwrap_err();
    format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_is_trusted_when_it_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let access = AccessKey { id: "id".to_owned(), secret: Secret::new("secret".to_owned()) };
    std::fs::write(folder.path().join("key"), "a2V5").unwrap();
    for url in ["s3://bucket", "azure://account/container"] {
        let strange = StoreConfig {
            endpoint: Some(format!("https://127.0.0.1:{}", server.1).parse().unwrap()),
            path_style: true,
            account_key_file: Some(folder.path().join("key")),
            ..StoreConfig::at(url.parse().unwrap())
        };
        let trusted = StoreConfig { ca_file: Some(folder.path().join("ca.pem")), ..strange.clone() };
        let mut causes = Vec::new();
        for config in [strange, trusted] {
            causes.push(match url.starts_with("s3") {
                true => cause(&S3Store::open(&config, Some(&access)).await.unwrap()).await,
                false => cause(&AzureStore::open(&config).unwrap()).await,
            });
        }
        let [strange, trusted] = causes.try_into().unwrap();
        assert!(strange.contains("certificate"), "{url}: {strange}");
        assert!(!trusted.contains("certificate"), "{url}: {trusted}");
    }
}
