//! A MariaDB or MySQL server: as written, and resolved.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

/// A MariaDB or MySQL server: all of its databases, or some, at one instant.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileMysql {
    /// Name or address of the server. Default `127.0.0.1`.
    pub host: Option<String>,
    /// Its port. Default 3306.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u32>,
    /// A local socket, instead of host and port.
    pub socket: Option<String>,
    /// The account that reads, or that writes a restore.
    pub user: String,
    /// File that holds its password.
    pub password_file: Option<String>,
    /// Encrypt the connection, and check who answers.
    pub tls: Option<FileMysqlTls>,
    /// Databases to capture; all but the server's own when empty.
    #[serde(default)]
    pub databases: Vec<String>,
    /// Databases that are left out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Connections that read or write at a time, from 1 to 64. Default 4.
    #[schemars(range(min = 1, max = 64))]
    pub lanes: Option<u32>,
    /// Capture users, roles and grants. Default: when all databases are captured.
    pub users: Option<bool>,
    /// Let restored events run at once. Without it they are restored disabled.
    #[serde(default)]
    pub enable_events: bool,
    /// Longest time that the snapshot waits for a lock, while writers wait too; after three attempts the capture fails. Default `10s`.
    pub lock_timeout: Option<String>,
    /// Longest time for one statement, for example one that adds keys. Default `6h`.
    pub timeout: Option<String>,
}

/// How the connection to a server is encrypted. The server's certificate and name are always checked.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileMysqlTls {
    /// PEM file of certificate authorities to trust, instead of the public ones.
    pub ca_file: Option<String>,
    /// PEM file of our own certificate, where the server asks for one.
    pub cert_file: Option<String>,
    /// PEM file of its key.
    pub key_file: Option<String>,
    /// The name that the server's certificate must carry, when it is not `host`.
    pub server_name: Option<String>,
}

/// A MariaDB or MySQL server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MysqlConfig {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Local socket, instead of both.
    pub socket: Option<PathBuf>,
    /// The account.
    pub user: String,
    /// File that holds its password.
    pub password_file: Option<PathBuf>,
    /// Encryption; none when absent.
    pub tls: Option<MysqlTls>,
    /// Databases to capture; all but the server's own when empty.
    pub databases: Vec<String>,
    /// Databases that are left out.
    pub exclude: Vec<String>,
    /// Connections at a time, at least 1.
    pub lanes: usize,
    /// Whether users, roles and grants are captured.
    pub users: bool,
    /// Whether restored events run at once.
    pub enable_events: bool,
    /// Longest wait for a lock.
    pub lock_timeout: Duration,
    /// Longest statement.
    pub timeout: Duration,
}

impl MysqlConfig {
    /// Where the server is, for people.
    pub fn address(&self) -> String {
        self.socket.as_ref().map_or_else(|| format!("{}:{}", self.host, self.port), |socket| socket.display().to_string())
    }
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MysqlTls {
    /// Authorities to trust, instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must carry, when it is not the host.
    pub server_name: Option<String>,
}
