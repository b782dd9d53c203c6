//! A session with a cluster, and what is known of its nodes. Every request goes through [`Cluster`], which bounds waits and tries.

use std::{
    net::IpAddr,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use scylla::{
    client::{execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder},
    errors::{ExecutionError, MetadataError, NewSessionError},
    frame::types::Consistency,
    policies::load_balancing::{LoadBalancingPolicy, NodeIdentifier, SingleTargetLoadBalancingPolicy},
    response::PagingState,
    serialize::row::SerializeRow,
    statement::{Statement, prepared::PreparedStatement},
};

use super::{
    answers::{Rows, shortened, unexpected},
    error::{CassandraError, Refusal},
    judge::{judge_execution, refusal},
    tls,
};
use crate::{
    config::{CassandraConfig, CassandraConsistency},
    model::{Cancel, Secret},
};

/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long a connection is tried again whose failure is not explained, and the pause in between.
const UNCLEAR: Duration = Duration::from_secs(5);
/// See [`UNCLEAR`].
const AGAIN: Duration = Duration::from_millis(500);

/// A release, major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub u32, pub u32);

impl Version {
    /// From which on tables are described in `system_schema`.
    pub(super) const SYSTEM_SCHEMA: Version = Version(3, 0);
    /// From which on elements of collections have a time of their own that can be asked for, and columns can be masked.
    pub(super) const ELEMENTS: Version = Version(5, 0);

    pub(super) fn parse(text: &str) -> Option<Version> {
        let mut numbers = text.split(['.', '-']).map(str::parse);
        Some(Version(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

/// One node as the cluster knows it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub address: String,
    pub datacentre: String,
    pub release: String,
}

/// A session and what is known of the cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    pub session: Session,
    pub nodes: Vec<Node>,
    /// The oldest of its nodes.
    pub version: Version,
    pub consistency: Consistency,
    pub config: CassandraConfig,
    pub cancel: Cancel,
}

/// Where to connect, and as whom.
struct Door<'a> {
    config: &'a CassandraConfig,
    login: Option<(&'a str, Secret)>,
}

impl Door<'_> {
    fn new(config: &CassandraConfig) -> Result<Door<'_>, CassandraError> {
        let Some((user, path)) = &config.login else { return Ok(Door { config, login: None }) };
        let bad = |error: std::io::Error| CassandraError::File { path: path.display().to_string(), why: error.to_string() };
        let text = std::fs::read_to_string(path).map_err(bad)?;
        Ok(Door { config, login: Some((user, Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))) })
    }

    fn builder(&self, metadata: bool, datacentre: Option<&str>) -> Result<SessionBuilder, CassandraError> {
        let config = self.config;
        let profile = ExecutionProfile::builder().consistency(consistency(config.consistency)).request_timeout(Some(config.timeout)).build();
        let address = |point: &String| if point.contains(':') { format!("[{point}]:{}", config.port) } else { format!("{point}:{}", config.port) };
        let mut builder = SessionBuilder::new()
            .known_nodes(config.contact_points.iter().map(address))
            .connection_timeout(config.timeout.min(Duration::from_secs(15)))
            .default_execution_profile_handle(profile.into_handle())
            .schema_agreement_timeout(Duration::from_secs(60))
            // What the kernel has not sent when this process ends is not sent: somebody else may go on. See docs/format/journal.md.
            .tcp_zero_linger()
            .refresh_metadata_on_auto_schema_agreement(false)
            .fetch_schema_metadata(metadata)
            .fetch_full_schema_metadata(false);
        if let Some((user, password)) = &self.login {
            builder = builder.user(*user, password.expose());
        }
        if let Some(datacentre) = datacentre {
            builder = builder.prefer_datacenter(datacentre.to_owned());
        }
        Ok(builder.tls_context(config.tls.as_ref().map(tls::context).transpose()?))
    }

    /// Opens a session. The driver does not always tell why it could not: then it is asked again, for some seconds.
    async fn open(&self, datacentre: Option<&str>) -> Result<Session, CassandraError> {
        let (began, mut metadata) = (Instant::now(), true);
        loop {
            match self.builder(metadata, datacentre)?.build().await {
                // Before 3.0 there is no system_schema.
                Err(NewSessionError::MetadataError(MetadataError::FetchError(_) | MetadataError::Keyspaces(_))) if metadata => metadata = false,
                ended => match ended.map_err(|error| refusal(self.config, &error)) {
                    Err(CassandraError::Connect { why: Refusal::Other, .. }) if began.elapsed() < UNCLEAR => tokio::time::sleep(AGAIN).await,
                    ended => return ended,
                },
            }
        }
    }
}

/// Connects and asks what there is.
pub(super) async fn connect(config: &CassandraConfig, cancel: &Cancel) -> Result<Cluster, CassandraError> {
    let door = Door::new(config)?;
    // A quoted type spoils the driver's full metadata: tables are read by ourselves.
    let mut session = door.open(config.datacentre.as_deref()).await?;
    let nodes = nodes(&session).await?;
    let datacentre = config.datacentre.clone().unwrap_or_else(|| nodes[0].datacentre.clone());
    if !nodes.iter().any(|node| node.datacentre == datacentre) {
        let known: Vec<&str> = nodes.iter().map(|node| node.datacentre.as_str()).collect();
        return Err(CassandraError::Cluster(format!("the cluster has no datacentre {datacentre:?}; its nodes are in {}", known.join(", "))));
    }
    let mut version = Version(u32::MAX, 0);
    for node in &nodes {
        let unknown = || CassandraError::Cluster(format!("the node {} has the release {:?}, which is not understood", node.address, node.release));
        version = version.min(Version::parse(&node.release).ok_or_else(unknown)?);
    }
    // A session costs the nodes a check of the password for each connection, which is slow on purpose: a second one is opened only to prefer a
    // datacentre that was not known before.
    if config.datacentre.is_none() && nodes.iter().any(|node| node.datacentre != datacentre) {
        session = door.open(Some(&datacentre)).await?;
    }
    let seen = session.get_cluster_state().get_nodes_info().len();
    if seen != nodes.len() {
        return Err(CassandraError::Cluster(format!("the driver sees {seen} nodes, and the cluster has {}", nodes.len())));
    }
    Ok(Cluster { session, nodes, version, consistency: consistency(config.consistency), config: config.clone(), cancel: cancel.clone() })
}

