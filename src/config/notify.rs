//! The part of a configuration that says who is told what: by mail, by webhook, by a Pushgateway.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Schedule;

/// Who is told what the daemon finds.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileNotify {
    /// Ways to tell people, by name.
    #[serde(default)]
    pub channels: BTreeMap<String, FileChannel>,
    /// Make an Event of each notice, in the namespace that this runs in. The service account needs `create` on `events`.
    #[serde(default)]
    pub events: bool,
    /// When the digest is sent: five cron fields. Default `0 7 * * *`.
    pub digest: Option<String>,
    /// Time zone of `digest`. Default `UTC`.
    pub time_zone: Option<String>,
}

/// One way to tell people: exactly one of its kinds.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileChannel {
    /// By mail.
    pub smtp: Option<FileSmtp>,
    /// By a POST of JSON.
    pub webhook: Option<FileWebhook>,
    /// What it is told: conditions of this severity and above. Default `note`: all.
    #[serde(default)]
    pub least: Severity,
    /// Whether it gets the digest. Default true.
    pub digest: Option<bool>,
}

/// How grave a condition is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Somebody may want to know.
    #[default]
    Note,
    /// Somebody should look in the coming days.
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Severity {
    /// All of them.
    pub const ALL: [Severity; 3] = [Severity::Note, Severity::Warning, Severity::Critical];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// A mail server, and who writes to whom.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSmtp {
    /// Name or address of the server.
    pub host: String,
    /// Default 587 with `starttls`, 465 with `implicit`, 25 with `none`.
    pub port: Option<u16>,
    /// How the connection is encrypted. Default `starttls`.
    #[serde(default)]
    pub mode: SmtpMode,
    /// Oldest version of TLS that is spoken. Default `1.2`.
    #[serde(default)]
    pub least_tls: LeastTls,
    /// PEM file of certificate authorities to trust besides the system's.
    pub ca_file: Option<String>,
    /// Who logs in; nobody does without. It needs TLS.
    pub user: Option<String>,
    /// File with the password.
    pub password_file: Option<String>,
    /// Sender.
    pub from: String,
    /// Receivers.
    #[schemars(length(min = 1))]
    pub to: Vec<String>,
    /// Longest time for one answer of the server. Default `30s`.
    pub timeout: Option<String>,
}

/// How a connection to a mail server is encrypted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SmtpMode {
    /// It begins plain and has to become encrypted before anything is said.
    #[default]
    Starttls,
    /// It is encrypted from the beginning.
    Implicit,
    /// It is not. For relays on the same host or a trusted network.
    None,
}

/// Oldest version of TLS that is spoken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum LeastTls {
    /// 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// 1.3.
    #[serde(rename = "1.3")]
    V13,
}

/// Where JSON is posted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileWebhook {
    /// The address, where it is no secret.
    pub url: Option<String>,
    /// File with the address, where whoever knows it may post, as with Slack and Teams.
    pub url_file: Option<String>,
    /// Form of the JSON. Default `generic`.
    #[serde(default)]
    pub form: WebhookForm,
    /// File with a token that is sent as `Authorization: Bearer`.
    pub token_file: Option<String>,
    /// Oldest version of TLS that is spoken. Default `1.2`.
    #[serde(default)]
    pub least_tls: LeastTls,
    /// PEM file of certificate authorities to trust besides the system's.
    pub ca_file: Option<String>,
    /// Longest time for one request. Default `30s`.
    pub timeout: Option<String>,
}

/// Form of the JSON that is posted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookForm {
    /// As docs/how-to/notifications.md says.
    #[default]
    Generic,
    /// As Slack takes it.
    Slack,
    /// An adaptive card, as a workflow of Teams takes it.
    Teams,
}

/// A Prometheus Pushgateway, for runs that no daemon makes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilePushgateway {
    /// Its address, for example `http://pushgateway.internal:9091`.
    pub url: String,
    /// Who logs in; nobody does without.
    pub user: Option<String>,
    /// File with the password.
    pub password_file: Option<String>,
    /// PEM file of certificate authorities to trust besides the system's.
    pub ca_file: Option<String>,
}

/// Who is told what the daemon finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyConfig {
    /// Ways to tell people, by name.
    pub channels: BTreeMap<String, Channel>,
    /// When the digest is sent.
    pub digest: Schedule,
    /// Its time zone.
    pub time_zone: jiff::tz::TimeZone,
}

/// One way to tell people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// How.
    pub way: Way,
    /// Conditions of this severity and above.
    pub least: Severity,
    /// Whether it gets the digest.
    pub digest: bool,
}

/// How people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By mail.
    Smtp(SmtpConfig),
    /// By a POST of JSON.
    Webhook(WebhookConfig),
    /// By an Event of the cluster.
    Events,
}

/// A mail server, and who writes to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpConfig {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub mode: SmtpMode,
    /// Oldest version of TLS that is spoken.
    pub least_tls: LeastTls,
    /// Certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// User, and file with the password.
    pub login: Option<(String, PathBuf)>,
    /// Sender.
    pub from: String,
    /// Receivers; at least one.
    pub to: Vec<String>,
    /// Longest time for one answer.
    pub timeout: Duration,
}

/// Where JSON is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// The address.
    pub address: Address,
    /// Form of the JSON.
    pub form: WebhookForm,
    /// File with a token.
    pub token_file: Option<PathBuf>,
    /// Oldest version of TLS that is spoken.
    pub least_tls: LeastTls,
    /// Certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Longest time for one request.
    pub timeout: Duration,
}

/// An address that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// This.
    Open(Url),
    /// What this file holds.
    File(PathBuf),
}

/// A Prometheus Pushgateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushgatewayConfig {
    /// Its address.
    pub url: Url,
    /// User, and file with the password.
    pub login: Option<(String, PathBuf)>,
    /// Certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}
