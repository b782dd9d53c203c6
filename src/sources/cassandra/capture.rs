//! A capture from its preparation to its end.

use std::{
    collections::BTreeMap,
    io::Cursor,
    sync::{Arc, Mutex},
};

use tokio::sync::mpsc;

use super::{
    connect::{self, Cluster},
    document::{self, SCHEMA, Schema},
    error::CassandraError,
    inspect,
    layout::Layout,
    lock,
    pipe::{BUFFERS, PipeReader},
    ranges::{self, Range},
    rights, roles,
    rowform::{self, Header},
    scan::Scan,
    schema::Keyspace,
};
use crate::{
    config::CassandraConfig,
    model::{ByteCount, Context, Problem, Timestamp},
    sources::{CaptureEnd, Component, Opening, RowKey, Shape, StreamCapture, StreamEnd},
};

/// Names of the components that are no rows.
pub(super) const TABLES: &str = "schema";
/// See [`TABLES`].
pub(super) const INDEXES: &str = "indexes";
/// See [`TABLES`].
pub(super) const ROLES: &str = "roles";

/// A cluster that is being captured.
#[derive(Debug)]
pub(super) struct Running {
    cluster: Arc<Cluster>,
    opened: Mutex<Option<Opened>>,
}

#[derive(Debug, Clone)]
struct Opened {
    at: Timestamp,
    row_key: RowKey,
    schema: Arc<Vec<u8>>,
    roles: Option<Arc<Vec<u8>>>,
    schema_version: String,
    notes: Vec<Problem>,
}

impl Running {
    /// Connects, and checks the cluster and our rights.
    pub(super) async fn prepare(config: &CassandraConfig, ctx: &Context) -> Result<Running, CassandraError> {
        let cluster = connect::connect(config, &ctx.cancel).await?;
        rights::check_cluster(&cluster).await?;
        let keyspaces = inspect::keyspaces(&cluster, |name| wanted(config, name)).await?;
        rights::check(&cluster, &with_rows(config, &keyspaces)).await?;
        Ok(Running { cluster: Arc::new(cluster), opened: Mutex::new(None) })
    }

    /// Notes the moment, and lists what there is.
    pub(super) async fn open(&self, opening: &Opening, ctx: &Context) -> Result<Vec<Component>, CassandraError> {
        let (cluster, config) = (&self.cluster, &self.cluster.config);
        let at = ctx.clock.now();
        let keyspaces = inspect::keyspaces(cluster, |name| wanted(config, name)).await?;
        for pattern in config.keyspaces.include.iter().flatten().filter(|pattern| !pattern.contains(['*', '?', '[', '{'])) {
            if !keyspaces.iter().any(|keyspace| keyspace.name == *pattern) {
                return Err(CassandraError::Cluster(format!("there is no keyspace {pattern}, which keyspaces.include names")));
            }
        }
        if keyspaces.is_empty() {
            return Ok(Vec::new());
        }
        let mut notes = Vec::new();
        let mut components = vec![Component { stage: 0, ..Component::single(TABLES, Shape::Stream) }];
        for keyspace in with_rows(config, &keyspaces) {
            let sizes = ranges::sizes(cluster, &keyspace.name).await.unwrap_or_default();
            for table in &keyspace.tables {
                let layout = Layout::new(&keyspace.name, table, cluster.version);
                let subject = format!("{}.{}", keyspace.name, table.name);
                notes.extend(layout.untold().map(|what| Problem { subject: subject.clone(), what }));
                notes.extend(table.triggers.iter().map(|(name, class)| Problem {
                    subject: subject.clone(),
                    what: format!("the trigger {name} needs the class {class}, which is not saved"),
                }));
                components.extend(of_table(&layout, sizes.get(&table.name).copied().unwrap_or(0.0)));
            }
        }
        components.push(Component { stage: 2, ..Component::single(INDEXES, Shape::Stream) });
        let roles = roles::read(cluster).await?;
        match &roles {
            Some(_) => components.push(Component { stage: 3, ..Component::single(ROLES, Shape::Stream) }),
            None => notes
                .push(Problem { subject: "roles".to_owned(), what: "our role may not read system_auth: roles and rights are not saved".to_owned() }),
        }
        let release = cluster.nodes.iter().map(|node| node.release.clone()).min().unwrap_or_default();
        let schema = Schema { format: SCHEMA.to_owned(), version: 1, release, keyspaces };
        *lock(&self.opened) = Some(Opened {
            at,
            row_key: opening.row_key,
            schema: Arc::new(document::encode(&schema)),
            roles: roles.map(|roles| Arc::new(document::encode(&roles))),
            schema_version: self.schema_version().await?,
            notes,
        });
        Ok(components)
    }

    async fn schema_version(&self) -> Result<String, CassandraError> {
        let rows = self.cluster.rows("SELECT schema_version FROM system.local", ()).await?;
        Ok(rows.iter().next().and_then(|row| row.get("schema_version")?.as_uuid()).map(|id| id.to_string()).unwrap_or_default())
    }

    fn opened(&self) -> Result<Opened, CassandraError> {
        lock(&self.opened).clone().ok_or(CassandraError::NotOpen)
    }

