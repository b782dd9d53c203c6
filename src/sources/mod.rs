//! The systems that are read, and the targets that are written: files, commands, databases, search clusters, Kubernetes clusters and their volumes.
//!
//! A source offers components; each is a tree of entries or a stream of bytes. It knows nothing of chunks, packs or stores.
//! All of this blocks: callers run it on blocking threads.

pub mod analytics;
pub mod cassandra;
pub mod command;
pub mod entry;
pub mod error;
pub mod existing;
pub mod files;
pub mod images;
pub mod kubernetes;
pub mod mysql;
mod open;
pub mod rows;
pub mod stream;
pub mod volumes;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    io::Read,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

pub use analytics::{AnalyticsSource, LiveRepository};
pub use cassandra::{CassandraError, CassandraSource};
pub use command::{CommandSource, Consistency, EnvValue};
pub use entry::{EntryKind, Extent, FileTime, Identity, SpecialKind, TreeEntry, display_path};
pub use error::{SourceError, SourceErrorKind};
pub use existing::Existing;
pub use files::{
    Comparison, Content, FileSlot, FilesOptions, FilesSource, FirstName, Overwrite, Seen, Share, ShareLinks, Skipped, Stability, Tree, TreeWriter,
    Walked, Written, cut,
};
pub use images::ImagesSource;
pub use kubernetes::KubernetesSource;
pub use mysql::MysqlSource;
pub use open::{describe, open};
pub use rows::{RowDigest, RowDigester, RowKey};
pub use stream::{StreamCapture, StreamEnd, StreamSink};
pub use volumes::VolumesSource;

use crate::{
    config::VolumesConfig,
    model::{Activity, Context, Lineage, MemberName, Problem, RepositoryId, RunId, Timestamp},
    pipeline::sha256,
};

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
    /// Unique within its source: words joined by `/`, none of which is empty, `.` or `..`.
    pub name: String,
    /// What its bytes are.
    pub shape: Shape,
    /// When it is restored: components of a lower stage come before those of a higher one, those of the same stage side by side.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stage: u8,
    /// What its source needs to know to write it, in the source's own words; sealed with the point.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub about: BTreeMap<String, String>,
}

fn is_zero(stage: &u8) -> bool {
    *stage == 0
}

impl Component {
    /// The only component of a source, of stage 0.
    pub fn single(name: &str, shape: Shape) -> Component {
        Component { name: name.to_owned(), shape, stage: 0, about: BTreeMap::new() }
    }
}

/// Of all runs of all repositories, those that capture one member of one lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Which repository.
    pub repository: RepositoryId,
    /// Whose points.
    pub lineage: Lineage,
    /// Which member of them.
    pub member: MemberName,
}

impl Owner {
    /// A short name for it, for systems that keep something for its points: 12 lower-case hex digits.
    pub fn tag(&self) -> String {
        let Owner { repository, lineage, member } = self;
        sha256(format!("{repository}\n{lineage}\n{member}").as_bytes()).to_string()[..12].to_owned()
    }
}

/// What a source is told when its snapshot opens.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Names rows in digests of this point.
    pub row_key: RowKey,
    /// Whose point it is going to be, and the run that makes it; absent when it is read for something else.
    pub of: Option<(Owner, RunId)>,
}

/// What holds for a source's capture as a whole, besides what its components say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptureEnd {
    /// The span of time that the data represents; when absent it is that of the components together.
    pub consistent: Option<(Timestamp, Timestamp)>,
    /// Where the source's own logs stood: `gtid`, `file`; sealed.
    pub position: BTreeMap<String, String>,
    /// Versions of what took part, by name; public.
    pub versions: BTreeMap<String, String>,
    /// What is missing: the member is incomplete.
    pub problems: Vec<Problem>,
    /// What this source cannot preserve, and what a person who restores should know; sealed.
    pub notes: Vec<Problem>,
}

/// What a restore hands to the source that takes it, before its first component.
#[derive(Debug, Clone)]
pub struct Loading {
    /// Every component that is going to be written, in the order of their stages.
    pub components: Vec<Component>,
    /// Those that an earlier process of the same restore has written whole.
    pub done: BTreeSet<String>,
    /// Whether an earlier process of the same restore may have begun: then what it left in the target is ours.
    pub resumed: bool,
    /// As when the point was made.
    pub row_key: RowKey,
    /// The same for every process of this restore, and for no other, not even another step of its run: marks what belongs to it. `RUN/STEP`.
    pub run: String,
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

/// How a component that was saved without a digest of rows compares with what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It was compared, and this differs.
    Compared(Vec<Problem>),
    /// The system cannot tell.
    Unknown,
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
    /// The system that the source describes: a database server, what a load command fills.
    System(SystemTarget),
}

/// How a system is restored into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemTarget {
    /// What happens to what is there: `InPlace` replaces the objects (databases, keyspaces, indices) that the point holds, and no others.
    pub overwrite: Overwrite,
    /// Objects to restore, as `database`, `database.table`, `keyspace.table`, `index`; everything when empty.
    pub select: Vec<String>,
    /// New names of databases, keyspaces or indices.
    pub rename: BTreeMap<String, String>,
    /// What becomes of objects that act by themselves, where there are such.
    pub activity: Activity,
}

/// A system that can be read, component by component, and written.
///
/// One value serves one capture or one restore: it may hold connections and snapshots from `prepare` to `close`, or from `begin` to `end`.
/// A capture calls `prepare`, then, at the moment of the point, `open`, then `capture` for each component from up to `lanes` threads at a
/// time, and `close` however that ended. A restore into a system calls `begin`, `sink` for each component, stage by stage, from up to
/// `lanes` threads, `end`, and then `read_back`.
pub trait Source: Send + Sync + Debug {
    /// The word for it in the configuration: `files`, `command`.
    fn kind(&self) -> &'static str;

