//! Sessions: how they are opened, what they are told, and what their errors mean.

use std::{fmt, fs, io, time::Duration};

use mysql_async::{ClientIdentity, Conn, Error, Opts, OptsBuilder, Row, SslOpts, prelude::FromRow, prelude::Queryable};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::{
    config::MysqlConfig,
    sources::{SourceError, SourceErrorKind},
};

/// Longest time to connect and to log in.
const CONNECT: Duration = Duration::from_secs(30);

/// The mode of our sessions: what is stored is taken as it is (zero dates, dates that no calendar has, long texts), and names are quoted with
/// backticks.
pub(super) const MODE: &str = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES";

/// Who made a server: their definitions are not each other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    MariaDb,
    MySql,
}

impl fmt::Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Make::MariaDb => "mariadb",
            Make::MySql => "mysql",
        })
    }
}

/// What a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub make: Make,
    /// Major, minor and patch.
    pub version: (u16, u16, u16),
    /// As it says itself.
    pub text: String,
}

impl Server {
    /// Whether it is of this make and at least this version.
    pub(super) fn is(&self, make: Make, version: (u16, u16, u16)) -> bool {
        self.make == make && self.version >= version
    }
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Reads or writes definitions: texts are UTF-8.
    Definitions,
    /// Reads or writes rows: bytes are as they are stored.
    Rows,
}

/// A session and the longest time for a statement of it.
#[derive(Debug)]
pub(super) struct Session {
    pub conn: Conn,
    limit: Duration,
}

/// What a statement's error is called: the doing, then the server's own words.
pub(super) fn refused(doing: impl Into<String>, error: Error) -> SourceError {
    let kind = match &error {
        Error::Server(server) => match server.code {
            1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1698 | 1290 | 3118 => SourceErrorKind::Denied,
            1049 | 1051 | 1146 => SourceErrorKind::Vanished,
            1412 => SourceErrorKind::Changed,
            1205 | 1969 | 3024 => SourceErrorKind::TimedOut,
            _ => SourceErrorKind::Failed,
        },
        Error::Url(_) => SourceErrorKind::Usage,
        Error::Driver(_) | Error::Io(_) | Error::Other(_) => SourceErrorKind::Io,
    };
    // The driver's outer errors repeat the inner one: ours is the first that says something of its own.
    let source: Box<dyn std::error::Error + Send + Sync> = match error {
        Error::Server(server) => Box::new(server),
        Error::Driver(driver) => Box::new(driver),
        Error::Io(io) => match io {
            mysql_async::IoError::Io(io) => Box::new(io),
            mysql_async::IoError::Tls(tls) => tls.to_string().into(),
        },
        other => Box::new(other),
    };
    SourceError::Database { doing: doing.into(), kind, source }
}

/// The server's number for an error, when it is the server's.
pub(super) fn code(error: &SourceError) -> Option<u16> {
    let SourceError::Database { source, .. } = error else { return None };
    source.downcast_ref::<mysql_async::ServerError>().map(|server| server.code)
}

/// A name as the server quotes it.
pub(super) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as a literal; for sessions that escape with a backslash.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn options(config: &MysqlConfig) -> Result<Opts, SourceError> {
    let mut options = OptsBuilder::default()
        .ip_or_hostname(&config.host)
        .tcp_port(config.port)
        .socket(config.socket.as_ref().map(|path| path.display().to_string()))
        .prefer_socket(false)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .stmt_cache_size(0)
        .user(Some(&config.user));
    if let Some(path) = &config.password_file {
        let unreadable = |source| SourceError::Io { doing: "read the password in", path: path.display().to_string(), source };
        let text = Zeroizing::new(fs::read_to_string(path).map_err(unreadable)?);
        options = options.pass(Some(text.trim_end_matches(['\n', '\r']).to_owned()));
    }
    if let Some(tls) = &config.tls {
        let mut ssl = SslOpts::default();
        if let Some(file) = &tls.ca_file {
            // The driver says nothing of a file that is missing.
            fs::metadata(file).map_err(|source| SourceError::Io {
                doing: "read the certificate authorities in",
                path: file.display().to_string(),
                source,
            })?;
            ssl = ssl.with_root_certs(vec![file.clone().into()]).with_disable_built_in_roots(true);
        }
        if let Some((cert, key)) = &tls.identity {
            ssl = ssl.with_client_identity(Some(ClientIdentity::new(cert.clone().into(), key.clone().into())));
        }
        if let Some(name) = &tls.server_name {
            ssl = ssl.with_danger_tls_hostname_override(Some(name.clone()));
        }
        options = options.ssl_opts(Some(ssl));
    }
    Ok(options.into())
}

