//! The binary from outside: an empty home, one snapshot of output and exit status together.

mod bad_commands;
mod bad_configs;
mod envelope;
mod init;
mod points;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// A home of its own in which the binary is run. Paths in outputs are shown as `$HOME`.
pub struct Home(tempfile::TempDir);

impl Home {
    pub fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// Runs `hourglass` here, with nothing of the tester's environment.
    pub fn output(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_hourglass"))
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", std::env::var_os("PATH").unwrap())
            .output()
            .unwrap()
    }

    /// What a run showed: arguments, standard output, standard error, exit status.
    pub fn show(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace(&self.path().display().to_string(), "$HOME");
        let status = output.status.code().map_or("killed".to_owned(), |code| code.to_string());
        format!("$ hourglass {}\n{}{}exit status {status}\n", arguments.join(" "), text(&output.stdout), text(&output.stderr))
    }
}

/// Snapshots lie beside the tests and are named after them alone.
pub fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/restore-tests/cli/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
