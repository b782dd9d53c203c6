//! A letter by mail.

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters, TlsVersion},
    },
};

use super::{SendError, letter::Letter, read_secret};
use crate::config::notify::{LeastTls, SmtpConfig, SmtpMode};

/// Says that no person wrote it, so that no machine answers.
#[derive(Debug, Clone)]
struct AutoSubmitted;

impl header::Header for AutoSubmitted {
    fn name() -> header::HeaderName {
        header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> header::HeaderValue {
        header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Sends it; the server has taken it for all receivers when this returns.
///
/// # Errors
/// A file cannot be read, the server cannot be reached or refuses, or its TLS is too old or not to be trusted.
pub async fn send(config: &SmtpConfig, site: &str, channel: &str, letter: &Letter) -> Result<(), SendError> {
    let message = message(config, site, channel, letter)?;
    let tls = match config.mode {
        SmtpMode::None => Tls::None,
        SmtpMode::Starttls => Tls::Required(parameters(config)?),
        SmtpMode::Implicit => Tls::Wrapper(parameters(config)?),
    };
    let mut transport =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host).port(config.port).timeout(Some(config.timeout)).tls(tls);
    if let Some((user, file)) = &config.login {
        let password = read_secret(file)?;
        transport = transport.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    transport.build().send(message).await.map(drop).map_err(|source| SendError::Smtp(Box::new(source)))
}

fn message(config: &SmtpConfig, site: &str, channel: &str, letter: &Letter) -> Result<Message, SendError> {
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|source| SendError::Address { address: text.to_owned(), source });
    let from = mailbox(&config.from)?;
    let id = format!("<hourglass.{site}.{channel}.{}@{}>", letter.id, from.email.domain());
    let mut builder = Message::builder().from(from).subject(&letter.subject).message_id(Some(id)).date_now().header(AutoSubmitted);
    for to in &config.to {
        builder = builder.to(mailbox(to)?);
    }
    builder.header(header::ContentType::TEXT_PLAIN).body(letter.text.clone()).map_err(SendError::Message)
}

fn parameters(config: &SmtpConfig) -> Result<TlsParameters, SendError> {
    let wrong = |source| SendError::Smtp(Box::new(source));
    let least = match config.least_tls {
        LeastTls::V12 => TlsVersion::Tlsv12,
        LeastTls::V13 => TlsVersion::Tlsv13,
    };
    let mut builder = TlsParameters::builder(config.host.clone()).set_min_tls_version(least);
    if let Some(file) = &config.ca_file {
        let pem = std::fs::read(file).map_err(|source| SendError::Read { path: file.clone(), source })?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(wrong)?);
    }
    builder.build_rustls().map_err(wrong)
}
