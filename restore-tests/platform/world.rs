//! The platform in a region: what it is made of, what it is asked, and what is in its databases, judged without our own code.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    clusters::{eventually, kubectl},
    image,
    lab::{require, tls, tool},
};

pub const NAMESPACE: &str = "apim";
/// Of the platform's own accounts in both databases.
const PASSWORD: &str = "planted-Pa55w0rd-of-the-platform";
const CHARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/restore-tests/platform/charts");
/// Images of the platform, by repository, and the folder of the lab that each is made in.
pub const IMAGES: [(&str, &str); 5] =
    [("admin", "platform-admin"), ("manager", "platform-manager"), ("gateway", "platform-gateway"), ("portal", "platform-portal"), ("hook", "hook")];

/// A region of the lab, which may be one that something else started.
#[derive(Debug, Clone)]
pub struct Place {
    /// `a` or `b`.
    pub name: &'static str,
    pub folder: PathBuf,
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

impl Place {
    /// On the network between regions.
    pub fn address(&self) -> String {
        format!("{}.{}", require("HOURGLASS_LAB_WAN"), if self.name == "a" { 11 } else { 12 })
    }

    pub fn registry(&self) -> String {
        format!("{}:5000", self.address())
    }

    /// Our own image, which workers run.
    pub fn worker_image(&self) -> String {
        format!("{}/hourglass:1", self.registry())
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// The folder of the portal's volume, on the node.
    pub fn portal_files(&self) -> PathBuf {
        self.folder.join("local-path").join(NAMESPACE).join("files-portal-0")
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&self.kubeconfig(), arguments).unwrap_or_else(|said| panic!("{arguments:?}: {said}"))
    }

    /// Helm, which keeps nothing outside of the region's folder.
    pub fn helm(&self, arguments: &[&str]) -> String {
        let mut helm = Command::new(format!("{}/helm", require("HOURGLASS_LAB_KUBERNETES")));
        helm.arg("--kubeconfig").arg(self.kubeconfig()).args(["--namespace", NAMESPACE]).args(arguments).env("HOME", &self.folder);
        done(&mut helm)
    }

    /// Asks Cassandra as its administrator, by the Python driver; lines of tuples.
    pub fn cql(&self, statements: &[&str]) -> String {
        let (user, password) = (require("HOURGLASS_LAB_DATABASES_USER"), require("HOURGLASS_LAB_DATABASES_PASSWORD"));
        let mut cql = tool("cql");
        cql.arg(self.address()).args(["--user", &user, "--password", &password]).args(statements);
        cql.envs([
            ("HOURGLASS_LAB_CASSANDRA_PORT", "9042"),
            ("HOURGLASS_LAB_CASSANDRA_USER", &user),
            ("HOURGLASS_LAB_CASSANDRA_PASSWORD", &password),
        ]);
        done(&mut cql)
    }

    /// Asks MariaDB as its administrator, by its own client; lines of fields with tabs between.
    pub fn sql(&self, statement: &str) -> String {
        let mut mariadb = Command::new("mariadb");
        mariadb.args(["--no-defaults", "--batch", "--skip-column-names", "--ssl-verify-server-cert", "--execute", statement]);
        mariadb.arg(format!("--host={}", self.address())).arg(format!("--user={}", require("HOURGLASS_LAB_DATABASES_USER")));
        mariadb.arg(format!("--ssl-ca={}", tls("ca.crt").display())).env("MYSQL_PWD", require("HOURGLASS_LAB_DATABASES_PASSWORD"));
        done(&mut mariadb)
    }

    /// Which of these calls analytics know.
    pub fn events<'a>(&self, requests: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        let asked = json!({"ids": requests.collect::<Vec<_>>()}).to_string();
        let (status, answer) = super::client::ask(
            &format!("{}:9200", self.address()),
            "POST",
            "/apim-calls/_mget?_source=false",
            &[("Content-Type", "application/json")],
            &asked,
        )
        .unwrap();
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let found = answer["docs"].as_array().unwrap().iter().filter(|document| document["found"] == true);
        found.map(|document| document["_id"].as_str().unwrap().to_owned()).collect()
    }

    /// Where a service listens outside of the cluster, once it does: pods are ready before the node has heard of it.
    pub fn service(&self, name: &str) -> String {
        let port = self.kubectl(&["--namespace", NAMESPACE, "get", "service", name, "--output=jsonpath={.spec.ports[0].nodePort}"]);
        let server = format!("{}:{port}", self.address());
        eventually(|| TcpStream::connect(&server).map(drop).map_err(|error| format!("{server}: {error}")));
        server
    }