fn consistency(level: CassandraConsistency) -> Consistency {
    match level {
        CassandraConsistency::One => Consistency::LocalOne,
        CassandraConsistency::Quorum => Consistency::Quorum,
        CassandraConsistency::LocalQuorum => Consistency::LocalQuorum,
        CassandraConsistency::All => Consistency::All,
    }
}

/// A node, then those that it knows: both asked of the same one, because each has a list of its own.
async fn nodes(session: &Session) -> Result<Vec<Node>, CassandraError> {
    let mut last = "no node was found".to_owned();
    for node in session.get_cluster_state().get_nodes_info() {
        let only = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::Node(node.clone()), None);
        match nodes_of(session, only).await {
            Ok(nodes) if !nodes.is_empty() => return Ok(nodes),
            Ok(_) => last = "no node says where it is".to_owned(),
            Err(error) => last = error,
        }
    }
    Err(CassandraError::Cluster(format!("cannot ask which nodes there are: {last}")))
}

async fn nodes_of(session: &Session, only: Arc<dyn LoadBalancingPolicy>) -> Result<Vec<Node>, String> {
    let mut nodes = Vec::new();
    for (table, address) in [("local", "broadcast_address"), ("peers", "peer")] {
        let mut statement = Statement::new(format!("SELECT {address}, data_center, release_version FROM system.{table}"));
        statement.set_load_balancing_policy(Some(only.clone()));
        let result = session.query_unpaged(statement, ()).await.map_err(|error| error.to_string())?;
        let rows = result.into_rows_result().map_err(|error| error.to_string())?;
        for row in rows.rows::<(Option<IpAddr>, Option<String>, Option<String>)>().map_err(|error| error.to_string())? {
            let (address, datacentre, release) = row.map_err(|error| error.to_string())?;
            let address = address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
            // A row of a node that has long gone has nothing but its address.
            if let (Some(datacentre), Some(release)) = (datacentre, release) {
                nodes.push(Node { address, datacentre, release });
            }
        }
    }
    Ok(nodes)
}

impl Cluster {
    /// Runs `attempt`, which is told how often it was tried before, until it succeeds, cannot succeed, or has been tried often enough.
    pub(super) async fn with_retries<T, F, R>(&self, doing: impl Fn() -> String, attempt: F) -> Result<T, CassandraError>
    where
        F: Fn(u32) -> R,
        R: Future<Output = Result<T, ExecutionError>>,
    {
        let began = Instant::now();
        let mut pause = Duration::from_millis(200);
        for tries in 1.. {
            self.go_on()?;
            let error = tokio::select! {
                result = attempt(tries - 1) => match result {
                    Ok(value) => return Ok(value),
                    Err(error) => error,
                },
                () = self.cancel.stopped() => return Err(CassandraError::Cancelled),
            };
            let (again, kind) = judge_execution(&error);
            if !again || tries > self.config.retries {
                return Err(CassandraError::Query { doing: doing(), tries, after: began.elapsed(), what: error.to_string(), kind });
            }
            tracing::debug!(%error, tries, "{} again", doing());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.cancel.stopped() => return Err(CassandraError::Cancelled),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        unreachable!("the last try returns")
    }

    /// Whether anything more may be sent: a process that was frozen asks when it wakes, because somebody else may have its run.
    pub(super) fn go_on(&self) -> Result<(), CassandraError> {
        if self.cancel.is_stopped() { Err(CassandraError::Cancelled) } else { Ok(()) }
    }

    /// Runs a statement that returns nothing of interest.
    pub(super) async fn run(&self, text: &str) -> Result<(), CassandraError> {
        self.with_retries(|| format!("run {}", shortened(text)), |_| async { self.session.query_unpaged(text, ()).await.map(|_| ()) }).await
    }

    /// All rows of a small query, decoded.
    pub(super) async fn rows(&self, text: &str, values: impl SerializeRow) -> Result<Rows, CassandraError> {
        let mut statement = Statement::new(text);
        statement.set_page_size(1000);
        let mut rows = Rows::default();
        let mut state = PagingState::start();
        loop {
            let (result, next) = self
                .with_retries(
                    || format!("run {}", shortened(text)),
                    |_| async { self.session.query_single_page(statement.clone(), &values, state.clone()).await },
                )
                .await?;
            // A list of nothing comes as no rows at all.
            if result.is_rows() {
                rows.add(result.into_rows_result().map_err(|error| unexpected(text, error))?, text)?;
            }
            match next.into_paging_control_flow() {
                ControlFlow::Break(()) => return Ok(rows),
                ControlFlow::Continue(next) => state = next,
            }
        }
    }

    /// Prepares a statement.
    pub(super) async fn prepare(&self, text: &str) -> Result<PreparedStatement, CassandraError> {
        let mut prepared = self
            .with_retries(
                || format!("prepare {}", shortened(text)),
                |_| async { self.session.prepare(text).await.map_err(ExecutionError::PrepareError) },
            )
            .await?;
        prepared.set_consistency(self.consistency);
        prepared.set_request_timeout(Some(self.config.timeout));
        Ok(prepared)
    }
}