    /// Whether most of what one point stores can be shared by the next: then an epoch rolls by default.
    fn is_shared(&self) -> bool {
        false
    }

    /// How many components are read or written at a time, at least 1.
    fn lanes(&self) -> usize {
        1
    }

    /// How workers, elsewhere, read and write its components in this process's stead; then `capture` and `sink` are never called here.
    fn by_workers(&self) -> Option<&VolumesConfig> {
        None
    }

    /// Does all that can be done before the moment of the point: connects, checks rights and settings. Bounded in time.
    ///
    /// # Errors
    /// When the source cannot be captured; nothing is left open then.
    fn prepare(&self, _ctx: &Context) -> Result<(), SourceError> {
        Ok(())
    }

    /// Asks the system what it holds, whether or not this source captures it. Needs no `prepare`. Bounded in time.
    ///
    /// # Errors
    /// When the system does not answer.
    fn existing(&self, _ctx: &Context) -> Result<Existing, SourceError> {
        Ok(Existing::untold("this kind of source cannot tell what else its system holds"))
    }

    /// Opens the snapshot, where there is one, and lists what there is to capture. Quick and bounded: writers may be paused.
    ///
    /// # Errors
    /// When the source cannot be captured; `close` is called all the same.
    fn open(&self, opening: &Opening, ctx: &Context) -> Result<Vec<Component>, SourceError>;

    /// Begins to read a component.
    ///
    /// # Errors
    /// When it cannot be read.
    fn capture(&self, component: &Component, ctx: &Context) -> Result<Capture, SourceError>;

    /// Lets go of snapshot, locks and sessions, and says what holds for the capture as a whole.
    ///
    /// # Errors
    /// When the capture cannot be trusted.
    fn close(&self, _ctx: &Context) -> Result<CaptureEnd, SourceError> {
        Ok(CaptureEnd::default())
    }

    /// Removes what its system keeps for points that are gone: of the runs of `owner` those that `is_spent`. It comes after `close`, when the point is
    /// written, and may leave the rest to the next run. What was removed is told, and what could not be.
    fn release(&self, _owner: &Owner, _is_spent: &dyn Fn(&RunId) -> bool, _ctx: &Context) -> Vec<Problem> {
        Vec::new()
    }

    /// Gets the system that is the target ready: connects, checks versions, rights, and that it is empty or named.
    ///
    /// # Errors
    /// When nothing may be written to it; then nothing was.
    fn begin(&self, _loading: &Loading, _target: &SystemTarget, _ctx: &Context) -> Result<(), SourceError> {
        Ok(())
    }

    /// Whether a component belongs to what the target selects.
    fn is_selected(&self, _component: &Component, _target: &SystemTarget) -> bool {
        true
    }

    /// Whether [`Source::learn`] wants a component, before anything of its member is judged or written.
    fn learns_from(&self, _component: &Component) -> bool {
        false
    }

    /// Takes note of what a component, as it was saved, says of the system that it came from.
    ///
    /// # Errors
    /// When `saved` cannot be read.
    fn learn(&self, _component: &Component, _saved: &mut (dyn Read + Send)) -> Result<(), SourceError> {
        Ok(())
    }

    /// Whether [`Source::objections`] may find something.
    fn foresees(&self) -> bool {
        false
    }

    /// What a person has to decide before a component, as it was saved, can go into a target. Neither is asked: it follows from the configuration alone.
    ///
    /// # Errors
    /// When `saved` cannot be read.
    fn objections(&self, _component: &Component, _saved: &mut (dyn Read + Send), _target: &SystemTarget) -> Result<Vec<Problem>, SourceError> {
        Ok(Vec::new())
    }

    /// Begins to write a component. Safe to call again for a component that was written in part, or whole without our knowing.
    ///
    /// # Errors
    /// When the target does not take it.
    fn sink(&self, component: &Component, target: &Target, ctx: &Context) -> Result<Sink, SourceError>;

    /// What the target did not take of a component that was written: the restore goes on, ends incomplete, and writes it again when it is resumed.
    fn refused(&self, _component: &Component) -> Vec<Problem> {
        Vec::new()
    }

    /// Ends a restore: what has to come after all components. Says what a person should know.
    ///
    /// # Errors
    /// When the target is not as it should be.
    fn end(&self, _ctx: &Context) -> Result<Vec<Problem>, SourceError> {
        Ok(Vec::new())
    }

    /// Compares a component that was saved without a digest of rows by what the target's system itself knows of it; `None` for one of which nothing is to be
    /// compared.
    ///
    /// # Errors
    /// When the target does not answer.
    fn judge(&self, _component: &Component, _ctx: &Context) -> Result<Option<Judged>, SourceError> {
        Ok(None)
    }

    /// The digest of a component's rows as the target holds them now; `None` when it has no rows or cannot be compared.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read_back(&self, _component: &Component, _ctx: &Context) -> Result<Option<RowDigest>, SourceError> {
        Ok(None)
    }

    /// Whether [`Source::differences`] alone says how what was restored compares: for what a restore changes on purpose.
    fn compares_alone(&self) -> bool {
        false
    }

    /// How many objects became what in a restore that was compared, in the source's own words; for the report.
    fn tally(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    /// Finds what differs between a component as it was saved, read from `saved`, and as the target holds it: one problem per row, with its
    /// table and key, up to a limit.
    ///
    /// # Errors
    /// When either cannot be read.
    fn differences(&self, _component: &Component, _saved: &mut (dyn Read + Send), _ctx: &Context) -> Result<Vec<Problem>, SourceError> {
        Ok(Vec::new())
    }
}
