//! What can go wrong with a Cassandra cluster.

use std::{fmt, time::Duration};

use super::super::SourceErrorKind;

/// Why a cluster could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CassandraError {
    /// A file of the configuration that cannot be used.
    #[error("cannot use {path}: {why}")]
    File {
        /// Which.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// No node let us in.
    #[error("cannot connect to Cassandra at {nodes}: {why}{what}")]
    Connect {
        /// The contact points.
        nodes: String,
        /// What is wrong, as the driver tells it.
        what: String,
        /// Which kind of refusal it was.
        why: Refusal,
    },
    /// A statement that failed, after all tries.
    #[error("cannot {doing} after {tries} tries in {} s: {what}", after.as_secs())]
    Query {
        /// What was tried, as a verb and its object.
        doing: String,
        /// How often.
        tries: u32,
        /// How long.
        after: Duration,
        /// What the server said.
        what: String,
        /// What callers branch on.
        kind: SourceErrorKind,
    },
    /// A role that does not see everything.
    #[error("the role {role} lacks {what}")]
    Rights {
        /// Which.
        role: String,
        /// What it may not do.
        what: String,
    },
    /// The cluster is not as it must be.
    #[error("{0}")]
    Cluster(String),
    /// A target that holds something.
    #[error("{table} in the target holds rows")]
    Occupied {
        /// Which table.
        table: String,
    },
    /// Saved data that cannot be understood.
    #[error("the saved {what} cannot be read: {why}")]
    Saved {
        /// Which.
        what: String,
        /// Why.
        why: String,
    },
    /// The run was stopped.
    #[error("stopped with the run")]
    Cancelled,
    /// Called out of order.
    #[error("the cluster is not connected")]
    NotOpen,
}

/// Why no node let us in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Name and password.
    Password,
    /// Their certificate, in our eyes.
    TheirCertificate,
    /// Our certificate, in theirs.
    OurCertificate,
    /// No cipher suite in common.
    Ciphers,
    /// Anything else.
    Other,
}

impl fmt::Display for Refusal {
    /// What is known beyond the driver's words, which follow.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Password => "user or password are wrong: ",
            Refusal::TheirCertificate => "their certificate is not of an authority in tls.ca_file, or has expired: ",
            Refusal::OurCertificate => "they refuse our certificate, tls.cert_file: ",
            Refusal::Ciphers => "there is no cipher suite in common: ",
            Refusal::Other => "",
        })
    }
}

impl CassandraError {
    /// What callers branch on.
    pub fn kind(&self) -> SourceErrorKind {
        match self {
            CassandraError::File { .. } | CassandraError::Cluster(_) => SourceErrorKind::Usage,
            CassandraError::Connect { why: Refusal::Other, .. } => SourceErrorKind::Io,
            CassandraError::Connect { .. } | CassandraError::Rights { .. } => SourceErrorKind::Denied,
            CassandraError::Query { kind, .. } => *kind,
            CassandraError::Occupied { .. } => SourceErrorKind::Occupied,
            CassandraError::Saved { .. } | CassandraError::NotOpen => SourceErrorKind::Failed,
            CassandraError::Cancelled => SourceErrorKind::Cancelled,
        }
    }

    /// One thing to do or to check.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CassandraError::Connect { why, .. } => Some(match why {
                Refusal::Password => "check user and the password in password_file",
                Refusal::TheirCertificate => "check that tls.ca_file holds the authority of the nodes' certificates, and that these have not expired",
                Refusal::OurCertificate => "check that tls.cert_file is signed by an authority that the nodes trust, and has not expired",
                Refusal::Ciphers if cfg!(feature = "openssl") => "check the protocol and the cipher suites that the nodes allow",
                Refusal::Ciphers => {
                    "Cassandra 2.2 offers CBC suites only: use a build of Hourglass with the feature openssl, or allow GCM suites in cassandra.yaml"
                }
                Refusal::Other => "check the addresses, the port, and whether the nodes want TLS",
            }),
            CassandraError::Rights { .. } => Some("grant it, or exclude what it concerns in keyspaces; see docs/how-to/cassandra.md"),
            CassandraError::Occupied { .. } => Some("restore to an empty cluster, rename the keyspace, or ask for a restore in place by name"),
            CassandraError::Query { kind: SourceErrorKind::Denied, .. } => Some("grant the right to the role that Hourglass logs in as"),
            CassandraError::Query { .. } => Some("check that enough replicas are up for the consistency level, then run again"),
            _ => None,
        }
    }
}
