//! TLS for whoever asks the daemon.

use std::{path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};

use super::DaemonError;
use crate::config::DaemonTls;

/// Reads certificate, key and authorities. A client may show a certificate and need not; one that no authority vouches for ends the connection.
///
/// # Errors
/// A file is no use.
pub fn serving(config: &DaemonTls) -> Result<Arc<ServerConfig>, DaemonError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let wrong = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| DaemonError::Tls { path: path.to_owned(), source };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS12, &TLS13])
        .map_err(|error| wrong(&config.cert_file, error.into()))?;
    let builder = match &config.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(file)? {
                roots.add(authority).map_err(|error| wrong(file, error.into()))?;
            }
            // Health is asked by those who have none.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated().build();
            builder.with_client_cert_verifier(verifier.map_err(|error| wrong(file, error.into()))?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&config.key_file).map_err(|error| wrong(&config.key_file, error.into()))?;
    let served = builder.with_single_cert(certificates(&config.cert_file)?, key).map_err(|error| wrong(&config.cert_file, error.into()))?;
    Ok(Arc::new(served))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, DaemonError> {
    let wrong = |error: rustls::pki_types::pem::Error| DaemonError::Tls { path: file.to_owned(), source: error.into() };
    CertificateDer::pem_file_iter(file).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)
}
