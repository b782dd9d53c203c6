//! Trust in nodes, and proof of who we are. Certificates are checked against the authority alone: nodes are known by address, and their
//! certificates seldom carry addresses.

use scylla::client::session::TlsContext;

use super::error::CassandraError;
use crate::config::CassandraTls;

/// What the driver needs for encrypted connections.
pub(super) fn context(config: &CassandraTls) -> Result<TlsContext, CassandraError> {
    backend::context(config)
}

fn bad(path: &std::path::Path, why: impl ToString) -> CassandraError {
    CassandraError::File { path: path.display().to_string(), why: why.to_string() }
}

#[cfg(feature = "openssl")]
mod backend {
    use openssl::{
        ssl::{SslContextBuilder, SslFiletype, SslMethod, SslVerifyMode},
        x509::X509VerifyResult,
    };
    use scylla::client::session::{OpenSsl010Config, TlsContext};

    use super::{CassandraError, CassandraTls, bad};

    /// `X509_V_ERR_HOSTNAME_MISMATCH`.
    const HOSTNAME_MISMATCH: i32 = 62;
    /// `X509_V_ERR_IP_ADDRESS_MISMATCH`.
    const IP_ADDRESS_MISMATCH: i32 = 64;

    /// OpenSSL, with its default suites: those of Cassandra 2.2 are among them.
    pub(super) fn context(config: &CassandraTls) -> Result<TlsContext, CassandraError> {
        let mut builder = SslContextBuilder::new(SslMethod::tls_client()).map_err(|error| bad(&config.ca_file, error))?;
        // The driver asks for the node's address in the certificate.
        builder.set_verify_callback(SslVerifyMode::PEER, |is_good, chain| {
            let is_other_name = matches!(chain.error().as_raw(), HOSTNAME_MISMATCH | IP_ADDRESS_MISMATCH);
            if is_other_name {
                chain.set_error(X509VerifyResult::OK);
            }
            is_good || is_other_name
        });
        builder.set_ca_file(&config.ca_file).map_err(|error| bad(&config.ca_file, error))?;
        if let Some((cert, key)) = &config.identity {
            builder.set_certificate_chain_file(cert).map_err(|error| bad(cert, error))?;
            builder.set_private_key_file(key, SslFiletype::PEM).map_err(|error| bad(key, error))?;
            builder.check_private_key().map_err(|_| bad(key, "it does not belong to the certificate"))?;
        }
        Ok(OpenSsl010Config::from_dangerous_builder(builder).into())
    }
}

#[cfg(not(feature = "openssl"))]
mod backend {
    use std::{path::Path, sync::Arc};

    use rustls::{
        CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    };
    use scylla::client::session::TlsContext;

    use super::{CassandraError, CassandraTls, bad};

    /// Checks everything but the name.
    #[derive(Debug)]
    struct AnyName(Arc<WebPkiServerVerifier>);

    impl ServerCertVerifier for AnyName {
        fn verify_server_cert(
            &self,
            end_entity: &CertificateDer<'_>,
            intermediates: &[CertificateDer<'_>],
            server_name: &ServerName<'_>,
            ocsp_response: &[u8],
            now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                Err(Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
                    Ok(ServerCertVerified::assertion())
                }
                other => other,
            }
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.0.verify_tls12_signature(message, cert, signature)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.0.verify_tls13_signature(message, cert, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.supported_verify_schemes()
        }
    }

    fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CassandraError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|error| bad(path, error))?.collect();
        let found = found.map_err(|error| bad(path, error))?;
        if found.is_empty() { Err(bad(path, "it holds no certificate")) } else { Ok(found) }
    }

    pub(super) fn context(config: &CassandraTls) -> Result<TlsContext, CassandraError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&config.ca_file)? {
            roots.add(certificate).map_err(|error| bad(&config.ca_file, error))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().map_err(|error| bad(&config.ca_file, error))?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(&config.ca_file, error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyName(verifier)));
        let ready = match &config.identity {
            Some((cert, key)) => {
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, error))?;
                builder.with_client_auth_cert(certificates(cert)?, secret).map_err(|error| bad(key, error))?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(ready).into())
    }
}