    /// What the charts have to be told here.
    pub fn values(&self) -> PathBuf {
        let text = |file: &str| fs::read_to_string(tls(file)).unwrap();
        let name = self.name;
        let values = json!({
            "registry": self.registry(), "cassandra": format!("cassandra.region-{name}.test"), "mysql": format!("mysql.region-{name}.test"),
            "analytics": format!("analytics.region-{name}.test"),
            "host": format!("api.region-{name}.test"), "zone": format!("region-{name}1"), "pool": format!("pool-{name}"), "password": PASSWORD,
            "client": {"crt": text("client.crt"), "key": text("client.key"), "ca": text("ca.crt")},
            "server": {"crt": text("server.crt"), "key": text("server.key")}, "class": format!("files-{name}"),
        });
        let file = self.folder.join("values.json");
        fs::write(&file, values.to_string()).unwrap();
        file
    }

    /// What an administrator does before the first installation: images, accounts of the databases, the registry's login.
    pub fn prepare(&self) {
        for (repository, folder) in IMAGES {
            let from = format!("oci:{}/{folder}:{}", require("HOURGLASS_LAB_IMAGES"), if folder == "hook" { "hook" } else { "1" });
            let to = format!("docker://{}/apim/{repository}:1", self.registry());
            done(Command::new("skopeo").args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", &from, &to]));
        }
        image::copy_to(&self.worker_image());
        self.cql(&[&format!("create role apim with password = '{PASSWORD}' and login = true"), "grant create on all keyspaces to apim"]);
        self.sql(&format!("create user apim@'%' identified by '{PASSWORD}' require ssl; grant all on apim.* to apim@'%'"));
        self.kubectl(&["create", "namespace", NAMESPACE]);
        self.registry_login();
        let file = self.folder.join("stores");
        fs::write(&file, store_credentials()).unwrap();
        let from = format!("--from-env-file={}", file.display());
        self.kubectl(&["--namespace", NAMESPACE, "create", "secret", "generic", "hourglass-stores", &from]);
    }

    fn registry_login(&self) {
        let server = format!("--docker-server={}", self.registry());
        let login = ["--docker-username=puller", "--docker-password=of-this-registry"];
        self.kubectl(&[&["--namespace", NAMESPACE, "create", "secret", "docker-registry", "registry-login", &server][..], &login].concat());
    }

    /// Installs the charts, or changes what is installed, and waits until all is ready.
    pub fn install(&self, verb: &str, more: &[&str]) {
        let values = self.values();
        for chart in ["apim", "portal"] {
            let folder = format!("{CHARTS}/{chart}");
            self.helm(&[&[verb, chart, &folder, "--values", values.to_str().unwrap(), "--wait", "--timeout=10m"][..], more].concat());
        }
    }

    /// Names and states of the releases.
    pub fn releases(&self) -> Vec<(String, String, String)> {
        let list: Value = serde_json::from_str(&self.helm(&["list", "--output=json"])).unwrap();
        let text = |release: &Value, key: &str| release[key].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(|release| (text(release, "name"), text(release, "status"), text(release, "revision"))).collect()
    }

    /// Waits until as many gateways tell the admin node that they live, and no other ever did.
    pub fn gateways(&self, wanted: usize) {
        let admin = self.service("admin");
        eventually(|| {
            let (_, body) = super::client::ask(&admin, "GET", "/gateways", &[], "")?;
            let seen: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
            let count = |key: &str| seen[key].as_array().map_or(0, Vec::len);
            if (count("alive"), count("stale")) == (wanted, 0) { Ok(()) } else { Err(body) }
        });
    }

    /// Files that the world put into the portal, and what is in them.
    pub fn fill_portal(&self) {
        let portal = self.service("portal");
        for (name, content) in [("index.html", "<h1>APIs</h1>".to_owned()), ("sites/shop/logo.svg", "<svg/>".repeat(50_000))] {
            let (status, said) = super::client::ask(&portal, "PUT", &format!("/files/{name}"), &[], &content).unwrap();
            assert_eq!(status, 201, "{said}");
        }
    }
}

/// What workers reach the object stores with, as variables.
pub fn store_credentials() -> String {
    let (key, secret) = (require("HOURGLASS_LAB_S3_KEY"), require("HOURGLASS_LAB_S3_SECRET"));
    format!("AWS_ACCESS_KEY_ID={key}\nAWS_SECRET_ACCESS_KEY={secret}\nAWS_REGION=us-east-1\n")
}

/// A folder of exported policies and certificates, as the vendors' tools write them, outside of any cluster.
pub fn make_policies(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, content) in
        [("gateway.fed", "<federation/>".repeat(3000)), ("gateway.pol", "<policies/>".repeat(2000)), ("we.env", "zone=1\n".to_owned())]
    {
        fs::write(folder.join(name), content).unwrap();
    }
}
