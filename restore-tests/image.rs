//! The container image of Hourglass, made of the binary under test.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use crate::{
    clusters::Cluster,
    lab::{Lock, require},
};

/// The layout of the image, with the tag `1`; made once in a run of the tests.
pub fn layout() -> PathBuf {
    let folder = PathBuf::from(require("HOURGLASS_LAB_DIR")).join("image");
    let _making = Lock::alone("image");
    if !folder.exists() {
        let script = format!("{}/config/container/image", env!("CARGO_MANIFEST_DIR"));
        let making = folder.with_extension("part");
        well(Command::new(script).arg(env!("CARGO_BIN_EXE_hourglass")).arg(&making).output().unwrap());
        fs::rename(making, &folder).unwrap();
    }
    folder
}

/// Pushes it to the registry of a region, and gives the reference that pods of that region use. `name` is `a` or `b`.
pub fn push(region: &Cluster, name: &str) -> String {
    copy_to(&format!("{}:5000/hourglass:1", region.address()));
    format!("registry.region-{name}.test/hourglass:1")
}

/// Copies it to a reference at a registry.
pub fn copy_to(reference: &str) {
    let copy = ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"];
    let (from, to) = (format!("oci:{}:1", layout().display()), format!("docker://{reference}"));
    well(Command::new("skopeo").args(copy).args([from, to]).output().unwrap());
}

fn well(output: Output) {
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}
