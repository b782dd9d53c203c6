//! The systems that are read, and the targets that are written: files and commands.
//!
//! A source offers components; each is a tree of entries or a stream of bytes. It knows nothing of chunks, packs or stores.
//! All of this blocks: callers run it on blocking threads.

pub mod command;
pub mod entry;
pub mod error;
pub mod files;
mod open;
pub mod stream;

use std::{fmt::Debug, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use command::{CommandSource, Consistency, EnvValue};
pub use entry::{EntryKind, Extent, FileTime, Identity, SpecialKind, TreeEntry, display_path};
pub use error::{SourceError, SourceErrorKind};
pub use files::{Comparison, Content, FileSlot, FilesOptions, FilesSource, Overwrite, Seen, Skipped, Stability, Tree, TreeWriter, Walked, Written};
pub use open::{describe, open};
pub use stream::{StreamCapture, StreamEnd, StreamSink};

use crate::model::Context;

/// What the bytes of a component are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Entries with attributes and contents.
    Tree,
    /// One sequence of bytes.
    Stream,
}

/// An independent, restorable part of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Unique within its source.
    pub name: String,
    /// What its bytes are.
    pub shape: Shape,
}

/// A component that is being read.
#[derive(Debug)]
pub enum Capture {
    /// A tree: walk it, and open the contents that are needed.
    Tree(Tree),
    /// A stream: read it to its end, then `finish` it.
    Stream(StreamCapture),
}

/// A component that is being written.
#[derive(Debug)]
pub enum Sink {
    /// A tree: write its entries, then `finish` it.
    Tree(TreeWriter),
    /// A stream: write it whole, then `finish` it.
    Stream(StreamSink),
}

/// Where a component is restored to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A directory. A tree becomes its contents; a stream becomes a file in it that has the component's name.
    Directory {
        /// The directory; it is made when it does not exist.
        path: PathBuf,
        /// What happens to what is there.
        overwrite: Overwrite,
    },
    /// Where the source itself says that a restore goes: the load command of a `command` source.
    Own,
}

/// A system that can be read, component by component, and written.
pub trait Source: Send + Sync + Debug {
    /// The word for it in the configuration: `files`, `command`.
    fn kind(&self) -> &'static str;

    /// What there is to capture now.
    fn components(&self, ctx: &Context) -> Result<Vec<Component>, SourceError>;

    /// Begins to read a component.
    fn capture(&self, component: &Component, ctx: &Context) -> Result<Capture, SourceError>;

    /// Begins to write a component.
    fn sink(&self, component: &Component, target: &Target, ctx: &Context) -> Result<Sink, SourceError>;
}
