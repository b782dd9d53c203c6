//! What a system holds, whether or not its source captures it: the truth that policies are compared with.

use serde::Serialize;

/// What is known of what a system holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Existing {
    /// What there is.
    pub things: Vec<Thing>,
    /// What nobody can tell, in a sentence for each.
    pub untold: Vec<String>,
}

/// Something that a policy could cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// What it is.
    pub kind: ThingKind,
    /// Its name in its system.
    pub name: String,
    /// What becomes of it.
    pub capture: Capture,
}

/// What a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThingKind {
    /// A database of MariaDB or MySQL.
    Database,
    /// A keyspace of Cassandra.
    Keyspace,
    /// An index or a data stream.
    Index,
    /// A namespace of Kubernetes.
    Namespace,
    /// A claim of Kubernetes: `NAMESPACE/CLAIM`.
    Claim,
    /// An image that a pod runs.
    Image,
    /// A directory, or a pattern of what is left out of it.
    Path,
}

impl ThingKind {
    /// All of them.
    pub const ALL: [ThingKind; 7] =
        [ThingKind::Database, ThingKind::Keyspace, ThingKind::Index, ThingKind::Namespace, ThingKind::Claim, ThingKind::Image, ThingKind::Path];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            ThingKind::Database => "database",
            ThingKind::Keyspace => "keyspace",
            ThingKind::Index => "index",
            ThingKind::Namespace => "namespace",
            ThingKind::Claim => "claim",
            ThingKind::Image => "image",
            ThingKind::Path => "path",
        }
    }
}

/// What a source does with a thing that its system holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capture {
    /// It captures it.
    Captured,
    /// It leaves it out, in these words of its configuration.
    Left(String),
    /// The configuration says that nobody needs it (where).
    NotNeeded(&'static str),
    /// Another source captures it, if any does: this one by name, or one that captures the image.
    By(Option<String>),
}

impl Existing {
    /// Of a source that cannot tell.
    pub fn untold(why: &str) -> Existing {
        Existing { things: Vec::new(), untold: vec![why.to_owned()] }
    }

    /// Things of one kind, each captured or left out in some words.
    pub fn of(kind: ThingKind, names: impl IntoIterator<Item = String>, is_captured: impl Fn(&str) -> bool, left: &str) -> Existing {
        let capture = |name: &str| if is_captured(name) { Capture::Captured } else { Capture::Left(left.to_owned()) };
        let things = names.into_iter().map(|name| Thing { kind, capture: capture(&name), name }).collect();
        Existing { things, untold: Vec::new() }
    }
}
