//! The part of a configuration that names a MariaDB or MySQL server.

use std::time::Duration;

use super::Resolver;
use crate::config::mysql::{FileMysql, FileMysqlTls, MysqlConfig, MysqlTls};

impl Resolver<'_> {
    /// Resolves what stands at `path`.
    pub(super) fn mysql(&mut self, path: &str, mysql: FileMysql) -> MysqlConfig {
        if mysql.socket.is_some() && (mysql.host.is_some() || mysql.port.is_some() || mysql.tls.is_some()) {
            self.say(&format!("{path}.socket"), "give a socket, or host, port and tls, not both");
        }
        if mysql.user.is_empty() {
            self.say(&format!("{path}.user"), "the account's name is empty");
        }
        for (index, name) in mysql.databases.iter().enumerate() {
            if name.is_empty() || mysql.exclude.contains(name) {
                self.say(&format!("{path}.databases.{index}"), &format!("{name:?} is empty or excluded as well"));
            }
        }
        let tls = mysql.tls.map(|tls| self.mysql_tls(&format!("{path}.tls"), tls));
        MysqlConfig {
            host: mysql.host.unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: mysql.port.and_then(|port| port.try_into().ok()).unwrap_or(3306),
            socket: mysql.socket.map(|file| self.path(file)),
            user: mysql.user,
            password_file: mysql.password_file.map(|file| self.path(file)),
            tls,
            users: mysql.users.unwrap_or(mysql.databases.is_empty()),
            databases: mysql.databases,
            exclude: mysql.exclude,
            lanes: mysql.lanes.map_or(4, |lanes| lanes as usize).max(1),
            enable_events: mysql.enable_events,
            lock_timeout: self.duration(&format!("{path}.lock_timeout"), mysql.lock_timeout).unwrap_or(Duration::from_secs(10)),
            timeout: self.duration(&format!("{path}.timeout"), mysql.timeout).unwrap_or(Duration::from_secs(6 * 3600)),
        }
    }

    fn mysql_tls(&mut self, path: &str, tls: FileMysqlTls) -> MysqlTls {
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            self.say(path, "cert_file and key_file go together");
        }
        MysqlTls {
            ca_file: tls.ca_file.map(|file| self.path(file)),
            identity: tls.cert_file.zip(tls.key_file).map(|(cert, key)| (self.path(cert), self.path(key))),
            server_name: tls.server_name,
        }
    }
}