impl Session {
    /// Opens a session for `role`.
    pub(super) async fn open(config: &MysqlConfig, role: Role) -> Result<Session, SourceError> {
        let doing = format!("connect to {} as {}", config.address(), config.user);
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", CONNECT.as_secs()));
        let conn = match timeout(CONNECT, Conn::new(options(config)?)).await {
            Ok(conn) => conn.map_err(|error| refused(&doing, error))?,
            Err(_) => return Err(SourceError::Database { doing, kind: SourceErrorKind::TimedOut, source: Box::new(late()) }),
        };
        let mut session = Session { conn, limit: config.timeout };
        let names = if role == Role::Rows { "binary" } else { "utf8mb4" };
        session.run(&format!("set names {names}"), "set up the session").await?;
        let settings = "time_zone = '+00:00', wait_timeout = 86400, net_write_timeout = 1800, net_read_timeout = 1800, sql_quote_show_create = 1, \
                        autocommit = 1, foreign_key_checks = 0, unique_checks = 1, group_concat_max_len = 1048576, sql_select_limit = default";
        session.run(&format!("set session sql_mode = '{MODE}', {settings}"), "set up the session").await?;
        // Each is known to some servers only.
        for setting in [
            "max_statement_time = 0",
            "max_execution_time = 0",
            "information_schema_stats_expiry = 0",
            "show_gipk_in_create_table_and_information_schema = off",
            "sql_generate_invisible_primary_key = off",
            "sql_require_primary_key = off",
            "print_identified_with_as_hex = on",
            "system_versioning_insert_history = 1",
            "system_versioning_alter_history = keep",
            "check_constraint_checks = 0",
            "restrict_fk_on_non_standard_key = off",
        ] {
            let _unknown = session.run(&format!("set session {setting}"), "set up the session").await;
        }
        Ok(session)
    }

    /// Runs a statement without an answer; `doing` names it in an error.
    pub(super) async fn run(&mut self, sql: &str, doing: &str) -> Result<(), SourceError> {
        let done = timeout(self.limit, self.conn.query_drop(sql)).await;
        done.unwrap_or_else(|_| Err(late(self.limit))).map_err(|error| refused(doing, error))
    }

    /// All rows of an answer that is small.
    pub(super) async fn rows<T: FromRow + Send + 'static>(&mut self, sql: &str, doing: &str) -> Result<Vec<T>, SourceError> {
        let rows: Vec<Row> =
            timeout(self.limit, self.conn.query(sql)).await.unwrap_or_else(|_| Err(late(self.limit))).map_err(|error| refused(doing, error))?;
        let odd = |error: mysql_async::FromRowError| refused(doing, Error::Other(Box::new(error)));
        rows.into_iter().map(|row| T::from_row_opt(row).map_err(odd)).collect()
    }

    /// The first row of an answer.
    pub(super) async fn first<T: FromRow + Send + 'static>(&mut self, sql: &str, doing: &str) -> Result<Option<T>, SourceError> {
        Ok(self.rows(sql, doing).await?.into_iter().next())
    }

    /// Who answers.
    pub(super) async fn server(&mut self) -> Result<Server, SourceError> {
        let (text, comment) = self.first::<(String, String)>("select @@version, @@version_comment", "ask for the version").await?.unwrap_or_default();
        let make = if format!("{text}{comment}").to_lowercase().contains("mariadb") { Make::MariaDb } else { Make::MySql };
        // Old MariaDB servers call themselves 5.5.5-10.x for the sake of old clients.
        let digits = text.strip_prefix("5.5.5-").unwrap_or(&text);
        let mut numbers = digits.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Ok(Server { make, version: (next(), next(), next()), text })
    }

    /// Says goodbye; what the server then says does not matter.
    pub(super) async fn end(self) {
        let _gone = timeout(CONNECT, self.conn.disconnect()).await;
    }
}

/// The error of a statement that took too long.
pub(super) fn late(limit: Duration) -> Error {
    Error::Other(format!("no answer within {} s", limit.as_secs()).into())
}
