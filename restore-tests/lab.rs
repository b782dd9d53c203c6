//! Where the services are that `restore-tests/run` has started, and how to end and restart them.

use std::{env, fs::File, net::IpAddr, path::PathBuf, process::Command};

/// What tests that run in several threads and processes take turns with, or share. It ends when this is dropped, and with its process.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "dropping it ends the lock")] File);

impl Lock {
    /// Waits until nobody else holds this one.
    pub fn alone(name: &str) -> Self {
        let file = Self::open(name);
        file.lock().unwrap();
        Self(file)
    }

    /// Waits until nobody holds this one alone.
    pub fn together(name: &str) -> Self {
        let file = Self::open(name);
        file.lock_shared().unwrap();
        Self(file)
    }

    fn open(name: &str) -> File {
        File::create(PathBuf::from(require("HOURGLASS_LAB_DIR")).join(format!("{name}.lock"))).unwrap()
    }
}

/// Servers of one kind, which tests share. A test that takes several kinds takes them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Servers {
    MariaDb,
    MySql8,
    Cassandra,
    Search,
    Kubernetes,
}

impl Servers {
    /// A test holds this while it uses them, beside other tests that do.
    pub fn together(self) -> Lock {
        Lock::together(&format!("{self:?}"))
    }

    /// A test that ends servers, or changes what the others see (global settings), holds this instead: nobody else uses them meanwhile.
    pub fn alone(self) -> Lock {
        Lock::alone(&format!("{self:?}"))
    }
}

/// The value of a variable that the lab sets; without it the test fails, because a missing service is a failure.
pub fn require(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: start the tests with restore-tests/run"))
}

/// A file of the lab's certificates: `ca.crt`, and `NAME.crt`, `NAME.key` and `NAME.pem` (both and the authority) for `server`, `client`,
/// `expired` (out of date since yesterday) and `rogue` (of an authority that nobody trusts, `rogue-ca`).
pub fn tls(file: &str) -> PathBuf {
    PathBuf::from(require("HOURGLASS_LAB_TLS")).join(file)
}

/// A program of the lab, to be run with arguments.
pub fn tool(name: &str) -> Command {
    Command::new(format!("{}/restore-tests/lab/{name}", env!("CARGO_MANIFEST_DIR")))
}

/// One server process of the lab that a test may end and start again, while it holds [`Servers::alone`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node(pub String);

impl Node {
    /// Ends it at once, like a loss of power; returns when the process is gone.
    pub fn kill(&self) {
        self.order("kill");
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&self) {
        self.order("stop");
    }

    /// Starts it again with its old data, after [`Self::kill`] or [`Self::stop`], and waits until it answers.
    pub fn start(&self) {
        self.order("start");
    }

    fn order(&self, what: &str) {
        let done = tool("node").args([what, &self.0]).output().unwrap();
        assert!(done.status.success(), "{what} {}: {}", self.0, String::from_utf8_lossy(&done.stderr));
    }
}

/// A MariaDB or MySQL server with its administrator. TLS is offered with a certificate of the lab's authority.
#[derive(Debug, Clone)]
pub struct Sql {
    pub host: &'static str,
    pub port: u16,
    /// The file of its local socket.
    pub socket: PathBuf,
    pub user: String,
    pub password: String,
    pub node: Node,
}

/// Which of the SQL servers: two makes, each with a source and an empty target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlServer {
    MariaDbA,
    MariaDbB,
    MySql8A,
    MySql8B,
}

impl SqlServer {
    pub fn get(self) -> Sql {
        let name = match self {
            Self::MariaDbA => "mariadb-a",
            Self::MariaDbB => "mariadb-b",
            Self::MySql8A => "mysql8-a",
            Self::MySql8B => "mysql8-b",
        };
        let prefix = format!("HOURGLASS_LAB_{}", name.to_uppercase().replace('-', "_"));
        Sql {
            host: "127.0.0.1",
            port: require(&format!("{prefix}_PORT")).parse().unwrap(),
            socket: require(&format!("{prefix}_SOCKET")).into(),
            user: require("HOURGLASS_LAB_MYSQL_USER"),
            password: require("HOURGLASS_LAB_MYSQL_PASSWORD"),
            node: Node(name.to_owned()),
        }
    }
}

/// A Cassandra cluster with its administrator. It wants the certificate `client` of [`tls`] and the password, and nothing else is let in.
#[derive(Debug, Clone)]
pub struct Cassandra {
    /// One address per node; each listens on `port`.
    pub addresses: Vec<IpAddr>,
    pub port: u16,
    pub datacentre: &'static str,
    pub user: String,
    pub password: String,
    /// In the order of `addresses`.
    pub nodes: Vec<Node>,
}

/// Which of the Cassandra clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CassandraCluster {
    /// 5.0, three nodes, datacentre dc1, encrypted between nodes.
    Three,
    /// 5.0, one node, datacentre dr1: an empty target.
    Dr,
    /// 2.2.12, one node, datacentre dc1, with its own cipher suites: CBC only.
    Old,
}

impl CassandraCluster {
    pub fn get(self) -> Cassandra {
        let (variable, name, datacentre) = match self {
            Self::Three => ("HOURGLASS_LAB_CASSANDRA5", "cassandra5", "dc1"),
            Self::Dr => ("HOURGLASS_LAB_CASSANDRA_DR", "cassandra-dr", "dr1"),
            Self::Old => ("HOURGLASS_LAB_CASSANDRA2", "cassandra2", "dc1"),
        };
        let addresses: Vec<IpAddr> = require(variable).split(',').map(|address| address.parse().unwrap()).collect();
        Cassandra {
            nodes: (1..=addresses.len()).map(|number| Node(format!("{name}-{number}"))).collect(),
            addresses,
            port: require("HOURGLASS_LAB_CASSANDRA_PORT").parse().unwrap(),
            datacentre,
            user: require("HOURGLASS_LAB_CASSANDRA_USER"),
            password: require("HOURGLASS_LAB_CASSANDRA_PASSWORD"),
        }
    }
}

/// An OpenSearch server of one node. Repositories of type s3 know the clients `default` (SeaweedFS) and `other` (versitygw) and want
/// `server_side_encryption_type: bucket_default`; those of type azure the client `default`.
#[derive(Debug, Clone)]
pub struct Search {
    /// Its own HTTP port: no TLS, no password.
    pub plain: String,
    /// The same server behind TLS (authority `ca.crt` of [`tls`]), which wants the password (basic) or the API key (`ApiKey`).
    pub url: String,
    pub user: String,
    pub password: String,
    pub api_key: String,
    /// Below this folder a repository of type fs may lie. Both servers see it.
    pub repositories: PathBuf,
    pub node: Node,
}

/// Which of the OpenSearch servers: region A, which takes snapshots, and region B, which restores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    A,
    B,
}

impl Region {
    pub fn search(self) -> Search {
        let (variable, node) = match self {
            Self::A => ("HOURGLASS_LAB_OPENSEARCH_A", "opensearch-a"),
            Self::B => ("HOURGLASS_LAB_OPENSEARCH_B", "opensearch-b"),
        };
        Search {
            plain: require(variable),
            url: require(&format!("{variable}_TLS")),
            user: require("HOURGLASS_LAB_OPENSEARCH_USER"),
            password: require("HOURGLASS_LAB_OPENSEARCH_PASSWORD"),
            api_key: require("HOURGLASS_LAB_OPENSEARCH_API_KEY"),
            repositories: require("HOURGLASS_LAB_OPENSEARCH_REPOSITORIES").into(),
            node: Node(node.to_owned()),
        }
    }
}
