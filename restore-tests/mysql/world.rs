//! A source and a target server, and the way between them without the engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    path::PathBuf,
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::Duration,
};

use hourglass::{
    config::{MysqlConfig, MysqlTls},
    model::{Activity, Context, Problem},
    sources::{
        Capture, CaptureEnd, Component, Loading, MysqlSource, Opening, Overwrite, RowKey, Sink, Source, SourceError, StreamEnd, SystemTarget, Target,
    },
};
use tokio::runtime::{EnterGuard, Runtime};

use crate::{
    lab::{Lock, Servers, Sql, SqlServer, require, tls},
    site::Site,
    stores::places::fresh_name,
};

/// One make of server, with the lock of its target: only one restore at a time may write there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    MariaDb,
    MySql8,
}

impl Make {
    pub fn source(self) -> Sql {
        if self == Make::MariaDb { SqlServer::MariaDbA.get() } else { SqlServer::MySql8A.get() }
    }

    pub fn target(self) -> Sql {
        if self == Make::MariaDb { SqlServer::MariaDbB.get() } else { SqlServer::MySql8B.get() }
    }

    /// Which of the lab's servers these are.
    pub fn servers(self) -> Servers {
        if self == Make::MariaDb { Servers::MariaDb } else { Servers::MySql8 }
    }

    pub fn alone(self) -> Lock {
        let lock = Lock::alone(&format!("target-{self:?}"));
        // A test that failed in the middle of a restore is no reason for the next one to fail.
        try_sql(&self.target(), "drop database if exists hourglass_restore");
        lock
    }

    /// The statements of the edge databases.
    pub fn edge(self, db: &str, other: &str) -> String {
        let own = if self == Make::MariaDb { include_str!("edge-mariadb.sql") } else { include_str!("edge-mysql8.sql") };
        format!("{}\n{own}", include_str!("edge.sql")).replace("{db}", &quote(db)).replace("{other}", &quote(other))
    }
}

pub fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The stock client or dump program, as the administrator.
pub fn client(program: &str, server: &Sql) -> Command {
    let mut command = Command::new(program);
    command.arg("--no-defaults").args(["--host", server.host, "--port", &server.port.to_string(), "--user", &server.user]);
    command.arg(format!("--ssl-ca={}", tls("ca.crt").display())).env("MYSQL_PWD", &server.password).stdin(Stdio::null());
    command
}

/// Runs statements as the administrator, and gives back what they print.
pub fn sql(server: &Sql, text: &str) -> String {
    let (ok, out) = try_sql(server, text);
    assert!(ok, "{text}: {out}");
    out
}

pub fn try_sql(server: &Sql, text: &str) -> (bool, String) {
    let mut command = client("mariadb", server);
    let mut child = command
        .args(["--batch", "--skip-column-names", "--binary-as-hex", "--default-character-set=utf8mb4"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _closed = writer.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), if output.status.success() { out } else { said })
}

/// Databases of the source and the target that are dropped at the end.
pub struct Names {
    pub make: Make,
    pub all: Vec<String>,
}

impl Names {
    pub fn new(make: Make, count: usize) -> Names {
        Names { make, all: (0..count).map(|_| fresh_name().replace('-', "_")).collect() }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        for server in [self.make.source(), self.make.target()] {
            for name in &self.all {
                try_sql(&server, &format!("set foreign_key_checks = 0; drop database if exists {}", quote(name)));
            }
        }
    }
}

/// A server as a site's configuration writes it; `more` is what it says besides.
pub fn yaml(site: &Site, server: &Sql, more: &str) -> String {
    let file = site.path(&format!("mysql-{}.password", server.port));
    fs::write(&file, &server.password).unwrap();
    let (file, ca) = (file.display().to_string(), tls("ca.crt").display().to_string());
    let place = format!("host: {}, port: {}, user: {}, password_file: {file:?}, tls: {{ ca_file: {ca:?} }}", server.host, server.port, server.user);
    format!("{{ mysql: {{ {place}, {more} }} }}")
}

/// What a source needs around it.
pub struct World {
    pub runtime: Runtime,
    pub folder: tempfile::TempDir,
}

impl World {
    pub fn new() -> World {
        World { runtime: Runtime::new().unwrap(), folder: tempfile::tempdir_in(require("HOURGLASS_LAB_DIR")).unwrap() }
    }

