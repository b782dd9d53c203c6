//! A Cassandra cluster.

use std::time::Duration;

use super::{
    super::cassandra::{CassandraConfig, CassandraTls, FileCassandra, FileKeyspaces, Keyspaces, patterns},
    Resolver,
};

impl Resolver<'_> {
    /// Resolves what stands at `path`.
    pub(super) fn cassandra(&mut self, path: &str, written: FileCassandra) -> Option<CassandraConfig> {
        for point in written.contact_points.iter().filter(|point| point.is_empty() || point.contains(['/', ' '])) {
            self.say(&format!("{path}.contact_points"), &format!("{point:?} is not an address; write a host name or an IP address, without port"));
        }
        let login = match (written.user, written.password_file) {
            (Some(user), Some(file)) => Some((user, self.path(file))),
            (None, None) => None,
            _ => {
                self.say(path, "user and password_file belong together");
                None
            }
        };
        let tls = written.tls.map(|tls| {
            if tls.cert_file.is_some() != tls.key_file.is_some() {
                self.say(&format!("{path}.tls"), "cert_file and key_file belong together");
            }
            let identity = tls.cert_file.zip(tls.key_file).map(|(cert, key)| (self.path(cert), self.path(key)));
            CassandraTls { ca_file: self.path(tls.ca_file), identity }
        });
        let FileKeyspaces { include, exclude, schema_only } = written.keyspaces.unwrap_or_default();
        for (key, texts) in [("include", include.as_deref().unwrap_or_default()), ("exclude", &exclude), ("schema_only", &schema_only)] {
            if let Err(what) = patterns(texts) {
                self.say(&format!("{path}.keyspaces.{key}"), &what);
            }
        }
        let restore = written.restore.unwrap_or_default();
        for (keyspace, replication) in restore.replication.iter().filter(|(_, replication)| !replication.contains_key("class")) {
            let have: Vec<&str> = replication.keys().map(String::as_str).collect();
            self.say(&format!("{path}.restore.replication.{keyspace}"), &format!("missing key \"class\"; there is {}", have.join(", ")));
        }
        Some(CassandraConfig {
            contact_points: written.contact_points,
            port: written.port.unwrap_or(9042),
            datacentre: written.datacentre,
            login,
            tls,
            keyspaces: Keyspaces { include, exclude, schema_only },
            consistency: written.consistency.unwrap_or_default(),
            lanes: written.lanes.unwrap_or(4),
            page_rows: written.page_rows.unwrap_or(5000),
            timeout: self.duration(&format!("{path}.timeout"), written.timeout).unwrap_or(Duration::from_secs(30)),
            retries: written.retries.unwrap_or(8),
            replication: restore.replication,
            datacentres: restore.datacentres,
            skip_roles: restore.skip_roles,
        })
    }
}
