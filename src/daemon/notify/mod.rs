//! Tells people what is wrong, once, and that it is over. docs/format/notices.md says what is guaranteed.

pub mod book;
mod digest;
mod due;
mod events;
pub mod letter;
mod notifier;
mod smtp;
mod webhook;

use std::path::{Path, PathBuf};

use self::letter::Letter;
use crate::{
    config::notify::{Channel, Way},
    model::{Secret, SiteName},
};

pub use notifier::Notifier;

/// Why a message was not sent. Nothing here holds an address that may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A file cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds no address.
    #[error("{path} holds no address of the web", path = path.display())]
    NoAddress {
        /// Which.
        path: PathBuf,
    },
    /// A mail address is none.
    #[error("{address:?} is no mail address")]
    Address {
        /// Which.
        address: String,
        /// Why.
        source: lettre::address::AddressError,
    },
    /// The message cannot be written.
    #[error("the message cannot be written")]
    Message(#[source] lettre::error::Error),
    /// The mail server.
    #[error("the mail server did not take it")]
    Smtp(#[source] Box<lettre::transport::smtp::Error>),
    /// The web server cannot be reached.
    #[error("the server cannot be reached")]
    Web(#[source] Box<reqwest::Error>),
    /// The cluster.
    #[error("the cluster did not take the event")]
    Cluster(#[source] Box<kube::Error>),
    /// The web server said no.
    #[error("the server refused it with status {status}")]
    Refused {
        /// How.
        status: u16,
    },
}

impl From<reqwest::Error> for SendError {
    fn from(error: reqwest::Error) -> SendError {
        SendError::Web(Box::new(error.without_url()))
    }
}

impl SendError {
    /// One thing to do or to check.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            SendError::Smtp(error) if error.is_tls() => Some("check ca_file, mode and least_tls, and that the certificate names the host"),
            SendError::Smtp(error) if error.is_permanent() => Some("check user, password_file, from and to"),
            SendError::Smtp(_) => Some("check host, port, mode, ca_file and least_tls"),
            SendError::Web(_) => Some("check the address, ca_file and least_tls"),
            SendError::Refused { status: 401 | 403 | 404 } => Some("check the address and token_file"),
            SendError::Cluster(_) => Some("allow the service account to create events in its namespace"),
            SendError::NoAddress { .. } => Some("write https://… into it, and nothing else"),
            _ => None,
        }
    }
}

/// Sends a letter through a channel.
///
/// # Errors
/// It was not taken.
pub async fn send(name: &str, channel: &Channel, site: &SiteName, letter: &Letter) -> Result<(), SendError> {
    match &channel.way {
        Way::Smtp(config) => smtp::send(config, site.as_str(), name, letter).await,
        Way::Webhook(config) => webhook::send(config, letter).await,
        Way::Events => events::send(site, letter.notices()).await,
    }
}

fn read_secret(path: &Path) -> Result<Secret, SendError> {
    let text = Secret::new(std::fs::read_to_string(path).map_err(|source| SendError::Read { path: path.to_owned(), source })?);
    Ok(Secret::new(text.expose().trim().to_owned()))
}
