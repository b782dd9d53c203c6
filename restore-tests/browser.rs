//! A real browser, which shows pages of ours and complains of nothing.
//!
//! `HOURGLASS_PICTURES` names a folder that the pictures are kept in, for somebody who wants to look at them.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// What the browser says of a page. Its own files lie in `home`.
pub fn browse(home: &Path, address: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--enable-logging=stderr"]);
    command.arg(format!("--user-data-dir={}", home.join("browser").display())).args(arguments);
    command.arg(address).env("HOME", home).output().unwrap()
}

/// Takes a picture (`.png`), or a print (`.pdf`), that shows something; panics when the browser complains.
pub fn shows(home: &Path, address: &str, name: &str, arguments: &[&str]) {
    let picture = home.join(name);
    let what = if name.ends_with(".pdf") { "print-to-pdf" } else { "screenshot" };
    let shot = format!("--{what}={}", picture.display());
    let done = browse(home, address, &[&[&*shot], arguments].concat());
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && !said.contains("CONSOLE"), "{name}: {said}");
    assert!(fs::metadata(&picture).unwrap().len() > 20_000, "{name} is empty");
    if let Ok(folder) = std::env::var("HOURGLASS_PICTURES") {
        fs::copy(&picture, Path::new(&folder).join(name)).unwrap();
    }
}
