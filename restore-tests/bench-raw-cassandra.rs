//! The raw limit of reading a table of Cassandra: pages of the columns that a capture asks for, as the driver gets them, thrown away.
//!
//!     bench-raw-cassandra ADDRESS PORT USER TLS KEYSPACE.TABLE COLUMNS
//!
//! The password is in `CASSANDRA_PASSWORD`, certificates are in the folder TLS. COLUMNS is what stands after `SELECT`; the partition key is `pk`.
#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::{env, ops::ControlFlow, path::Path, sync::Arc};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    response::PagingState,
    statement::prepared::PreparedStatement,
};

/// Parts of the ring, read one page after the other.
const PARTS: i128 = 32;
/// Parts that are read at a time.
const AT_A_TIME: usize = 8;
/// Rows of a page.
const PAGE: i32 = 5000;

fn tls(folder: &Path) -> Result<Arc<ClientConfig>> {
    let certificates = |name: &str| CertificateDer::pem_file_iter(folder.join(name))?.collect::<Result<Vec<_>, _>>();
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca.crt")? {
        roots.add(certificate)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_root_certificates(roots);
    Ok(Arc::new(builder.with_client_auth_cert(certificates("client.crt")?, PrivateKeyDer::from_pem_file(folder.join("client.key"))?)?))
}

/// Rows and bytes between two tokens.
async fn part(session: &Session, scan: &PreparedStatement, (above, up_to): (i64, i64)) -> Result<(usize, usize)> {
    let (mut rows, mut bytes, mut state) = (0, 0, PagingState::start());
    loop {
        let (result, next) = session.execute_single_page(scan, (above, up_to), state).await?;
        let page = result.into_rows_result()?;
        (rows, bytes) = (rows + page.rows_num(), bytes + page.rows_bytes_size());
        match next.into_paging_control_flow() {
            ControlFlow::Break(()) => return Ok((rows, bytes)),
            ControlFlow::Continue(next) => state = next,
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let given: Vec<String> = env::args().skip(1).collect();
    let [address, port, user, folder, table, columns] = given.try_into().ok().context("see the beginning of this file for what it wants")?;
    let session = SessionBuilder::new()
        .known_node(format!("{address}:{port}"))
        .user(user, env::var("CASSANDRA_PASSWORD")?)
        .tls_context(Some(tls(Path::new(&folder))?))
        .fetch_full_schema_metadata(false)
        .build()
        .await?;
    let mut scan = session.prepare(format!("SELECT {columns} FROM {table} WHERE token(pk) > ? AND token(pk) <= ?")).await?;
    scan.set_page_size(PAGE);
    let bound = |n: i128| i64::try_from(i128::from(i64::MIN) + i128::from(u64::MAX) * n / PARTS).expect("it lies on the ring");
    let parts = stream::iter(0..PARTS).map(|n| part(&session, &scan, (bound(n), bound(n + 1)))).buffer_unordered(AT_A_TIME);
    let (rows, bytes) = parts.try_fold((0, 0), async |all, one| Ok((all.0 + one.0, all.1 + one.1))).await?;
    println!("{rows} rows, {bytes} bytes");
    Ok(())
}
