//! Servers that take notifications and keep them.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Stdio},
};

use serde_json::Value;

use crate::lab::{require, tls, tool};

/// A sink. Dropped, it is killed.
pub struct Sink {
    child: Child,
    folder: tempfile::TempDir,
    pub port: u16,
}

impl Drop for Sink {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Who may send mail.
pub const USER: &str = "hourglass";
pub const PASSWORD: &str = "planted-Pa55w0rd-of-the-mail";

impl Sink {
    fn start(name: &str, arguments: &[String]) -> Sink {
        let folder = tempfile::tempdir_in(require("HOURGLASS_LAB_DIR")).unwrap();
        let mut command = tool(name);
        command.arg(folder.path()).args(arguments).env("PYTHONPATH", require("HOURGLASS_LAB_MAIL"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("{name} says {line:?}"));
        Sink { child, folder, port }
    }

    /// A mail server; `newest` is the newest version of TLS that it speaks.
    pub fn mail(mode: &str, newest: &str) -> Sink {
        let path = |name: &str| tls(name).display().to_string();
        let more = [path("server.crt"), path("server.key"), USER.to_owned(), PASSWORD.to_owned(), newest.to_owned()];
        let arguments = [mode.to_owned()].into_iter().chain(more.into_iter().filter(|_| mode != "none"));
        Sink::start("mail-sink", &arguments.collect::<Vec<_>>())
    }

    /// A web server.
    pub fn web() -> Sink {
        Sink::start("web-sink", &[])
    }

    /// A web server with TLS.
    pub fn web_with_tls() -> Sink {
        Sink::start("web-sink", &["server.crt", "server.key"].map(|name| tls(name).display().to_string()))
    }

    /// Has a web server answer with this status from now on.
    pub fn answer(&self, status: u16) {
        fs::write(self.folder.path().join("status.part"), status.to_string()).unwrap();
        fs::rename(self.folder.path().join("status.part"), self.folder.path().join("status")).unwrap();
    }

    /// All that it was sent, in order.
    pub fn got(&self) -> Vec<Value> {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
    }
}

/// The body of a mail: text in 7 bits or quoted-printable, whose lines are joined again.
pub fn body(mail: &Value) -> String {
    let message = mail["message"].as_str().unwrap().replace("\r\n", "\n");
    let (head, body) = message.split_once("\n\n").unwrap();
    match head.contains("quoted-printable") {
        true => body.replace("=\n", "").replace("=3D", "="),
        false => body.to_owned(),
    }
}

/// What a mail says is its id.
pub fn message_id(mail: &Value) -> String {
    mail["message"].as_str().unwrap().lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap().to_owned()
}