    /// Begins to read a component.
    pub(super) fn component(&self, component: &Component, ctx: &Context) -> Result<StreamCapture, CassandraError> {
        let opened = self.opened()?;
        let document = match component.name.as_str() {
            TABLES | INDEXES => Some(opened.schema.clone()),
            ROLES => opened.roles.clone(),
            _ => None,
        };
        let versions = self.versions();
        if let Some(document) = document {
            let (bytes, at) = (ByteCount(document.len() as u64), opened.at);
            let end = move || Ok(StreamEnd { consistent_from: at, consistent_to: at, versions, bytes, rows: None, problems: Vec::new() });
            return Ok(StreamCapture::new(Cursor::new(document.to_vec()), end));
        }
        let rows = Rows::of(component)?;
        let layout = Arc::new(rows.layout);
        let (clock, began) = (ctx.clock.clone(), ctx.clock.now());
        let scan = Scan {
            cluster: self.cluster.clone(),
            layout: layout.clone(),
            range: rows.range,
            pieces: rows.pieces,
            row_key: opened.row_key,
            keep: true,
            vanishing: None,
            clock: clock.clone(),
        };
        let header = Header::new(Layout::clone(&layout), rows.range.above, rows.range.up_to).encode();
        let (sender, receiver) = mpsc::channel(BUFFERS);
        let runtime = tokio::runtime::Handle::current();
        let task = runtime.spawn(async move {
            let framing = header.len() as u64;
            send(&sender, header).await?;
            let scanned = scan.run(Some(sender.clone())).await?;
            let mut end = Vec::new();
            rowform::put_end(&mut end, scanned.rows);
            let bytes = framing + scanned.bytes + end.len() as u64;
            send(&sender, end).await?;
            Ok::<_, CassandraError>((scanned.digest, bytes))
        });
        Ok(StreamCapture::new(PipeReader::new(receiver), move || {
            let ended = runtime.block_on(task).map_err(|_| CassandraError::Cluster("a reader has vanished".to_owned()));
            let (digest, bytes) = ended.and_then(|ended| ended)?;
            Ok(StreamEnd {
                consistent_from: began,
                consistent_to: clock.now(),
                versions,
                bytes: ByteCount(bytes),
                rows: Some(digest),
                problems: Vec::new(),
            })
        }))
    }

    fn versions(&self) -> BTreeMap<String, String> {
        let mut releases: Vec<&str> = self.cluster.nodes.iter().map(|node| node.release.as_str()).collect();
        releases.sort_unstable();
        releases.dedup();
        BTreeMap::from([("cassandra".to_owned(), releases.join(", "))])
    }

    /// What holds for the whole: everything acknowledged before the opening is contained, and nothing after this moment.
    pub(super) async fn close(&self, ctx: &Context) -> Result<CaptureEnd, CassandraError> {
        let Ok(opened) = self.opened() else { return Ok(CaptureEnd::default()) };
        let mut notes = opened.notes;
        if self.schema_version().await? != opened.schema_version {
            notes.push(Problem {
                subject: "schema".to_owned(),
                what: "it was changed during the capture; what is saved is the schema at its beginning".to_owned(),
            });
        }
        Ok(CaptureEnd { consistent: Some((opened.at, ctx.clock.now())), versions: self.versions(), notes, ..CaptureEnd::default() })
    }
}

async fn send(out: &mpsc::Sender<Vec<u8>>, bytes: Vec<u8>) -> Result<(), CassandraError> {
    out.send(bytes).await.map_err(|_| CassandraError::Cancelled)
}

fn wanted(config: &CassandraConfig, keyspace: &str) -> bool {
    !inspect::is_own(keyspace) && config.keyspaces.holds(keyspace)
}

fn with_rows(config: &CassandraConfig, keyspaces: &[Keyspace]) -> Vec<Keyspace> {
    keyspaces.iter().filter(|keyspace| config.keyspaces.holds_rows(&keyspace.name)).cloned().collect()
}

/// What a component of rows needs to be read or written.
#[derive(Debug)]
pub(super) struct Rows {
    pub layout: Layout,
    pub range: Range,
    pub pieces: usize,
}

impl Rows {
    pub(super) fn of(component: &Component) -> Result<Rows, CassandraError> {
        let bad =
            || CassandraError::Saved { what: format!("description of {}", component.name), why: "it is not one of rows of Cassandra".to_owned() };
        let text = |name: &str| component.about.get(name).ok_or_else(bad);
        let layout = serde_json::from_str(text("layout")?).map_err(|_| bad())?;
        let number = |name: &str| text(name)?.parse().map_err(|_| bad());
        Ok(Rows { layout, range: Range { above: number("above")?, up_to: number("up_to")? }, pieces: text("pieces")?.parse().map_err(|_| bad())? })
    }
}

/// The components of a table that has about so many bytes.
fn of_table(layout: &Layout, bytes: f64) -> Vec<Component> {
    let parts = Range::RING.cut(ranges::components(bytes));
    let pieces = ranges::pieces(bytes / parts.len() as f64);
    let described = serde_json::to_string(layout).expect("a layout is plain data");
    let one = |(number, range): (usize, &Range)| Component {
        name: format!("rows/{}/{}/{number}", layout.keyspace, layout.table),
        stage: 1,
        about: BTreeMap::from([
            ("layout".to_owned(), described.clone()),
            ("above".to_owned(), range.above.to_string()),
            ("up_to".to_owned(), range.up_to.to_string()),
            ("pieces".to_owned(), pieces.to_string()),
        ]),
        shape: Shape::Stream,
    };
    parts.iter().enumerate().map(one).collect()
}