    pub fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// A configuration for an account.
    pub fn config(&self, server: &Sql, user: &str, password: &str, databases: &[&str]) -> MysqlConfig {
        let file: PathBuf = self.folder.path().join(format!("password-{user}-{}", server.port));
        fs::write(&file, format!("{password}\n")).unwrap();
        MysqlConfig {
            host: server.host.to_owned(),
            port: server.port,
            socket: None,
            user: user.to_owned(),
            password_file: Some(file),
            // MySQL 8.0.15 offers key exchanges that our TLS does not know: its OpenSSL is too old.
            tls: (server.node.0.starts_with("mariadb")).then(|| MysqlTls { ca_file: Some(tls("ca.crt")), ..MysqlTls::default() }),
            databases: databases.iter().map(|name| (*name).to_owned()).collect(),
            exclude: Vec::new(),
            lanes: 3,
            users: false,
            enable_events: false,
            lock_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(300),
        }
    }

    pub fn admin(&self, server: &Sql, databases: &[&str]) -> MysqlConfig {
        self.config(server, &server.user, &server.password, databases)
    }
}

/// A capture that is held in memory.
#[derive(Debug)]
pub struct Saved {
    pub key: RowKey,
    pub parts: Vec<(Component, Vec<u8>, StreamEnd)>,
    pub end: CaptureEnd,
}

/// Captures everything, several components at a time.
pub fn capture(source: &MysqlSource) -> Result<Saved, SourceError> {
    capture_with(source, || ())
}

/// The same, with something done once the snapshot is open.
pub fn capture_with(source: &MysqlSource, opened: impl FnOnce()) -> Result<Saved, SourceError> {
    let (ctx, key) = (Context::default(), RowKey::generate());
    source.prepare(&ctx)?;
    let components = source.open(&Opening { row_key: key, of: None }, &ctx);
    let parts = components.and_then(|components| {
        opened();
        each(components, source.lanes(), |component| {
            let Capture::Stream(mut stream) = source.capture(&component, &ctx)? else { panic!("not a stream") };
            let mut bytes = Vec::new();
            let _why_is_told_at_the_end = stream.read_to_end(&mut bytes);
            let end = stream.finish()?;
            assert_eq!(end.bytes.0, bytes.len() as u64);
            Ok((component, bytes, end))
        })
    });
    let end = source.close(&ctx)?;
    Ok(Saved { key, parts: parts?, end })
}

/// Restores everything, stage by stage, and compares it; says what a person should know.
pub fn restore(source: &MysqlSource, saved: &Saved, target: SystemTarget) -> Result<Vec<Problem>, SourceError> {
    let problems = restore_only(source, saved, &target)?;
    for (component, bytes, end) in &saved.parts {
        let Some(found) = source.read_back(component, &Context::default())? else { continue };
        if Some(found) != end.rows {
            let differences = source.differences(component, &mut bytes.as_slice(), &Context::default())?;
            panic!("{} differs: {differences:?}\n{}", component.name, String::from_utf8_lossy(&bytes[..bytes.len().min(4000)]));
        }
    }
    Ok(problems)
}

pub fn restore_only(source: &MysqlSource, saved: &Saved, target: &SystemTarget) -> Result<Vec<Problem>, SourceError> {
    let ctx = Context::default();
    let mut components: Vec<Component> = saved.parts.iter().map(|(component, ..)| component.clone()).collect();
    components.sort_by_key(|component| component.stage);
    let loading = Loading { components, done: BTreeSet::new(), resumed: false, row_key: saved.key, run: fresh_name() };
    source.begin(&loading, target, &ctx)?;
    let stages: BTreeSet<u8> = saved.parts.iter().map(|(component, ..)| component.stage).collect();
    for stage in stages {
        let parts: Vec<_> = saved.parts.iter().filter(|(component, ..)| component.stage == stage).collect();
        each(parts, source.lanes(), |(component, bytes, _)| write(source, component, bytes, target))?;
    }
    source.end(&ctx)
}

pub fn write(source: &MysqlSource, component: &Component, bytes: &[u8], target: &SystemTarget) -> Result<(), SourceError> {
    let Sink::Stream(mut sink) = source.sink(component, &Target::System(target.clone()), &Context::default())? else { panic!("not a stream") };
    let _why_is_told_at_the_end = sink.write_all(bytes);
    sink.finish()
}

pub fn whole(overwrite: Overwrite) -> SystemTarget {
    SystemTarget { overwrite, select: Vec::new(), rename: BTreeMap::new(), activity: Activity::Apply }
}

/// Does something with each of many, several at a time.
fn each<T: Send, R: Send>(items: Vec<T>, lanes: usize, work: impl Fn(T) -> Result<R, SourceError> + Sync) -> Result<Vec<R>, SourceError> {
    let (queue, done) = (Mutex::new(items.into_iter()), Mutex::new(Vec::new()));
    let lane = || -> Result<(), SourceError> {
        loop {
            let Some(item) = queue.lock().unwrap().next() else { return Ok(()) };
            let result = work(item)?;
            done.lock().unwrap().push(result);
        }
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect::<Result<Vec<()>, _>>()
    })?;
    Ok(done.into_inner().unwrap())
}
