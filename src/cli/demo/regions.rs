//! The two regions and the safe as folders, and the configuration of each region.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::platform::EXPORT;

/// A region: all that its machines and its stores hold.
#[derive(Debug, Clone)]
pub(super) struct Region {
    pub site: &'static str,
    pub root: PathBuf,
}

/// Everything that the demonstration touches.
#[derive(Debug, Clone)]
pub(super) struct Regions {
    /// What people keep away from all machines: root and operator key, digests.
    pub safe: PathBuf,
    pub a: Region,
    pub b: Region,
}

impl Region {
    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.root.join("hourglass.yaml")
    }

    /// A region before anything is in it: folders for its stores, as an account has buckets.
    fn found(&self) -> io::Result<()> {
        ["store", "control", "state"].iter().try_for_each(|folder| fs::create_dir_all(self.root.join(folder)))
    }
}

impl Regions {
    /// The folders below `root`, made.
    pub(super) fn found(root: &Path) -> io::Result<Regions> {
        let regions = Regions {
            safe: root.join("safe"),
            a: Region { site: "we", root: root.join("region-a") },
            b: Region { site: "ne", root: root.join("region-b") },
        };
        regions.a.found()?;
        regions.b.found()?;
        fs::create_dir_all(&regions.safe)?;
        Ok(regions)
    }

    /// Writes the configuration of region A: it backs up to its own store and copies to the other region's.
    pub(super) fn write_a(&self) -> io::Result<()> {
        let others = [("other", self.b.store())];
        self.write(&self.a, &others, None)
    }

    /// Writes the configuration of region B: it knows its own store alone.
    pub(super) fn write_b(&self, trust_root: &str) -> io::Result<()> {
        self.write(&self.b, &[], Some(trust_root))
    }

    fn write(&self, region: &Region, others: &[(&str, PathBuf)], trust_root: Option<&str>) -> io::Result<()> {
        // A JSON text is a YAML text, whatever a path contains.
        let quoted = |path: &Path| json!(path.display().to_string()).to_string();
        let url = |path: &Path| json!(format!("file://{}", path.display())).to_string();
        let data = region.data();
        let export = data.join(EXPORT).display().to_string();
        let mut text = format!("site: {}\nlocations:\n  primary: {{ url: {} }}\n", region.site, url(&region.store()));
        for (name, store) in others {
            text += &format!("  {name}: {{ url: {} }}\n", url(store));
        }
        text += &format!(
            "control: {{ url: {} }}\ncapture_key_file: capture.key\noperator_key_file: {}\nstate_dir: state\n\
             sources:\n  portal: {{ files: {{ path: {} }} }}\n  events: {{ files: {{ path: {} }} }}\n  \
             kv: {{ command: {{ dump: {}, load: {} }} }}\n\
             policies:\n  production:\n    members: {{ portal: required, events: required, kv: required }}\n    rpo: 1h\n    \
             keep: {{ hourly: 24, daily: 14 }}\n",
            url(&region.root.join("control")),
            quoted(&self.safe.join("operator.key")),
            quoted(&data.join("portal")),
            quoted(&data.join("events")),
            json!(["cat", export]),
            json!(["dd", format!("of={export}"), "bs=65536"]),
        );
        if let Some(root) = trust_root {
            text += &format!("trust_root: {root}\n");
        }
        fs::write(region.config(), text)
    }
}
